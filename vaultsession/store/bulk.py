"""What the verbs over many sessions do: batches, export and import, sweeping, verifying."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain, islice
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from ..backends.protocol import Backend, Traits
from ..engine.listing import Listing
from ..engine.operations import Existing, Operations, absent
from ..engine.reader import Reader
from ..errors import (
    BackendUnavailable,
    InvalidDocument,
    InvalidSetting,
    PartialFailure,
    SessionNotFound,
    SweepRefused,
    Unreadable,
    VaultError,
    without_frames,
)
from ..format import document
from ..format.ids import parse as parse_id
from ..format.sealed import Query
from ..util.clock import Clock, to_datetime
from ..util.lazy import LazyModule, log
from ..util.named_tuple import NamedTuple
from ..util.parallel import parallel_map
from .documents import Documents
from .fields import DocumentFields
from .session import Session
from .typed_state import StateT

if TYPE_CHECKING:
    from ..engine import verify as verification
    from ..engine.search import Search
    from ..engine.verify import Verification
    from ..format import jsonl
else:
    verification, jsonl = LazyModule(".engine.verify"), LazyModule(".format.jsonl")

T = TypeVar("T")
R = TypeVar("R")

MOST_AHEAD = 366 * 86_400_000_000
"""Microseconds that a clock may stand beyond the newest change of a vault that is swept."""
_BATCH = 4096
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


def save_many(
    documents: Documents[StateT],
    sessions: Iterable[Session[StateT] | DocumentFields],
    *,
    overwrite: bool,
    traits: Traits,
) -> list[Session[StateT]]:
    """The sessions that were saved, in order. ``PartialFailure``, here and below, when all have been tried."""

    def save(item: Session[StateT] | DocumentFields) -> Session[StateT]:
        if isinstance(item, Session):
            return documents.save(item, overwrite=overwrite)
        fields: Any = {**item}
        state, messages = fields.pop("state", None), fields.pop("messages", ())
        return documents.put(fields.pop("id"), state, messages, fields, replace=True)

    def named(item: object) -> tuple[str, Any]:
        if isinstance(item, Session):
            return item.id, item
        if isinstance(item, Mapping) and "id" in item:
            return _name(item["id"]), item
        raise InvalidSetting(
            f"sessions are saved that are a Session, or a mapping with an id, not {type(item).__name__}"
        )

    return _complete("saved", *_each(save, map(named, sessions), overlap=traits.waits, at_once=traits.shared))


def load_each(documents: Documents[StateT], ids: Iterable[str], *, overlap: bool) -> Iterator[Session[StateT]]:
    """The living sessions, one after the other. ``PartialFailure`` behind the last one."""
    failures: dict[str, VaultError] = {}

    def load(name: str) -> Session[StateT] | None:
        try:
            return documents.load(name)
        except SessionNotFound:
            return None
        except VaultError as error:
            failures[name] = without_frames(error)
            return None

    with closing(parallel_map(load, map(_name, ids), overlap=overlap)) as found:
        for session in found:
            if session is not None:
                yield session
    if failures:
        raise PartialFailure.of("loaded", failures)


def load_many(documents: Documents[StateT], ids: Iterable[str], *, overlap: bool) -> dict[str, Session[StateT]]:
    """The living sessions by their ids."""

    def load(name: str) -> tuple[str, Session[StateT]] | None:
        try:
            return name, documents.load(name)
        except SessionNotFound:
            return None

    found, failures = _each(load, ((_name(name), name) for name in ids), overlap=overlap)
    return _complete("loaded", dict(filter(None, found)), failures)


def delete_many(operations: Operations, key: Callable[[str], str], ids: Iterable[str]) -> int:
    """How many sessions there were, and are no more."""
    removed, failures = 0, dict[str, VaultError]()
    for batch in _batches(map(_name, ids)):
        names: dict[str, str] = {}
        for name in batch:
            try:
                names[key(name)] = name
            except VaultError as error:
                failures[name] = without_frames(error)
        try:
            outcomes = operations.remove_each([*names])
        except VaultError as error:
            outcomes = dict.fromkeys(names, without_frames(error))
        for found_key, outcome in outcomes.items():
            if isinstance(outcome, VaultError):
                failures[names[found_key]] = outcome
            else:
                removed += outcome
    return _complete("removed", removed, failures)


def export(
    search: Search, names: Iterable[str], clock: Clock, progress: Callable[[int], object] | None, *, listed: bool
) -> Iterator[bytes]:
    """A line of each living session. One that is absent raises, unless it was ``listed`` and removed since."""
    failures: dict[str, VaultError] = {}
    done: set[str] = set()  # a session that is changed meanwhile is listed again
    for name in map(_name, names):
        if name in done:
            continue
        done.add(name)
        try:
            loaded = search.loaded(name)
            if loaded is not None and not loaded.head.is_expired(clock.now()):
                state = orjson.dumps(document.stored_state_of(loaded.bodies))
                yield jsonl.line_of(loaded.head, state, document.elements(loaded.bodies))
            elif not listed:
                raise absent(name)
        except (Unreadable, BackendUnavailable) as error:
            failures[name] = without_frames(error)
        if progress is not None:
            progress(len(done))
    if failures:
        raise PartialFailure.of("exported", failures)


def import_lines(
    documents: Documents[Any],
    lines: Iterable[bytes],
    existing: Existing,
    clock: Clock,
    progress: Callable[[int], object] | None,
) -> Imported:
    """Each line written, unless its session has expired. An error names its line."""
    if existing not in ("error", "skip", "replace"):
        raise InvalidSetting(f"existing is 'error', 'skip' or 'replace', not {shortened(existing)}")
    counts: Counter[str] = Counter()
    for number, line in enumerate(lines, 1):
        try:
            if not isinstance(line, bytes | bytearray | str):
                raise InvalidDocument(f"a line is bytes, not {type(line).__name__}")
            if line.strip():
                read = jsonl.read_line(line, clock.now())
                is_expired = read.head.is_expired(clock.now())
                counts["expired" if is_expired else documents.restore(read, existing=existing)] += 1
        except VaultError as error:
            error.args = (f"line {number}: {error}",)
            raise
        if progress is not None:
            progress(number)
    return Imported(**counts)


def sweep(
    operations: Operations,
    listing: Listing,
    now: int | None,
    *,
    dry_run: bool,
    progress: Callable[[int], object] | None,
) -> int:
    """How many expired sessions were removed, or would be. ``now``, microseconds since 1970, must not be far ahead."""
    swept = 0
    for number, rows in enumerate(_batches(listing.expired())):
        if number == 0 and not dry_run and now is not None:
            _refuse_clock_ahead(now, listing.newest_change())
        outcomes = operations.sweep([row.key for row in rows], dry_run=dry_run)
        swept += sum(outcome is True for outcome in outcomes.values())
        if progress is not None:
            progress(swept)
        for key, outcome in outcomes.items():
            if isinstance(outcome, Unreadable):
                log.warning("not swept: %s: %s", key, outcome)
            elif isinstance(outcome, VaultError):
                raise outcome
    return swept


def _refuse_clock_ahead(now: int, newest: int | None) -> None:
    if newest is not None and now - newest > MOST_AHEAD:
        raise SweepRefused(
            f"nothing was swept: the clock says {to_datetime(now):%Y-%m-%d}, and the newest change of this vault is of "
            f"{to_datetime(newest):%Y-%m-%d}; with a clock that is wrong all that has a life span would be removed"
        )


def verify(backend: Backend, reader: Reader, progress: Callable[[int], object] | None) -> Verified:
    """Every record of every session that is listed, opened; those that are lost are problems."""
    sessions = records = size = 0
    problems = []
    listed = (row.key for row in backend.scan(Query(newest_first=False)))
    for key in chain(listed, backend.lost()):
        found = verification.check(backend, reader, key)
        if found.verdict is verification.Verdict.MISSING and found.row is None and backend.head(key) is None:
            continue  # removed since it was listed
        sessions, records, size = sessions + 1, records + found.records, size + found.size
        if found.verdict is not verification.Verdict.OK:
            problems.append(found)
        if progress is not None:
            progress(sessions)
    return Verified(sessions, records, size, tuple(problems))


def _name(id: object) -> str:
    """The id of a session of many: what is no text names no failure either."""
    return id if isinstance(id, str) else parse_id(id)


def _batches(items: Iterable[T]) -> Iterator[Sequence[T]]:
    """The items, as many at a time as a backend is asked to remove at once."""
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _each(
    work: Callable[[T], R], items: Iterable[tuple[str, T]], *, overlap: bool, at_once: bool = True
) -> tuple[list[R], dict[str, VaultError]]:
    """What the work returns for each named item, in order, and the error of each name that failed."""
    failures: dict[str, VaultError] = {}

    def attempt(item: tuple[str, T]) -> list[R]:
        try:
            return [work(item[1])]
        except VaultError as error:
            failures[item[0]] = without_frames(error)
            return []

    with closing(parallel_map(attempt, items, overlap=overlap, at_once=at_once)) as found:
        return [result for some in found for result in some], failures


def _complete(done: str, result: T, failures: Mapping[str, VaultError]) -> T:
    """The result. ``PartialFailure`` with it, where some failed."""
    if failures:
        raise PartialFailure.of(done, failures, result)
    return result
