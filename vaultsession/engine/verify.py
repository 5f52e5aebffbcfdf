"""Verification of sessions: every record opened, overwritten ones included, and the tail judged as FORMAT.md says.

The one walk over sessions that verify, doctor, repair and restore share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..backends.protocol import Backend
from ..errors import (
    BackendUnavailable,
    Damaged,
    TooLarge,
    UnknownDictionary,
    UnknownKey,
    Unreadable,
    UnsupportedFormat,
    VaultError,
)
from ..format import document
from ..format.head import Head, decode
from ..format.record import HEADER_SIZE, KEY_ID, records_from
from ..format.sealed import Container, IndexRow, LostRow
from .reader import Reader


class Verdict(StrEnum):
    """What became of one session."""

    OK = "ok"
    TORN = "torn"
    LOCKED = "locked"
    REFUSED = "refused"
    DAMAGED = "damaged"
    MISSING = "missing"
    REMOVED = "removed"
    ERASED = "erased"


_VERDICTS: dict[type[VaultError], Verdict] = {
    UnknownKey: Verdict.LOCKED,
    UnknownDictionary: Verdict.LOCKED,
    UnsupportedFormat: Verdict.LOCKED,
    TooLarge: Verdict.REFUSED,
    Unreadable: Verdict.DAMAGED,
}


@dataclass(frozen=True, slots=True)
class Verification:
    """One session: the verdict, what was read, and the problem in words.

    ``head`` is the newest that authenticates, ``row`` its index row, and ``key_id`` the key that the container is
    sealed under; None where it was not opened. Of what is ``MISSING`` the ``row`` is a ``LostRow``, unproved, where the
    session was acknowledged and not removed.
    """

    key: str
    verdict: Verdict
    problem: str = ""
    records: int = 0
    size: int = 0
    head: Head | None = None
    row: IndexRow | None = None
    key_id: bytes | None = None


def check(backend: Backend, reader: Reader, key: str) -> Verification:
    """Open everything of one session. A verdict other than ok is reached again where no writer is half-way."""
    first = _read_and_verify(backend, reader, key, settled=False)
    if first.verdict is Verdict.OK:
        return first
    settled = _read_and_verify(backend, reader, key, settled=True)
    # Without a lock file there never was a writer, and nothing to wait for.
    return first if settled.verdict is Verdict.REFUSED else settled


def check_all(
    backend: Backend, reader: Reader, keys: Iterable[str], progress: Callable[[int], object] | None = None
) -> Iterator[Verification]:
    """Each session in turn; ``progress`` gets how many are done."""
    for number, key in enumerate(keys, 1):
        yield check(backend, reader, key)
        if progress is not None:
            progress(number)


def reads_alone(backend: Backend, reader: Reader, key: str) -> bool:
    """Whether all of a session authenticates, so that nothing but what is remembered contradicts it."""
    try:
        container = backend.read(key, settled=True)
    except (BackendUnavailable, Damaged):
        return False
    if container is None:
        return False
    alone = container._replace(witness=None, tombstone=None)
    return verify_container(reader, key, alone).verdict is Verdict.OK


def verify_container(reader: Reader, key: str, container: Container | None) -> Verification:
    """The verdict over a container in hand."""
    if container is None:
        return Verification(key, Verdict.MISSING, "it is listed, and its file is gone")
    try:
        return _opened(reader, key, container)
    except (Unreadable, TooLarge) as problem:
        verdict = next(verdict for kind, verdict in _VERDICTS.items() if isinstance(problem, kind))
        return Verification(key, verdict, str(problem), size=container.size)


def _read_and_verify(backend: Backend, reader: Reader, key: str, *, settled: bool) -> Verification:
    try:
        container = backend.read(key, settled=settled)
    except BackendUnavailable as problem:
        return Verification(key, Verdict.REFUSED, str(problem))
    except Damaged as problem:
        if isinstance(problem.lost, LostRow):
            return Verification(key, Verdict.MISSING, str(problem), row=problem.lost)
        return Verification(key, Verdict.DAMAGED, str(problem))
    return verify_container(reader, key, container)


def _opened(reader: Reader, key: str, container: Container) -> Verification:
    row = reader.describe(key, lambda _: container, thorough=True)
    if row is None and reader.is_erased(key, container.header):
        problem = "the keys of its tenant were destroyed: nobody can read it"
        return Verification(key, Verdict.ERASED, problem, size=container.size)
    if row is None:
        return Verification(key, Verdict.REMOVED, "its file came back after it was removed; it reads as absent")
    loaded = reader.load(key, lambda _: container)
    if loaded is not None:
        document.parse(loaded.bodies)
    cipher = reader.cipher(key, container.header)
    records = 0
    head: Head | None = None
    for record in records_from(container, HEADER_SIZE):
        if record.offset >= row.size:
            break
        head = decode(cipher.open_head(record))
        if record.body:
            reader.body(cipher, record)
        records += 1
    if records != row.seq + 1:
        raise Damaged(f"{records} of {row.seq + 1} records are whole")
    verdict, problem = Verdict.OK, ""
    if container.size > row.size:
        verdict, problem = Verdict.TORN, f"{container.size - row.size} bytes behind the last record were never complete"
    elif row.torn:
        verdict, problem = Verdict.TORN, "a write failed; the next one replaces the file"
    return Verification(key, verdict, problem, records, container.size, head, row, container.header[KEY_ID])
