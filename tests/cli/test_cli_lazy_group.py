"""Every command by name: what the help says without importing one is what the command itself says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from vaultsession.cli.app import Commands
from vaultsession.cli.lazy_group import CommandEntry, loaded


@pytest.mark.parametrize("entry", Commands.entries, ids=lambda entry: entry.name)
def test_the_line_in_the_help_is_the_first_of_the_command_s_own(entry: CommandEntry) -> None:
    command = loaded(entry)
    assert command.name == entry.name
    assert (command.help or "").splitlines()[0] == entry.line


def test_the_help_of_all_imports_no_store(spawn) -> None:
    code = (
        "import sys, vaultsession.__main__ as m; sys.argv = ['vaultsession', '--help']; code = m.main();"
        "print([n for n in ('sqlite3', 'cryptography', 'vaultsession.store.store', 'orjson') if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: vaultsession" in done.stdout
    assert done.stderr.strip() == "[]"


def test_a_command_that_is_misspelled_gets_a_hint(run) -> None:
    done = run("rmm")
    assert done.code == 2
    assert "rm" in done.err
    assert "Did you mean" in done.err
