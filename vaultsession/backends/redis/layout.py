"""What each key is called, and how a row or a tombstone is packed into bytes: FORMAT.md, §11.2. Pure.

The braces around a shard make it the hash slot of a cluster, so that a session *and* what lists it lie
in one slot: one script changes both, and an entry never disagrees with its session unless someone else wrote it. On
one server there is one shard; a cluster begins with ``CLUSTER_SHARDS`` of them, and a listing merges them.
"""

from __future__ import annotations

import re
import struct
import zlib

from ...format.ids import locator_of
from ...format.sealed import GENERATIONS, VERSION_SIZE, IndexRow, Tombstone, row_of

SCHEMA = 1
CLUSTER_SHARDS = 32
"""Of a vault that is made on a cluster: a listing asks each of them, and each lies on one node."""

LARGEST_SHARDS = 16384

MARGIN = 24 * 3600 * 1000
"""Milliseconds that the server keeps a session behind its expiry: removing it is the sweep's business."""

SWEPT = 30 * MARGIN
"""Milliseconds that the tombstone of a swept session is kept; that of a removed one is kept for ever."""

_SCHEMA = re.compile(rb"vaultsession redis (\d{1,4}) shards (\d{1,5})")
_ROW_KIND = 1
_TOMBSTONE_KIND = 2
_SIZE = struct.Struct("<BH")
_TOLD = 3 + 8 + 8 + VERSION_SIZE
_ROW_BEGINS = bytes([_ROW_KIND])
TOMBSTONE_BEGINS = bytes([_TOMBSTONE_KIND])
_TOMBSTONE = struct.Struct("<BQ16s")


class RedisLayout:
    """The keys of one vault. Immutable."""

    __slots__ = ("prefix", "shards")

    def __init__(self, prefix: str, shards: int) -> None:
        self.prefix = prefix
        self.shards = shards

    def shard(self, locator: str) -> str:
        """The shard of a session, as its keys begin."""
        number = 0 if self.shards == 1 else zlib.crc32(locator.encode()) % self.shards
        return self.of(number)

    def of(self, number: int) -> str:
        """A shard, as its keys begin."""
        return f"{self.prefix}:{{{number}}}:"

    def every(self) -> list[str]:
        return [self.of(number) for number in range(self.shards)]

    def parse(self, name: bytes, kind: str) -> tuple[str, bytes] | None:
        """The shard and the locator or tag in the name of a key of that kind; None for a name that is none of ours."""
        form = rb"%s:\{(0|[1-9][0-9]{0,4})\}:%s:([0-9a-v]{32})" % (re.escape(self.prefix).encode(), kind.encode())
        found = re.fullmatch(form, name)
        if found is None or int(found[1]) >= self.shards:
            return None
        return self.of(int(found[1])), found[2]

    def session(self, key: str) -> tuple[str, str, str]:
        """``(shard, container, newest)`` of a session."""
        locator = locator_of(key)
        shard = self.shard(locator)
        return shard, f"{shard}c:{locator}", f"{shard}n:{locator}"

    @property
    def schema(self) -> str:
        """Where the version of all this is kept."""
        return f"{self.prefix}:schema"

    def metadata(self, name: str) -> str:
        return f"{self.prefix}:metadata:{name}"

    def lease(self, key: str) -> str:
        return f"{self.prefix}:lease:{locator_of(key)}"


def all_of(shard: str) -> str:
    """Every session of a shard, by its last change."""
    return f"{shard}all"


def expiring(shard: str) -> str:
    """Every session of a shard that expires, by when."""
    return f"{shard}exp"


def tagged(shard: str, tag: bytes) -> str:
    """Every session of a shard that carries a tag, by its last change."""
    return f"{shard}tag:{tag.hex()}"


def schema_text(shards: int) -> bytes:
    """What is kept under ``schema``."""
    return b"vaultsession redis %d shards %d" % (SCHEMA, shards)


def parse_schema(text: bytes) -> tuple[int, int]:
    """``(version, shards)``, or ``ValueError``: something else is kept there."""
    found = _SCHEMA.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= LARGEST_SHARDS:
        raise ValueError("no schema of vaultsession")
    return int(found[1]), int(found[2])


def fingerprint(stored: bytes) -> bytes:
    """The beginning of what is stored as newest that differs from everything else that could be there.

    Of a row up to its version: two rows of one version speak of the same bytes. All of it where it is no row.
    """
    return stored[:_TOLD] if stored[:1] == _ROW_BEGINS else stored


def pack(newest: IndexRow | Tombstone) -> bytes:
    """A row or a tombstone as bytes."""
    if isinstance(newest, Tombstone):
        return _TOMBSTONE.pack(_TOMBSTONE_KIND, newest.generation, newest.mac)
    columns = newest.columns()
    return b"".join((_SIZE.pack(_ROW_KIND, len(columns)), columns, newest.blob))


def unpack(data: bytes, locator: str) -> IndexRow | Tombstone:
    """What ``pack`` was given, or ``ValueError``: not packed here, or for a session of another locator."""
    try:
        return _unpack_tombstone(data, locator) if data[:1] == TOMBSTONE_BEGINS else _unpack_row(data, locator)
    except struct.error as error:
        raise ValueError(str(error)) from None


def newest_in(stored: bytes | None, locator: str) -> IndexRow | Tombstone | None:
    """What is stored as the newest of a session, where it can be understood."""
    try:
        return unpack(stored, locator) if stored else None
    except ValueError:
        return None


def _unpack_row(data: bytes, locator: str) -> IndexRow:
    kind, size = _SIZE.unpack_from(data)
    end = _SIZE.size + size
    if kind != _ROW_KIND or end > len(data):
        raise ValueError("this is no row, or it was cut")
    row = row_of(data[_SIZE.size : end], data[end:])
    if row.key != locator:
        raise ValueError("this row is of another session")
    return row


def _unpack_tombstone(data: bytes, locator: str) -> Tombstone:
    _, generation, mac = _TOMBSTONE.unpack(data)
    if generation >= GENERATIONS:
        raise ValueError("a generation that none has")
    return Tombstone(locator, generation, mac)
