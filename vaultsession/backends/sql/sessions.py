"""One session: a row that every change is compared and swapped on, and the pieces of its container.

The container is the pieces of its generation, one behind the other, and the tail that the row itself holds. What a row
says is a claim until ``describe`` has proved it against them; only the point that it names as the newest is taken over,
as the witness: bytes that are damaged or missing then differ from a container that ends there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ...errors import Damaged
from ...format import record
from ...format.ids import locator_of
from ...format.sealed import GENERATIONS, VERSION_SIZE, Container, Current, Delete, IndexRow, Tombstone, Witness, Write
from ..rollback_guard import UNSEEN, Sight
from .tables import Bytes, Tables

PIECE = 1 << 20
"""Bytes of the largest piece: a statement stays far below what servers accept by default (16 MiB)."""

TAIL = 4096
"""Bytes of the largest tail: a row with it still fits a page of InnoDB, and is rewritten with every append."""

STATED = ("generation", "version", "seq", "header", "grave", "mac", "begin")
"""Columns of a row that say what its container is; the tail goes with the last of its pieces."""


class Stamp(NamedTuple):
    """What a change is compared and swapped on, as it is stored."""

    generation: int
    version: bytes


class FoundRow(NamedTuple):
    """What one statement found of a session. ``container`` None: it was removed. ``tail``: bytes that the row holds."""

    stamp: Stamp
    container: Container | None
    tombstone: Tombstone | None
    tail: int = 0


class KnownRow(NamedTuple):
    """The newest of a session, and what a change of it is compared and swapped on; ``stamp`` None: no row.

    ``lives`` says that there is a container, be it one that a tombstone covers; ``tail`` how many bytes of it the row
    holds.
    """

    stamp: Stamp | None
    newest: Current
    lives: bool
    tail: int = 0


class SessionTables:
    """Statements about one session each, made once. Immutable; safe from any thread."""

    def __init__(self, tables: Tables, dialect: str) -> None:
        sessions, pieces = tables.sessions.c, tables.pieces.c
        here = sessions.locator == sa.bindparam("here")
        is_piece = sa.and_(pieces.locator == sessions.locator, pieces.generation == sessions.generation)
        start = sa.bindparam("start", type_=sa.BigInteger)
        tail = sa.case((sa.or_(pieces.ending.is_(None), pieces.ending == sessions.begin), sessions.tail))
        self._stamp = sa.select(sessions.generation, sessions.version).where(here)
        self._from, self._last = (
            sa.select(*(sessions[name] for name in STATED), tail, pieces.ending, pieces.data)
            .select_from(tables.sessions.outerjoin(tables.pieces, sa.and_(is_piece, pieces.ending > first)))
            .where(here)
            .order_by(pieces.ending)
            for first in (start, sessions.size + start)
        )
        self._any_piece = sa.select(pieces.ending).where(pieces.locator == sa.bindparam("here")).limit(1)
        self._insert = tables.sessions.insert()
        is_newest = sa.and_(
            here,
            sessions.generation == sa.bindparam("was_generation"),
            sessions.version == sa.bindparam("was_version"),
        )
        self._update = tables.sessions.update().where(is_newest)
        longer: sa.ColumnElement[Any] = sessions.tail.concat(sa.bindparam("more", type_=Bytes()))
        if dialect == "sqlite":
            longer = sa.cast(longer, Bytes())  # it takes the sum of two blobs for a text, though the bytes are right
        self._extend = self._update.values(tail=longer)
        moved = sa.select(
            sessions.locator, sessions.generation, sa.bindparam("ending", type_=sa.BigInteger), sessions.tail
        )
        self._move_tail = (
            tables.pieces.insert()
            .from_select(["locator", "generation", "ending", "data"], moved.where(is_newest))
            .execution_options(preserve_rowcount=True)
        )
        self._insert_piece = tables.pieces.insert()
        self._delete_pieces = tables.pieces.delete().where(pieces.locator == sa.bindparam("here"))
        self._insert_tag = tables.tags.insert()
        self._delete_tags = tables.tags.delete().where(tables.tags.c.locator == sa.bindparam("here"))

    # -- looking -------------------------------------------------------------------------------------------------------

    def stamp(self, connection: sa.Connection, locator: str) -> Stamp | None:
        """What stands there; None: nothing was ever there."""
        row = connection.execute(self._stamp, {"here": locator.encode()}).one_or_none()
        return None if row is None else Stamp(*row)

    def find(self, connection: sa.Connection, key: str, start: int, seen: Sight = UNSEEN) -> FoundRow | None:
        """The container from ``start`` on, in one consistent view. ``seen`` is what was seen before.

        ``Damaged`` where the pieces do not join.
        """
        statement = self._last if start < 0 else self._from
        rows = connection.execute(statement, {"here": locator_of(key).encode(), "start": start}).all()
        if not rows:
            return None
        generation, version, seq, header, buried, mac, begin, _, _, _ = rows[0]
        if not isinstance(generation, int) or not isinstance(version, bytes):
            raise Damaged(f"the row of {key} holds values of another type; nothing was changed")
        known = seen.joined(witness_from(generation, seq, version), tombstone_from(key, buried, mac))
        tail = rows[-1][-3]
        if header is None and tail is None and begin is None:
            return FoundRow(Stamp(generation, version), None, known.tombstone)
        if not isinstance(begin, int) or not isinstance(tail, bytes):
            raise Damaged(f"the end of {key} is gone; nothing was changed")
        pieces = [(ending, data) for *_, ending, data in rows if ending is not None]
        container = _container(key, start, header, [*pieces, (begin + len(tail), tail)])._replace(
            witness=known.witness, tombstone=known.tombstone
        )
        return FoundRow(Stamp(generation, version), container, known.tombstone, len(tail))

    # -- changing ------------------------------------------------------------------------------------------------------

    def is_one_statement(self, known: KnownRow, sealed: Write) -> bool:
        """Whether ``put`` is nothing but an UPDATE of the row."""
        row, before = sealed.head, known.newest
        if not isinstance(before, IndexRow) or before.tags != row.tags or not known.lives:
            return False
        if sealed.offset == 0:
            return before.size == known.tail and len(sealed.data) <= TAIL and not before.torn
        return known.tail + len(sealed.data) <= TAIL

    def put(self, connection: sa.Connection, known: KnownRow, sealed: Write) -> bool:
        """Put what was sealed in place of what is known, or behind it; False if something else stands there.

        ``Damaged`` for pieces of a session that is said not to live: what a row alone says removes nothing.
        """
        row, before = sealed.head, known.newest
        name = locator_of(row.key)
        if not (self._replaced if sealed.offset == 0 else self._extended)(connection, known, sealed):
            return False
        if not isinstance(before, IndexRow) or before.tags != row.tags:
            self.tag(connection, name.encode(), row.tags)
        return True

    def _replaced(self, connection: sa.Connection, known: KnownRow, sealed: Write) -> bool:
        locator = locator_of(sealed.head.key).encode()
        header = sealed.data[: record.HEADER_SIZE]
        if not self._swap(
            connection, locator, known.stamp, {**columns(sealed.head), "header": header, **_ended(sealed)}
        ):
            return False
        # Behind the swap: before it, the pieces may be those of a session that someone has just made.
        if not known.lives and connection.execute(self._any_piece, {"here": locator}).first() is not None:
            raise Damaged(
                f"{sealed.head.key} is absent, and pieces of it are there; nothing was changed: reindex finds them"
            )
        if known.lives and not self.is_one_statement(known, sealed):
            connection.execute(self._delete_pieces, {"here": locator})
        self._add_pieces(connection, sealed)
        return True

    def _extended(self, connection: sa.Connection, known: KnownRow, sealed: Write) -> bool:
        locator = locator_of(sealed.head.key).encode()
        if known.stamp is None:
            raise ValueError("a record behind nothing")
        named = {"here": locator, "was_generation": known.stamp.generation, "was_version": known.stamp.version}
        if known.tail + len(sealed.data) <= TAIL:
            values = {**named, **columns(sealed.head), "more": sealed.data}
            return connection.execute(self._extend, values).rowcount == 1
        if known.tail and connection.execute(self._move_tail, {**named, "ending": sealed.offset}).rowcount != 1:
            return False
        if not self._swap(connection, locator, known.stamp, {**columns(sealed.head), **_ended(sealed)}):
            return False
        self._add_pieces(connection, sealed)
        return True

    def _add_pieces(self, connection: sa.Connection, sealed: Write) -> None:
        locator, generation = locator_of(sealed.head.key).encode(), sealed.head.generation
        for ending, data in pieces_of(sealed):
            connection.execute(
                self._insert_piece, {"locator": locator, "generation": generation, "ending": ending, "data": data}
            )

    def remove(self, connection: sa.Connection, known: KnownRow, removal: Delete) -> bool:
        """A tombstone in place of what is known, and nothing else of it; False if something else stands there."""
        locator = locator_of(removal.tombstone.key).encode()
        if not self._swap(connection, locator, known.stamp, removed(removal.tombstone)):
            return False
        connection.execute(self._delete_pieces, {"here": locator})
        connection.execute(self._delete_tags, {"here": locator})
        return True

    def tag(self, connection: sa.Connection, locator: bytes, tags: Sequence[bytes]) -> None:
        """List the session under these tags, and no other."""
        connection.execute(self._delete_tags, {"here": locator})
        if tags:
            connection.execute(self._insert_tag, [{"tag": tag, "locator": locator} for tag in dict.fromkeys(tags)])

    def derive(self, connection: sa.Connection, was: Stamp | None, row: IndexRow, header: bytes, end: int) -> bool:
        """Another row over the same container, and its tags; False if something else stands there.

        Where there was no row, the container is the pieces alone, up to ``end``.
        """
        locator = locator_of(row.key).encode()
        bare = {"begin": end, "tail": b""} if was is None else {}
        if not self._swap(connection, locator, was, {**columns(row), "header": header, **bare}):
            return False
        self.tag(connection, locator, row.tags)
        return True

    def landed(self, connection: sa.Connection, key: str, was: Stamp | None, written: Write | Delete) -> bool | None:
        """Whether a change whose answer was lost is there; None if that is unknown. In a transaction.

        The row is waited for: a transaction that still holds it is over then, one way or the other.
        """
        held = connection.execute(self._stamp.with_for_update(), {"here": locator_of(key).encode()}).one_or_none()
        now = None if held is None else Stamp(*held)
        if now == was:
            return False
        if now is None:
            return None
        if isinstance(written, Delete):
            return True if now.version == written.tombstone.mac else None
        row = written.head
        if now == Stamp(row.generation, row.version):
            return True
        if now.generation != row.generation:
            # Replaced by the next writer: of a record that was in front of it, or never there, nothing is left.
            return None if now.generation > row.generation else False
        found = self.find(connection, key, max(written.offset, record.HEADER_SIZE))
        container = None if found is None else found.container
        return container is not None and container.data.startswith(written.data[container.offset - written.offset :])

    def _swap(self, connection: sa.Connection, locator: bytes, was: Stamp | None, values: dict[str, Any]) -> bool:
        if was is None:
            connection.execute(self._insert, {"locator": locator, **values})
            return True
        named = {"here": locator, "was_generation": was.generation, "was_version": was.version}
        changed = connection.execute(self._update, {**named, **values})
        return changed.rowcount == 1


def columns(row: IndexRow) -> dict[str, Any]:
    """The row of a living session. Its last tombstone, if there is one, stays beside it."""
    return {
        "generation": row.generation,
        "version": row.version,
        "seq": row.seq,
        "updated": row.updated,
        "expires": row.expires,
        "size": row.size,
        "tags": b"".join(row.tags),
        "head": row.blob,
    }


def removed(tombstone: Tombstone) -> dict[str, Any]:
    """The row of a session that was removed."""
    _, generation, mac = tombstone
    bare = ("seq", "updated", "expires", "size", "tags", "head", "header", "begin", "tail")
    return {**dict.fromkeys(bare), "generation": generation, "version": mac, "grave": generation, "mac": mac}


def pieces_of(sealed: Write) -> Iterator[tuple[int, bytes]]:
    """What is too large for a tail, cut to pieces: each with the offset of its end."""
    if len(sealed.data) > TAIL:
        for at in range(0, len(sealed.data), PIECE):
            data = sealed.data[at : at + PIECE]
            yield sealed.offset + at + len(data), data


def tail_of(known: KnownRow, sealed: Write) -> int:
    """Bytes in the row once that was put there."""
    if sealed.offset and known.tail + len(sealed.data) <= TAIL:
        return known.tail + len(sealed.data)
    return len(_ended(sealed)["tail"])


def _ended(sealed: Write) -> dict[str, Any]:
    """The end of the container where the old tail is none any more."""
    if len(sealed.data) <= TAIL:
        return {"begin": sealed.offset, "tail": sealed.data}
    return {"begin": sealed.head.size, "tail": b""}


def suffix(key: str, pieces: Sequence[tuple[object, object]], start: int) -> tuple[int, bytes]:
    """The bytes from ``start`` on (negative: so many last ones) in pieces one behind the other, and their offset.

    Fewer than were asked for where the first piece begins behind them. ``Damaged`` for pieces that do not join.
    """
    parts: list[bytes] = []
    begin = end = -1
    for ending, data in pieces:
        if not isinstance(ending, int) or not isinstance(data, bytes):
            raise Damaged(f"a piece of {key} holds no bytes; nothing was changed")
        if not parts:
            begin = ending - len(data)
        elif ending - len(data) != end:
            raise Damaged(f"the pieces of {key} do not join at offset {end}; nothing was changed")
        parts.append(data)
        end = ending
    offset = min(end, max(record.HEADER_SIZE, end + start if start < 0 else start))
    if offset < begin:
        if start >= 0:
            raise Damaged(f"the piece of {key} at offset {offset} is gone; nothing was changed")
        offset = max(record.HEADER_SIZE, begin)
    if offset <= begin + len(parts[0]):  # cut before they are joined: a container may be large
        parts[0], begin = parts[0][offset - begin :], offset
    return offset, b"".join(parts)[offset - begin :]


def _container(key: str, start: int, header: object, pieces: Sequence[tuple[object, object]]) -> Container:
    if not isinstance(header, bytes) or len(header) != record.HEADER_SIZE:
        raise Damaged(f"the row of {key} holds no header; nothing was changed")
    return Container(header, *suffix(key, pieces, start))


def witness_from(generation: object, seq: object, version: object) -> Witness | None:
    """The point that a row names as the newest; None for values that none of us wrote."""
    if isinstance(generation, int) and isinstance(seq, int) and isinstance(version, bytes):
        possible = len(version) == VERSION_SIZE and generation >= 0 and seq >= 0
        return Witness(generation, seq, version) if possible else None
    return None


def tombstone_from(key: str, generation: object, mac: object) -> Tombstone | None:
    """The tombstone of a row; None where there is none."""
    if isinstance(generation, int) and isinstance(mac, bytes) and 0 <= generation < GENERATIONS:
        return Tombstone(key, generation, mac)
    return None
