"""SessionStore: the verbs of a session store.

Threads may share a store; processes may open a vault as often as they like. A verb that writes returns after the flush
(``durability="sync"``) and leaves the old or the new session behind, never a mix, whatever it raises.

Errors common to all verbs, beside those that each one names: ``InvalidSessionId``, ``Damaged`` (``RollbackDetected``),
``UnknownKey``, ``UnknownDictionary``, ``UnsupportedFormat``, ``BackendUnavailable``; of those that write also
``InvalidDocument``, ``TooLarge`` and ``DurabilityUnknown``. A closed store raises ``RuntimeError``.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, Unpack

from ..backends.leases import Leases
from ..backends.protocol import Backend
from ..engine.cache import SessionCache
from ..engine.operations import Existing, Operations
from ..engine.reader import Reader
from ..engine.writer import Writer
from ..errors import InvalidSetting, SessionNotFound
from ..format import ids
from ..format.dictionaries import USUAL_SIZE
from ..format.payload import Json
from ..util.clock import Clock, Duration, to_duration
from ..util.lazy import LazyModule
from ..util.metrics import Metrics, Tracing
from .documents import Documents
from .fields import (
    ConversationFields,
    Defaults,
    DocumentFields,
    Filters,
    ImportedFields,
    SessionFields,
    StoreInfo,
    checked_page,
    shows_fields,
)
from .session import Messages, Page, Session, SessionInfo, Snapshot
from .typed_state import Shape, StateT
from .verb import checked, verb

if TYPE_CHECKING:
    from ..engine import erasure, listing, rotation, sweeper, trainer
    from ..engine import search as searching
    from ..engine.rotation import KeyUse, Progress, Rotation
    from ..engine.search import Match, Needle
    from ..engine.trainer import Trained
    from . import bulk, health
    from . import conversation as conversations
    from .conversation import Conversation
    from .health import HealthProbe
    from .steps import Agent
else:
    erasure, listing, rotation = map(LazyModule, (".engine.erasure", ".engine.listing", ".engine.rotation"))
    searching, sweeper, trainer = map(LazyModule, (".engine.search", ".engine.sweeper", ".engine.trainer"))
    bulk, conversations, health = map(LazyModule, (".store.bulk", ".store.conversation", ".store.health"))


class SessionStore(Generic[StateT]):
    """The sessions of one vault. Made by ``open_store``; ``close()`` it, or use it as a context manager.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice", labels={"team": "red"}, state={"step": 1})
    ...     info = store.append("alice", {"role": "user", "content": "hi"})
    ...     info = store.update("alice", {"step": 2})
    ...     store.load("alice").state, store.messages("alice"), store.count(labels={"team": "red"})
    ({'step': 2}, [{'role': 'user', 'content': 'hi'}], 1)
    """

    def __init__(
        self,
        backend: Backend,
        reader: Reader,
        writer: Writer,
        leases: Leases,
        clock: Clock,
        *,
        origin: StoreInfo,
        defaults: Defaults | None = None,
        cache_bytes: int = 64 << 20,
        shape: Shape[StateT] | None = None,
        tracing: Tracing | None = None,
        new_id: Callable[[int], str] = ids.new,
    ) -> None:
        self.origin = origin
        self._backend = backend
        self._reader = reader
        self._leases = leases
        self._clock = clock
        self._cache = SessionCache(backend, reader, cache_bytes)
        self._shape = shape
        self._operations = Operations(backend, reader, writer, self._cache, clock)
        self._writer = writer
        self._sweeper: sweeper.Sweeper | None = None
        self._closed = False
        self._documents = Documents(
            self._operations,
            reader.keyring,
            clock,
            slugs=backend.traits.slugs,
            defaults=defaults or Defaults(),
            shape=shape,
            new_id=new_id,
        )
        self._key = self._documents.key
        self._watch = Metrics(tracing)

    # -- whole sessions ------------------------------------------------------------------------------------------------

    @verb
    @shows_fields(ImportedFields)
    def create(
        self,
        id: str | None = None,
        *,
        state: StateT | None = None,
        messages: Sequence[Json] = (),
        **fields: Unpack[ImportedFields],
    ) -> Session[StateT]:
        """Make a new session, with a UUIDv7 where no id is given. ``SessionExists`` where a living one has the id.

        Owners (``user_id``, ``tenant_id``, ``assistant_id``) and ``labels`` are what listings and searches filter by.
        ``ttl`` is the life span: seconds, "30m", "24h", "7d" or a timedelta; None keeps the session for ever. A
        ``sliding`` one is extended by reading and writing. The newest ``max_messages`` of the history are kept, a
        tool's result together with its call. For a session that has a past elsewhere: ``created_at``, ``updated_at``
        and ``expires_at``, aware datetimes. ``ttl``, ``sliding`` and ``max_messages`` are by default the store's.
        """
        return self._documents.put(id, state, messages, fields, replace=False)

    @verb
    @shows_fields(ImportedFields)
    def save(
        self,
        session: Session[StateT] | str,
        *,
        overwrite: bool = False,
        erase: bool = False,
        state: StateT | None = None,
        messages: Sequence[Json] = (),
        **fields: Unpack[ImportedFields],
    ) -> Session[StateT]:
        """Write a whole document. ``erase``: what it no longer holds is not left behind in the file, as of ``clear``.

        A loaded ``Session`` is saved as it is, compared and swapped: ``Conflict`` if someone saved since, and
        ``SessionNotFound`` if it was removed; ``overwrite=True`` writes in any case. ``version`` is then the new one.
        Of a large document that changed little since it was loaded, what changed is written.
        An id with a document and the fields of ``create`` creates or replaces, since there is no version to compare.
        """
        if isinstance(session, str):
            return self._documents.put(session, state, messages, fields, replace=True, erase=erase)
        if state is not None or messages or fields:
            raise InvalidSetting("a Session is saved as it is: change it, then save it")
        return self._documents.save(session, overwrite=overwrite, erase=erase)

    @verb
    def load(self, id: str) -> Session[StateT]:
        """The session. ``SessionNotFound``, ``SessionExpired``."""
        return self._documents.load(id)

    @checked
    def load_if_warm(self, id: str) -> Session[StateT] | None:
        """The session if it is cached, the newest, and reading it writes nothing; else None. Never waits."""
        started = time.perf_counter_ns()
        session = self._documents.warm(id)
        if session is None:
            return None
        self._watch.latency("load").note(time.perf_counter_ns() - started)
        return session

    @verb
    def get(self, id: str, default: Any = None) -> Any:  # noqa: ANN401 - as in dict.get
        """The session, or the default where it is absent or expired; damage is raised, never defaulted."""
        try:
            return self.load(id)
        except SessionNotFound:
            return default

    @verb
    @shows_fields(SessionFields)
    def copy(
        self, id: str, new_id: str | None = None, *, until: int | None = None, **fields: Unpack[SessionFields]
    ) -> Session[StateT]:
        """Fork: a new session with the state and the history of another, or with the first ``until`` messages alone.

        Its life begins now, with the fields of the other apart from those that are given. ``SessionNotFound``,
        ``SessionExpired``; ``SessionExists`` where a living session has the new id, a UUIDv7 where none is given.
        """
        return self._documents.fork(id, new_id, until, fields)

    @verb
    def delete(self, id: str, *, shred: bool = False, if_version: str | None = None) -> bool:
        """Remove the session at once; False where there was none. ``Conflict`` where it is not of that version.

        ``shred`` overwrites its file, and its copies in quarantine, before they go (on files; elsewhere it is a
        removal). What journals, snapshots, worn cells of a medium, mirrors and backups keep is beyond its reach.
        """
        return self._operations.remove(self._key(id), id, shred=shred, expected=if_version)

    @verb
    def exists(self, id: str) -> bool:
        """Whether there is a living session of that id."""
        return self._operations.exists(self._key(id))

    # -- parts of a session --------------------------------------------------------------------------------------------

    @verb
    @shows_fields(SessionFields)
    def append(
        self,
        id: str,
        *messages: Json,
        create: bool = False,
        dedupe: bool | str = False,
        state: Mapping[str, Any] | None = None,
        unset: str | Iterable[str] = (),
        if_version: str | None = None,
        **fields: Unpack[SessionFields],
    ) -> SessionInfo:
        """Add messages to the history, and set keys of the ``state`` and ``unset`` others, in one record: all or none.

        What it costs follows what is added. Errors as of ``load``; ``Conflict`` where the newest document is not of
        ``if_version``. ``create`` makes the session where there is none, with the ``fields``. ``dedupe`` leaves out
        messages whose ``id``, or field of the name that is given, is there already, and reads the history for it.
        """
        return self._documents.append(
            id, messages, fields, create=create, dedupe=dedupe, state=state, unset=unset, if_version=if_version
        )

    @verb
    def replace_last(self, id: str, n: int, *messages: Json, if_version: str | None = None) -> SessionInfo:
        """Put messages in the place of the newest ``n``, or of fewer where there are not so many, in one record."""
        return self._documents.append(id, messages, {}, pop=n, if_version=if_version)

    @verb
    def info(self, id: str) -> SessionInfo:
        """Fields, count and version without the document, at any size; extends no life. As ``load`` raises."""
        return self._documents.info(id)

    @verb
    def messages(
        self, id: str, *, offset: int | None = None, limit: int | None = None, last: int | None = None
    ) -> Messages:
        """A page of the history, oldest to newest: ``limit`` from ``offset`` on, or the ``last`` ones; all by default.

        The last ones are read from the tail, whatever the length of the history. Errors as of ``load``.
        """
        wanted, first = checked_page(offset, limit, last)
        return self._documents.messages(id, wanted=wanted, offset=first)

    @verb
    def snapshot(self, id: str, *, last: int = 0) -> Snapshot[StateT]:
        """The state and the ``last`` messages, of one version, in one read. Errors as of ``load``."""
        return self._documents.snapshot(id, checked_page(None, None, last)[0])

    @verb
    def pop(self, id: str, n: int = 1) -> list[Json]:
        """Remove the newest ``n`` messages and return them, oldest first; fewer where there are fewer."""
        return self._operations.pop(self._key(id), id, n)

    @verb
    def clear(self, id: str) -> SessionInfo:
        """Empty the history and keep the session. Nothing of the history stays in the file."""
        return self._documents.clear(id)

    @verb
    @shows_fields(SessionFields)
    def update(
        self,
        id: str,
        changes: Mapping[str, Any] | Callable[[Session[StateT]], object],
        *,
        unset: str | Iterable[str] = (),
        create: bool = False,
        if_version: str | None = None,
        **fields: Unpack[SessionFields],
    ) -> SessionInfo:
        """Merge a mapping into the state and ``unset`` other keys, or apply a function to the loaded session and save.

        Both are atomic over all threads and processes: a function is applied again, to what is newest then, where
        someone else saved in between. Where it changes nothing, nothing is written. Else as ``append``.
        """
        return self._documents.update(id, changes, fields, unset=unset, create=create, if_version=if_version)

    @contextlib.contextmanager
    def edit(self, id: str) -> Iterator[Session[StateT]]:
        """Load, change anything, saved once on exit; nothing is saved if the block raises. ``Conflict``."""
        session = self.load(id)
        yield session
        self.save(session)

    @verb
    def touch(self, id: str, ttl: Duration | None = None) -> SessionInfo:
        """Let the session's life begin anew, with another ttl where one is given; ``updated_at`` stays as it is."""
        return self._documents.touch(id, None if ttl is None else to_duration(ttl, "ttl"))

    @checked
    def lease(self, id: str, timeout: float | None = None) -> contextlib.AbstractContextManager[None]:
        """Hold the session's turn, one holder at a time over all threads and processes. ``LeaseTimeout``.

        ``timeout`` in seconds; None waits for ever. The session need not exist. The lease of a process that dies ends.
        """
        self._check_open()
        return self._leases.lease(self._key(id), timeout)

    @checked
    @shows_fields(ConversationFields)
    def conversation(
        self, id: str | None = None, *, agent: Agent, **fields: Unpack[ConversationFields]
    ) -> Conversation:
        """The session as a conversation that an agent answers; a new id where none is given. Nothing is written."""
        return conversations.Conversation(self, id, agent=agent, **fields)

    # -- listings ------------------------------------------------------------------------------------------------------

    @verb
    @shows_fields(Filters)
    def list(
        self,
        *,
        order: listing.Order = "newest",
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
        found, behind = self._listing.page(tags, order=order, limit=limit, offset=offset, after=after)
        return Page([SessionInfo(*each) for each in found], behind)

    @verb
    @shows_fields(Filters)
    def count(self, **filters: Unpack[Filters]) -> int:
        """How many living sessions match every filter."""
        return self._listing.count(self._listing.tags(**filters))

    @checked
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

        The first match within each text value of a message is found, as it reads and not as JSON escapes it; with
        ``state`` those of the state as well. ``ignore_case`` compares as ``re.IGNORECASE`` does. Sessions are opened
        one at a time while the matches are read; reading them extends no life. ``limit`` ends the search after so many
        matches. ``progress`` is called with the number of sessions that are done. ``PartialFailure``, behind the last
        match, for sessions that could not be read. A pattern is matched by ``re``, which some keep busy for ever, and
        with it the whole process: of users who are not trusted take texts.
        """
        self._check_open()
        if limit is not None and limit < 1:
            raise InvalidSetting(f"limit is at least 1, not {limit!r}")
        probe = searching.Probe(needle, ignore_case=ignore_case)
        tags = self._listing.tags(**filters)
        return self._search().matches(probe, tags, state=state, limit=limit, progress=progress)

    # -- many sessions -------------------------------------------------------------------------------------------------

    @verb
    def save_many(
        self, sessions: Iterable[Session[StateT] | DocumentFields], *, overwrite: bool = False
    ) -> Sequence[Session[StateT]]:
        """Save each, in the way of ``save``: a loaded session, or a mapping of an id, a document and fields.

        They are written side by side, so that their flushes overlap. Each is written whole or not at all, by itself:
        ``PartialFailure`` names those that failed, when all have been tried.
        """
        self._check_open()
        return bulk.save_many(self._documents, sessions, overwrite=overwrite, traits=self._backend.traits)

    @verb
    def load_many(self, ids: Iterable[str]) -> Mapping[str, Session[StateT]]:
        """The sessions by their ids; those that are absent or expired are left out. ``PartialFailure`` for damage."""
        self._check_open()
        return bulk.load_many(self._documents, ids, overlap=self._backend.traits.shared)

    @checked
    def load_each(self, ids: Iterable[str]) -> Iterator[Session[StateT]]:
        """As ``load_many``, in order and one at a time. ``PartialFailure`` behind the last one, for damage."""
        self._check_open()
        return bulk.load_each(self._documents, ids, overlap=self._backend.traits.shared)

    @verb
    def delete_many(self, ids: Iterable[str]) -> int:
        """Remove each at once, side by side; how many there were. ``PartialFailure``, when all have been tried."""
        self._check_open()
        return bulk.delete_many(self._operations, self._key, ids)

    @checked
    @shows_fields(Filters)
    def export(
        self,
        ids: Iterable[str] | None = None,
        *,
        progress: Callable[[int], object] | None = None,
        **filters: Unpack[Filters],
    ) -> Iterator[bytes]:
        """Living sessions as JSON lines, decrypted, in the format of ``vaultsession.format.jsonl``.

        Those of the ``ids``, or all that match every filter, oldest change first; one session is held at a time.
        ``SessionNotFound``, ``SessionExpired`` for an id; ``PartialFailure``, behind the last line, for sessions that
        could not be read.
        """
        self._check_open()
        if ids is not None and filters:
            raise InvalidSetting("give ids, or filters")
        tags = self._listing.tags(**filters)
        names = ids if ids is not None else (head.id for head in self._listing.each(tags, order="oldest"))
        return bulk.export(self._search(), names, self._clock, progress, listed=ids is None)

    @verb
    def import_(
        self,
        lines: Iterable[bytes],
        *,
        existing: Existing = "error",
        progress: Callable[[int], object] | None = None,
    ) -> bulk.Imported:
        """Write exported sessions, with their ids, times, owners and life spans as they were.

        ``lines`` is a file opened for reading bytes, or any iterable of lines. Each session is written whole before the
        next line is read. A living session of the same id: ``existing`` "error" raises ``SessionExists``, "skip" leaves
        it, "replace" replaces it. A line that is damaged or refused ends the import: the error names it, and the lines
        before it are written. ``progress`` is called with the number of lines that are done.
        """
        self._check_open()
        return bulk.import_lines(self._documents, lines, existing, self._clock, progress)

    @verb
    def sweep(
        self, *, dry_run: bool = False, believe_clock: bool = False, progress: Callable[[int], object] | None = None
    ) -> int:
        """Remove sessions that have expired, and only those; how many. ``dry_run`` only counts.

        The newest head decides, compared with its container under its lock: a session that was renewed meanwhile
        survives, a forged index row removes nothing, and what cannot be read is left alone. ``progress`` gets the count
        so far. ``SweepRefused``, unless you ``believe_clock``: it is a year beyond the newest change of the vault.
        """
        now = None if believe_clock else self._clock.now()
        return bulk.sweep(self._operations, self._listing, now, dry_run=dry_run, progress=progress)

    @verb
    def verify(self, *, progress: Callable[[int], object] | None = None) -> bulk.Verified:
        """Open and authenticate every record of every session that is listed, expired ones included. Changes nothing.

        What is wrong is returned and not raised. ``progress`` is called with the number of sessions that are done.
        """
        return bulk.verify(self._backend, self._reader, progress)

    # -- keys ----------------------------------------------------------------------------------------------------------

    @verb
    def rotate_key(self, *, progress: Progress | None = None, drop_dictionaries: Collection[int] = ()) -> Rotation:
        """Put a new master key in use, and seal every session under it, while others work; old keys become retired.

        The next call resumes one that was killed or failed half-way. ``progress`` is called with the sessions done and
        their total. What cannot be read stays, and is named in ``left``. ``drop_dictionaries`` are deleted, by number.
        """
        return self._rotator().rotate(progress, drop_dictionaries)

    @verb
    def prune_keys(self) -> tuple[str, ...]:
        """Delete retired keys, tenants' too; their ids. ``Conflict`` while a session needs one; backups may, unseen."""
        return self._rotator().prune()

    @verb
    def key_usage(self) -> Sequence[KeyUse]:
        """The keys that sessions lie under, and how many under each."""
        return self._rotator().usage()

    @verb
    def destroy_tenant(self, tenant_id: str) -> erasure.Receipt:
        """Destroy the keys of a tenant for good and remove its sessions; the receipt says what that does not reach.

        Backups of its sessions are unreadable from then on, unless someone has a copy of the tenant's key file: see
        ``tenants``. ``InvalidSetting`` where the vault was made without ``tenant_keys``, or knows no such tenant.
        """
        self._check_open()
        return erasure.Erasure(self._backend, self._reader, self._clock, self._operations.remove).destroy(tenant_id)

    # -- the store itself ----------------------------------------------------------------------------------------------

    @verb
    def start_sweeper(self, interval: Duration = "5m") -> None:
        """Sweep in a background thread every ``interval``, until ``close()``. A second call changes the interval."""
        self._check_open()
        seconds = to_duration(interval, "interval") / 1_000_000
        if self._sweeper is not None:
            self._sweeper.stop()
        self._sweeper = sweeper.Sweeper(self.sweep, seconds)

    @verb
    def reindex(self) -> None:
        """Derive the index anew from the sessions themselves."""
        self._check_open()
        self._backend.reindex()

    @verb
    @shows_fields(Filters)
    def train(
        self,
        *,
        size: int = USUAL_SIZE,
        dry_run: bool = False,
        progress: Progress | None = None,
        **filters: Unpack[Filters],
    ) -> Trained:
        """Learn a dictionary of at most ``size`` bytes from the newest sessions that match, and what it saves.

        New records are compressed with it, by this store at once, by others when they are opened. It is kept, sealed,
        until a rotation drops it: it holds pieces of what it learned from. Where tenants have keys a ``tenant_id`` is
        needed: it serves that tenant and goes with it. ``dry_run`` only measures. ``TrainingRefused``: too little text.
        """
        self._check_open()
        training = trainer.Trainer(self._backend, self._reader, self._cache, self._clock, level=self._writer.level)
        return training.train(self._listing.tags(**filters), filters.get("tenant_id"), size, progress, dry_run=dry_run)

    @verb
    def stats(self) -> dict[str, Any]:
        """Counts and bytes, of the backend and of the cache, and how long each verb of this store has taken.

        ``ratio`` is how many bytes of JSON a stored byte holds, over the 200 sessions changed last. ``verbs`` has, by
        name: ``calls`` and ``errors``, and of its last 1024 calls ``p50_ms``, ``p90_ms``, ``p99_ms`` and ``max_ms``.
        """
        self._check_open()
        backend = {"backend": self._backend.traits.name, **self._backend.stats(), "ratio": self._listing.ratio()}
        return {**backend, **self._cache.stats(), "verbs": self._watch.summary()}

    def health(self) -> dict[str, Any]:
        """``ok``, and the reasons for it: where the store lies, the source of its key, each component.

        For a liveness probe: it never raises, and a backend that does not answer within two seconds is a problem.
        Settings of an engine that risk data in a crash are shown, and leave ``ok`` as it is; so is a mirror that is out
        of reach, which is a problem only after 15 minutes, or at once where it cannot recover by itself.
        """
        sweeper = {} if self._sweeper is None else {"sweeper": self._sweeper.problem()}
        return health.report(self._health, self._backend.notes, self.origin, closed=self._closed, sweeper=sweeper)

    @property
    def closed(self) -> bool:
        """Whether it was closed: every verb then raises ``RuntimeError`` with "the store is closed"."""
        return self._closed

    def close(self) -> None:
        """Stop the sweeper, write the index and release everything. Idempotent."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.stop()
            self._sweeper = None
        self._operations.close()
        self._backend.close()
        self._cache.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<SessionStore at {self.origin.where!r}{', closed' if self._closed else ''}>"

    def _check_open(self) -> None:
        """Of the verbs that could do without the backend; the others are refused by it."""
        if self._closed:
            raise RuntimeError("the store is closed")

    @functools.cached_property
    def _listing(self) -> listing.Listing:
        return listing.Listing(self._backend, self._reader, self._clock)

    @functools.cached_property
    def _health(self) -> HealthProbe:
        return health.HealthProbe(self._backend.health)

    def _search(self) -> searching.Search:
        return searching.Search(self._listing, self._cache, self._reader, self._key)

    def _rotator(self) -> rotation.Rotator:
        self._check_open()
        return rotation.Rotator(self._backend, self._reader, self._writer, self._cache)
