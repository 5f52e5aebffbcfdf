"""``vaultsession completion``, and what a shell receives while a line is completed."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from cli_lab import PATIENCE

from vaultsession import Passphrase, RawKey, open_store


@pytest.fixture
def several(place):
    with place.open() as store:
        for name in (
            "alice/trip",
            "alice/two",
            "bob",
            "telegram:8125",
            "$(touch owned)",
            "-rf",
            "with blank",
            "x;y",
            "é",
        ):
            store.create(name)
    return place


@pytest.fixture
def complete(spawn):
    """What is offered for a line, as bash asks for it."""

    def completing(line: str, **environ: str) -> list[str]:
        words = line.split(" ")
        done = spawn(
            _VAULTSESSION_COMPLETE="complete_bash",
            COMP_WORDS=" ".join(word or "''" for word in words),
            COMP_CWORD=str(len(words) - 1),
            **environ,
        )
        assert done.err == ""
        return done.out.split()

    return completing


@pytest.mark.sampled(3)
@pytest.mark.parametrize("command", ["show", "append", "touch", "rm", "copy", "export", "verify"])
def test_ids_are_completed(command, several, complete):
    assert complete(f"vaultsession {command} alice/") == ["alice/two", "alice/trip"]


def test_ids_that_mean_something_to_a_shell_are_not_offered(several, complete):
    assert complete("vaultsession show ") == ["telegram:8125", "bob", "alice/two", "alice/trip"]


@pytest.mark.slow
def test_commands_options_and_choices_are_completed(complete):
    assert complete("vaultsession co") == ["copy", "config", "completion"]
    assert complete("vaultsession key l") == ["list"]
    assert complete("vaultsession ls --s") == ["--since", "--sort"]
    assert complete("vaultsession ls --sort t") == ["title"]
    assert complete("vaultsession completion f") == ["fish"]


def test_the_vault_and_the_key_on_the_line_count(several, complete, monkeypatch):
    monkeypatch.delenv("VAULTSESSION_PATH")
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    named = f"-V {several.path} --key-file {several.key_file}"
    assert complete(f"vaultsession show {named} b") == ["bob"]
    assert complete(f"vaultsession {named} show b") == ["bob"]
    assert complete("vaultsession show b") == []


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "environ",
    [
        {"VAULTSESSION_PATH": "/nonexistent"},
        {"VAULTSESSION_PATH": "redis://127.0.0.1:1/0"},
        {"VAULTSESSION_PATH": "nonsense://"},
        {"VAULTSESSION_KEY_FILE": "/nonexistent"},
        {"VAULTSESSION_KEY": "nonsense"},
        {"VAULTSESSION_CONFIG": "/nonexistent"},
    ],
    ids=str,
)
def test_whatever_is_wrong_there_is_no_complaint(environ, several, complete):
    assert complete("vaultsession show b", **environ) in ([], ["bob"])


@pytest.mark.slow
def test_nobody_is_asked_and_nothing_is_run_or_changed(tmp_path, complete, monkeypatch):
    words = Passphrase("correct horse battery staple")
    with open_store(tmp_path / "vault", key=words) as store:
        store.create("bob")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "vault").rglob("*") if path.is_file()}
    monkeypatch.setenv("VAULTSESSION_PATH", str(tmp_path / "vault"))
    assert complete("vaultsession show b", VAULTSESSION_KEY_COMMAND=f"touch {tmp_path}/ran") == []
    assert not (tmp_path / "ran").exists()
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_key_in_the_environment_serves(tmp_path, complete, monkeypatch):
    key = RawKey.generate()
    with open_store(tmp_path / "vault", key=key) as store:
        store.create("bob")
    assert complete("vaultsession show b", VAULTSESSION_PATH=str(tmp_path / "vault"), VAULTSESSION_KEY=key.text()) == [
        "bob"
    ]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_its_shell_reads(shell, run, tmp_path):
    done = run("completion", shell)
    assert done.code == 0
    assert "_VAULTSESSION_COMPLETE" in done.out
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    (tmp_path / "script").write_text(done.out)
    subprocess.run([found, "-n", str(tmp_path / "script")], check=True, timeout=PATIENCE)


def test_a_shell_that_nobody_knows_is_2(run):
    assert run("completion", "tcsh").code == 2


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish")
def test_fish_itself_offers_them(several, run, tmp_path, executable):
    (tmp_path / "script").write_text(run("completion", "fish").out)
    asked = f'source "{tmp_path}/script"; complete -C "vaultsession show telegram:"; complete -C "vaultsession tou"'
    done = in_shell("fish", asked, executable, tmp_path)
    assert done[:2] == ["telegram:8125", "touch"]


@pytest.mark.sampled(3)
@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("vaultsession to", ["touch"]),
        ("vaultsession show alice/", ["alice/two", "alice/trip"]),
        ("vaultsession show telegram:", ["8125"]),  # bash replaces what stands behind a colon
        ("vaultsession show telegram:81", ["8125"]),
        ("vaultsession export bob ", ["telegram:8125", "bob", "alice/two", "alice/trip"]),
        ("vaultsession show nobody", []),
    ],
    ids=str,
)
def test_bash_itself_offers_them(line, offered, several, run, tmp_path, executable):
    (tmp_path / "script").write_text(run("completion", "bash").out)
    asked = (
        f'source "{tmp_path}/script"; COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}};'
        '_vaultsession_completion vaultsession; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    assert in_shell("bash", asked, executable, tmp_path) == offered
    assert not Path("owned").exists()


def in_shell(shell, script, executable, tmp_path):
    """The words that a shell writes, in which ``vaultsession`` is this one."""
    program = tmp_path / "bin" / "vaultsession"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(executable)} "$@"\n')
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, env=environ, timeout=PATIENCE, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_without_a_shell_the_sentence_is_one_line(run):
    done = run("completion")
    assert done.code == 2
    assert "\\n" not in done.err
    assert "\\t" not in done.err
    assert "bash" in done.err
