"""The README is short and names what there is; the table of commands is what their help says.

That table is written anew with ``VAULTSESSION_WRITE_README=1 python -m pytest tests/laws/test_readme.py``.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
from documents import COMMANDS, DOCUMENTS, README, REPOSITORY, SETTINGS

from vaultsession import Settings
from vaultsession.cli.app import EPILOG, Commands
from vaultsession.cli.lazy_group import leaves

LONGEST = 9_500
"""Bytes of the README."""


def test_the_readme_is_short() -> None:
    assert README.stat().st_size <= LONGEST


def test_the_readme_links_to_nothing_that_a_package_index_does_not_have() -> None:
    assert re.findall(r"\]\((?!https?://)[^)]*\)", README.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS[1:], ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_the_readme_says_where_to_read_on(document: Path) -> None:
    assert f"`{document.relative_to(REPOSITORY)}`" in README.read_text(encoding="utf-8")


# -- the table of commands ---------------------------------------------------------------------------------------------

_TABLE = re.compile(r"(?<=<!-- commands -->\n).*?(?=<!-- /commands -->)", re.DOTALL)
_SHARED = {"vault", "key_file", "key_command", "passphrase_file", "as_json", "as_jsonl", "yes", "dry_run"}


def argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name.upper()).strip("[]")
    shown = name + ("…" if parameter.nargs == -1 else "")
    return shown if parameter.required else f"[{shown}]"


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


def test_every_command_stands_in_its_document_as_its_help_has_it() -> None:
    text = COMMANDS.read_text(encoding="utf-8")
    assert len(_TABLE.findall(text)) == 1
    if os.environ.get("VAULTSESSION_WRITE_README"):
        text = _TABLE.sub(lambda _: table(), text)
        COMMANDS.write_text(text, encoding="utf-8")
    assert _TABLE.findall(text) == [table()], "write it anew: see the first lines of this file"


def test_the_document_of_the_commands_names_every_exit_code() -> None:
    text = " ".join(COMMANDS.read_text(encoding="utf-8").split())
    codes = EPILOG.removeprefix("Exit codes: ").removesuffix(".")
    assert codes in text


@pytest.mark.parametrize("field", dataclasses.fields(Settings), ids=lambda field: field.name)
def test_every_setting_stands_in_the_table(field: dataclasses.Field[object]) -> None:
    settings = SETTINGS.read_text(encoding="utf-8").split("\n## Settings\n")[1].split("\n## ")[0]
    assert f"`{field.name}`" in settings
