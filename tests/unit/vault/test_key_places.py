"""Places of secrets: each by itself, and its refusals. No test touches the real environment."""

from __future__ import annotations

import functools
import getpass
import hashlib
import os
import sys
import warnings

import pytest
from places import private_file

from vaultsession.errors import InvalidSetting, KeyUnavailable
from vaultsession.util.disk import Disk
from vaultsession.vault import key_places
from vaultsession.vault.key_places import KeyFile, PassphraseFile, Prompt
from vaultsession.vault.key_sources import EnvironmentKey
from vaultsession.vault.secret import Passphrase, RawKey

VAULT_ID = bytes(range(16))
KEY = RawKey(hashlib.sha512(b"the same in every process, since it names tests").digest()[:32])
posix = pytest.mark.skipif(os.name == "nt", reason="modes of files")


@pytest.fixture
def private(tmp_path):
    return functools.partial(private_file, tmp_path)


# One source at a time


def test_the_environment_spells_a_key():
    source = EnvironmentKey("SOME_KEY", {"SOME_KEY": KEY.text()})
    assert source.secret() == KEY
    assert source.name == "environment variable SOME_KEY"
    assert KEY.text() not in repr(source)
    assert EnvironmentKey("SOME_KEY", {}).secret() is None


def test_a_password_in_the_environment_is_refused_and_not_repeated():
    with pytest.raises(InvalidSetting, match=r"VAULTSESSION_KEY: .*passphrase") as raised:
        EnvironmentKey(environ={"VAULTSESSION_KEY": "hunter2"}).secret()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("content", [KEY.secret, KEY.text(), KEY.text() + "\n"])
def test_a_key_file_holds_the_key_raw_or_spelled(private, content):
    assert KeyFile(private(content)).secret() == KEY


def test_a_key_file_that_is_not_there(tmp_path):
    assert KeyFile(str(tmp_path / "none")).secret() is None


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o610])
@pytest.mark.parametrize("kind", [KeyFile, PassphraseFile])
def test_a_file_that_others_can_read_is_refused_with_the_command_to_run(private, mode, kind):
    path = private(KEY.text(), mode)
    with pytest.raises(KeyUnavailable, match=r"chmod 600|writable by group or others"):
        kind(path).secret()


@posix
def test_the_command_to_run_survives_a_strange_path(private):
    path = private(KEY.text(), 0o644, "my key; rm -rf x")
    with pytest.raises(KeyUnavailable, match=r"chmod 600 '.*my key; rm -rf x'"):
        KeyFile(path).secret()


@posix
def test_hard_links_fifos_and_directories_are_no_key_files(private, tmp_path):
    os.mkfifo(tmp_path / "fifo", 0o600)
    os.link(private(KEY.text(), name="twice"), tmp_path / "again")
    for name in ("fifo", "again", "."):
        with pytest.raises(KeyUnavailable):
            KeyFile(str(tmp_path / name)).secret()


@posix
def test_a_link_of_ours_leads_to_a_key_file(private, tmp_path):
    os.symlink(private(KEY.text()), tmp_path / "link")
    assert KeyFile(str(tmp_path / "link")).secret() == KEY


def test_a_huge_key_file_is_refused_unread(private):
    with pytest.raises(InvalidSetting, match="no key"):
        KeyFile(private(b"x" * 5000)).secret()


def test_a_key_file_that_cannot_be_read_says_why(private):
    class Broken(Disk):
        def pread(self, fd, size, offset):
            raise OSError(5, "Input/output error")

    with pytest.raises(KeyUnavailable, match="Input/output error"):
        KeyFile(private(KEY.text()), Broken()).secret()


def test_names_of_files_write_home_as_a_tilde():
    home = os.path.expanduser("~")
    assert KeyFile(os.path.join(home, "a.key")).name == f"key file ~{os.sep}a.key"
    assert KeyFile(os.path.join(home + "x", "a.key")).name.endswith(os.path.join(home + "x", "a.key"))


@pytest.mark.parametrize("content", ["two words", "two words\n", "two words\r\n"])
def test_a_passphrase_file_ends_in_at_most_one_newline(private, content):
    assert PassphraseFile(private(content)).secret() == Passphrase("two words")


def test_spaces_and_further_newlines_belong_to_the_passphrase(private):
    assert PassphraseFile(private(" two\nwords \n\n")).secret() == Passphrase(" two\nwords \n")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"x" * 2000])
def test_a_passphrase_file_without_a_passphrase(private, content):
    with pytest.raises(InvalidSetting, match="passphrase file"):
        PassphraseFile(private(content)).secret()


def test_a_passphrase_file_that_is_not_there(tmp_path):
    assert PassphraseFile(str(tmp_path / "none")).secret() is None


# The prompt


@pytest.fixture
def terminal(monkeypatch):
    class Terminal:
        closed = False

        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(key_places, "_is_terminal", lambda: True)


@pytest.mark.usefixtures("terminal")
def test_what_is_typed_is_a_passphrase():
    assert Prompt(ask=lambda _: "words").secret() == Passphrase("words")
    assert Prompt(ask=lambda _: "").secret() is None


@pytest.mark.usefixtures("terminal")
def test_nothing_is_asked_where_it_would_be_shown():
    def shown(_):
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=1)
        return "words"

    with pytest.raises(KeyUnavailable, match="GetPassWarning"):
        Prompt(ask=shown).secret()


@pytest.mark.usefixtures("terminal")
def test_an_end_of_input_is_no_answer():
    def ended(_):
        raise EOFError

    with pytest.raises(KeyUnavailable):
        Prompt(ask=ended).secret()


@pytest.mark.parametrize(("stdin", "stderr"), [(False, True), (True, False), (None, True)])
def test_nobody_is_asked_unless_input_and_errors_are_a_terminal(monkeypatch, stdin, stderr):
    class Stream:
        closed = False

        def __init__(self, is_terminal):
            self.isatty = lambda: is_terminal

    monkeypatch.setattr(sys, "stdin", None if stdin is None else Stream(stdin))
    monkeypatch.setattr(sys, "stderr", Stream(stderr))
    with pytest.raises(KeyUnavailable, match="no terminal"):
        Prompt(ask=lambda _: pytest.fail("asked")).secret()
