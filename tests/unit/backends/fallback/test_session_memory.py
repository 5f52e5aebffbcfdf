"""Copies in memory of what a server has: never mixed, never older than what is known, bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vaultsession.backends import MemoryBackend
from vaultsession.backends.fallback.memory import SessionMemory
from vaultsession.backends.replication import Outcome, replicate
from vaultsession.format.record import part
from vaultsession.format.sealed import Container, IndexRow, Tombstone, Write
from vaultsession.testing.sealer import Sealer


class Chain:
    """A session of its own, record by record: rows and containers."""

    def __init__(self, scribe: Sealer, *texts: str, name: str = "a") -> None:
        self.key = scribe.key(name)
        self.rows: list[IndexRow] = []
        self.data: list[bytes] = []
        backend = MemoryBackend()
        for number, text in enumerate(texts):
            backend.commit(self.key, scribe.append(text) if number else scribe.create(self.key, text))
            row, found = backend.head(self.key), backend.read(self.key)
            assert row is not None
            assert found is not None
            self.rows.append(row)
            self.data.append(found.header + found.data)

    def record(self, number: int) -> Write:
        return Write(self.rows[number], self.rows[number - 1].size, self.data[number][self.rows[number - 1].size :])


@pytest.fixture
def scribe() -> Sealer:
    return Sealer()


@pytest.fixture
def memory(scribe: Sealer) -> SessionMemory:
    return SessionMemory(scribe.describe, sessions=10, capacity=10_000)


def never(key: str) -> Container | None:
    raise AssertionError(f"all of {key} was read")


def giving(data: bytes) -> Callable[[str], Container | None]:
    return lambda _: part(data, 0)


def of(memory: SessionMemory, key: str) -> bytes | None:
    found = memory.backend.read(key)
    return None if found is None else found.header + found.data


def test_a_record_is_put_behind_the_one_that_it_follows_and_no_other(scribe: Sealer, memory: SessionMemory) -> None:
    chain, other = Chain(scribe, "1", "2"), Chain(scribe, "1", "2")
    assert chain.rows[0].size == other.rows[0].size
    memory.keep(chain.key, None, Write(chain.rows[0], 0, chain.data[0]), never)
    memory.keep(chain.key, other.rows[0], other.record(1), giving(chain.data[0]))
    assert of(memory, chain.key) == chain.data[0]
    memory.keep(chain.key, chain.rows[0], chain.record(1), never)
    assert of(memory, chain.key) == chain.data[1]
    assert memory.backend.head(chain.key) == chain.rows[1]


def test_a_part_is_followed_only_from_the_same_record(scribe: Sealer, memory: SessionMemory) -> None:
    chain, other = Chain(scribe, "1", "2"), Chain(scribe, "1", "2")
    (one, two), (_, foreign), end = chain.data, other.data, chain.rows[0].size
    memory.learn(chain.key, part(one, 0), never)
    asked: list[str] = []

    def all_of_it(key: str) -> None:
        asked.append(key)

    memory.learn(chain.key, part(one[:80] + foreign[80:], end - 50), all_of_it)
    memory.learn(chain.key, part(two, end), all_of_it)
    memory.learn(chain.key, part(foreign, end - 50), all_of_it)
    assert len(asked) == 3
    assert of(memory, chain.key) == one
    memory.learn(chain.key, part(two, end - 50), never)
    assert of(memory, chain.key) == two


def test_an_older_state_takes_no_newer_ones_place(scribe: Sealer, memory: SessionMemory) -> None:
    chain = Chain(scribe, "1", "2")
    memory.learn(chain.key, part(chain.data[1], 0), never)
    memory.learn(chain.key, part(chain.data[0], 0), never)
    assert of(memory, chain.key) == chain.data[1]
    memory.learn(chain.key, part(b"no container" * 10, 0), never)
    assert of(memory, chain.key) == chain.data[1]


def test_count_and_bytes_are_bounded(scribe: Sealer) -> None:
    chains = [Chain(scribe, "x" * 1000, "y" * 3000, name=name) for name in "abcde"]
    size = chains[0].rows[0].size

    def kept(**bounds: Any) -> tuple[SessionMemory, Callable[[], list[bool]]]:
        memory = SessionMemory(scribe.describe, **{"sessions": 10, "capacity": 100_000, **bounds})
        return memory, lambda: [of(memory, chain.key) is not None for chain in chains]

    memory, known = kept(sessions=3)
    for chain in chains:
        memory.learn(chain.key, part(chain.data[0], 0), never)
    assert (known(), len(memory)) == ([False, False, True, True, True], 3)
    memory, known = kept(capacity=4 * size - 1)
    for chain in chains[:4]:
        memory.learn(chain.key, part(chain.data[0], 0), never)
    assert known() == [False, True, True, True, False]
    last = chains[3]
    memory.keep(last.key, last.rows[0], last.record(1), never)
    assert known() == [False, False, False, True, False]
    memory.forget(last.key)
    memory, known = kept(capacity=size)
    memory.learn(chains[0].key, part(chains[0].data[1], 0), never)
    assert len(memory) == 0


def test_a_torn_container_is_replaced_by_what_follows_from_it(scribe: Sealer) -> None:
    chain = Chain(scribe, "1", "2")
    ours = MemoryBackend()
    ours.commit(chain.key, lambda _: Write(chain.rows[1], 0, chain.data[1]))

    def unasked(theirs: IndexRow | Tombstone) -> None:
        raise AssertionError(f"{theirs} is a beginning")

    for torn, outcome in ((True, Outcome.REPLACED), (False, Outcome.APPENDED)):
        theirs = MemoryBackend()
        row = chain.rows[0]._replace(torn=torn)
        theirs.commit(chain.key, lambda _, row=row: Write(row, 0, chain.data[0]))  # type: ignore[misc] # as below
        assert replicate(ours, theirs, chain.key, settle=unasked).note is outcome
        found = theirs.read(chain.key)
        assert found is not None
        assert found.header + found.data == chain.data[1]
