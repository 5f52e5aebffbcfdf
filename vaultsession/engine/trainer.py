"""Learning a dictionary from the sessions of a vault, and measuring what it is worth on sessions that it has not seen.

A dictionary is made of pieces of what it learned from. It is kept sealed, outlives the sessions that it learned from,
and lets an observer of record sizes guess at what those said: learn from sessions that may know of each other. In a
vault with keys of tenants each is of one tenant, sealed under its key, and gone when that is destroyed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import zstandard

from ..backends.protocol import Backend
from ..errors import InvalidSetting, TooLarge, TrainingRefused, Unreadable
from ..format import payload
from ..format.dictionaries import FIRST, LARGEST_DICTIONARY, shipped
from ..format.payload import REACH, Dictionary
from ..format.sealed import IndexRow, Query
from ..util.clock import Clock
from ..util.lazy import log
from .cache import SessionCache
from .reader import Reader

SIZES = range(4 * 1024, LARGEST_DICTIONARY + 1)

MOST_SESSIONS = 512
"""Sessions that are read, the newest."""
SHARE = 16 * 1024
BUDGET = 8 << 20
"""Bytes that are learned from one session: ``SHARE``, or what makes ``BUDGET`` of all where there are few."""
LONGEST = 2 * 1024
"""Bytes of a message that are learned: small records are what a dictionary is for."""

FEWEST_SESSIONS = 8
LEAST = 32 * 1024
"""Bytes, and sessions, below which nothing general can be learned."""
SAMPLES_PER_DICTIONARY = 4
"""A dictionary is at most this part of what it was learned from."""

HELD_OUT = 5
"""Every so many-th session is kept for measuring."""
WORTH = 0.97
"""A dictionary is kept if records become smaller than this part of what they would be without it."""

_SEGMENTS = (128, 256, 512, 1024, 2048)
"""Sizes of the pieces that a dictionary is put together from: which is best depends on what is learned."""
_LETTERS = 8
"""Bytes that must recur for zstd to take notice."""
_NOTHING = b"{}"
_LARGEST_RECORD = LARGEST_DICTIONARY // REACH
_WHOLE = 4 << 20
"""Bytes of a session up to which it is read whole; of a longer one its newest messages are."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What was learned, and what it is worth: bytes of the held-out records, compressed in three ways.

    ``number`` is that of the dictionary; None where it was not kept.
    """

    number: int | None
    size: int
    sessions: int
    sampled: int
    records: int
    plain: int
    before: int
    after: int

    @property
    def ratio(self) -> float:
        """Bytes with the new dictionary by bytes of plain zstd."""
        return self.after / self.plain

    @property
    def is_worthwhile(self) -> bool:
        """Whether records become smaller by more than chance."""
        return self.after <= WORTH * self.before


class Trainer:
    """Samples the sessions that a backend has, and learns from them. Safe from any thread."""

    def __init__(
        self, backend: Backend, reader: Reader, cache: SessionCache, clock: Clock, *, level: int | None
    ) -> None:
        self._backend = backend
        self._reader = reader
        self._cache = cache
        self._clock = clock
        self._level = level

    def train(
        self,
        tags: tuple[bytes, ...],
        tenant_id: str | None,
        size: int,
        progress: Callable[[int, int], object] | None,
        *,
        dry_run: bool,
    ) -> Trained:
        """Learn from the newest sessions that carry the tags; see ``SessionStore.train``."""
        keys = self._reader.keys
        keys.refresh()
        if keys.current.tenant_keys and tenant_id is None:
            raise InvalidSetting(
                "the tenants of this vault have keys of their own: train for one of them, so that what is learned from "
                "it is erased with it"
            )
        if type(size) is not int or size not in SIZES:
            raise InvalidSetting(f"a dictionary has {SIZES.start} to {SIZES.stop - 1} bytes, not {size!r}")
        if self._level is None:
            raise TrainingRefused("this store does not compress, and needs no dictionary: open it with zstd")
        sessions = list(self._sessions(tags, progress))
        learned = [_piece(element[:LONGEST]) for session in _learned(sessions) for element in session]
        records = [record for session in _held_out(sessions) for record in map(_piece, session)]
        records = [record for record in records if len(record) <= _LARGEST_RECORD]
        sampled = sum(map(len, learned))
        if len(sessions) < FEWEST_SESSIONS or sampled < LEAST or not records:
            raise TrainingRefused(
                f"there are {len(sessions)} sessions with {sampled} bytes to learn from, which is too little: "
                f"at least {FEWEST_SESSIONS} sessions and {LEAST} bytes are needed"
            )
        level, dictionaries = self._level, self._reader.dictionaries
        own = dictionaries.own_of(keys.sealing(tenant_id).id)
        best = min(learn(learned, size, level), key=lambda each: packed(records, level, (each, shipped())))
        result = Trained(
            number=None,
            size=len(best.content),
            sessions=len(sessions),
            sampled=sampled,
            records=len(records),
            plain=packed(records, level, ()),
            before=packed(records, level, dictionaries.current if own is None else (own, shipped())),
            after=packed(records, level, (best, shipped())),
        )
        if dry_run:
            return result
        if not result.is_worthwhile:
            raise TrainingRefused(
                f"nothing would be gained: records that take {result.before} bytes now would take {result.after}"
            )
        return replace(result, number=dictionaries.keep(best.content, self._clock.now(), tenant_id).number)

    def _sessions(
        self, tags: tuple[bytes, ...], progress: Callable[[int, int], object] | None
    ) -> Iterator[list[bytes]]:
        """Of each session the states and messages to learn from, spread over it. What is unreadable is left out."""
        query = Query(tags=tags, alive_at=self._clock.now(), newest_first=True, limit=MOST_SESSIONS)
        rows = list(self._backend.scan(query))
        share = max(SHARE, BUDGET // max(1, len(rows)))
        for number, row in enumerate(rows, 1):
            try:
                found = _spread(self._elements(row, share), share)
            except (Unreadable, TooLarge) as error:
                log.warning("nothing is learned from %s: %s", row.key, error)
                found = []
            if found:
                yield found
            if progress is not None:
                progress(number, len(rows))

    def _elements(self, row: IndexRow, share: int) -> list[bytes]:
        """The elements of a session's bodies, unparsed; of a long one its newest messages."""
        key = row.key
        head = self._reader.rows.open(row)[1]
        if head.raw > _WHOLE:
            wanted = max(1, head.messages * share // head.raw)
            read = self._cache.read(key, partial(self._reader.tail, wanted=wanted))
            return [] if read is None else read[1]
        loaded = self._cache.read(key, self._reader.load)
        bodies = () if loaded is None else loaded.bodies
        return [element for body in bodies for element in payload.split(body) if element != _NOTHING]


def learn(pieces: list[bytes], size: int, level: int) -> list[Dictionary]:
    """Dictionaries of at most that size, one per way to put one together. ``TrainingRefused`` if there is none."""
    size = min(size, sum(map(len, pieces)) // SAMPLES_PER_DICTIONARY)
    try:
        made = [
            zstandard.train_dictionary(size, [*pieces], k=segment, d=_LETTERS, level=level, dict_id=FIRST)
            for segment in _SEGMENTS
        ]
    except zstandard.ZstdError as error:
        raise TrainingRefused(f"nothing can be learned from these sessions: {error}") from None
    return [Dictionary(each.as_bytes()) for each in made]


def packed(records: Sequence[bytes], level: int, dictionaries: Sequence[Dictionary]) -> int:
    """Bytes that the records take."""
    limit = _LARGEST_RECORD
    return sum(len(payload.pack(each, level=level, limit=limit, dictionaries=dictionaries)[1]) for each in records)


def _learned(sessions: Sequence[list[bytes]]) -> Iterator[list[bytes]]:
    return (session for number, session in enumerate(sessions) if number % HELD_OUT)


def _held_out(sessions: Sequence[list[bytes]]) -> Iterator[list[bytes]]:
    return itertools.islice(sessions, 0, None, HELD_OUT)


def _piece(element: bytes) -> bytes:
    """The element as the only one that a record adds."""
    return payload.join([_NOTHING, element])


def _spread(elements: list[bytes], share: int) -> list[bytes]:
    """Every so many-th element, so that about ``share`` bytes are left, each counted as far as it is learned."""
    total = sum(min(len(element), LONGEST) for element in elements)
    return elements[:: max(1, math.ceil(total / share))]
