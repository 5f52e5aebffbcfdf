"""Every Python block of the README runs, as a reader would run it, and its table of commands is what their help says.

The table is written anew with ``VAULTSESSION_WRITE_README=1 python -m pytest tests/laws/test_readme.py``.
"""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vaultsession import Settings
from vaultsession.cli.app import EPILOG, Commands
from vaultsession.cli.lazy_group import leaves

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


# -- the table of commands ---------------------------------------------------------------------------------------------

_TABLE = re.compile(r"(?<=<!-- commands -->\n).*?(?=<!-- /commands -->)", re.DOTALL)
_SHARED = {"vault", "key_file", "key_command", "passphrase_file", "as_json", "as_jsonl", "yes", "dry_run"}


def argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()).strip("[]")
    told = name + ("…" if parameter.nargs == -1 else "")
    return told if parameter.required else f"[{told}]"


def table() -> str:
    """A row for each command: what is typed, the first line of its help, and the options that are its own."""
    rows = ["| command | | options of its own |", "|---|---|---|"]
    for name, _, command in leaves(Commands.entries):
        arguments = [argument(each) for each in command.params if each.param_type_name == "argument"]
        options = [
            max(each.opts, key=len)
            for each in command.params
            if each.param_type_name == "option" and each.name not in _SHARED
        ]
        says = (command.help or "").splitlines()[0].replace("|", "\\|")
        cells = (f"`{' '.join([name, *arguments])}`", says, " ".join(f"`{option}`" for option in options))
        rows.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(rows) + "\n"


def test_every_command_stands_in_the_readme_as_its_help_has_it() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(_TABLE.findall(text)) == 1
    if os.environ.get("VAULTSESSION_WRITE_README"):
        text = _TABLE.sub(lambda _: table(), text)
        README.write_text(text, encoding="utf-8")
    assert _TABLE.findall(text) == [table()], "write it anew: see the first lines of this file"


def test_the_readme_names_every_exit_code() -> None:
    text = " ".join(README.read_text(encoding="utf-8").split())
    codes = EPILOG.removeprefix("Exit codes: ").removesuffix(".")
    assert codes in text


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


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_every_setting_stands_in_the_table(field: dataclasses.Field[object]) -> None:
    settings = README.read_text(encoding="utf-8").split("\n## Settings\n")[1].split("\n## ")[0]
    assert f"`{field.name}`" in settings
