"""What reads as absent while sessions are copied, and what never does."""

from __future__ import annotations

from typing import Any

import pytest
from shelf import KEYRING, Shelf, container

from vaultsession.admin.migrate.describer import ContainerCopy, Describer
from vaultsession.engine.reader import Reader
from vaultsession.errors import Damaged, RollbackDetected, UnknownKey
from vaultsession.format.sealed import Witness


@pytest.fixture
def shelf() -> Shelf:
    made = Shelf()
    made.create({"n": 1}, [{"content": "hello"}])
    made.append({"content": "more"})
    return made


def describing(shelf: Shelf, *, keys: bool = True) -> Describer:
    made = Describer(Reader(KEYRING).describe if keys else None)
    row, _ = shelf.newest()
    made.copied = ContainerCopy(row, container(shelf.data))
    return made


def described(how: Describer, shelf: Shelf, data: bytes, **known: Any) -> Any:
    return how.describe(shelf.key, lambda start: container(data, start, **known), thorough=True)


@pytest.mark.parametrize("keys", [True, False])
@pytest.mark.parametrize("left", [b"", bytes(20), bytes(500)])
def test_what_holds_nothing_at_all_reads_as_absent(shelf: Shelf, left: bytes, *, keys: bool) -> None:
    assert described(describing(shelf, keys=keys), shelf, left) is None


@pytest.mark.parametrize("keys", [True, False])
def test_what_is_whole_is_described(shelf: Shelf, *, keys: bool) -> None:
    row = described(describing(shelf, keys=keys), shelf, shelf.data)
    assert row.version == shelf.newest()[0].version


def test_what_was_acknowledged_beyond_the_source_stays_damaged(shelf: Shelf) -> None:
    row, _ = shelf.newest()
    newer = Witness(row.generation, row.seq + 1, bytes(16))
    with pytest.raises(Damaged):
        described(describing(shelf), shelf, shelf.data[:100], witness=newer)
    same = described(describing(shelf), shelf, shelf.data[:100], witness=row.witness)
    assert same is None


def test_a_later_generation_stays_damaged(shelf: Shelf) -> None:
    how = describing(shelf)
    shelf.commit(shelf.writer.new_container(shelf.key, *_anew(shelf)))
    with pytest.raises(Damaged):
        described(how, shelf, shelf.data[:100])


def test_an_older_state_of_the_source_is_told_as_rolled_back_unless_it_is_about_to_be_copied(shelf: Shelf) -> None:
    row, _ = shelf.newest()
    how = describing(shelf)
    older = shelf.data[: shelf.states[0].size]
    assert described(how, shelf, older, witness=row.witness) is None
    how.copied = None
    with pytest.raises(RollbackDetected):
        described(how, shelf, older, witness=row.witness)


def test_without_a_key_all_but_a_beginning_of_the_source_is_locked(shelf: Shelf) -> None:
    how = describing(shelf, keys=False)
    assert described(how, shelf, shelf.data[:150]) is None
    for other in (shelf.data + b"more", shelf.data[:150] + b"other", shelf.data[:-30] + bytes(30)):
        with pytest.raises(UnknownKey, match="name it"):
            described(how, shelf, other)
    how.copied = None
    with pytest.raises(UnknownKey):
        described(how, shelf, shelf.data)


def _anew(shelf: Shelf) -> Any:
    row, opened = shelf.newest()
    return row, opened.head, shelf.writer.pack_document([b"{}"])
