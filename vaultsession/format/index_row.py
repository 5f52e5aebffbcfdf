"""Rows: a head sealed once more, for backends that keep lists without a key; and tombstones. Pure.

A row authenticates itself: its columns are the associated data of its blob. The blob begins with the container's
header, so that a writer derives the container's keys from the row alone; the key of the row hangs on that header and
on K_index. So one key seals the rows of one container only, in its suite, and a page still opens in a third of the
time that the containers' own keys would take.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
from typing import Any

from cryptography.exceptions import InvalidTag

from ..errors import Damaged, UnsupportedFormat
from . import record
from .cipher import aead
from .head import Head, decode
from .ids import LOCATOR_LENGTH, locator_of
from .keys import KEY_SIZE, Keyring
from .sealed import IndexRow, Tombstone, columns_of

_ROW = b"row"
_ROW_KEY = b"\0\0\0\1"
_SUITE = 5
"""Where the header names it."""
_NONCE = slice(record.HEADER_SIZE, record.HEADER_SIZE + record.NONCE_SIZE)
_AROUND = record.HEADER_SIZE + record.NONCE_SIZE + record.TAG_SIZE
_CONTAINERS = 256
"""Row keys that are kept, of the containers that are written to over and over."""
_NOBODY = (None, None, None)


def head_size(row: IndexRow) -> int:
    """Bytes that the head of a row takes where it is encoded, as its record holds it."""
    return len(row.blob) - _AROUND


class IndexRowCipher:
    """Seals and opens rows and tombstones under the keys of one vault. Immutable, hence safe from any thread."""

    __slots__ = ("_begin", "_key_of", "_keyring", "_tags_of")

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._begin = hashlib.sha512(_ROW_KEY + keyring.index_key)
        self._key_of = functools.lru_cache(_CONTAINERS)(self._derive_key)
        self._tags_of = functools.lru_cache(1024)(self._derive_tags)  # the same few owners and labels, over and over

    def seal(
        self, key: str, header: bytes, generation: int, seq: int, version: bytes, size: int, head: Head, plain: bytes
    ) -> IndexRow:
        """The row of a head; ``plain`` is the head as it was encoded for the record."""
        tags, updated, expires = self._tags(head), head.updated, head.expires
        nonce = os.urandom(record.NONCE_SIZE)
        columns = columns_of(key, generation, seq, version, updated, expires, size, tags)
        sealed = self._key_of(header, locator_of(key)).encrypt(nonce, plain, _ROW + columns)
        blob = b"".join((header, nonce, sealed))
        return IndexRow(key, generation, seq, version, updated, expires, size, tags, blob)

    def open(self, row: IndexRow) -> tuple[bytes, Head]:
        """``(header, head)`` of a row, or ``Damaged``: forged, or put together from the columns of several."""
        blob = row.blob
        header = blob[: record.HEADER_SIZE]
        try:
            cipher = self._derive_key(header, locator_of(row.key))
            plain = cipher.decrypt(blob[_NONCE], blob[_NONCE.stop :], _ROW + columns_of(*row[:8]))
        except (InvalidTag, ValueError, UnsupportedFormat):  # ValueError: a header or a column that no row has
            raise Damaged(f"the index row of {row.key} does not authenticate") from None
        return header, decode(plain)

    def tombstone(self, key: str, generation: int) -> Tombstone:
        """A tombstone: this key was removed at this generation."""
        return Tombstone(key, generation, self._mac(key, generation))

    def is_genuine(self, tombstone: Tombstone) -> bool:
        """Whether the tombstone was made with the keys of this vault."""
        if not 0 <= tombstone.generation < 1 << 64:
            return False
        return hmac.compare_digest(tombstone.mac, self._mac(tombstone.key, tombstone.generation))

    def _derive_key(self, header: bytes, locator: str) -> Any:  # noqa: ANN401 - the suites have no type in common
        """The cipher of a container's rows.

        One hash of fixed length behind a secret, cut to half of its bytes (NIST SP 800-56C, one step), since a listing
        derives a key for each row: with HKDF the first page of a process would take half as long again.
        """
        if len(header) != record.HEADER_SIZE or len(locator) != LOCATOR_LENGTH:
            raise ValueError("a row without a header or a name")
        derived = self._begin.copy()
        derived.update(header + locator.encode())
        return aead(header[_SUITE], derived.digest()[:KEY_SIZE])

    def _tags(self, head: Head) -> tuple[bytes, ...]:
        owners = (head.user_id, head.tenant_id, head.assistant_id)
        if owners == _NOBODY and not head.labels:
            return ()
        return self._tags_of(tuple(head.owners()), tuple(head.labels.items()))

    def _derive_tags(
        self, owners: tuple[tuple[str, str], ...], labels: tuple[tuple[str, str], ...]
    ) -> tuple[bytes, ...]:
        """The keyed digests under which a backend finds the session: owner, tenant, assistant and labels, sorted."""
        tag = self._keyring.tag
        found = [tag(kind, "", value) for kind, value in owners]
        found.extend([tag("label", name, value) for name, value in labels])
        return tuple(sorted(found))

    def _mac(self, key: str, generation: int) -> bytes:
        text = b"tombstone" + generation.to_bytes(8, "little") + locator_of(key).encode()
        return hmac.digest(self._keyring.tombstone_key, text, "sha512")[: record.TAG_SIZE]
