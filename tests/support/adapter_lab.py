"""What tests of adapters do to a vault, and processes that are killed within a turn."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaultsession import RawKey, SessionStore, open_store

KEY, OTHER_KEY = RawKey.generate(), RawKey.generate()

KILLED = 9
"""The exit code of a program that ends in the middle of a turn, as one that is killed: nothing is closed."""

LONG = "名/../%" * 400
"""An id beyond the bound of session ids, with everything that a path or an escape could trip over."""

HOSTILE = ["", "\0", "../../etc/passwd", "\u202e🙂", "a" * 100_000, "</script>", "{{}}", "$b", "__bytes_encoded__"]


def vault(directory: Path, **settings: Any) -> SessionStore:
    """The vault of a test, opened once more; nothing of it is flushed."""
    return open_store(directory / "vault", **{"key": KEY, "durability": "os", **settings})


def damage(directory: Path) -> None:
    """Flip a bit within every session of the vault of a test."""
    for path in (directory / "vault" / "sessions").rglob("*.vss"):
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(data)


def run_program(directory: Path, program: str, *arguments: str) -> int:
    """A program in a process of its own, with ``PATH`` and ``KEY`` of the vault; its exit code."""
    return wait_for([start_program(directory, program, *arguments)])[0]


def start_program(directory: Path, program: str, *arguments: str) -> subprocess.Popen[bytes]:
    """The process, started."""
    prelude = "import sys, warnings; warnings.simplefilter('ignore'); PATH, ARGUMENTS = sys.argv[1], sys.argv[2:]\n"
    support = str(Path(__file__).parent)
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), support]),
        "VAULTSESSION_KEY": KEY.text(),
        "VAULTSESSION_CONFIG": "",
    }
    words = [sys.executable, "-c", prelude + program, str(directory / "vault"), *arguments]
    return subprocess.Popen(words, env=environment)


def wait_for(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Their exit codes."""
    return [each.wait(120) for each in processes]
