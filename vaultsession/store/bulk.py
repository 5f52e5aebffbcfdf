"""The verbs over many sessions: listing, searching, batches, export and import, sweeping, verifying."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar, Unpack, cast

import orjson

from ..backends.protocol import Backend
from ..engine.cache import SessionCache
from ..engine.listing import Listing, Order
from ..engine.operations import Edit, Existing, Operations, absent
from ..engine.reader import Document, Reader
from ..errors import (
    BackendUnavailable,
    InvalidSetting,
    PartialFailure,
    SessionNotFound,
    Unreadable,
    VaultError,
    without_frames,
)
from ..format import document
from ..format.head import Head
from ..format.payload import Json
from ..format.sealed import Query
from ..util.clock import Clock
from ..util.lazy import LazyModule
from ..util.metrics import Metrics, verb
from ..util.parallel import parallel_map
from .fields import Defaults, DocumentFields, Filters, ImportedFields, new_head, shows_fields
from .session import Page, Session, SessionInfo
from .typed_state import Shape, StateT

if TYPE_CHECKING:
    from ..engine import search as searching
    from ..engine import verify as checkup
    from ..engine.search import Match, Needle, Search
    from ..engine.verify import Verification
    from ..format import jsonl
else:
    checkup, searching, jsonl = map(LazyModule, (".engine.verify", ".engine.search", ".format.jsonl"))

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger("vaultsession")

_TOGETHER = 4096
"""Sessions that a backend is asked to remove at once."""


class Imported(NamedTuple):
    """What became of the lines of an import. ``expired`` are those whose time ran out meanwhile: they are left out.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store, open_store("memory://") as other:
    ...     session = store.create("alice")
    ...     other.import_(store.export())
    Imported(made=1, replaced=0, skipped=0, expired=0)
    """

    made: int = 0
    replaced: int = 0
    skipped: int = 0
    expired: int = 0


class Verified(NamedTuple):
    """What a verification found: counts, and the sessions with a problem.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice")
    ...     verified = store.verify()
    >>> verified.ok, verified.sessions, verified.problems
    (True, 1, ())
    """

    sessions: int
    records: int
    bytes: int
    problems: tuple[Verification, ...]

    @property
    def ok(self) -> bool:
        """Whether every record of every session authenticates."""
        return not self.problems


class ManySessions(Generic[StateT]):
    """The part of a SessionStore that is about many sessions at once."""

    _backend: Backend
    _reader: Reader
    _operations: Operations
    _listing: Listing
    _coherent: SessionCache
    _clock: Clock
    _defaults: Defaults
    _watch: Metrics
    _shape: Shape[StateT] | None
    _key: Callable[[str], str]
    _check_open: Callable[[], None]

    # -- listing -------------------------------------------------------------------------------------------------------

    @verb
    @shows_fields(Filters)
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
        heads, behind = self._listing.page(tags, order=order, limit=limit, offset=offset, after=after)
        return Page([SessionInfo(head) for head in heads], behind)

    @verb
    @shows_fields(Filters)
    def count(self, **filters: Unpack[Filters]) -> int:
        """How many living sessions match every filter."""
        return self._listing.count(self._listing.tags(**filters))

    @shows_fields(Filters)
    def search(
        self,
        needle: Needle,
        *,
        ignore_case: bool = False,
        state: bool = False,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> Iterator[Match]:
        """Matches of a text or a compiled pattern in the messages of living sessions, those changed last first.

        Found is the first match within each text value of a message, as it reads and not as JSON escapes it; with
        ``state`` in the state as well. ``ignore_case`` compares as ``re.IGNORECASE`` does. Sessions are opened one at
        a time while the matches are read; reading them extends no life. ``progress`` is told how many sessions are
        done. ``limit`` ends the search after so many matches. ``PartialFailure``, behind the last match, for sessions
        that could not be read.
        """
        self._check_open()
        if limit is not None and limit < 1:
            raise InvalidSetting(f"limit is at least 1, not {limit!r}")
        probe = searching.Probe(needle, ignore_case=ignore_case)
        tags = self._listing.tags(**filters)
        return self._searching().matches(probe, tags, state=state, limit=limit, progress=progress)

    # -- batches -------------------------------------------------------------------------------------------------------

    @verb
    def save_many(
        self, sessions: Iterable[Session[StateT] | DocumentFields], *, overwrite: bool = False
    ) -> Sequence[Session[StateT]]:
        """Save each, in the way of ``save``: a loaded session, or a mapping of an id, a document and facts.

        They are written side by side, so that their flushes overlap. Each is written whole or not at all, by itself:
        ``PartialFailure`` tells those that failed, when all have been tried.
        """
        self._check_open()

        def save(item: Session[StateT] | DocumentFields) -> Session[StateT]:
            if isinstance(item, Session):
                return self._save(item, overwrite=overwrite)
            facts, state, messages = {**item}, item.get("state"), item.get("messages", ())
            for name in ("id", "state", "messages"):
                facts.pop(name, None)
            head = self._new_head(item["id"], facts)  # type: ignore[arg-type]  # what is left of it is its facts
            return self._shown(
                self._operations.put(self._key(head.id), head, self._plain(state), messages, replace=True)
            )

        named = ((item.id if isinstance(item, Session) else item["id"], item) for item in sessions)
        done, failures = _batch(save, named, overlap=self._backend.traits.waits)
        if failures:
            raise PartialFailure.of("saved", failures, done)
        return done

    @verb
    def load_many(self, ids: Iterable[str]) -> Mapping[str, Session[StateT]]:
        """The sessions by their ids; those that are absent or expired are left out. ``PartialFailure`` for damage."""
        self._check_open()

        def load(id: str) -> tuple[str, Session[StateT]] | None:
            try:
                return id, self._shown(self._operations.load(self._key(id), id))
            except SessionNotFound:
                return None

        found, failures = _batch(load, ((name, name) for name in ids), overlap=self._backend.traits.shared)
        sessions = dict(filter(None, found))
        if failures:
            raise PartialFailure.of("loaded", failures, sessions)
        return sessions

    @verb
    def delete_many(self, ids: Iterable[str]) -> int:
        """Remove each at once, side by side; how many there were. ``PartialFailure``, when all have been tried."""
        self._check_open()

        removed = 0
        failures: dict[str, VaultError] = {}
        for portion in _portions(ids):
            names: dict[str, str] = {}
            for name in portion:
                try:
                    names[self._key(name)] = name
                except VaultError as error:
                    failures[name] = without_frames(error)
            try:
                outcomes = self._operations.remove_each([*names])
            except VaultError as error:
                outcomes = dict.fromkeys(names, without_frames(error))
            for key, outcome in outcomes.items():
                if isinstance(outcome, VaultError):
                    failures[names[key]] = outcome
                else:
                    removed += outcome
        if failures:
            raise PartialFailure.of("removed", failures, removed)
        return removed

    # -- to other places, and back -------------------------------------------------------------------------------------

    @shows_fields(Filters)
    def export(
        self,
        ids: Iterable[str] | None = None,
        *,
        progress: Callable[[int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> Iterator[bytes]:
        """Living sessions as JSON lines, decrypted: the format is told in ``vaultsession.format.jsonl``.

        Those of the ``ids``, or all that match every filter, oldest change first; one session is held at a time.
        ``SessionNotFound``, ``SessionExpired`` for an id; ``PartialFailure``, behind the last line, for sessions that
        could not be read.
        """
        self._check_open()
        if ids is not None and filters:
            raise InvalidSetting("give ids, or filters")
        return self._lines(ids, self._listing.tags(**filters), progress)

    def _lines(
        self, ids: Iterable[str] | None, tags: tuple[bytes, ...], progress: Callable[[int], object] | None
    ) -> Iterator[bytes]:
        room = self._searching()
        failures: dict[str, VaultError] = {}
        told: set[str] = set()  # a session that is changed meanwhile is listed again
        for name in ids if ids is not None else (head.id for head in self._listing.each(tags, order="oldest")):
            if name in told:
                continue
            told.add(name)
            try:
                loaded = room.loaded(name)
                if loaded is not None and not loaded.head.is_expired(self._clock.now()):
                    state = orjson.dumps(document.state_of(loaded.bodies))
                    yield jsonl.line_of(loaded.head, state, document.elements(loaded.bodies))
                elif ids is not None:
                    raise absent(name)
            except (Unreadable, BackendUnavailable) as error:
                failures[name] = without_frames(error)
            if progress is not None:
                progress(len(told))
        if failures:
            raise PartialFailure.of("exported", failures)

    @verb
    def import_(
        self,
        lines: Iterable[bytes],
        *,
        existing: Existing = "error",
        progress: Callable[[int], object] | None = None,
    ) -> Imported:
        """Write exported sessions, with their ids, times, owners and life spans as they were.

        ``lines`` is a file opened for reading bytes, or any iterable of lines. Each session is written whole before the
        next line is read. ``existing`` says what becomes of a living session of the same id: "error" raises
        ``SessionExists``, "skip" leaves it, "replace" replaces it. A line that is damaged or refused ends the import:
        the error names it, and the lines before it are written. ``progress`` is told how many lines are done.
        """
        if existing not in ("error", "skip", "replace"):
            raise InvalidSetting(f"existing is 'error', 'skip' or 'replace', not {existing!r}")
        self._check_open()
        counts: Counter[str] = Counter()
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    counts[self._restore(line, existing)] += 1
            except VaultError as error:
                error.args = (f"line {number}: {error}",)
                raise
            if progress is not None:
                progress(number)
        return Imported(**counts)

    def _restore(self, line: bytes, existing: Existing) -> str:
        head, state, messages = jsonl.read_line(line, self._clock.now())
        if head.is_expired(self._clock.now()):
            return "expired"
        if self._shape is not None:
            self._shape.read(state)
        return self._operations.restore(self._key(head.id), head, state, messages, existing=existing)

    # -- upkeep --------------------------------------------------------------------------------------------------------

    @verb
    def sweep(self, *, dry_run: bool = False, progress: Callable[[int], object] | None = None) -> int:
        """Remove sessions that have expired, and only those; how many. ``dry_run`` only counts.

        Each is removed on the word of its newest head, held against its container under its lock: one renewed meanwhile
        survives, a forged index row removes nothing, and what cannot be read is left alone. ``progress`` is told the
        count so far, as batches are done.
        """
        swept = 0
        for rows in _portions(self._listing.expired()):
            outcomes = self._operations.sweep([row.key for row in rows], dry_run=dry_run)
            swept += sum(outcome is True for outcome in outcomes.values())
            if progress is not None:
                progress(swept)
            for key, outcome in outcomes.items():
                if isinstance(outcome, Unreadable):
                    _log.warning("not swept: %s: %s", key, outcome)
                elif isinstance(outcome, VaultError):
                    raise outcome
        return swept

    @verb
    def verify(self, *, progress: Callable[[int], object] | None = None) -> Verified:
        """Open and authenticate every record of every session that is listed, expired ones included. Changes nothing.

        What is wrong is told and not raised. ``progress`` is told how many sessions are done.
        """
        sessions = records = size = 0
        problems = []
        for row in self._backend.scan(Query(newest_first=False)):
            found = checkup.check(self._backend, self._reader, row.key)
            if found.verdict is checkup.Verdict.MISSING and self._backend.head(row.key) is None:
                continue  # removed since it was listed
            sessions, records, size = sessions + 1, records + found.records, size + found.size
            if found.verdict is not checkup.Verdict.OK:
                problems.append(found)
            if progress is not None:
                progress(sessions)
        return Verified(sessions, records, size, tuple(problems))

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _shown(self, loaded: Document) -> Session[StateT]:
        """A document as its user sees it."""
        return Session(loaded.head, loaded.document.hex(), loaded.bodies, self._shape)

    def _save(self, session: Session[StateT], *, overwrite: bool) -> Session[StateT]:
        """Write a loaded session, which then is what was written."""
        head, new_ttl = session.pending()
        messages = session.messages
        edit = Edit(head, new_ttl, session.version, session.known_bodies(), session.plain_state(), messages)
        session.follow(self._shown(self._operations.save(self._key(session.id), edit, overwrite=overwrite)))
        return session

    def _searching(self) -> Search:
        return searching.Search(self._listing, self._coherent, self._reader, self._key)

    def _plain(self, state: StateT | None) -> Json:
        """The state as a JSON object; one that is not given is empty, or what the state_type begins with."""
        if self._shape is None:
            return {} if state is None else cast("Json", state)
        return self._shape.write(self._shape.read({}) if state is None else state)

    def _new_head(self, id: str, facts: ImportedFields) -> Head:
        return new_head(id, facts, self._defaults, self._clock.now())


def _portions(items: Iterable[T]) -> Iterator[Sequence[T]]:
    """The items, as many at a time as a backend is asked to remove at once."""
    rest = iter(items)
    while portion := list(islice(rest, _TOGETHER)):
        yield portion


def _batch(
    work: Callable[[T], R], items: Iterable[tuple[str, T]], *, overlap: bool
) -> tuple[list[R], dict[str, VaultError]]:
    """What the work gives for each item, in order, and the error of each id that failed."""
    failures: dict[str, VaultError] = {}

    def attempt(item: tuple[str, T]) -> list[R]:
        try:
            return [work(item[1])]
        except VaultError as error:
            failures[item[0]] = without_frames(error)
            return []

    with closing(parallel_map(attempt, items, overlap=overlap)) as found:
        return [each for some in found for each in some], failures
