"""What the index answered before: given again while nobody has written since, and not a moment longer."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import index_answers, index_queries
from vaultsession.backends.files.index_answers import Answer, IndexAnswers
from vaultsession.format.sealed import Query
from vaultsession.testing.sealer import Sealer

Opening = Callable[..., FilesBackend]


def keys(backend: FilesBackend, query: Query) -> list[str]:
    return [row.key for row in backend.scan(query)]


def write(backend: FilesBackend, scribe: Sealer, *names: str, **facts: object) -> list[str]:
    found = [scribe.key(name) for name in names]
    for key in found:
        backend.commit(key, scribe.create(key, **facts))
    backend._contents.flush()
    return found


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on, whoever reads the index is told."""

    def refuse() -> None:
        def page(*_: object) -> None:
            raise AssertionError("the index was read")

        monkeypatch.setattr(index_queries, "page", page)
        monkeypatch.setattr(index_queries, "count", page)

    return refuse


def test_what_nobody_has_written_to_is_not_read_again(
    files: FilesBackend, scribe: Sealer, refuse: Callable[[], None]
) -> None:
    made = write(files, scribe, "a", "b")
    before = keys(files, Query(alive_at=0, limit=50)), files.count(Query(alive_at=0))
    refuse()
    for now in (0, 5):
        assert (keys(files, Query(alive_at=now, limit=50)), files.count(Query(alive_at=now))) == before
    assert sorted(before[0]) == sorted(made)
    assert before[1] == 2
    write(files, scribe, "c")
    with pytest.raises(AssertionError, match="was read"):
        keys(files, Query(alive_at=5, limit=50))
    with pytest.raises(AssertionError, match="was read"):
        files.count(Query(alive_at=5))


def test_what_another_store_writes_is_listed_at_once(opening: Opening, scribe: Sealer) -> None:
    ours, theirs = opening(), opening()
    query = Query(alive_at=0, limit=50)
    made = write(ours, scribe, "a")
    for name in "bcd":
        assert (sorted(keys(ours, query)), ours.count(query)) == (sorted(made), len(made))
        made += write(theirs, scribe, name)
    assert (sorted(keys(ours, query)), ours.count(query)) == (sorted(made), len(made))


def test_a_session_that_expires_leaves_the_page_although_nobody_has_written(
    files: FilesBackend, scribe: Sealer
) -> None:
    (staying,) = write(files, scribe, "a")
    (going,) = write(files, scribe, "b", expires=1000)
    for now, living in ((10, {staying, going}), (999, {staying, going}), (1000, {staying}), (10, {staying, going})):
        query = Query(alive_at=now, limit=50)
        assert (set(keys(files, query)), files.count(query)) == (living, len(living)), now


def test_questions_that_differ_are_answered_apart(files: FilesBackend, scribe: Sealer) -> None:
    write(files, scribe, "a", "b", "c", updated=5, user_id="alice")
    write(files, scribe, "d", updated=6)
    ours = (scribe.user("alice"),)
    asked = [
        Query(alive_at=0, newest_first=newest, tags=tags, after=after, offset=offset, limit=limit)
        for newest in (True, False)
        for tags in ((), ours)
        for after in (None, (5, "h" * 32))
        for offset in (0, 1)
        for limit in (2, 50)
    ]
    first = [keys(files, query) for query in asked]
    counted = [files.count(query) for query in asked]
    files._contents._pages, files._contents._counts = IndexAnswers(), IndexAnswers()
    assert [keys(files, query) for query in asked[::-1]] == first[::-1]
    assert [files.count(query) for query in asked[::-1]] == counted[::-1]
    assert len({tuple(found) for found in first}) > 8
    assert set(counted) == {3, 4}


def test_an_index_that_another_store_derives_anew_is_asked_again(path: Path, opening: Opening, scribe: Sealer) -> None:
    """Both connections begin to count at the same number."""
    made = write(opening(), scribe, "a", "b")
    ours, query = opening(), Query(alive_at=0, limit=50)
    assert sorted(keys(ours, query)) == sorted(made)
    assert ours.count(query) == len(made)
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (path / name).unlink(missing_ok=True)
    os.unlink(next((path / "sessions").glob(f"{made[0]}*")))
    opening()._contents._disconnect_writer()
    assert keys(ours, query) == made[1:]
    assert ours.count(query) == 1


def test_whoever_only_reads_keeps_no_answer(path: Path, opening: Opening, scribe: Sealer) -> None:
    """An index without a log is read as if it could not change, and SQLite then counts no commits of others."""
    writer = opening()
    write(writer, scribe, "a")
    writer.close()
    reader, query = opening(writable=False), Query(alive_at=0, limit=50)
    assert (len(keys(reader, query)), reader.count(query)) == (1, 1)
    assert not reader._contents._pages._answers
    assert not reader._contents._counts._answers


def test_a_row_that_is_forged_beside_a_kept_page_is_read(path: Path, files: FilesBackend, scribe: Sealer) -> None:
    write(files, scribe, "a")
    query = Query(alive_at=0, limit=50)
    before = next(files.scan(query))
    with contextlib.closing(sqlite3.connect(path / "index.sqlite")) as other, other:
        other.execute("UPDATE sessions SET size = size + 1")
    assert next(files.scan(query)) == before._replace(size=before.size + 1)


def test_the_oldest_answers_go_first_and_large_pages_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_answers, "_MOST", 3)
    kept: IndexAnswers[int] = IndexAnswers()
    for number in (1, 2, 3, 1, 4):
        kept.keep(number, Answer(number, (1, 1), 0, None))
    assert [kept.get(number, (1, 1), 0) for number in (1, 2, 3, 4)] == [1, None, 3, 4]
    assert index_answers.asked_for_page(Query(), None, index_answers.LARGEST, 0) is not None
    assert index_answers.asked_for_page(Query(), None, index_answers.LARGEST + 1, 0) is None


def test_totals_follow_what_is_written(opening: Opening, scribe: Sealer) -> None:
    ours, theirs = opening(), opening()
    for number in range(1, 4):
        write(theirs, scribe, str(number))
        assert ours.stats()["sessions"] == theirs.stats()["sessions"] == number
        assert ours.stats()["bytes"] == sum(row.size for row in ours.scan(Query()))
    key = scribe.key("1")
    theirs.commit(key, scribe.remove(key))
    assert (ours.stats()["sessions"], ours.stats()["tombstones"]) == (2, 1)
