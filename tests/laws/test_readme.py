"""Every Python block of the README runs, as a reader would run it: one after another, in a new directory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
README = REPOSITORY / "README.md"

_BLOCK = re.compile(r"^```python[^\S\n]*\n(.*?)^```[^\S\n]*$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """The Python blocks, padded with empty lines so that a traceback names the line of the README."""
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in _BLOCK.finditer(text)]


def run(text: str, directory: Path, source: Path = README) -> subprocess.CompletedProcess[str]:
    """Run the blocks of a text in one fresh interpreter whose home, configuration and data lie in ``directory``."""
    home = directory / "home"
    work = directory / "work"
    home.mkdir()
    work.mkdir()
    parts = [f"exec(compile({block!r}, {str(source)!r}, 'exec'), globals())" for block in blocks(text)]
    (directory / "blocks.py").write_text("\n".join(parts) + "\n", encoding="utf-8")
    environment = {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "error",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "STATE", "CACHE")},
    }
    return subprocess.run(
        [sys.executable, str(directory / "blocks.py")],
        check=False,
        capture_output=True,
        text=True,
        cwd=work,
        env=environment,
        timeout=120,
    )


def test_the_readme_runs(tmp_path: Path) -> None:
    text = README.read_text(encoding="utf-8")
    assert blocks(text), "a README without one block of Python"
    ran = run(text, tmp_path)
    assert ran.returncode == 0, ran.stderr


# -- tests of the test -------------------------------------------------------------------------------------------------

SAMPLE = """
Words.

```python
import os
x = 1
```

```console
$ not python
```

```python
open("made-here", "w").close()
assert x == 1 and os.getcwd().endswith("work")
assert not [name for name in os.environ if name.startswith("VAULTSESSION_")]
```
"""


def test_blocks_run_in_order_and_in_a_directory_of_their_own(tmp_path: Path) -> None:
    ran = run(SAMPLE, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "work" / "made-here").exists()


@pytest.mark.parametrize("broken", ["1 / 0", "import no_such_module", "assert not 'true'"])
def test_a_block_that_fails_is_seen_with_its_line(tmp_path: Path, broken: str) -> None:
    ran = run(f"{SAMPLE}\n```python\n{broken}\n```\n", tmp_path)
    assert ran.returncode == 1
    assert f'{README}", line {SAMPLE.count(chr(10)) + 3}' in ran.stderr
