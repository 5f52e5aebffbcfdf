"""Checkups of sessions: every record opened, overwritten ones included, and the tail judged as FORMAT.md says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

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
from ..format import record as v1
from ..format.head import Head, decode
from ..format.sealed import Container
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
class Verifier:
    """One session: the verdict, what was read, and the problem in words. ``head`` is the newest that authenticates.

    ``key_id`` is the key that its container is sealed under; None where it was not opened.
    """

    key: str
    verdict: Verdict
    problem: str = ""
    records: int = 0
    size: int = 0
    head: Head | None = None
    version: bytes | None = None
    key_id: bytes | None = None


class Readable(Protocol):
    """What a checkup asks of a backend."""

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """See ``Backend``."""
        ...


def check(backend: Readable, reader: Reader, key: str) -> Verifier:
    """Open everything of one session. A verdict other than ok is reached again where no writer is half-way."""
    first = _attempt(reader, key, lambda: backend.read(key))
    if first.verdict is Verdict.OK:
        return first
    settled = _attempt(reader, key, lambda: backend.read(key, settled=True))
    # Without a lock file there never was a writer, and nothing to wait for.
    return first if settled.verdict is Verdict.REFUSED else settled


def check_all(
    backend: Backend, reader: Reader, keys: Iterable[str], told: Callable[[int], object] | None = None
) -> Iterator[Verifier]:
    """Each session in turn; ``told`` hears how many are done."""
    for number, key in enumerate(keys, 1):
        yield check(backend, reader, key)
        if told is not None:
            told(number)


def _attempt(reader: Reader, key: str, read: Callable[[], Container | None]) -> Verifier:
    try:
        container = read()
    except BackendUnavailable as problem:
        return Verifier(key, Verdict.REFUSED, str(problem))
    if container is None:
        return Verifier(key, Verdict.MISSING, "it is listed, and its file is gone")
    try:
        return _opened(reader, key, container)
    except (Unreadable, TooLarge) as problem:
        verdict = next(verdict for kind, verdict in _VERDICTS.items() if isinstance(problem, kind))
        return Verifier(key, verdict, str(problem), size=container.size)


def _opened(reader: Reader, key: str, container: Container) -> Verifier:
    row = reader.describe(key, lambda _: container, thorough=True)
    if row is None and reader.is_erased(key, container.header):
        return Verifier(
            key, Verdict.ERASED, "the keys of its tenant were destroyed: nobody can read it", size=container.size
        )
    if row is None:
        return Verifier(key, Verdict.REMOVED, "its file came back after it was removed; it reads as absent")
    loaded = reader.load(key, lambda _: container)
    if loaded is not None:
        document.whole(loaded.bodies)
    cipher = reader.cipher(key, container.header)
    records = 0
    head: Head | None = None
    for record in v1.records_from(container, v1.HEADER_SIZE):
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
    return Verifier(key, verdict, problem, records, container.size, head, row.version, container.header[v1.KEY_ID])
