"""SessionStore: the verbs of a session store.

Threads may share a store; processes may open a vault as often as they like. A verb that writes returns after the flush
(``durability="sync"``) and leaves the old or the new session behind, never a mix, whatever it raises.

Errors common to all verbs, beside those that each one names: ``InvalidSessionId``, ``Damaged`` (``RollbackDetected``),
``UnknownKey``, ``UnsupportedFormat``, ``BackendUnavailable``; of those that write also ``InvalidDocument``,
``TooLarge`` and ``DurabilityUnknown``. A closed store raises ``RuntimeError``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from . import ids
from .backend import Backend
from .clock import Clock, Duration, to_duration, to_micros
from .coherent import CoherentReading
from .errors import Conflict, InvalidDocument, InvalidSetting, SessionNotFound, Unreadable
from .head import Head
from .leases import Leases
from .listing import Listing, Order, Page
from .passes import Passes
from .payload import Json
from .reading import Reading
from .session import Session, SessionInfo, checked, named
from .sweeper import Sweeper
from .writing import Writing

_log = logging.getLogger("vaultsession")

_TRIES = 100
_ALL = 1 << 62


class _Unset:
    """Stands for "not given" where None means something."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET = _Unset()


class Filters(TypedDict, total=False):
    """What sessions are asked for by; each that is given must match."""

    user_id: str | None
    tenant_id: str | None
    assistant_id: str | None
    labels: Mapping[str, str] | None


class Facts(Filters, total=False):
    """What a new session is given. ``ttl`` None keeps it for ever, whatever the store's default.

    The times are for a session that has a past elsewhere: aware datetimes; None leaves them to the store.
    """

    title: str | None
    ttl: Duration | _Unset | None
    sliding: bool | None
    max_messages: int | None
    created_at: datetime | None
    updated_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a new session gets where the caller says nothing. ``ttl`` in microseconds."""

    ttl: int | None = None
    sliding: bool = False
    max_messages: int | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a store lies, and where its key came from, in words."""

    where: str
    key: str


class SessionStore:
    """The sessions of one vault. Made by ``open_store``; ``close()`` it, or use it as a context manager."""

    def __init__(
        self,
        backend: Backend,
        reading: Reading,
        writing: Writing,
        leases: Leases,
        clock: Clock,
        *,
        origin: Origin,
        defaults: Defaults | None = None,
        cache_bytes: int = 64 << 20,
    ) -> None:
        self.origin = origin
        self._backend = backend
        self._keyring = reading.keyring
        self._leases = leases
        self._clock = clock
        self._defaults = defaults or Defaults()
        self._coherent = CoherentReading(backend, reading, cache_bytes)
        self._passes = Passes(backend, reading, writing, self._coherent, clock)
        self._listing = Listing(backend, reading, clock)
        self._sweeper: Sweeper | None = None
        self._closed = False
        self._key = functools.lru_cache(8192)(self._derive_key)

    # -- whole sessions ------------------------------------------------------------------------------------------------

    def create(
        self,
        id: str | None = None,
        *,
        state: Json | None = None,
        messages: Sequence[Json] = (),
        **facts: Unpack[Facts],
    ) -> Session:
        """Make a new session, with a UUIDv7 where no id is given. ``SessionExists`` where a living one has the id."""
        head = self._new_head(ids.new(self._clock.now()) if id is None else id, facts)
        return self._passes.put(self._key(head.id), head, state or {}, messages, replace=False)

    def save(
        self,
        session: Session | str,
        *,
        overwrite: bool = False,
        state: Json | None = None,
        messages: Sequence[Json] = (),
        **facts: Unpack[Facts],
    ) -> Session:
        """Write a whole document.

        A loaded ``Session`` is saved as it is, compared and swapped: ``Conflict`` if someone saved since, and
        ``SessionNotFound`` if it was removed; ``overwrite=True`` writes in any case. ``version`` is then the new one.
        An id with a document and the facts of ``create`` creates or replaces, since there is no version to compare.
        """
        if isinstance(session, str):
            head = self._new_head(session, facts)
            return self._passes.put(self._key(session), head, state or {}, messages, replace=True)
        if state is not None or messages or facts:
            raise TypeError("a Session is saved as it is: change it, then save it")
        session.follow(self._passes.save(self._key(session.id), session, overwrite=overwrite))
        return session

    def load(self, id: str) -> Session:
        """The session. ``SessionNotFound``, ``SessionExpired``."""
        loaded = self._passes.load(self._key(id), id)
        return Session(loaded.head, loaded.document.hex(), loaded.bodies)

    def load_if_warm(self, id: str) -> Session | None:
        """The session if it is cached, the newest, and reading it writes nothing; else None. Never waits."""
        loaded = self._passes.warm(self._key(id))
        return None if loaded is None else Session(loaded.head, loaded.document.hex(), loaded.bodies)

    def get(self, id: str, default: Any = None) -> Any:  # noqa: ANN401 - as in dict.get
        """The session, or the default where it is absent or expired; damage is raised, never defaulted."""
        try:
            return self.load(id)
        except SessionNotFound:
            return default

    def delete(self, id: str) -> bool:
        """Remove the session at once; False where there was none."""
        return self._passes.remove(self._key(id))

    def exists(self, id: str) -> bool:
        """Whether there is a living session of that id."""
        return self._passes.exists(self._key(id))

    # -- parts of a session --------------------------------------------------------------------------------------------

    def append(self, id: str, *messages: Json, create: bool = False, dedupe: bool = False) -> SessionInfo:
        """Add messages to the history; what it costs follows what is added. ``SessionNotFound``, ``SessionExpired``.

        ``create`` makes the session where there is none. ``dedupe`` leaves out messages whose ``id`` is there already;
        it reads the history, so its cost follows that.
        """
        born = self._new_head(id, {}) if create else None
        return SessionInfo(self._passes.append(self._key(id), id, messages, born=born, dedupe=dedupe))

    def messages(
        self, id: str, *, offset: int | None = None, limit: int | None = None, last: int | None = None
    ) -> list[Json]:
        """A page of the history, oldest to newest: ``limit`` from ``offset`` on, or the ``last`` ones; all by default.

        The last ones are read from the tail, whatever the length of the history. ``SessionNotFound``,
        ``SessionExpired``.
        """
        if last is not None and (offset is not None or limit is not None):
            raise InvalidSetting("give last, or offset and limit")
        if any(number is not None and number < 0 for number in (offset, limit, last)):
            raise InvalidSetting("offset, limit and last are at least 0")
        wanted = last if last is not None else _ALL if limit is None else limit
        return self._passes.messages(self._key(id), id, wanted=wanted, offset=None if last is not None else offset or 0)

    def pop(self, id: str, n: int = 1) -> list[Json]:
        """Remove the newest ``n`` messages and return them, oldest first; fewer where there are fewer."""
        if n < 0:
            raise InvalidSetting("n is at least 0")
        return self._passes.pop(self._key(id), id, n)

    def clear(self, id: str) -> SessionInfo:
        """Empty the history and keep the session. Nothing of the history stays in the file."""
        return SessionInfo(self._passes.clear(self._key(id), id))

    def update(self, id: str, changes: Mapping[str, Any] | Callable[[Session], object]) -> SessionInfo:
        """Merge a mapping into the state, or apply a function to the loaded session and save it.

        Both are an atomic read-modify-write over all threads and processes: a function is applied again, to what is
        newest then, where someone else saved in between.
        """
        if isinstance(changes, Mapping):
            return SessionInfo(self._passes.merge(self._key(id), id, dict(changes)))
        if not callable(changes):
            raise InvalidDocument(f"update takes a mapping or a function, not {type(changes).__name__}")
        for _ in range(_TRIES):
            session = self.load(id)
            changes(session)
            try:
                return self.save(session).info()
            except Conflict:
                continue
        raise Conflict(f"session {id!r} was saved by others {_TRIES} times in a row while a function was applied to it")

    @contextlib.contextmanager
    def edit(self, id: str) -> Iterator[Session]:
        """Load, change anything, saved once on exit; nothing is saved if the block raises. ``Conflict``."""
        session = self.load(id)
        yield session
        self.save(session)

    def touch(self, id: str, ttl: Duration | None = None) -> SessionInfo:
        """Let the session's life begin anew, with another ttl where one is given; ``updated_at`` stays as it is."""
        span = None if ttl is None else to_duration(ttl)
        return SessionInfo(self._passes.touch(self._key(id), id, span))

    def lease(self, id: str, timeout: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Hold the session's turn, one holder at a time over all threads and processes. ``LeaseTimeout``.

        ``timeout`` in seconds; None waits for ever. The session need not exist. A process that dies lets go.
        """
        self._check_open()
        return self._leases.lease(self._key(id), timeout)

    # -- many sessions -------------------------------------------------------------------------------------------------

    def list(
        self,
        *,
        order: Order = "newest",
        limit: int | None = None,
        offset: int = 0,
        after: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """Living sessions that match every filter, by the time of their last change, without opening a body.

        ``after`` is the ``.after`` of an earlier page: a cursor that stays right while sessions change. What another
        process wrote within the last moment (50 ms) may be missing.
        """
        tags = self._listing.tags(**filters)
        return self._listing.page(tags, order=order, limit=limit, offset=offset, after=after)

    def count(self, **filters: Unpack[Filters]) -> int:
        """How many living sessions match every filter."""
        return self._listing.count(self._listing.tags(**filters))

    def sweep(self, *, dry_run: bool = False, progress: Callable[[int], object] | None = None) -> int:
        """Remove sessions that have expired, and only those; how many. ``dry_run`` only counts.

        Each is removed on the word of its own newest head, read under its lock: one renewed meanwhile survives, a
        forged index row removes nothing, and what cannot be read is left alone. ``progress`` is told the count so far.
        """
        swept = 0
        for row in self._listing.expired():
            try:
                swept += self._passes.sweep(row.key, dry_run=dry_run)
            except Unreadable as error:
                _log.warning("not swept: %s: %s", row.key, error)
            if progress is not None:
                progress(swept)
        return swept

    def start_sweeper(self, interval: Duration = "5m") -> None:
        """Sweep in a background thread every ``interval``, until ``close()``. A second call changes the interval."""
        self._check_open()
        seconds = to_duration(interval) / 1_000_000
        if self._sweeper is not None:
            self._sweeper.stop()
        self._sweeper = Sweeper(self.sweep, seconds)

    # -- the store itself ----------------------------------------------------------------------------------------------

    def reindex(self) -> None:
        """Derive the index anew from the sessions themselves."""
        self._check_open()
        self._backend.reindex()

    def stats(self) -> dict[str, Any]:
        """Counts and bytes, of the backend and of the cache."""
        self._check_open()
        cache = self._coherent.cache
        return {
            "backend": self._backend.traits.name,
            **self._backend.stats(),
            "cache_sessions": len(cache),
            "cache_bytes": cache.weight,
            "cache_hits": cache.hits,
            "cache_misses": cache.misses,
        }

    def health(self) -> dict[str, Any]:
        """One verdict, ``ok``, and what it rests on: where the store lies, its key's source, each component."""
        self._check_open()
        components = self._backend.health()
        return {
            "ok": all(problem is None for problem in components.values()),
            "where": self.origin.where,
            "key": self.origin.key,
            **{name: problem or "ok" for name, problem in components.items()},
        }

    def close(self) -> None:
        """Stop the sweeper, write the index and let go of everything. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.stop()
            self._sweeper = None
        self._backend.close()
        self._coherent.cache.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        """Of the verbs that could do without the backend; the others are refused by it."""
        if self._closed:
            raise RuntimeError("the store is closed")

    def _derive_key(self, id: str) -> str:
        return ids.key(self._keyring.naming_key, ids.parse(id), readable=self._keyring.readable_names)

    def _new_head(self, id: str, facts: Facts) -> Head:
        """The head of a session that begins now."""
        if unknown := facts.keys() - Facts.__annotations__.keys():
            raise TypeError(f"a session has no fact named {', '.join(sorted(unknown))}")
        now, defaults = self._clock.now(), self._defaults
        created, updated, expires = _past(facts, now)
        ttl = facts.get("ttl", UNSET if expires is None else None)
        span = defaults.ttl if isinstance(ttl, _Unset) else None if ttl is None else to_duration(ttl)
        sliding = facts.get("sliding")
        most = facts.get("max_messages")
        return checked(
            Head(
                id=ids.parse(id),
                created=created,
                updated=updated,
                user_id=facts.get("user_id"),
                tenant_id=facts.get("tenant_id"),
                assistant_id=facts.get("assistant_id"),
                title=facts.get("title"),
                labels=named(facts.get("labels") or {}),
                expires=now + span if span is not None and expires is None else expires,
                ttl=span,
                sliding=defaults.sliding if sliding is None else sliding,
                max_messages=defaults.max_messages if most is None else most,
            )
        )


def _past(facts: Facts, now: int) -> tuple[int, int, int | None]:
    """``(created, updated, expires)`` of a new session, which may have a past elsewhere."""
    given: dict[str, int] = {}
    for name in ("created_at", "updated_at", "expires_at"):
        moment: Any = facts.get(name)
        if moment is not None:
            try:
                given[name] = to_micros(moment)
            except (TypeError, AttributeError, ValueError):
                raise InvalidDocument(f"{name} is an aware datetime, not {moment!r:.60}", path=name) from None
            if given[name] < 0:
                raise InvalidDocument(f"{name} lies before 1970", path=name)
    created = given.get("created_at", given.get("updated_at", now))
    updated = given.get("updated_at", created)
    expires = given.get("expires_at")
    if updated < created:
        raise InvalidDocument("updated_at lies before created_at", path="updated_at")
    if expires is not None and expires <= now:
        raise InvalidDocument("expires_at has passed: the session would be gone at once", path="expires_at")
    return created, updated, expires
