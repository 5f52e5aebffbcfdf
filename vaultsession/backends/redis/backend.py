"""RedisBackend: the verbs. What is atomic is a script; what an update function decides is compared and swapped."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from ...errors import BackendUnavailable, Conflict, Damaged, DurabilityUnknown, Unreadable, VaultError, VaultNotFound
from ...format import record
from ...format.ids import locator_of
from ...format.sealed import (
    Container,
    Current,
    Delete,
    Heads,
    IndexRow,
    LostRow,
    Query,
    ReadHead,
    ReadRange,
    Tombstone,
    Write,
)
from ...util.deadline import pause
from ..optimistic import TRIES, OptimisticBackend
from ..protocol import RebuildReport, Traits
from .health import problems
from .layout import MARGIN, SWEPT, RedisLayout, all_of, expiring, fingerprint, newest_in, pack, tagged
from .listing import RedisListing
from .scripts import COMMIT, LOOK, READ
from .server import AnswerLost, Server

_DOUBTS = (0.1, 0.5)
"""Seconds before a write whose answer was lost is sent again, unchanged."""


class RedisState(NamedTuple):
    """What was newest at one moment: as it is stored, the size of the container, and what that means."""

    stored: bytes
    size: int
    newest: Current


class RedisBackend(OptimisticBackend[RedisState]):
    """Sealed sessions on a server. Safe from any thread, process and host."""

    traits = Traits("redis", durable=True, waits=True, shared=True, expires=True)

    def __init__(self, server: Server, layout: RedisLayout, describe: ReadHead) -> None:
        super().__init__()
        self._server = server
        self._layout = layout
        self._describe = describe
        self._listing = RedisListing(server, layout, self._rebuild_row)

    def head(self, key: str) -> IndexRow | None:
        """The newest head, as its row says; derived from the container where the row does not fit it."""
        newest = self._look(locator_of(key)).newest
        if newest is None:
            self.confirm()
        if isinstance(newest, LostRow):
            raise _gone(newest)
        return newest if isinstance(newest, IndexRow) else None

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on. Always settled: a script shows no writer half-way."""
        del settled
        key = locator_of(key)
        container, row = self._read(key, start)
        if container is None:
            if row is not None:
                raise _gone(row, is_news=self._seen.is_news(row))
            self.confirm()
            return None
        if row is not None and row.witness == container.witness and row.witness != self._seen.sight(key).witness:
            # Only what authenticates is remembered: a forged row is forgotten when it is gone. Where it does not,
            # the reader finds the same, and raises.
            with contextlib.suppress(VaultError):
                self._found(key, self._behind(key, container), thorough=False)
        return container

    def scan(self, query: Query) -> Heads:
        """Heads in the order asked for, page by page. An entry that its session denies is put right on the way."""
        self._server.check_open()
        return self.confirmed(self._listing.scan(query))

    def count(self, query: Query) -> int:
        """How many match. Without tags from the sorted sets alone."""
        self._server.check_open()
        found = self._listing.count(query)
        if not found:
            self.confirm()
        return found

    def reindex(self) -> RebuildReport:
        """Derive each row anew from its container, and the sorted sets from the rows.

        What a row alone knew, that its container was once longer, is forgotten; what this process has seen is not.
        """
        self._server.check_open()
        return self._listing.rebuild()

    def tombstones(self) -> Iterator[Tombstone]:
        self._server.check_open()
        return self._listing.tombstones()

    def unindexed(self) -> Iterator[str]:
        """Containers without a row: it was evicted, or removed. They are read all the same, and in no listing."""
        self._server.check_open()
        return self._listing.unindexed()

    def stats(self) -> dict[str, int]:
        """Sessions and the bytes of their containers. Looks at every row."""
        self._server.check_open()
        sessions = size = 0
        for row in self.scan(Query()):
            sessions += 1
            size += row.size
        return {"sessions": sessions, "bytes": size}

    def close(self) -> None:
        self._server.close()

    def confirm(self) -> None:
        """The key that says of which version the others are: no vault is without it."""
        if not self._server.ask("EXISTS", self._layout.schema):
            raise VaultNotFound(f"{self._server.where}: the vault is not there any more: was the server emptied?")

    def _check_open(self) -> None:
        self._server.check_open()

    def _inspect(self) -> tuple[dict[str, str | None], dict[str, str]]:
        return problems(self._server)

    # -- what is newest ------------------------------------------------------------------------------------------------

    def _look(self, key: str) -> RedisState:
        for attempt in range(TRIES):
            stored, size = self._stored(key)
            state = self._state(key, stored, size)
            if state is not None:
                return state
            pause(min(attempt, 4))
        raise Conflict(f"others wrote to {key} {TRIES} times while it was looked at: try again")

    def _stored(self, key: str) -> tuple[bytes, int]:
        """What is stored as newest, and the size of the container, as of one moment."""
        _, container, newest = self._layout.session(key)
        stored, size = self._server.look(LOOK, (container, newest))
        return stored or b"", size

    def _stands(self, key: str, state: RedisState) -> bool:
        return self._stored(key) == (state.stored, state.size)

    def _state(self, key: str, stored: bytes, size: int) -> RedisState | None:
        """What is newest, by the row where it fits the container, else by the container itself.

        None where the container has changed since: what it says then is not of the moment that was asked about.
        """
        said = newest_in(stored, key)
        newest: Current = said
        if isinstance(said, IndexRow) and size == 0:
            self._states.forget(key)
            if not self._seen.is_news(said):
                raise _gone(said, is_news=False)
            return RedisState(stored, size, LostRow._make(said))
        fits = self._fits(said, size) if isinstance(said, IndexRow) else size == 0
        if not fits or (said is None and stored):
            newest = None if size == 0 else self._found(key, partial(self._fetch, key), thorough=True)
            if newest is None and isinstance(said, Tombstone):
                newest = said
            if newest is None and stored and said is None:
                raise Damaged(f"what is kept beside {key} is no row of vaultsession; nothing was changed")
        if not isinstance(newest, IndexRow):
            newest = self._seen.sight(key).joined(tombstone=newest).tombstone
        elif newest.size != size and not newest.torn:
            return None
        state = RedisState(stored, size, newest)
        self._states.keep(key, state)
        return state

    def _fits(self, row: IndexRow, size: int) -> bool:
        """Whether a row fits its container, and neither was set back behind what was seen here."""
        return row.size == size and self._seen.is_news(row)

    def _found(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        """The row of a container, as ``describe`` proves it; remembered."""
        row = self._describe(key, fetch, thorough=thorough)
        self._seen.see(key, row)
        return row

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _read(self, key: str, start: int, *, witnessed: bool = True) -> tuple[Container | None, IndexRow | None]:
        """The container and its row, as of one moment. Unwitnessed: what the row says is no witness.

        What was seen is looked at *before*, so that it is never ahead of the bytes because another thread was quick.
        """
        seen = self._seen.sight(key)
        _, container, newest = self._layout.session(key)
        stored, size, *found = self._server.look(READ, (container, newest), record.HEADER_SIZE, start)
        said = newest_in(stored, key)
        row = said if isinstance(said, IndexRow) else None
        if not size:
            return None, row
        offset, header, data = found
        if row is not None and self._fits(row, size):
            self._states.keep(key, RedisState(stored, size, row))
        witness = row.witness if row is not None and witnessed else None
        known = seen.joined(witness, said if isinstance(said, Tombstone) else None)
        return Container(header, offset, data, known.witness, known.tombstone), row

    def _fetch(self, key: str, start: int, *, witnessed: bool = True) -> Container | None:
        return self._read(key, start, witnessed=witnessed)[0]

    def _behind(self, key: str, container: Container) -> ReadRange:
        """A fetch that serves from bytes that are there already, as far as they go."""

        def fetch(start: int) -> Container | None:
            first = max(record.HEADER_SIZE, container.size + start if start < 0 else start)
            if first < container.offset:
                return self._fetch(key, start)
            first = min(first, container.size)
            return container._replace(offset=first, data=container.data[first - container.offset :])

        return fetch

    # -- writing -------------------------------------------------------------------------------------------------------

    def _swap(self, key: str, state: RedisState, change: Write | Delete) -> bool:
        if isinstance(state.newest, LostRow) and isinstance(change, Write) and change.offset:
            raise _gone(state.newest)
        written: IndexRow | Tombstone = change.tombstone if isinstance(change, Delete) else change.head
        stored = pack(written)
        answer, doubt = self._sent(key, *self._commit_of(key, state, change, stored))
        # Two who remove a session make the same tombstone: only behind a lost answer the one that is there may be ours.
        if answer == 1 or (answer[0] == stored and doubt is not None):
            self._seen.see(key, written)
            size = change.offset + len(change.data) if isinstance(change, Write) else 0
            self._states.keep(key, RedisState(stored, size, written))
            return True
        there, size, tail = answer
        if isinstance(change, Write) and tail and change.data.endswith(tail):
            # Ours was written, and someone has written behind it.
            self._seen.see(key, written)
            self._states.forget(key)
            return True
        other = self._state(key, there, size) or self._look(key)
        if doubt is not None and (other.newest is None or other.newest.generation > written.generation):
            raise DurabilityUnknown(
                f"{key} was replaced by someone else while the answer to this write was lost: whether it was part of "
                "what was replaced is not known"
            ) from doubt
        return False

    def _sent(
        self, key: str, keys: list[str], arguments: tuple[bytes | str | int, ...]
    ) -> tuple[Any, AnswerLost | None]:
        """What the server answers to a commit; and, where an answer was lost before, the error that said so."""
        doubt: AnswerLost | None = None
        for seconds in (*_DOUBTS, None):
            try:
                return self._server.commit(COMMIT, keys, *arguments), doubt
            except AnswerLost as error:
                doubt = error
            except BackendUnavailable:
                if doubt is None:
                    raise
            if seconds is not None:
                time.sleep(seconds)
        raise DurabilityUnknown(f"whether {key} was written is not known: {doubt}") from doubt

    def _commit_of(
        self, key: str, state: RedisState, change: Write | Delete, stored: bytes
    ) -> tuple[list[str], tuple[bytes | str | int, ...]]:
        shard, container, newest = self._layout.session(key)
        keys = [container, newest, all_of(shard), expiring(shard)]
        said = newest_in(state.stored, key)
        before = set(said.tags) if isinstance(said, IndexRow) else set()
        expected = fingerprint(state.stored)
        compared = len(expected) if len(expected) < len(state.stored) else -1
        if isinstance(change, Delete):
            keys += [tagged(shard, tag) for tag in before]
            life = "" if change.flush else SWEPT
            return keys, (expected, state.size, -1, b"", stored, key, 0, "", life, 0, compared)
        head = change.head
        lost = before.difference(head.tags)
        keys += [tagged(shard, tag) for tag in (*lost, *head.tags)]
        expires = "" if head.expires is None else head.expires
        place = (expected, state.size, change.offset, change.data, stored)
        return keys, (*place, key, head.updated, expires, MARGIN, len(lost), compared)

    def _rebuild_row(self, key: str) -> bool:
        """Derive the row of a container anew, and its entries; whether it can be read."""
        for attempt in range(TRIES):
            stored, size = self._stored(key)
            if not size:
                return True
            try:
                row = self._found(key, partial(self._fetch, key, witnessed=False), thorough=False)
            except Unreadable:
                return False
            if row is None:  # a tombstone covers it
                return True
            state = RedisState(stored, size, None)
            if self._swap(key, state, Write(row, size, b"")):
                return True
            pause(min(attempt, 4))
        return False


def _gone(row: IndexRow, *, is_news: bool = True) -> Damaged:
    """The error for a session whose container is not there. An older row than was seen does not say what was lost."""
    return Damaged(
        f"the container of {row.key} is gone, though its row is there: was it evicted (maxmemory-policy), or removed? "
        "Restore it from a backup, or delete the session; nothing was changed",
        lost=LostRow._make(row) if is_news else None,
    )
