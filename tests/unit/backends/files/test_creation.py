"""A session that is being made: what a power cut leaves of it under its first name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vaultsession.backends import FilesBackend
from vaultsession.backends.files.layout import FilesLayout
from vaultsession.backends.protocol import Query
from vaultsession.errors import UnknownKey
from vaultsession.format.keys import Keyring
from vaultsession.testing.sealer import Sealer

Opening = Callable[..., FilesBackend]


@pytest.fixture
def begun(path: Path, opening: Opening, scribe: Sealer) -> Path:
    """A session was acknowledged, and a power cut has undone its last rename."""
    files = opening()
    key = scribe.key("a")
    files.commit(key, scribe.create(key))
    files.close()
    return undo_rename(path, key)


def undo_rename(path: Path, key: str) -> Path:
    last = path / "sessions" / f"{key}.vss"
    return last.rename(last.with_name(f".{last.stem}.new"))


def names(path: Path) -> list[str]:
    return sorted(os.listdir(path / "sessions"))


def test_it_is_read_and_listed_and_left_where_it_is(begun: Path, path: Path, opening: Opening, scribe: Sealer) -> None:
    files = opening()
    key = scribe.key("a")
    assert scribe.texts(files, key) == ["first"]
    assert [row.key for row in files.scan(Query())] == [key]
    assert files.health() == {"files": None, "index": None}
    assert names(path) == [begun.name]


def test_a_writer_gives_it_its_last_name(begun: Path, path: Path, opening: Opening, scribe: Sealer) -> None:
    files = opening()
    key = scribe.key("a")
    files.commit(key, scribe.append("more"))
    assert scribe.texts(files, key) == ["first", "more"]
    assert names(path) == [f"{key}.vss"]


def test_one_that_is_removed_is_gone(begun: Path, path: Path, opening: Opening, scribe: Sealer) -> None:
    files = opening()
    key = scribe.key("a")
    files.commit(key, scribe.remove(key))
    assert files.head(key) is None
    assert names(path) == []


def test_the_rebuild_behind_a_dead_writer_completes_it_before_it_counts_the_lost(
    begun: Path, path: Path, opening: Opening, scribe: Sealer
) -> None:
    (path / "locks" / "writer-00").write_bytes(b"1")
    files = opening()
    key = scribe.key("a")
    assert names(path) == [f"{key}.vss"]
    assert list(files.lost()) == []
    assert scribe.texts(files, key) == ["first"]


def test_without_an_index_it_is_listed_all_the_same(begun: Path, path: Path, opening: Opening, scribe: Sealer) -> None:
    (path / "index.sqlite").unlink()
    files = opening()
    assert [row.key for row in files.scan(Query())] == [scribe.key("a")]
    assert names(path) == [f"{scribe.key('a')}.vss"]


def test_who_may_not_write_reads_and_lists_it(begun: Path, path: Path, opening: Opening, scribe: Sealer) -> None:
    (path / "index.sqlite").unlink()
    files = opening(writable=False)
    key = scribe.key("a")
    assert [row.key for row in files.scan(Query())] == [key]
    assert scribe.texts(files, key) == ["first"]
    assert names(path) == [begun.name]


@pytest.mark.parametrize("left", [0, 50, -1])
def test_half_of_one_was_promised_to_nobody(path: Path, opening: Opening, scribe: Sealer, left: int) -> None:
    """The machine lost power as ``b`` was being made: it is absent, and can be made."""
    files = opening()
    key = scribe.key("b")
    files.commit(key, scribe.create(key))
    whole = (path / "sessions" / f"{key}.vss").read_bytes()
    files.commit(key, scribe.remove(key))
    begun = path / "sessions" / f".{key}.new"
    begun.touch(mode=0o600)
    begun.write_bytes(whole[:left])
    assert files.head(key) is None
    files.commit(key, scribe.create(key, "again"))
    assert scribe.texts(files, key) == ["again"]
    assert names(path) == [f"{key}.vss"]
    assert [entry[2] for entry in files.quarantine.entries() if entry[2].startswith(f"{key}.new.")]
    files.commit(key, scribe.remove(key))
    assert files.quarantine.entries() == []


def test_a_rebuild_puts_half_of_one_aside(begun: Path, path: Path, opening: Opening, scribe: Sealer) -> None:
    begun.write_bytes(begun.read_bytes()[:-1])
    (path / "index.sqlite").unlink()
    files = opening()
    assert list(files.scan(Query())) == []
    assert names(path) == []
    assert len(files.quarantine.entries()) == 1


def test_beside_the_file_of_its_session_it_is_put_aside(path: Path, opening: Opening, scribe: Sealer) -> None:
    files = opening()
    key = scribe.key("a")
    files.commit(key, scribe.create(key))
    last = path / "sessions" / f"{key}.vss"
    begun = last.with_name(f".{last.stem}.new")
    begun.touch(mode=0o600)
    begun.write_bytes(last.read_bytes())
    files.commit(key, scribe.append("more"))
    files.reindex()
    assert scribe.texts(files, key) == ["first", "more"]
    assert names(path) == [last.name]


def test_one_under_a_key_that_is_not_held_is_locked_and_not_absent(
    begun: Path, path: Path, opening: Opening, scribe: Sealer
) -> None:
    files = opening(describe=Sealer(Keyring.generate()).describe)
    key = scribe.key("a")
    with pytest.raises(UnknownKey):
        files.head(key)
    files.reindex()
    assert names(path) == [f"{key}.vss"]


def test_of_one_that_was_being_removed_the_removal_counts(path: Path, opening: Opening, scribe: Sealer) -> None:
    """A power cut undid the first rename and not the second. It was listed nowhere, and there."""
    files = opening()
    key = scribe.key("a")
    files.commit(key, scribe.create(key))
    row = files.head(key)
    assert row is not None
    files.close()
    begun = undo_rename(path, key)
    removal = FilesLayout(str(path)).removal(scribe.reader.rows.tombstone(key, row.generation), shred=False)
    copied = Path(removal)
    copied.touch(mode=0o600)
    copied.write_bytes(begun.read_bytes())
    (path / "index.sqlite").unlink()  # it was behind: the session is read, and known, before its removal is met
    again = opening()
    assert again.head(key) is None
    assert list(again.scan(Query())) == []
