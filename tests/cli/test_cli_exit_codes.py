"""From errors to exit codes and sentences."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest
from cli_lab import plain

from vaultsession import errors
from vaultsession.cli import exit_codes, main
from vaultsession.cli.app import EPILOG

ALL = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.VaultError)]

EXPECTED = {
    "VaultError": 1,
    "InvalidSessionId": 2,
    "InvalidDocument": 2,
    "InvalidSetting": 2,
    "SessionNotFound": 4,
    "SessionExpired": 4,
    "SessionExists": 5,
    "Conflict": 5,
    "LeaseTimeout": 11,
    "Unreadable": 6,
    "Damaged": 6,
    "RollbackDetected": 6,
    "UnknownKey": 12,
    "UnknownDictionary": 6,
    "UnsupportedFormat": 6,
    "TooLarge": 1,
    "SweepRefused": 1,
    "TrainingRefused": 1,
    "VaultNotFound": 10,
    "KeyUnavailable": 12,
    "WrongKey": 12,
    "BackendUnavailable": 1,
    "DurabilityUnknown": 1,
    "PartialFailure": 3,
}


def test_every_class_of_error_stands_in_the_table_by_itself():
    assert {kind.__name__: code for kind, code in exit_codes.CODES.items()} == EXPECTED
    assert set(exit_codes.CODES) == set(ALL)


def test_a_class_that_comes_later_has_the_code_of_the_one_above_it():
    class Rotten(errors.Damaged):
        pass

    assert exit_codes.exit_code(Rotten("x")) == exit_codes.INTEGRITY
    assert exit_codes.advice_for(Rotten("x")) == exit_codes.advice_for(errors.Damaged("x"))


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_that_a_command_raises_is_its_code_and_one_sentence(kind, place, run, monkeypatch):
    def fails(*_, **__):
        raise kind("what happened")

    monkeypatch.setattr("vaultsession.store.open.open_store", fails)
    done = run("ls")
    assert done.code == EXPECTED[kind.__name__]
    assert done.out == ""
    assert done.err.startswith("vaultsession: what happened")
    assert done.err.count("\n") == 1


def test_a_bug_is_told_without_a_traceback_and_with_one_on_request(place, run, monkeypatch):
    def fails(*_, **__):
        raise ZeroDivisionError("nobody thought of it")

    monkeypatch.setattr("vaultsession.store.open.open_store", fails)
    done = run("ls")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "bug" in done.err
    monkeypatch.setenv(main.DEBUG, "1")
    assert "Traceback" in run("ls").err


@pytest.mark.parametrize(
    "arguments",
    [
        ("frobnicate",),
        ("show",),
        ("ls", "--nonsense"),
        ("ls", "--limit", "0"),
        ("ls", "--sort", "sideways"),
        ("ls", "--json", "--jsonl"),
        ("ls", "--key-file", "a", "--key-command", "b"),
        ("key", "frobnicate"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2_and_one_sentence(arguments, place, run):
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("vaultsession: ")
    assert done.err.count("\n") == 1


def test_without_a_command_the_help_is_shown_and_it_is_2(run):
    done = run()
    assert done.code == 2
    assert "Usage: vaultsession" in done.out
    assert done.err == ""


def test_the_help_names_every_code():
    told = {int(code) for code in re.findall(r"\d+", EPILOG)}
    assert told >= {0, *EXPECTED.values(), exit_codes.PARTIAL, exit_codes.INTERRUPTED}


def test_another_process_ends_with_the_same_code_and_writes_to_the_same_streams(spawn, tmp_path):
    done = spawn("ls", "--vault", tmp_path / "nothing")
    assert done.code == 10
    assert done.out == ""
    assert done.err == f"vaultsession: there is no vault at {tmp_path}/nothing: make one with `vaultsession init`\n"


def test_ctrl_c_is_130_without_a_traceback(place, terminal):
    done = terminal("append", "a", "-", "--create", typed=(("Ctrl-D", "\x03"),))
    assert done.code == 130
    assert "Traceback" not in done.out


def test_without_the_extra_one_sentence_says_how_to_install_it(tmp_path):
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom vaultsession.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'vaultsession[cli]'" in done.stderr


@pytest.mark.slow
def test_help_is_shown_without_loading_what_only_commands_need(run, spawn):
    assert "Usage: vaultsession ls" in run("ls", "--help").out
    script = (
        "import sys; import vaultsession; sys.argv[1:] = ['--help']; before = set(sys.modules)\n"
        "from vaultsession.__main__ import main; main()\n"
        "print(*sorted(set(sys.modules) - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stderr.split())
    assert "vaultsession.cli.app" in loaded
    assert {name for name in loaded if name.startswith("vaultsession.admin.doctor") or name == "rich.progress"} == set()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("command", [(), ("ls",), ("key", "add")], ids=str)
def test_help_is_readable_on_any_terminal(command, columns, terminal):
    done = terminal(*command, "--help", columns=columns)
    text = " ".join(plain(done.out).split())
    assert done.code == 0
    assert max(map(len, plain(done.out).splitlines())) <= columns
    assert "…" not in text
    assert "--passphrase-file" in text


def test_the_version_is_shown(run):
    done = run("--version")
    assert done.code == 0
    assert done.out.startswith("vaultsession")


def test_completion_is_offered(spawn):
    done = spawn("--show-completion", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "Traceback" not in done.err
    script = spawn(_VAULTSESSION_COMPLETE="complete_bash", COMP_WORDS="vaultsession to", COMP_CWORD="1")
    assert script.out.split() == ["touch"]
