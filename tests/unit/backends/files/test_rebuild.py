"""Rows are compared with containers a batch at a time, whatever changes meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from files_lab import session_path
from sql_servers import sqlite_file

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import index_queries, rebuild
from vaultsession.format.ids import locator_of
from vaultsession.format.sealed import Query
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

Opening = Callable[..., FilesBackend]


def filled(backend: FilesBackend, scribe: Sealer) -> list[str]:
    keys = [scribe.key(str(number)) for number in range(150)]
    for key in keys:
        backend.commit(key, scribe.create(key))
    assert len({locator_of(key)[0] for key in keys}) > 20
    return keys


def test_rows_and_names_are_held_a_batch_at_a_time(opening: Opening, scribe: Sealer, monkeypatch: Any) -> None:
    monkeypatch.setattr(rebuild, "BATCH", 40)
    backend = opening(durability="os")
    keys = filled(backend, scribe)
    assert backend.count(Query()) == len(keys)
    held: list[int] = []
    summaries = index_queries._summaries

    def noted(connection: Any, where: str, values: Any) -> dict[str, Any]:
        found = summaries(connection, where, values)
        held.append(len(found))
        return found

    monkeypatch.setattr(index_queries, "_summaries", noted)
    report = backend.reindex(everything=False)
    assert (report.scanned, report.changed, report.removed) == (len(keys), 0, 0)
    assert max(held) == 40
    assert sum(held) == 2 * len(keys)  # beside the names, and once more for rows without a container


def test_what_is_missing_on_either_side_is_found(path: Path, opening: Opening, scribe: Sealer) -> None:
    backend = opening(durability="os")
    keys = filled(backend, scribe)
    backend.close()
    gone, unlisted = set(keys[::3]), set(keys[1::3])
    for key in gone:
        session_path(path, key).unlink()
    with sqlite_file(path / "index.sqlite") as index:
        index.executemany("DELETE FROM sessions WHERE key = ?", [(key,) for key in unlisted])
    index.close()
    other = opening(durability="os")
    report = other.reindex(everything=False)
    assert (report.scanned, report.changed, report.removed) == (100, len(unlisted), len(gone))
    assert {row.key for row in other.scan(Query())} == set(keys) - gone


def test_a_session_that_is_made_while_the_directory_was_being_read_stays_listed(
    opening: Opening, scribe: Sealer
) -> None:
    """Its row is there when the rows are read, and its container was not when the names were."""
    other = opening(durability="os")
    keys = [scribe.key(name) for name in "ab"]
    other.commit(keys[0], scribe.create(keys[0]))
    disk = Disk()
    listed = disk.names

    def raced(directory: str) -> Iterator[str]:
        names = list(listed(directory))
        if directory.endswith("sessions"):
            other.commit(keys[1], scribe.create(keys[1]))
            assert other.count(Query()) == 2  # which writes its row
        return iter(names)

    disk.names = raced  # type: ignore[method-assign]  # one call of this disk alone
    backend = opening(disk=disk, durability="os")
    report = backend.reindex(everything=False)
    assert report.removed == 0
    assert {row.key for row in backend.scan(Query())} == set(keys)
