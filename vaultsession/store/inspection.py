"""An inspection: the container of one session, record by record, each authenticated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Damaged, SessionNotFound
from ..format.cipher import ContainerCipher
from ..format.head import Head, decode
from ..format.record import HEADER_SIZE, KINDS, PADDED, Record, parse_header, records_from
from ..format.sealed import Container

if TYPE_CHECKING:
    from .store import SessionStore


@dataclass(frozen=True, slots=True)
class InspectedRecord:
    """One record: where it lies, of what kind it is, and how many bytes of it are its head and its body, sealed."""

    seq: int
    offset: int
    size: int
    kind: str
    head: int
    body: int
    is_dead: bool
    """Whether a newer whole document stands in its place."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What anybody sees of a container, and its ``records``; ``problem`` says where it ends to be authentic."""

    key: str
    size: int
    key_id: str
    generation: int
    is_padded: bool
    records: tuple[InspectedRecord, ...]
    head: Head | None
    problem: str | None

    @property
    def behind(self) -> int:
        """Bytes behind the last record that authenticates."""
        end = self.records[-1].offset + self.records[-1].size if self.records else HEADER_SIZE
        return max(0, self.size - end)


def proved_records(container: Container, cipher: ContainerCipher) -> Iterator[tuple[Record, Head]]:
    """Each record whose head authenticates, with its head. ``Damaged`` for the first that does not."""
    for number, record in enumerate(records_from(container, HEADER_SIZE)):
        if record.seq != number:
            raise Damaged(f"record {record.seq} at offset {record.offset} stands in the place of record {number}")
        yield record, decode(cipher.open_head(record))


def key_of(store: SessionStore[Any], id: str) -> str:
    """The key that a session lies under, by which a verification names it. ``InvalidSessionId``."""
    return store._key(id)  # noqa: SLF001 - an inspection is a part of the store


def inspected(store: SessionStore[Any], id: str) -> Inspection:
    """The container of a session, read as it lies. ``SessionNotFound``, and what reading a container raises."""
    backend, reader = store._backend, store._reader  # noqa: SLF001 - an inspection is a part of the store
    key = key_of(store, id)
    container = backend.read(key)
    if container is None:
        raise SessionNotFound(f"there is no session {id!r}")
    header = parse_header(container.header)
    cipher = reader.cipher(key, container.header)
    found: list[Record] = []
    head: Head | None = None
    problem: str | None = None
    try:
        for record, head in proved_records(container, cipher):  # noqa: B007 - the newest head is asked for
            if record.body:
                cipher.open_body(record)
            found.append(record)
    except Damaged as error:
        problem = str(error)
    full = 0 if head is None else head.full
    return Inspection(
        key,
        container.size,
        header.key_id.hex(),
        header.generation,
        bool(header.flags & PADDED),
        tuple(
            InspectedRecord(
                each.seq, each.offset, each.size, KINDS[each.kind], len(each.head), len(each.body), each.offset < full
            )
            for each in found
        ),
        head,
        problem,
    )
