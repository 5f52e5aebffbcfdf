"""The documents beside the code, and their blocks: each runs as a reader would run it, in a fresh directory, twice.

``python`` and ``sh`` blocks run; ``toml`` blocks are configuration files; ``text`` and indented blocks show something.
A comment in front of a block says more of it::

    <!-- command: NAME -->     .ci/run runs it, with a fresh environment
    <!-- needs: PROGRAM -->    runs where that program is installed
    <!-- recipe: NAME -->      tests/recipes runs it, with what it needs
    <!-- framework: MODULE --> runs where that module is installed; warnings of it are no errors
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "vaultsession"
README = REPOSITORY / "README.md"
COMMANDS = PACKAGE / "cli" / "README.md"
SETTINGS = PACKAGE / "store" / "README.md"
RECIPES = PACKAGE / "store" / "RECIPES.md"
BENCHMARKS = REPOSITORY / "benchmarks" / "README.md"
DOCUMENTS = (README, BENCHMARKS, *sorted(PACKAGE.rglob("*.md")))

LANGUAGES = {"python", "sh", "toml", "text"}

_BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>command|needs|recipe|framework): (?P<value>\S+) -->\n)?^```(?P<language>\w*)[^\S\n]*\n(?P<text>.*?)^```[^\S\n]*$",
    re.MULTILINE | re.DOTALL,
)

INTERPRETER = {"PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1"}

_PYTHON = """\
import runpy, sys
for _ in range(int(sys.argv[2])):
    runpy.run_path(sys.argv[1], run_name="__main__")
"""
_SHELL = 'for _ in $(seq "$1"); do sh -eu "$0"; done'


class Block(NamedTuple):
    """A block of a document; ``line`` is its first line there."""

    document: Path
    line: int
    language: str
    text: str
    command: str | None
    needs: str | None
    recipe: str | None = None
    framework: str | None = None

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{os.path.relpath(self.document, REPOSITORY)}:{self.line}"


def blocks(text: str, document: Path) -> list[Block]:
    """The fenced blocks of a text, in order."""
    found = []
    for match in _BLOCK.finditer(text):
        marks = {match["mark"]: match["value"]}
        line = text.count("\n", 0, match.start("text")) + 1
        values = [marks.get(mark) for mark in ("command", "needs", "recipe", "framework")]
        found.append(Block(document, line, match["language"], match["text"], *values))
    return found


def run(block: Block, directory: Path, command: Sequence[str], times: int = 2) -> subprocess.CompletedProcess[str]:
    """Run a block so many times, in ``directory``/work; home, configuration and data lie beside it.

    ``python`` is this interpreter with this checkout, ``vaultsession`` is ``command``. A traceback names the line of the
    document.
    """
    home, work, programs = (directory / name for name in ("home", "work", "bin"))
    for each in (home, work, programs):
        each.mkdir()
    for name, words in (("python", [sys.executable]), ("vaultsession", command)):
        (programs / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o700)
    script = directory / f"{block.document.name}.{block.language}"
    script.write_text("\n" * (block.line - 1) + block.text, encoding="utf-8")
    python = [sys.executable, "-c", _PYTHON, str(script), str(times)]
    shell = ["sh", "-euc", _SHELL, str(script), str(times)]
    environment = {
        **INTERPRETER,
        **({"PYTHONWARNINGS": "default"} if block.framework else {}),
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PATH": f"{programs}:/usr/bin:/bin",
        "CI": "1",  # Hypothesis then has no deadlines
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")},
    }
    return subprocess.run(
        python if block.language == "python" else shell,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=work,
        env=environment,
        timeout=120,
    )
