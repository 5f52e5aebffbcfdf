"""A plaintext file goes only after it was compared with what is sealed, and only while nobody has it open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_lab import LONG_AGO, LaterClock, append, event, lines, outcomes, run, sealed_bytes, write

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.archive import removal
from vaultsession.admin.archive.discovery import LEFTOVER
from vaultsession.admin.archive.restorer import Restorer
from vaultsession.admin.archive.run import ArchiveOptions, archive
from vaultsession.admin.importers import Skipped
from vaultsession.store.elements import Elements
from vaultsession.util.clock import SystemClock

KEY = RawKey(bytes(range(32)))

has_leases = pytest.mark.skipif(sys.platform != "linux", reason="leases are a thing of Linux")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=KEY, durability="os") as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "source" / "s.jsonl", lines(*map(event, range(5))))


def problem(store: SessionStore, file: Path, **options: Any) -> str:
    before = file.read_bytes()
    (done,) = run(store, file.parent, remove=True, **options)
    assert not done.removed
    assert file.read_bytes() == before
    assert not list(file.parent.glob("*" + LEFTOVER))
    return done.problem


@pytest.mark.parametrize("shred", [False, True])
def test_a_file_is_removed_and_comes_back(store: SessionStore, file: Path, *, shred: bool) -> None:
    data = file.read_bytes()
    (done,) = run(store, file.parent, remove=True, shred=shred)
    assert done.removed
    assert not file.exists()
    assert os.listdir(file.parent) == []
    assert sealed_bytes(store, "s") == data
    assert run(store, file.parent, remove=True) == []


def test_a_file_of_an_earlier_run_is_compared_as_well(store: SessionStore, file: Path) -> None:
    run(store, file.parent)
    assert [done.removed for done in run(store, file.parent, remove=True)] == [True]


def test_a_file_that_was_written_to_a_short_time_ago_is_left(store: SessionStore, file: Path) -> None:
    now = LaterClock().now() // 1_000_000
    os.utime(file, (now, now))
    assert problem(store, file) == "not removed: it was written to, or put back, a short time ago"


def test_a_file_that_was_put_back_is_left_for_as_long_as_one_that_was_written_to(
    store: SessionStore, file: Path
) -> None:
    run(store, file.parent, remove=True)
    restored = Restorer(store, sources=[str(file.parent)]).restore("s")
    assert restored is not None
    assert file.stat().st_mtime == LONG_AGO
    (done,) = run(store, file.parent, remove=True, clock=SystemClock())
    assert (done.removed, done.is_busy) == (False, True)
    (done,) = run(store, file.parent, remove=True, older_than=7_200_000_000)
    assert (done.removed, done.is_busy) == (False, True)
    assert [each.removed for each in run(store, file.parent, remove=True, older_than=1_800_000_000)] == [True]


def test_a_file_that_took_the_place_of_the_one_that_was_compared_stays(
    store: SessionStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = removal.compare

    def replaces(archiver: Any, source: Any, id: str, fd: int) -> None:
        compare(archiver, source, id, fd)
        write(file.parent / "temporary", b"anew").rename(file)

    monkeypatch.setattr(removal, "compare", replaces)
    (done,) = run(store, file.parent, remove=True)
    assert (done.removed, done.is_busy) == (False, True)
    assert file.read_bytes() == b"anew"
    assert os.listdir(file.parent) == ["s.jsonl"]


@has_leases
@pytest.mark.parametrize("mode", ["rb", "ab"])
def test_a_file_that_is_held_open_is_left(store: SessionStore, file: Path, mode: str) -> None:
    with file.open(mode):
        assert problem(store, file) == "not removed: another program has it open"
    assert [done.removed for done in run(store, file.parent, remove=True)] == [True]


@has_leases
def test_whoever_opens_it_in_the_middle_gets_it(
    store: SessionStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = removal._held_alone

    def opens(fd: int) -> Any:
        context = held(fd)

        class Opened:
            def __enter__(self) -> Any:
                is_alone = context.__enter__()
                with pytest.raises(BlockingIOError):
                    os.open(file, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)  # breaks the lease, and does not wait
                return is_alone

            def __exit__(self, *error: object) -> Any:
                return context.__exit__(*error)

        return Opened()

    monkeypatch.setattr(removal, "_held_alone", opens)
    assert problem(store, file) == "not removed: another program was about to open it"


def test_a_file_that_changed_since_it_was_sealed_is_left(
    store: SessionStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare = removal.compare

    def grows(archiver: Any, source: Any, id: str, fd: int) -> None:
        compare(archiver, source, id, fd)
        append(file, b'{"more":1}\n')

    monkeypatch.setattr(removal, "compare", grows)
    (done,) = run(store, file.parent, remove=True)
    assert (done.removed, done.problem) == (False, "not removed: it was written to meanwhile")
    assert file.read_bytes().endswith(b'{"more":1}\n')


def test_what_is_sealed_has_to_be_what_the_file_holds(store: SessionStore, file: Path) -> None:
    run(store, file.parent)
    with store.edit("s") as session:
        session.messages[2] = {"forged": True}
    assert "not removed" in problem(store, file)


@pytest.mark.parametrize("fault", ["element", "oddity", "half"])
def test_a_session_that_was_sealed_wrongly_saves_its_file(
    store: SessionStore, file: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The planted fault: sealing that loses something. The comparison finds it."""
    put = Elements.put

    def faulty(self: Elements, id: str, state: Any, elements: Any, fields: Any, *, replace: bool) -> Any:
        if fault == "element":
            elements = [*elements[:-1], b'{"another":1}']
        elif fault == "half":
            elements = elements[:-1]
        else:
            state = {**state, "archive@0": {"1": ["python"]}}
        return put(self, id, state, elements, fields, replace=replace)

    monkeypatch.setattr(Elements, "put", faulty)
    assert problem(store, file) == "not removed: what is sealed is not what the file holds"


def test_a_hard_link_is_not_shredded(store: SessionStore, file: Path) -> None:
    os.link(file, file.parent / "other.txt")
    assert "hard link" in problem(store, file, shred=True)
    assert [done.removed for done in run(store, file.parent, remove=True)] == [True]
    assert (file.parent / "other.txt").read_bytes() == lines(*map(event, range(5)))


def test_a_run_that_ended_in_the_middle_is_gone_on_with(store: SessionStore, file: Path) -> None:
    run(store, file.parent)
    file.rename(str(file) + LEFTOVER)
    (foreseen,) = archive(store, ArchiveOptions(sources=(str(file.parent),), dry_run=True), environ={})
    assert isinstance(foreseen, Skipped)
    assert [done.removed for done in run(store, file.parent, remove=True)] == [True]
    assert os.listdir(file.parent) == []


def test_both_names_may_be_there(store: SessionStore, file: Path) -> None:
    os.link(file, str(file) + LEFTOVER)
    assert outcomes(run(store, file.parent)) == ["archived"]
    assert os.listdir(file.parent) == ["s.jsonl"]


def test_a_file_that_came_anew_meanwhile_is_not_replaced_by_the_old_one(store: SessionStore, file: Path) -> None:
    write(Path(str(file) + LEFTOVER), b"old")
    found = list(archive(store, ArchiveOptions(sources=(str(file.parent),), remove=True), environ={}))
    assert [type(each).__name__ for each in found] == ["Skipped", "Archived"]
    assert "is there again" in found[0].reason  # type: ignore[union-attr]
    assert sorted(os.listdir(file.parent)) == ["s.jsonl", "s.jsonl" + LEFTOVER]
