"""Rows are compared with containers a slice of locators at a time, and none falls between two slices."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from files_lab import session_path

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import reconcile
from vaultsession.backends.files.contents import Contents
from vaultsession.disk import Disk
from vaultsession.ids import locator_of
from vaultsession.sealed import Query
from vaultsession.testing.scribe import Scribe

Opening = Callable[..., FilesBackend]

# The locators that are the first and the last of all, those around a bound, and the upper ones.
LOCATORS = ["0" * 32, "0" + "v" * 31, "1" + "0" * 31, "g" * 32, "u" + "v" * 31, "v" + "0" * 31, "v" * 32]


def filled(backend: FilesBackend, scribe: Scribe) -> list[str]:
    keys = [scribe.key(str(number)) for number in range(150)]
    for key in keys:
        backend.commit(key, scribe.create(key))
    assert len({locator_of(key)[0] for key in keys}) > 20
    return keys


def test_every_locator_belongs_to_exactly_one_slice() -> None:
    for locator in LOCATORS:
        holding = [
            number
            for number, (first, behind) in enumerate(reconcile._SLICES)
            if (first is None or locator >= first) and (behind is None or locator < behind)
        ]
        slices, others = reconcile._sliced([f"slug~{locator}.vss"])
        assert others == []
        assert holding == [number for number, keys in enumerate(slices) if keys]


def test_other_names_are_told_apart() -> None:
    slices, others = reconcile._sliced(["a stranger", f".{'0' * 32}.{'0' * 16}.tmp", f"{'0' * 32}.vss"])
    assert sorted(others) == [f".{'0' * 32}.{'0' * 16}.tmp", "a stranger"]
    assert sum(map(len, slices)) == 1


def test_rows_in_outline_come_in_slices_that_make_up_the_whole(
    path: Path, opening: Opening, scribe: Scribe, monkeypatch: Any
) -> None:
    backend = opening(durability="os")
    keys = filled(backend, scribe)
    assert backend.count(Query()) == len(keys)
    seen: list[set[str]] = []
    outlines = Contents.outlines

    def noted(contents: Contents, first: str | None, behind: str | None) -> dict[str, Any]:
        found = outlines(contents, first, behind)
        seen.append(set(found))
        return found

    monkeypatch.setattr(Contents, "outlines", noted)
    report = backend.reconcile()
    assert (report.scanned, report.changed, report.removed) == (len(keys), 0, 0)
    assert len(seen) == 32
    assert max(map(len, seen)) < len(keys) / 4  # what is held at once
    assert sum(map(len, seen)) == len(keys)
    assert set().union(*seen) == {locator_of(key) for key in keys}


def test_what_is_missing_on_either_side_is_found_in_every_slice(path: Path, opening: Opening, scribe: Scribe) -> None:
    backend = opening(durability="os")
    keys = filled(backend, scribe)
    backend.close()
    gone, unlisted = set(keys[::3]), set(keys[1::3])
    for key in gone:
        session_path(path, key).unlink()
    with sqlite3.connect(path / "index.sqlite") as index:
        index.executemany("DELETE FROM sessions WHERE key = ?", [(key,) for key in unlisted])
    index.close()
    other = opening(durability="os")
    report = other.reconcile()
    assert (report.scanned, report.changed, report.removed) == (100, len(unlisted), len(gone))
    assert {row.key for row in other.scan(Query())} == set(keys) - gone


def test_a_session_that_is_made_while_the_directory_was_being_read_stays_listed(
    opening: Opening, scribe: Scribe
) -> None:
    """Its row is there when the rows are read, and its container was not when the names were."""
    other = opening(durability="os")
    keys = [scribe.key(name) for name in "ab"]
    other.commit(keys[0], scribe.create(keys[0]))
    disk = Disk()
    listed = disk.listdir

    def raced(directory: str) -> list[str]:
        names = listed(directory)
        if directory.endswith("sessions"):
            other.commit(keys[1], scribe.create(keys[1]))
            assert other.count(Query()) == 2  # which writes its row
        return names

    disk.listdir = raced  # type: ignore[method-assign]  # one call of this disk alone
    backend = opening(disk=disk, durability="os")
    report = backend.reconcile()
    assert report.removed == 0
    assert {row.key for row in backend.scan(Query())} == set(keys)
