"""A key that a command prints: no shell, no terminal, bounded time and output, and nothing of it in any message."""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import threading
import time

import pytest
from places import print_command

from vaultsession.errors import InvalidSetting, KeyUnavailable
from vaultsession.vault import key_command
from vaultsession.vault.key_command import KeyCommand
from vaultsession.vault.secret import RawKey

KEY = RawKey(hashlib.sha512(b"the same in every process, since it names tests").digest()[:32])
posix = pytest.mark.skipif(os.name == "nt", reason="sessions of processes")


def test_a_command_prints_the_key():
    source = KeyCommand(print_command(KEY.text() + "\n"))
    assert source.secret() == KEY
    assert "import" not in source.name
    assert "import" not in repr(source)


def test_a_command_is_not_given_to_a_shell(tmp_path):
    witness = tmp_path / "shell"
    with pytest.raises((KeyUnavailable, InvalidSetting)):
        KeyCommand(f"echo $(touch {witness}); touch {witness}").secret()
    assert not witness.exists()


@pytest.mark.parametrize(
    ("command", "error", "match"),
    [
        (shlex.join([sys.executable, "-c", "raise SystemExit(3)"]), KeyUnavailable, "exit status 3"),
        ("/no/such/program --with 'a secret'", KeyUnavailable, "No such file"),
        ("'unclosed", InvalidSetting, "no command line"),
        ("   ", InvalidSetting, "empty"),
        (print_command("hunter2"), InvalidSetting, "not a key"),
        (print_command("x" * 5000), KeyUnavailable, "4096 bytes"),
    ],
)
def test_a_command_that_gives_no_key_says_why_and_not_what(command, error, match):
    with pytest.raises(error, match=match) as raised:
        KeyCommand(command).secret()
    assert "hunter2" not in str(raised.value)
    assert "a secret" not in str(raised.value)


def test_endless_output_is_cut_off():
    began = time.monotonic()
    with pytest.raises(KeyUnavailable, match="4096 bytes"):
        KeyCommand(print_command("", "[sys.stdout.write('x' * 9999) for _ in iter(int, 1)]")).secret()
    assert time.monotonic() - began < key_command.COMMAND_TIMEOUT


@pytest.mark.slow
@posix
@pytest.mark.parametrize(
    "then",
    [
        "import time; time.sleep(60)",
        "import subprocess; subprocess.Popen(['sleep', '60'])",  # a child that keeps the pipe open
        "import os, time; os.close(1); time.sleep(60)",
    ],
)
def test_a_command_that_does_not_end_is_stopped_with_all_that_it_started(then):
    threads = threading.active_count()
    with pytest.raises(KeyUnavailable, match=r"0\.5 s"):
        KeyCommand(print_command(KEY.text(), then), timeout=0.5).secret()
    assert threading.active_count() == threads


def test_a_command_has_no_terminal_to_ask_on():
    with pytest.raises(KeyUnavailable, match="exit status"):
        KeyCommand(shlex.join([sys.executable, "-c", "print(input())"])).secret()
