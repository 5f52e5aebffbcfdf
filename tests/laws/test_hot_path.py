"""A warm append goes straight: what it passes on its way costs more than what it does there, where caches are cold."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType

import vaultsession

ROOT = os.path.dirname(vaultsession.__file__) + os.sep
MOST_FILES = 24
MOST_CHANGES = 46
MESSAGE = {"role": "user", "content": "and another thing"}


def test_a_warm_append_passes_few_modules(tmp_path: Path) -> None:
    files: set[str] = set()
    changes = 0

    def watch(frame: FrameType, event: str, _: object) -> None:
        nonlocal changes
        here, caller = frame.f_code.co_filename, frame.f_back
        if event == "call" and here.startswith(ROOT):
            files.add(here.removeprefix(ROOT))
            changes += caller is None or caller.f_code.co_filename != here

    with vaultsession.open_store(tmp_path / "vault", key=bytes(range(32))) as store:
        store.create("a", messages=[MESSAGE])
        for _ in range(3):
            store.append("a", MESSAGE)
        before = sys.getprofile()
        sys.setprofile(watch)
        try:
            store.append("a", MESSAGE)
        finally:
            sys.setprofile(before)
    assert len(files) <= MOST_FILES, sorted(files)
    assert changes <= MOST_CHANGES
