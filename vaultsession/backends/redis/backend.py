"""RedisBackend: the verbs. What is atomic is a script; what ``seal`` decides is compared and swapped.

``commit`` is optimistic: ``seal`` is shown what is newest, and one script writes what it makes of that if nothing has
come between, else ``seal`` is asked again. Where this process wrote or read last, it shows what it remembers, and the
commit is one round trip; whatever ``seal`` says of what is remembered, other than something to write, is asked again of
what is really there.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from ...errors import BackendUnavailable, Conflict, Damaged, DurabilityUnknown, Unreadable, VaultError
from ...format import record
from ...format.ids import locator_of
from ...format.sealed import (
    Commit,
    Container,
    Current,
    Delete,
    Heads,
    IndexRow,
    Query,
    ReadHead,
    ReadRange,
    Tombstone,
    Update,
    Write,
)
from ..protocol import Backend, Traits
from ..rollback_guard import RollbackGuard
from .health import problems
from .layout import MARGIN, SWEPT, RedisLayout, all_of, expiring, pack, tagged, told_by, unpack
from .listing import RedisListing
from .scripts import COMMIT, LOOK, READ
from .server import AnswerLost, Server

_TRIES = 200
_QUICK_TRIES = 2
_LONGEST_PAUSE = 0.02
_REMEMBERED = 4096
_STRIPES = 256
_DOUBTS = (0.1, 0.5)
"""Seconds before a write whose answer was lost is sent again, unchanged."""


class _State(NamedTuple):
    """What was newest at one moment: as it is stored, the size of the container, and what that means."""

    stored: bytes
    size: int
    newest: Current


class RedisBackend(Backend):
    """Sealed sessions on a server. Safe from any thread, process and host."""

    traits = Traits("redis", durable=True, waits=True, shared=True, expires=True)

    def __init__(self, server: Server, layout: RedisLayout, describe: ReadHead) -> None:
        self._server = server
        self._layout = layout
        self._describe = describe
        self._listing = RedisListing(server, layout, self._enter)
        self._seen = RollbackGuard()
        self._states: OrderedDict[str, _State] = OrderedDict()
        self._guard = threading.Lock()
        self._remarks: dict[str, str] = {}
        self._stripes = tuple(threading.Lock() for _ in range(_STRIPES))

    def head(self, key: str) -> IndexRow | None:
        """The newest head, as its row says; derived from the container where the row does not fit it."""
        newest = self._look(key).newest
        return newest if isinstance(newest, IndexRow) else None

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on. Always settled: a script shows no writer half-way."""
        del settled
        container, row = self._read(key, start)
        if container is None:
            if row is not None:
                raise self._gone(key)
            return None
        if row is not None and row.witness == container.witness and row.witness != self._seen.get(key):
            # Only what authenticates is remembered: a forged row is forgotten when it is gone. Where it does not,
            # whoever reads will find the same, and say so.
            with contextlib.suppress(VaultError):
                self._found(key, self._behind(key, container), thorough=False)
        return container

    def commit(self, key: str, update: Update) -> Commit:
        """Put behind the newest what ``update`` makes of it. ``Conflict`` where others were quicker for too long.

        Where the answer of the server was lost, the same bytes are sent again: the script applies them once.
        ``DurabilityUnknown`` where it cannot be told whether it did.
        """
        self._server.check_open()
        with self._stripes[hash(locator_of(key)) % _STRIPES]:
            state = self._remembered(key)
            is_fresh = state is None
            for attempt in range(_TRIES):
                if state is None:
                    state = self._look(key)
                try:
                    change = update(state.newest)
                except Exception:
                    if is_fresh or self._is_there(key, state):
                        raise
                    state, is_fresh = None, True
                    continue
                if not isinstance(change, Write | Delete):
                    if is_fresh or self._is_there(key, state):
                        return Commit.of(state.newest, change)
                    state, is_fresh = None, True
                    continue
                other = self._put(key, state, change)
                if other is None:
                    return Commit.of(state.newest, change)
                state, is_fresh = other, True
                _pause(attempt)
            raise Conflict(f"others wrote to {key} {_TRIES} times while this was tried: try again")

    def scan(self, query: Query) -> Heads:
        """Heads in the order asked for, page by page. An entry that its session denies is put right on the way."""
        self._server.check_open()
        return self._listing.scan(query)

    def count(self, query: Query) -> int:
        """How many match. Without tags from the sorted sets alone."""
        self._server.check_open()
        return self._listing.count(query)

    def reindex(self) -> None:
        """Derive each row anew from its container, and the sorted sets from the rows.

        What a row alone knew, that its container was once longer, is forgotten; what this process has seen is not.
        """
        self._server.check_open()
        self._listing.derive()

    def tombstones(self) -> Iterator[Tombstone]:
        """Every tombstone that the server still has; see ``Backend.tombstones``."""
        self._server.check_open()
        return self._listing.graves()

    def stats(self) -> dict[str, int]:
        """Sessions and the bytes of their containers. Looks at every row."""
        self._server.check_open()
        sessions = size = 0
        for row in self._listing.scan(Query()):
            sessions += 1
            size += row.size
        return {"sessions": sessions, "bytes": size}

    def health(self) -> dict[str, str | None]:
        """Whether the server answers soon, may be written to and evicts nothing; see the module ``health``."""
        self._server.check_open()
        told, self._remarks = problems(self._server)
        return told

    def notes(self) -> dict[str, str]:
        """What a crash of the server would take, by its settings; see ``Backend.notes``."""
        return self._remarks

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._server.close()

    # -- what is newest ------------------------------------------------------------------------------------------------

    def _look(self, key: str) -> _State:
        for attempt in range(_TRIES):
            stored, size = self._stored(key)
            state = self._state(key, stored, size)
            if state is not None:
                return state
            _pause(attempt)
        raise Conflict(f"others wrote to {key} {_TRIES} times while it was looked at: try again")

    def _stored(self, key: str) -> tuple[bytes, int]:
        """What is stored as newest, and the size of the container, as of one moment."""
        _, container, newest = self._layout.session(key)
        stored, size = self._server.look(LOOK, (container, newest))
        return stored or b"", size

    def _is_there(self, key: str, state: _State) -> bool:
        """Whether what is remembered is still what is there."""
        return self._stored(key) == (state.stored, state.size)

    def _state(self, key: str, stored: bytes, size: int) -> _State | None:
        """What is newest, by the row where it fits the container, else by the container itself.

        None where the container has changed since: what it says then is not of the moment that was asked about.
        """
        said = self._said(key, stored)
        newest: Current = said
        if isinstance(said, IndexRow) and size == 0:
            raise self._gone(key)
        fits = self._is_news(key, said, size) if isinstance(said, IndexRow) else size == 0
        if not fits or (said is None and stored):
            newest = None if size == 0 else self._found(key, partial(self._fetch, key), thorough=True)
            if newest is None and isinstance(said, Tombstone):
                newest = said
            if newest is None and stored and said is None:
                raise Damaged(f"what is kept beside {key} is no row of vaultsession; nothing was changed")
        if not isinstance(newest, IndexRow):
            newest = self._grave(key, newest)
        elif newest.size != size and not newest.torn:
            return None
        state = _State(stored, size, newest)
        self._remember(key, state)
        return state

    def _is_news(self, key: str, row: IndexRow, size: int) -> bool:
        """Whether a row fits its container, and neither was set back behind what was seen here."""
        known, grave = self._seen.get(key), self._seen.grave(key)
        if row.size != size or (grave is not None and row.generation <= grave.generation):
            return False
        if known is None or row.witness[:2] > known[:2]:
            return True
        return row.witness == known

    def _said(self, key: str, stored: bytes | None) -> IndexRow | Tombstone | None:
        """What is stored as newest, where it can be understood."""
        if not stored:
            return None
        try:
            return unpack(stored, locator_of(key))
        except ValueError:
            return None

    def _found(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        """The row of a container as those say who hold the keys. What they say is remembered."""
        row = self._describe(key, fetch, thorough=thorough)
        self._seen.see(key, row)
        return row

    def _grave(self, key: str, stored: Tombstone | None) -> Tombstone | None:
        """The newer of the tombstone that is stored and the one that was seen."""
        known = self._seen.grave(key)
        return known if stored is None or (known is not None and known.generation > stored.generation) else stored

    def _gone(self, key: str) -> Damaged:
        return Damaged(
            f"the container of {key} is gone, though its row is there: was it evicted (maxmemory-policy), or removed?"
        )

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _read(self, key: str, start: int, *, witnessed: bool = True) -> tuple[Container | None, IndexRow | None]:
        """The container and its row, as of one moment. Unwitnessed: what the row says is no witness.

        What was seen is looked at *before*, so that it is never ahead of the bytes because another thread was quick.
        """
        known, grave = self._seen.get(key), self._seen.grave(key)
        _, container, newest = self._layout.session(key)
        stored, size, *found = self._server.look(READ, (container, newest), record.HEADER_SIZE, start)
        said = self._said(key, stored)
        row = said if isinstance(said, IndexRow) else None
        if not size:
            return None, row
        offset, header, data = found
        if row is not None and self._is_news(key, row, size):
            self._remember(key, _State(stored, size, row))
        if row is not None and witnessed and (known is None or row.witness[:2] > known[:2]):
            known = row.witness
        if isinstance(said, Tombstone) and (grave is None or said.generation > grave.generation):
            grave = said
        return Container(header, offset, data, known, grave), row

    def _fetch(self, key: str, start: int, *, witnessed: bool = True) -> Container | None:
        """``read``, for whoever describes: nothing is described on the way."""
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

    def _put(self, key: str, state: _State, result: Write | Delete) -> _State | None:
        """Write it behind the state that it was made from; else the state that is there instead."""
        written: IndexRow | Tombstone = result.tombstone if isinstance(result, Delete) else result.head
        if isinstance(result, Write) and result.offset not in (0, state.size):
            raise ValueError(f"a record of {key} at offset {result.offset} does not follow the newest")
        stored = pack(written)
        answer, doubt = self._sent(key, *self._commit_of(key, state, result, stored))
        if answer == 1 or answer[0] == stored:
            self._seen.see(key, written)
            size = result.offset + len(result.data) if isinstance(result, Write) else 0
            self._remember(key, _State(stored, size, written))
            return None
        there, size, tail = answer
        if isinstance(result, Write) and tail and result.data.endswith(tail):
            # Ours was written, and someone has written behind it.
            self._seen.see(key, written)
            self._forget(key)
            return None
        return self._other(key, written, there, size, doubt)

    def _sent(
        self, key: str, keys: list[str], arguments: tuple[bytes | str | int, ...]
    ) -> tuple[Any, AnswerLost | None]:
        """What the server answers to a commit; and, where an answer was lost before, the error that said so."""
        doubt: AnswerLost | None = None
        for pause in (*_DOUBTS, None):
            try:
                return self._server.commit(COMMIT, keys, *arguments), doubt
            except AnswerLost as error:
                doubt = error
            except BackendUnavailable:
                if doubt is None:
                    raise
            if pause is not None:
                time.sleep(pause)
        raise DurabilityUnknown(f"whether {key} was written is not known: {doubt}") from doubt

    def _other(self, key: str, ours: IndexRow | Tombstone, there: bytes, size: int, doubt: AnswerLost | None) -> _State:
        """What someone else has written. ``DurabilityUnknown`` where that may hide that ours was written before."""
        state = self._state(key, there, size) or self._look(key)
        if doubt is not None and (state.newest is None or state.newest.generation > ours.generation):
            raise DurabilityUnknown(
                f"{key} was replaced by someone else while the answer to this write was lost: whether it was part of "
                "what was replaced is not known"
            ) from doubt
        return state

    def _commit_of(
        self, key: str, state: _State, result: Write | Delete, stored: bytes
    ) -> tuple[list[str], tuple[bytes | str | int, ...]]:
        """Keys and arguments of ``COMMIT``."""
        shard, container, newest = self._layout.session(key)
        keys = [container, newest, all_of(shard), expiring(shard)]
        said = self._said(key, state.stored)
        before = set(said.tags) if isinstance(said, IndexRow) else set()
        locator = locator_of(key)
        told = told_by(state.stored)
        compared = len(told) if len(told) < len(state.stored) else -1
        if isinstance(result, Delete):
            keys += [tagged(shard, tag) for tag in before]
            life = "" if result.flush else SWEPT
            return keys, (told, state.size, -1, b"", stored, locator, 0, "", life, 0, compared)
        head = result.head
        lost = before.difference(head.tags)
        keys += [tagged(shard, tag) for tag in (*lost, *head.tags)]
        expires = "" if head.expires is None else head.expires
        place = (told, state.size, result.offset, result.data, stored)
        return keys, (*place, locator, head.updated, expires, MARGIN, len(lost), compared)

    def _enter(self, key: str) -> bool:
        """Derive the row of a container anew, and its entries; whether it can be read."""
        for attempt in range(_TRIES):
            stored, size = self._stored(key)
            if not size:
                return True
            try:
                row = self._found(key, partial(self._fetch, key, witnessed=False), thorough=False)
            except Unreadable:
                return False
            if row is None:  # a tombstone covers it
                return True
            state = _State(stored, size, None)
            if not isinstance(self._put(key, state, Write(row, size, b"")), _State):
                return True
            _pause(attempt)
        return False

    # -- memory --------------------------------------------------------------------------------------------------------

    def _remembered(self, key: str) -> _State | None:
        with self._guard:
            state = self._states.get(key)
        if state is None or not isinstance(state.newest, IndexRow) or state.newest.torn:
            return state
        return state if self._is_news(key, state.newest, state.size) else None

    def _remember(self, key: str, state: _State) -> None:
        with self._guard:
            self._states[key] = state
            self._states.move_to_end(key)
            if len(self._states) > _REMEMBERED:
                self._states.popitem(last=False)

    def _forget(self, key: str) -> None:
        with self._guard:
            self._states.pop(key, None)


def _pause(attempt: int) -> None:
    """Wait a moment of random length, longer each time: whoever collides does not collide again."""
    if attempt >= _QUICK_TRIES:
        share = int.from_bytes(os.urandom(2), "little") / 65536
        time.sleep(share * min(_LONGEST_PAUSE, 0.0005 * attempt))
