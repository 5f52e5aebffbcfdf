"""One session's container as plain bytes, under the real verbs: what a test then cuts, flips, swaps and forges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from vaultsession.engine.reader import OpenHead, Reader
from vaultsession.engine.writer import Writer
from vaultsession.errors import Unreadable
from vaultsession.format import document, ids
from vaultsession.format.document import Change, parse
from vaultsession.format.head import Head
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.format.payload import Json, body, elements
from vaultsession.format.sealed import Container, IndexRow, Tombstone, Witness, Write

START = 1_700_000_000_000_000

KEYRING = Keyring(
    vault_id=bytes(range(16)),
    readable_names=True,
    created=START,
    naming_root=bytes(range(100, 132)),
    masters=(MasterKey(b"master-1", bytes(range(32))), MasterKey(b"master-0", bytes(range(1, 33)), retired=True)),
)
"""The same in every run, so that a failure can be repeated."""


class Ticking:
    """A clock that moves by a millisecond at each look, and can be set."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> int:
        self.time += 1000
        return self.time


class State(NamedTuple):
    """What the container was after one verb."""

    size: int
    witness: Witness
    document: tuple[Json, list[Json]]
    head: Head


class Shelf:
    """One session on no medium at all, and every state that it was in; ``remembers`` False does not keep those.

    ``written`` counts the bytes that a medium would have been given, ``replaced`` the containers made anew. A test that
    changes ``data`` sets ``row`` to None: the next writer then reads it from the bytes, as one that was just opened does.
    """

    remembers = True

    def __init__(self, id: str = "a session", keyring: Keyring = KEYRING, **how: Any) -> None:
        self.clock = Ticking()
        self.id = id
        self.key = ids.key(keyring.naming_key, ids.parse(id), readable=keyring.readable_names)
        self.data = b""
        self.witness: Witness | None = None
        self.tombstone: Tombstone | None = None
        self.spoiled = False
        self.row: IndexRow | None = None
        self.written = self.replaced = 0
        self.states: list[State] = []
        self.reader = Reader(keyring)
        self.writer = Writer(self.reader, self.clock, **how)

    def fetch(self, start: int = 0) -> Container | None:
        return container(self.data, start, self.witness, self.tombstone, spoiled=self.spoiled) if self.data else None

    def newest(self) -> tuple[IndexRow, OpenHead]:
        """What a writer is shown in its critical section."""
        row = self.row or self.reader.describe(self.key, self.fetch, thorough=True)
        assert row is not None
        return row, self.reader.opened(row)

    def commit(self, sealed: Write) -> None:
        """Put behind the newest what was sealed."""
        assert sealed.offset in (0, self.row.size if self.row else len(self.data))
        self.written += len(sealed.data)
        self.replaced += sealed.offset == 0
        self.data = sealed.data if sealed.offset == 0 else self.data[: sealed.offset] + sealed.data
        assert len(self.data) == sealed.head.size
        self.row = sealed.head
        if self.remembers:
            head = self.reader.opened(self.row).head
            self.states.append(State(len(self.data), self.row.witness, self.document(), head))

    # -- verbs ---------------------------------------------------------------------------------------------------------

    def create(self, state: Json, messages: list[Json], **facts: Any) -> None:
        """The session, in a container of its own."""
        now = self.clock.now()
        head = Head(id=self.id, created=now, updated=now, **facts)
        bodies = self.writer.pack_document(elements(state, messages))
        self.commit(self.writer.new_container(self.key, self.row or self.tombstone, head, bodies))

    def save(self, state: Json, messages: list[Json]) -> None:
        """The document anew."""
        row, opened = self.newest()
        head = opened.head._replace(updated=self.writer.now(opened.head))
        self.commit(self.writer.full_record(row, opened, head, self.writer.pack_document(elements(state, messages))))

    def append(self, *messages: Json) -> None:
        self._change(Change(), messages)

    def pop(self, n: int = 1) -> None:
        self._change(Change(pop=n))

    def merge(self, changes: Json) -> None:
        self._change(Change(set=changes))

    def touch(self, ttl: int = 3_600_000_000) -> None:
        row, opened = self.newest()
        head = opened.head._replace(ttl=ttl, expires=self.clock.now() + ttl)
        self.commit(self.writer.head_record(row, opened, head, self.fetch))

    def _change(self, change: Change, messages: Sequence[Json] = ()) -> None:
        row, opened = self.newest()
        packed = self.writer.pack(body({}, messages))
        change, addition = self.writer.with_trim(opened.head, packed, self.history, change)
        self.commit(self.writer.delta_record(row, opened, addition, change, self.fetch))

    def history(self) -> list[bytes]:
        loaded = self.reader.load(self.key, self.fetch)
        assert loaded is not None
        return document.elements(loaded.bodies)

    def document(self) -> tuple[Json, list[Json]]:
        loaded = self.reader.load(self.key, self.fetch)
        assert loaded is not None
        return parse(loaded.bodies)


def container(
    data: bytes,
    start: int = 0,
    witness: Witness | None = None,
    tombstone: Tombstone | None = None,
    *,
    spoiled: bool = False,
) -> Container:
    """The bytes of a file as a backend reads them."""
    offset = min(len(data), max(80, len(data) + start if start < 0 else start))
    return Container(data[:80], offset, data[offset:], witness, tombstone, spoiled)


class Seen(NamedTuple):
    """What the three consumers make of a container: a value, None for absent, or the error."""

    described: IndexRow | Unreadable | None
    loaded: tuple[Head, Json, list[Json]] | Unreadable | None
    newest: tuple[Head, list[bytes]] | Unreadable | None


def consume(
    key: str,
    data: bytes,
    *,
    witness: Witness | None = None,
    tombstone: Tombstone | None = None,
    keyring: Keyring = KEYRING,
    thorough: bool = True,
    wanted: int = 2,
) -> Seen:
    """The container in front of each consumer, none of which has seen anything before. Only ``Unreadable`` is caught."""

    def fetch(start: int = 0) -> Container:
        return container(data, start, witness, tombstone)

    seen: list[Any] = []
    for consumer in (
        lambda reader: reader.describe(key, fetch, thorough=thorough),
        lambda reader: _parse(reader.load(key, fetch)),
        lambda reader: reader.tail(key, fetch, wanted=wanted),
    ):
        try:
            seen.append(consumer(Reader(keyring)))
        except Unreadable as error:
            seen.append(error)
    return Seen(*seen)


def _parse(loaded: Any) -> tuple[Head, Json, list[Json]] | None:
    return None if loaded is None else (loaded.head, *parse(loaded.bodies))
