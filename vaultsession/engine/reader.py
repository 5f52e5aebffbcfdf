"""From sealed bytes to heads and documents, with the tail rules of FORMAT.md. Holds keys, touches no storage.

The fast path opens the newest head by the footer at the end and goes backwards from there: each record proves the one
before it. Whatever does not fit goes the slow way, which walks the whole container forwards, finds the end of the last
authentic record, and gives the verdict of the table in FORMAT.md. The bytes come through a ``ReadRange``: one
container, which may grow or be replaced between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Self, TypeVar

from ..errors import Damaged, RollbackDetected, UnknownKey, Unreadable
from ..format import ContainerCipher, IndexRowCipher, document, ids, payload
from ..format.dictionaries import Dictionaries
from ..format.head import Head, decode
from ..format.ids import LOCATOR
from ..format.keys import Keyring
from ..format.payload import LARGEST_BODY
from ..format.record import (
    DELTA,
    HEAD,
    HEADER_SIZE,
    LINK_AND_FOOTER,
    Record,
    needs_more,
    parse_header,
    record_before,
    records_from,
)
from ..format.sealed import Container, IndexRow, ReadRange, Witness
from ..util.lru import LRU
from ..util.named_tuple import NamedTuple
from ..vault import UnlockedVault, Vault
from ..vault.key_store import KeyringMemory, VaultKeyStore
from ..vault.live_keyring import LiveKeyring

TAIL = 64 * 1024
"""Bytes read at first: a small session whole, of a long one its newest turns."""

OVERHEAD = 1024
"""Bytes that a document in memory takes beside its bodies."""

SHORT_TAIL = 4 * 1024
"""Bytes read at first where only the newest head is asked for: most turns fit."""

PAGE_TAIL = 24 * 1024
PAGE = 64
"""Bytes read at first where so few messages are asked for: the last record of a long history, sealed.

With 16 KiB each page of one was read in two steps, a tenth more CPU time.
"""

_GROWTH = 4
"""What is read next, further back, is so many times as much as what was read at first, where that was a ``TAIL``."""

_REMEMBERED = 4096
_PATIENCE = 20

T = TypeVar("T")


class OpenHead(NamedTuple):
    """The newest head of a session, opened, and the cipher of its container. ``document``: version of the document.

    ``run``: how many records in a row this process has written to the container, this one being the last.
    """

    row: IndexRow
    head: Head
    cipher: ContainerCipher
    document: bytes
    run: int


class Document(NamedTuple):
    """A document as its bodies, and the point of the chain that they stand for."""

    key: str
    header: bytes
    witness: Witness
    size: int
    head: Head
    document: bytes
    bodies: tuple[bytes, ...]
    weight: int

    @property
    def version(self) -> bytes:
        """The version of the session."""
        return self.witness.version


class Tail(NamedTuple):
    """The newest bodies of a document, oldest first, and the version of the session that they end at."""

    version: bytes
    head: Head
    bodies: tuple[bytes, ...]
    weight: int


class LiveRecord(NamedTuple):
    """A living record as it was opened: its head, and its body as its codec left it."""

    head: Head
    kind: int
    codec: int
    body: bytes


class _Tail(NamedTuple):
    """An authentic newest record, and the bytes that it was found in."""

    container: Container
    cipher: ContainerCipher
    last: Record
    plain: bytes
    torn: bool


class _Moved(Exception):  # not an error: the container was replaced between two fetches
    """Begin again."""


class Reader:
    """Opens what a backend gives. Safe from any thread."""

    def __init__(
        self,
        keys: Keyring | LiveKeyring,
        dictionaries: Dictionaries | None = None,
        *,
        largest_body: int = LARGEST_BODY,
    ) -> None:
        self.keys = LiveKeyring(keys) if isinstance(keys, Keyring) else keys
        self.dictionaries = dictionaries or Dictionaries(self.keys)
        self.rows = IndexRowCipher(self.keys)
        self.largest_body = largest_body
        self._ciphers: LRU[bytes, ContainerCipher] = LRU(most=_REMEMBERED)
        self._opened: LRU[bytes, OpenHead] = LRU(most=_REMEMBERED)

    @classmethod
    def of_vault(
        cls,
        vault: Vault,
        opened: UnlockedVault,
        *,
        etag: object = None,
        compressing: bool = False,
        patient: bool = False,
        memory: KeyringMemory | None = None,
    ) -> Self:
        """The reader of a vault's sessions. ``etag`` is the vault's from before it was unlocked.

        ``compressing`` chooses the dictionary that is written with; readers skip it. For ``patient`` and ``memory`` see
        ``VaultKeyStore``.
        """
        store = VaultKeyStore(vault, opened, etag=etag, patient=patient, memory=memory)
        keys = LiveKeyring(opened.keyring, store, etag)
        dictionaries = Dictionaries(keys, vault)
        if compressing:
            dictionaries.mark_stale()
            keys.changed = dictionaries.mark_stale
        return cls(keys, dictionaries)

    @property
    def keyring(self) -> Keyring:
        """The keyring as it was seen last."""
        return self.keys.current

    def key(self, id: str) -> str:
        """The key of the session of an id. ``InvalidSessionId``."""
        return self.keyring.session_key(ids.parse(id))

    def describe(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        """The row of a container that a backend found; see ``sealed.Describe``."""
        for _ in range(_PATIENCE):
            try:
                return self._describe(key, fetch, thorough=thorough)
            except _Moved:
                continue
        raise _never_still()

    def load(self, key: str, fetch: ReadRange, known: Document | None = None) -> Document | None:
        """The document, extending what is ``known`` where the container only grew; None if there is none."""
        take = lambda tail, settled: self._document(key, tail, fetch, None if settled else known)  # noqa: E731 - a closure
        return self._from_tail(key, fetch, take, known=known)

    def tail(
        self, key: str, fetch: ReadRange, *, wanted: int, offset: int | None = None
    ) -> tuple[Tail, list[bytes]] | None:
        """Messages, unparsed: ``wanted`` from the ``offset``-th on, or the newest ones; and the bodies read for them.

        Reads from the end as far back as the first of them.
        """
        first = PAGE_TAIL if wanted <= PAGE else TAIL
        return self._from_tail(key, fetch, lambda tail, _: self._page(tail, fetch, wanted, offset), first=first)

    def snapshot(self, key: str, fetch: ReadRange, *, wanted: int) -> tuple[Tail, list[bytes], list[bytes]] | None:
        """The newest messages, unparsed, the bodies read for them, and the first elements of all, oldest first.

        Of the bodies that hold none of the messages only the beginning is inflated.
        """
        return self._from_tail(key, fetch, lambda tail, _: self._snapshot(tail, fetch, wanted))

    def living(self, key: str, fetch: ReadRange) -> list[LiveRecord] | None:
        """The living records from the last FULL on but HEADs, oldest first, bodies neither inflated nor parsed.

        The head of the last one is the newest head, whichever record said it.
        """
        return self._from_tail(key, fetch, lambda tail, _: self._living(tail, fetch))

    def opened(self, row: IndexRow) -> OpenHead:
        """What the row of a critical section says, from memory where this process made or met just that row.

        ``Damaged`` for a row that was forged, also one that borrows the version of another session.
        """
        known = self._opened.peek(row.version)
        if known is not None and (known.row is row or known.row[:-1] == row[:-1]):
            return known  # ``torn``, the last column, is an observation
        header, head = self.rows.open(row)
        return self.remember(row, head, self.cipher(row.key, header))

    def remember(self, row: IndexRow, head: Head, cipher: ContainerCipher, *, run: int = 0) -> OpenHead:
        """Keep what was opened or sealed, so that the next writer need not open it again."""
        known = OpenHead(row, head, cipher, head.document or row.version, run)
        self._opened.keep(row.version, known)
        return known

    def cipher(self, key: str, header: bytes) -> ContainerCipher:
        """The cipher of a container, from memory where its header has been met under this name."""
        name = key.encode() + header
        known = self._ciphers.get(name)
        if known is None:
            known = ContainerCipher.open(header, self.keys, key[LOCATOR])
            self._ciphers.keep(name, known)
        return known

    def is_erased(self, key: str, header: bytes) -> bool:
        """Whether a container was sealed under a key of a tenant that has been destroyed."""
        try:
            self.cipher(key, header)
        except UnknownKey as error:
            return error.destroyed
        except Unreadable:
            pass
        return False

    def _describe(self, key: str, fetch: ReadRange, *, thorough: bool) -> IndexRow | None:
        try:
            tail = self._tail(key, fetch, first=SHORT_TAIL)
        except UnknownKey as error:
            if error.destroyed:  # it can never be read again: a writer is not held up by it
                return None
            raise
        if tail is None:
            return None
        if thorough and not tail.torn:
            try:
                self._prove_unwitnessed(tail, fetch)
            except Damaged:
                tail = self._settled(key, fetch)
                if tail is None:
                    return None
        last, head = tail.last, decode(tail.plain)
        row = self.rows.seal(
            key, tail.cipher.header, tail.cipher.generation, last.seq, last.tag, last.end, head, tail.plain
        )
        known = self._opened.peek(row.version)
        self.remember(row, head, tail.cipher, run=known.run if known is not None else 0)
        return row._replace(torn=True) if tail.torn or tail.container.spoiled else row

    def _from_tail(
        self,
        key: str,
        fetch: ReadRange,
        take: Callable[[_Tail, bool], T],
        *,
        first: int = TAIL,
        known: Document | None = None,
    ) -> T | None:
        """What is taken from the tail, or else from the ``settled`` one; None where there is no session."""
        for _ in range(_PATIENCE):
            try:
                tail = self._tail(key, fetch, first=first, known=known)
                try:
                    return None if tail is None else take(tail, False)
                except Damaged:
                    tail = self._settled(key, fetch)
                    return None if tail is None else take(tail, True)
            except _Moved:
                continue
        raise _never_still()

    def _document(self, key: str, tail: _Tail, fetch: ReadRange, known: Document | None) -> Document:
        last, head = tail.last, decode(tail.plain)
        version = link = last.tag
        end = last.end
        grown = (
            known is not None
            and known.header == tail.cipher.header
            and known.head.full == head.full
            and known.size <= end
        )
        start = known.size if known is not None and grown else head.full
        found: list[bytes] = []
        for record in self._back(tail, fetch, start):
            if record.kind != HEAD:
                found.append(self.body(tail.cipher, record))
            link = record.link
        if known is not None and grown and link != known.version:
            return self._document(key, tail, fetch, None)
        bodies = (*(known.bodies if known is not None and grown else ()), *reversed(found))
        return Document(
            key=key,
            header=tail.cipher.header,
            witness=Witness(tail.cipher.generation, last.seq, version),
            size=end,
            head=head,
            document=head.document or version,
            bodies=bodies,
            weight=sum(map(len, bodies)) + OVERHEAD,
        )

    def _living(self, tail: _Tail, fetch: ReadRange) -> list[LiveRecord]:
        newest, cipher = decode(tail.plain), tail.cipher
        living = [record for record in self._back(tail, fetch, newest.full) if record.kind != HEAD]
        found = []
        for record in reversed(living):
            head = newest if record is living[0] else decode(cipher.open_head(record))
            found.append(LiveRecord(head, record.kind, record.codec, cipher.open_body(record)))
        return found

    def _page(self, tail: _Tail, fetch: ReadRange, wanted: int, offset: int | None) -> tuple[Tail, list[bytes]]:
        head, met = decode(tail.plain), []
        first, end = document.page(head.messages, wanted, offset)

        def bodies() -> Iterator[bytes]:
            for record in self._back(tail, fetch, head.full):
                if record.kind != HEAD:
                    met.append(self.body(tail.cipher, record))
                    document.check_body(met[-1], changes=record.kind == DELTA)
                    yield met[-1]

        found = document.tail(bodies(), end - first, skip=head.messages - end)
        return Tail(tail.last.tag, head, tuple(reversed(met)), sum(map(len, met)) + OVERHEAD), found

    def _snapshot(self, tail: _Tail, fetch: ReadRange, wanted: int) -> tuple[Tail, list[bytes], list[bytes]]:
        head = decode(tail.plain)
        records = (record for record in self._back(tail, fetch, head.full) if record.kind != HEAD)
        met: list[bytes] = []

        def bodies() -> Iterator[bytes]:
            for record in records:
                met.append(self.body(tail.cipher, record))
                document.check_body(met[-1], changes=record.kind == DELTA)
                yield met[-1]

        found = document.tail(bodies(), min(wanted, head.messages))
        firsts = [document.first_of(body) for body in met]
        firsts += [document.first_of(self.body(tail.cipher, record, payload.first_of)) for record in records]
        ending = Tail(tail.last.tag, head, tuple(reversed(met)), sum(map(len, met)) + OVERHEAD)
        return ending, found, firsts[::-1]

    def body(self, cipher: ContainerCipher, record: Record, unpack: Callable[..., bytes] = payload.unpack) -> bytes:
        """The JSON in a record of which there is one, as ``unpack`` gives it. ``Damaged`` for one without a body."""
        if not record.body:
            raise Damaged("an authentic record lacks the body of its kind: it was not written by this package")
        return unpack(record.codec, cipher.open_body(record), limit=self.largest_body, find=self.dictionaries.find)

    def _tail(self, key: str, fetch: ReadRange, *, first: int = TAIL, known: Document | None = None) -> _Tail | None:
        """The newest record by the footer at the end, authenticated and not older than the witness.

        Of a container that only grew no more is read than what stands behind the end of the ``known`` document.
        """
        container = fetch(-first) if known is None else fetch(known.size - LINK_AND_FOOTER)
        if known is not None and container is not None and container.header != known.header:
            container = fetch(-first)
        if container is None or self._is_buried(key, container):
            return None
        cipher, end = self.cipher(key, container.header), container.size
        last = record_before(container, end)
        if last is None and (start := needs_more(container, end)) is not None:
            container = _again(fetch, start, cipher.header)
            last = record_before(container, container.size)
        if last is None:
            return self._settled(key, fetch)
        try:
            plain = cipher.open_head(last)
            check_witness(cipher.generation, last, container, torn=False)
        except Damaged:
            return self._settled(key, fetch)
        return _Tail(container, cipher, last, plain, torn=False)

    def _settled(self, key: str, fetch: ReadRange) -> _Tail | None:
        """The last authentic record by walking the whole container: what the tail rules call V, and their verdict."""
        container = fetch(0)
        if container is None or self._is_buried(key, container):
            return None
        cipher = self.cipher(key, container.header)
        authentic: list[tuple[Record, bytes]] = []
        for record in records_from(container, HEADER_SIZE):
            try:
                if record.seq != len(authentic):
                    break
                authentic.append((record, cipher.open_head(record)))
            except Damaged:
                break
        while authentic and (broken := self._first_broken_body(cipher, authentic)) is not None:
            del authentic[broken:]
        if not authentic:
            raise Damaged(f"no record of {key} authenticates; nothing was changed")
        last, plain = authentic[-1]
        torn = last.end < container.size
        witness = container.witness
        if witness is not None and witness.generation == cipher.generation and witness.seq < len(authentic):
            refuse_fork(authentic[witness.seq][0], witness)
        check_witness(cipher.generation, last, container, torn=torn)
        return _Tail(container, cipher, last, plain, torn=torn)

    def _first_broken_body(self, cipher: ContainerCipher, records: list[tuple[Record, bytes]]) -> int | None:
        full = decode(records[-1][1]).full
        for number, (record, _) in enumerate(records):
            if record.offset >= full:
                try:
                    cipher.open_body(record)
                except Damaged:
                    return number
        return None

    def _prove_unwitnessed(self, tail: _Tail, fetch: ReadRange) -> None:
        """Open every record that the witness does not vouch for, bodies included: one is about to be written behind."""
        witness = tail.container.witness
        if witness is not None and (tail.container.unproved or witness.generation != tail.cipher.generation):
            witness = None
        vouched = -1 if witness is None else witness.seq
        if tail.last.seq <= vouched:
            return
        for record in self._back(tail, fetch, decode(tail.plain).full):
            tail.cipher.open_body(record)
            if witness is not None and record.seq == vouched + 1:
                # The record that the witness names need not be opened: this one proves which it follows.
                if record.link != witness.version:
                    raise Damaged(f"record {record.seq} does not follow the one that was acknowledged: a fork")
                return

    def _back(self, tail: _Tail, fetch: ReadRange, start: int) -> Iterator[Record]:
        """Authentic records from the newest back to the one that begins at ``start``; ``Damaged`` if none begins there.

        Also ``Damaged`` if the record that the witness names is met, and is another one.
        """
        container, record = tail.container, tail.last
        witness, size = container.witness, len(container.data)
        window = TAIL if size < TAIL else _GROWTH * size
        if witness is not None and witness.generation != tail.cipher.generation:
            witness = None
        while record.offset >= start:
            if (record.offset == HEADER_SIZE) is not (record.seq == 0):
                raise Damaged(f"record {record.seq} begins at offset {record.offset}: the chain has a gap")
            yield record
            end = record.offset
            if end == start:
                return
            before = record_before(container, end)
            if before is None and (more := needs_more(container, end)) is not None:
                wanted = max(start - LINK_AND_FOOTER, HEADER_SIZE)
                container = _again(fetch, max(wanted, min(more, end - window)), tail.cipher.header)
                before, window = record_before(container, end), 2 * window
            if before is None or before.seq != record.seq - 1:
                raise Damaged(f"the record that ends at offset {end} is not whole")
            tail.cipher.open_head(before)
            if witness is not None and before.seq == witness.seq:
                refuse_fork(before, witness)
            record = before
        if record.end != start:
            raise Damaged(f"no record begins at offset {start}")

    def _is_buried(self, key: str, container: Container) -> bool:
        """Whether a genuine tombstone covers this generation: a file that came back after it was removed."""
        tombstone = container.tombstone
        if tombstone is None or not self.rows.is_genuine(tombstone._replace(key=key)):
            return False
        return parse_header(container.header).generation <= tombstone.generation


def _never_still() -> Damaged:
    """The error for a container that was replaced between two reads each time that it was tried."""
    return Damaged("the container was replaced faster than it could be read")


def _again(fetch: ReadRange, start: int, header: bytes) -> Container:
    container = fetch(start)
    if container is None or container.header != header:
        raise _Moved
    return container


def check_witness(generation: int, last: Record, container: Container, *, torn: bool) -> None:
    """Raise the verdict of FORMAT.md §3 unless it is clean, or torn and not witnessed."""
    witness = container.witness
    if witness is None or (generation, last.seq) > (witness.generation, witness.seq):
        return
    if (generation, last.seq) == (witness.generation, witness.seq):
        refuse_fork(last, witness)
    elif torn:
        raise Damaged(
            f"records up to {witness.seq} of generation {witness.generation} were acknowledged; "
            f"only those up to {last.seq} of generation {generation} authenticate"
        )
    else:
        raise RollbackDetected(
            f"record {last.seq} of generation {generation} is authentic, but record {witness.seq} of generation "
            f"{witness.generation} is known to have been written: rolled back or truncated"
        )


def refuse_fork(record: Record, witness: Witness) -> None:
    """``Damaged`` for a record of the witness' place in the chain that is not the witness' record."""
    if record.seq == witness.seq and record.tag != witness.version:
        raise Damaged(f"record {record.seq} is not the one that was acknowledged: the chain has forked")
