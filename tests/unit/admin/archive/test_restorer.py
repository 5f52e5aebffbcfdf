"""Archived files come back where they were, and never over what is newer or another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_lab import LONG_AGO, event, lines, run, write

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.archive import restorer
from vaultsession.admin.archive.restorer import RestoredFile, Restorer
from vaultsession.errors import SessionNotFound

DATA = lines(*map(event, range(5))) + lines(event(6, odd=1.5)).replace(b"1.5", b" 1.50") + b'{"torn'


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=RawKey(bytes(range(32))), durability="os") as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path, store: SessionStore) -> Path:
    file = write(tmp_path / "source" / "deep" / "s.jsonl", DATA)
    file.chmod(0o640)
    run(store, tmp_path / "source")
    return file


def restored(found: RestoredFile | None) -> RestoredFile:
    assert found is not None
    return found


def back(store: SessionStore, file: Path, **options: Any) -> RestoredFile:
    return restored(Restorer(store, sources=[str(file.parents[1])], **options).restore("s"))


def test_a_file_comes_back_with_its_mode_and_times(store: SessionStore, file: Path) -> None:
    status = file.stat()
    file.unlink()
    file.parent.rmdir()
    found = back(store, file)
    assert (found.outcome, found.path, found.size) == ("restored", str(file), len(DATA))
    assert file.read_bytes() == DATA
    now = file.stat()
    assert (now.st_mode, now.st_mtime_ns, now.st_nlink) == (status.st_mode, status.st_mtime_ns, 1)
    assert os.listdir(file.parent) == ["s.jsonl"]
    assert back(store, file).outcome == "present"


def test_elsewhere(store: SessionStore, file: Path, tmp_path: Path) -> None:
    found = restored(Restorer(store, into=str(tmp_path / "to")).restore("s"))
    assert (found.path, Path(found.path).read_bytes()) == (str(tmp_path / "to" / "deep" / "s.jsonl"), DATA)


def test_a_file_that_is_a_beginning_is_gone_on_with(store: SessionStore, file: Path) -> None:
    file.write_bytes(DATA[:200])
    assert back(store, file).outcome == "restored"
    assert file.read_bytes() == DATA


@pytest.mark.parametrize(("modified", "replaces"), [(LONG_AGO - 9, True), (LONG_AGO + 9, False)])
def test_another_file_stays_and_a_newer_one_in_any_case(
    store: SessionStore, file: Path, modified: int, *, replaces: bool
) -> None:
    write(file, b"another", modified=modified)
    found = back(store, file)
    assert (found.outcome, file.read_bytes()) == ("left", b"another")
    assert "another file is there" in found.problem
    found = back(store, file, replace=True)
    assert (found.outcome == "restored", file.read_bytes() == DATA) == (replaces, replaces)
    assert os.listdir(file.parent) == ["s.jsonl"]


def test_what_was_no_file_is_no_file(store: SessionStore, file: Path) -> None:
    store.create("plain", messages=[{"role": "user"}])
    assert Restorer(store).restore("plain") is None
    with pytest.raises(SessionNotFound):
        Restorer(store).restore("nothing")


def test_messages_that_were_changed_are_not_given_as_the_file(store: SessionStore, file: Path) -> None:
    file.unlink()
    with store.edit("s") as session:
        session.messages[0] = {"another": 1}
    found = back(store, file)
    assert found.outcome == "left"
    assert "not those that were archived" in found.problem
    assert os.listdir(file.parent) == []


@pytest.mark.parametrize("name", ["../up.jsonl", "/etc/passwd", "a/../../b", "", "a//b", "a\0b", "."])
def test_a_session_cannot_name_a_file_outside(store: SessionStore, file: Path, tmp_path: Path, name: str) -> None:
    store.update("s", {"archive": {**store.load("s").state["archive"], "name": name}})
    found = restored(Restorer(store, into=str(tmp_path / "to")).restore("s"))
    assert found.outcome == "left"
    assert not (tmp_path / "to").exists()


def test_a_link_in_its_place_is_not_followed(store: SessionStore, file: Path, tmp_path: Path) -> None:
    file.unlink()
    target = write(tmp_path / "target", b"precious")
    file.symlink_to(target)
    assert back(store, file, replace=True).outcome == "left"
    assert target.read_bytes() == b"precious"


def test_a_full_disk_leaves_nothing_behind(store: SessionStore, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    file.unlink()
    monkeypatch.setattr(restorer, "write_all", full)
    found = back(store, file)
    assert (found.outcome, found.problem) == ("left", "No space left on device")
    assert os.listdir(file.parent) == []
