"""``vaultsession demo``: what a newcomer runs first. Real vaults, and everything said of them is measured or read."""

from __future__ import annotations

import shutil
import tempfile
import time
from enum import Enum
from typing import Annotated

import typer

from . import assistant, desktop, vault
from .stage import Stage, say, steps


class Which(Enum):
    """What is demonstrated."""

    vault = "vault"
    assistant = "assistant"
    desktop = "desktop"


_STEPS = {Which.vault: vault.STEPS, Which.assistant: assistant.STEPS, Which.desktop: desktop.STEPS}


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the vault and its key where they are.")] = False,
    which: Annotated[
        Which, typer.Option("--which", help="A vault; an assistant over restarts; a desktop agent with windows.")
    ] = Which.vault,
) -> None:
    """See a vault at work, in a few seconds.

    There is nothing to set up, and nothing is left behind.
    """
    began = time.perf_counter()
    stage = Stage(tempfile.mkdtemp(prefix="vaultsession-demo-"))
    try:
        steps(stage, _STEPS[which])
    finally:
        if not keep:
            try:
                stage.forget()
            finally:
                shutil.rmtree(stage.place, ignore_errors=True)
    if keep:
        say("Kept. Look around with:")
        say(f"  vaultsession ls -V {stage.vault} {' '.join(stage.key_options)}".rstrip(), "green")
    else:
        say(f"All of it is gone again, after {time.perf_counter() - began:.1f} s. Yours begins with: vaultsession init")
