"""An index that nobody writes is read without locks and side files, and what somebody wrote meanwhile is read again."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vaultsession import SessionStore, open_store
from vaultsession.backends.files import index as indices
from vaultsession.backends.files import index_queries
from vaultsession.backends.files.index import Index

KEY = bytes(range(32))
USER = {"role": "user", "content": "hi"}


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """A vault with one session, last changed an hour ago."""
    path = tmp_path / "vault"
    with open_store(path, key=KEY) as store:
        store.create("first", messages=[USER])
    rest(path)
    return path


def rest(vault: Path) -> None:
    hour_ago = vault.stat().st_mtime - 3600
    os.utime(vault, (hour_ago, hour_ago))


@pytest.fixture
def store(vault: Path) -> Iterator[SessionStore]:
    with open_store(vault, key=KEY) as opened:
        yield opened


def index_of(store: SessionStore) -> Index:
    index: Index = store._backend._index  # type: ignore[attr-defined]
    return index


def is_quiet(store: SessionStore) -> bool:
    return index_of(store)._reader._quiet is not None


def names(vault: Path) -> set[str]:
    return {path.name for path in vault.iterdir()}


def write(vault: Path, name: str) -> None:
    """Another store writes, and is closed."""
    with open_store(vault, key=KEY) as other:
        other.create(name)
        other.count()  # which writes the index
        assert "index.sqlite-wal" in names(vault)


def test_who_only_reads_leaves_nothing_behind(vault: Path) -> None:
    before, changed = names(vault), vault.stat().st_mtime_ns
    with open_store(vault, key=KEY) as store:
        assert is_quiet(store)
        assert store.load("first").messages == [USER]
        assert [info.id for info in store.list()] == ["first"]
        assert names(vault) == before
    assert (names(vault), vault.stat().st_mtime_ns) == (before, changed)


def test_where_something_has_just_changed_locks_are_taken(vault: Path) -> None:
    os.utime(vault)
    with open_store(vault, key=KEY) as store:
        assert not is_quiet(store)
        assert "index.sqlite-wal" in names(vault)


def test_where_there_is_a_log_locks_are_taken(vault: Path) -> None:
    with open_store(vault, key=KEY) as writer:
        writer.create("second")
        assert writer.count() == 2
        rest(vault)
        with open_store(vault, key=KEY) as store:
            assert not is_quiet(store)
            assert store.count() == 2


def test_what_another_store_writes_is_seen(vault: Path, store: SessionStore) -> None:
    assert store.count() == 1
    write(vault, "second")
    assert store.count() == 2
    assert not is_quiet(store)


def test_what_another_store_is_writing_is_seen(vault: Path, store: SessionStore) -> None:
    assert store.count() == 1
    with open_store(vault, key=KEY) as other:
        other.create("second")
        assert other.count() == 2  # in the log, and not in the file
        assert store.count() == 2


def test_what_this_store_writes_is_seen(store: SessionStore) -> None:
    assert is_quiet(store)
    store.create("second")
    assert store.count() == 2


def during(act: Callable[[], object], answer: Callable[[sqlite3.Connection], Any]) -> Callable[..., Any]:
    """A query during which something is done, the first time that it is asked."""
    asked: list[None] = []

    def query(connection: sqlite3.Connection) -> Any:
        found = answer(connection)
        if not asked:
            asked.append(None)
            act()
        return found

    return query


def test_what_was_written_while_a_query_was_answered_is_read_again(vault: Path, store: SessionStore) -> None:
    """Of pages of two moments an answer could be made that was never true."""
    query = during(lambda: write(vault, "second"), lambda connection: index_queries.totals(connection)[0])
    assert index_of(store).read(query) == 2


def test_without_the_look_behind_it_the_old_answer_would_stand(
    vault: Path, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted fault: that nobody wrote is believed and not looked at."""
    monkeypatch.setattr(indices, "directory_state", lambda *_: index_of(store)._reader._quiet)
    query = during(lambda: write(vault, "second"), lambda connection: index_queries.totals(connection)[0])
    assert index_of(store).read(query) == 1


def test_what_looks_damaged_while_somebody_writes_is_read_again(vault: Path, store: SessionStore) -> None:
    def torn(connection: sqlite3.Connection) -> int:
        if is_quiet(store):
            write(vault, "second")
            raise sqlite3.DatabaseError("database disk image is malformed")
        return index_queries.totals(connection)[0]

    assert index_of(store).read(torn) == 2
    assert list((vault / "quarantine").iterdir()) == []


def test_what_is_damaged_is_found_and_rebuilt(vault: Path) -> None:
    data = bytearray((vault / "index.sqlite").read_bytes())
    data[4096:8192] = bytes(4096)
    (vault / "index.sqlite").write_bytes(data)
    with open_store(vault, key=KEY) as store:
        assert [info.id for info in store.list()] == ["first"]
        assert store.load("first").messages == [USER]
    assert list((vault / "quarantine").iterdir())


def test_an_index_that_was_replaced_is_met(vault: Path, store: SessionStore) -> None:
    assert store.count() == 1
    with open_store(vault, key=KEY) as other:
        other.create("second")
        (vault / "index.sqlite").unlink()
        other.reindex()
    assert store.count() == 2
    assert index_of(store).was_replaced


def test_a_vault_that_is_gone_is_no_surprise(vault: Path, store: SessionStore, tmp_path: Path) -> None:
    assert store.count() == 1
    vault.rename(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="vault"):
        store.load("first")
