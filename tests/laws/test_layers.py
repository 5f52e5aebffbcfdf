"""The layers of the package, held by import-linter where it is installed: the contract stands in ``pyproject.toml``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytest.importorskip("importlinter")


def lint(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()"]
    return subprocess.run(
        [*command, "--no-cache", *arguments], cwd=ROOT, check=False, capture_output=True, text=True, timeout=120
    )


def test_every_import_runs_downward() -> None:
    ran = lint()
    assert ran.returncode == 0, ran.stdout


def test_a_planted_law_is_broken(tmp_path: Path) -> None:
    config = tmp_path / "upside_down.toml"
    config.write_text(
        "[tool.importlinter]\nroot_package = 'vaultsession'\n[[tool.importlinter.contracts]]\n"
        "name = 'upside down'\ntype = 'layers'\ncontainers = ['vaultsession']\nlayers = ['errors', 'engine']\n"
    )
    assert lint(str(config)).returncode == 1
