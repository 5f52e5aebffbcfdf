"""The type surface holds under mypy and under pyright, and a broken promise is found."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SURFACE = Path(__file__).parent / "public_surface.py"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BROKEN = '\nassert_type(open_store("memory://").load("a"), int)\n'


def run(module: str, *arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: pip install {module}")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "MYPYPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=where, env=environment, timeout=500)


def mypy(file: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    configuration = f"--config-file={REPOSITORY / 'pyproject.toml'}"
    return run("mypy", configuration, f"--cache-dir={cache}", "--warn-unused-ignores", str(file), where=REPOSITORY)


def pyright(file: Path, where: Path) -> subprocess.CompletedProcess[str]:
    (where / "pyrightconfig.json").write_text(
        json.dumps(
            {
                "include": [str(file)],
                "extraPaths": [str(REPOSITORY)],
                "pythonVersion": "3.11",
                "enableTypeIgnoreComments": False,
                "reportUnnecessaryTypeIgnoreComment": "error",
            }
        )
    )
    ran = run("pyright", "--pythonpath", sys.executable, "-p", str(where), where=where)
    if "error" in ran.stderr and not ran.stdout.strip():
        pytest.skip("pyright needs Node.js, which it could not find or fetch")
    return ran


def test_mypy_agrees_with_every_promise(tmp_path: Path) -> None:
    ran = mypy(SURFACE, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_mypy_finds_a_broken_promise(tmp_path: Path) -> None:
    broken = tmp_path / "broken_surface.py"
    broken.write_text(SURFACE.read_text(encoding="utf-8") + BROKEN, encoding="utf-8")
    ran = mypy(broken, tmp_path)
    assert ran.returncode == 1
    assert 'Expression is of type "Session[dict[str, Any]]", not "int"' in ran.stdout


def test_pyright_agrees_with_every_promise(tmp_path: Path) -> None:
    ran = pyright(SURFACE, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_pyright_finds_a_broken_promise(tmp_path: Path) -> None:
    broken = tmp_path / "broken_surface.py"
    broken.write_text(SURFACE.read_text(encoding="utf-8") + BROKEN, encoding="utf-8")
    ran = pyright(broken, tmp_path)
    assert ran.returncode == 1
    assert "assert_type" in ran.stdout
