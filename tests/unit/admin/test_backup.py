"""A vault is copied while it is in use, as the document says: what was acknowledged before is in the copy, and opens.

The commands are those of the document itself.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from documents import PACKAGE, Block, blocks

import vaultsession
from vaultsession.cli.exit_codes import PARTIAL
from vaultsession.engine.verify import Verdict
from vaultsession.vault.secret import RawKey

ADMIN = PACKAGE / "admin" / "README.md"
SESSIONS = 6
KEY = RawKey.generate()


def commands() -> dict[str, Block]:
    section = ADMIN.read_text(encoding="utf-8").split("\n## Looking")[0]
    return {block.needs or "cp": block for block in blocks(section, ADMIN)}


def copied(program: str, directory: Path, executable: list[str]) -> Path:
    """The copy that the commands of the document make of ``directory``/vault."""
    block = commands()[program]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "vaultsession").write_text(f'#!/bin/sh\nexec {shlex.join(executable)} "$@"\n')
    (programs / "vaultsession").chmod(0o700)
    taking = "\n".join(line for line in block.text.splitlines() if "--content Hello" not in line)
    ran = subprocess.run(
        ["sh", "-euc", taking],
        check=False,
        capture_output=True,
        text=True,
        cwd=directory,
        env=os.environ | {"PATH": f"{programs}:/usr/bin:/bin", "VAULTSESSION_KEY": KEY.text(), "HOME": str(directory)},
        timeout=120,
    )
    assert ran.returncode in (0, PARTIAL), ran.stdout + ran.stderr  # a session that was being written may end torn
    places = {"cp": "backup-*", "rsync": "restored", "restic": "restored/vault"}
    (copy,) = directory.glob(places[program])
    return copy


class Writers:
    """Two threads that go on writing: short appends, and whole documents which replace the container."""

    def __init__(self, store: vaultsession.SessionStore) -> None:
        self._store = store
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(2)]

    def _run(self, first: int) -> None:
        number = 0
        while not self._ended.is_set():
            name = f"user-{(first + number) % SESSIONS}"
            self._store.append(name, {"role": "user", "content": "x" * (50 + 997 * number % 9000)})
            if not number % 7:
                self._store.create(f"new-{first}-{number}")
            if number % 31 == 30:
                self._store.rotate_key()
            number += 1

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("program", ["cp", "rsync", pytest.param("restic", marks=pytest.mark.slow)])
def test_a_copy_of_a_vault_in_use_has_what_was_acknowledged_before(
    program: str, tmp_path: Path, executable: list[str]
) -> None:
    with vaultsession.open_store(tmp_path / "vault", key=KEY) as store:
        for number in range(SESSIONS):
            store.create(f"user-{number}", messages=[{"role": "user", "content": "first"}])
        with Writers(store):
            before = {info.id: info.message_count for info in store.list()}
            copy = copied(program, tmp_path, executable)
            store.append("user-0", {"role": "user", "content": "behind the copy"})
    with vaultsession.open_store(copy, key=KEY, create=False) as restored:
        there = {info.id: len(restored.messages(info.id)) for info in restored.list()}
        assert all(there[name] >= count for name, count in before.items())
        assert {each.verdict for each in restored.verify().problems} <= {Verdict.TORN}
        for number in range(SESSIONS):
            restored.append(f"user-{number}", {"role": "user", "content": "goes on"})


@pytest.mark.slow
def test_a_second_copy_with_rsync_has_an_append_that_left_the_size_as_it_was(
    tmp_path: Path, executable: list[str]
) -> None:
    with vaultsession.open_store(tmp_path / "vault", key=KEY) as store:
        store.create("user-1", messages=[{"role": "user", "content": "first"}])
        store.append("user-1", {"role": "user", "content": "second"})
        (file,) = (tmp_path / "vault" / "sessions").glob("*.vss")
        copied("rsync", tmp_path, executable)
        old = file.stat()
        store.append("user-1", {"role": "user", "content": "third"})
        assert file.stat().st_size == old.st_size  # it went into the room that was kept for it
        os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns // 10**9 * 10**9 + 999_999_999))  # in the same second
        copy = copied("rsync", tmp_path, executable)
    with vaultsession.open_store(copy, key=KEY, create=False) as restored:
        assert [message["content"] for message in restored.messages("user-1")] == ["first", "second", "third"]


@pytest.mark.slow
def test_a_session_that_was_removed_does_not_come_back_with_rsync(tmp_path: Path, executable: list[str]) -> None:
    with vaultsession.open_store(tmp_path / "vault", key=KEY) as store:
        store.save_many({"id": f"user-{number}"} for number in range(3))
        copied("rsync", tmp_path, executable)
        store.delete("user-1")
        copy = copied("rsync", tmp_path, executable)
    with vaultsession.open_store(copy, key=KEY, create=False) as restored:
        assert sorted(info.id for info in restored.list()) == ["user-0", "user-2"]


def test_a_copy_whose_index_is_newer_than_its_sessions_is_read_once_the_index_is_removed(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with vaultsession.open_store(tmp_path / "vault", key=KEY) as store:
        store.create("user-1")
        shutil.copytree(tmp_path / "vault", copy)
        store.append("user-1", {"role": "user", "content": "written while the copy was made"})
    for file in (tmp_path / "vault").glob("index.sqlite*"):
        shutil.copy2(file, copy)
    with vaultsession.open_store(copy, key=KEY) as store, pytest.raises(vaultsession.RollbackDetected):
        store.load("user-1")
    for file in copy.glob("index.sqlite*"):
        file.unlink()
    with vaultsession.open_store(copy, key=KEY) as store:
        assert store.load("user-1").messages == []
