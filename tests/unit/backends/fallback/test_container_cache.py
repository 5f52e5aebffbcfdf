"""Containers that are remembered: never mixed, never older than what is known, bounded; and what follows a torn one."""

from __future__ import annotations

from typing import Any

from fallback_lab import refuse

from vaultsession.backends import MemoryBackend
from vaultsession.backends.fallback import part
from vaultsession.backends.fallback.catch_up import CatchUp, Here, step
from vaultsession.backends.fallback.container_cache import ContainerCache, version_at
from vaultsession.format.sealed import IndexRow, Write
from vaultsession.testing.sealer import Sealer

KEY = "a" * 32


def container(*texts: str, scribe: Sealer | None = None) -> tuple[IndexRow, bytes]:
    """A session of its own with those records."""
    scribe = scribe or Sealer()
    shelf = MemoryBackend()
    shelf.commit(KEY, scribe.create(KEY, texts[0]))
    for text in texts[1:]:
        shelf.commit(KEY, scribe.append(text))
    row, found = shelf.head(KEY), shelf.read(KEY)
    assert row is not None
    assert found is not None
    return row, found.header + found.data


def remembered(data: bytes = b"", **bounds: Any) -> ContainerCache:
    memory = ContainerCache(**{"sessions": 10, "capacity": 10_000, **bounds})
    if data:
        memory.keep(KEY, data)
    return memory


def test_a_record_is_put_behind_the_one_that_it_follows_and_no_other() -> None:
    (row, data), (other, _) = container("1"), container("1")
    memory = remembered(data)
    assert row.size == other.size
    assert not memory.extend(KEY, other.size, other.version, b"a record")
    assert not memory.extend(KEY, row.size + 1, row.version, b"a record")
    assert memory.of(KEY) == data
    assert memory.extend(KEY, row.size, row.version, b"a record")
    assert memory.of(KEY) == data + b"a record"


def test_a_part_is_followed_only_from_the_same_record() -> None:
    (row, data), (_, other) = container("1", "2"), container("1", "2")
    memory = remembered(data)
    forked = data[:80] + other[80:]
    assert not memory.follow(KEY, part(forked + b"more", row.size - 50))
    assert not memory.follow(KEY, part(data + b"more", row.size))
    assert not memory.follow(KEY, part(other + b"more", row.size - 50))
    assert memory.of(KEY) == data
    assert memory.follow(KEY, part(data + b"more", row.size - 50))
    assert memory.of(KEY) == data + b"more"


def test_an_older_state_takes_no_newer_ones_place() -> None:
    scribe = Sealer()
    _, longer = container("1", "2", scribe=scribe)
    memory = remembered(longer)
    memory.keep(KEY, longer[:-10])
    assert memory.of(KEY) == longer
    memory.keep(KEY, b"no container")
    assert memory.of(KEY) == longer


def test_count_and_bytes_are_bounded() -> None:
    _, data = container("x" * 1000)
    memory = remembered(sessions=3)
    for name in "abcde":
        memory.keep(name, data)
    assert memory.keys() == ["c", "d", "e"]
    memory = remembered(capacity=3 * len(data) - 1)
    for name in "abc":
        memory.keep(name, data)
    assert memory.keys() == ["b", "c"]
    memory.extend("c", len(data), version_at(data, len(data)), b"y" * len(data))
    assert memory.keys() == ["c"]
    memory.forget("c")
    memory.keep("huge", data * 4)
    assert len(memory) == 0


def test_a_torn_container_is_replaced_by_what_follows_from_it() -> None:
    scribe = Sealer()
    row, data = container("1", "2", scribe=scribe)
    torn = row._replace(torn=True)
    longer = row._replace(seq=row.seq + 1, version=b"v" * 16, size=row.size + 50)
    here = Here(longer, data + b"x" * 50)
    result = step(KEY, CatchUp(), here, torn, lambda _: None, refuse).result
    assert isinstance(result, Write)
    assert (result.offset, result.data) == (0, here.data)
    result = step(KEY, CatchUp(), here, row, lambda _: None, refuse).result
    assert isinstance(result, Write)
    assert (result.offset, result.data) == (row.size, b"x" * 50)
