"""Rows: a head sealed once more under K_index, for backends that keep lists without a key; and tombstones. Pure.

A row authenticates itself: its columns are the associated data of its blob. The blob also carries the container's
header, so that a writer derives the container's keys from the row alone. A page of 50 opens in a quarter of the time
that the containers' own keys would take.
"""

from __future__ import annotations

import functools
import hmac
import os
from collections.abc import Iterable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import Damaged
from . import record
from .cipher import Masters
from .head import Head, decode
from .ids import locator_of
from .keys import MasterKey
from .sealed import IndexRow, Tombstone, columns_of

_ROW = b"row"
_AROUND = record.NONCE_SIZE + record.HEADER_SIZE + record.TAG_SIZE
_MASTERS = 64
_NOBODY = (None, None, None)


def head_size(row: IndexRow) -> int:
    """Bytes that the head of a row takes where it is encoded, as its record holds it."""
    return len(row.blob) - _AROUND


class IndexRowCipher:
    """Seals and opens rows and tombstones under the keys of one vault. Immutable, hence safe from any thread."""

    __slots__ = ("_cipher", "_keyring", "_signing_key", "_tags_of")

    def __init__(self, keyring: Masters) -> None:
        self._keyring = keyring
        self._signing_key = functools.lru_cache(_MASTERS)(self._derive_signing_key)
        self._tags_of = functools.lru_cache(1024)(self._derive_tags)  # the same few owners and labels, over and over
        self._cipher = AESGCM(keyring.current.index_key)

    def seal(
        self, key: str, header: bytes, generation: int, seq: int, version: bytes, size: int, head: Head, plain: bytes
    ) -> IndexRow:
        """The row of a head; ``plain`` is the head as it was encoded for the record."""
        tags, updated, expires = self._tags(head), head.updated, head.expires
        nonce = os.urandom(record.NONCE_SIZE)
        columns = columns_of(key, generation, seq, version, updated, expires, size, tags)
        blob = nonce + self._cipher.encrypt(nonce, header + plain, _ROW + columns)
        return IndexRow(key, generation, seq, version, updated, expires, size, tags, blob)

    def open(self, row: IndexRow) -> tuple[bytes, Head]:
        """``(header, head)`` of a row, or ``Damaged``: forged, or put together from the columns of several."""
        blob = row.blob
        try:
            plain = self._cipher.decrypt(
                blob[: record.NONCE_SIZE], blob[record.NONCE_SIZE :], _ROW + columns_of(*row[:8])
            )
        except (InvalidTag, ValueError):  # ValueError: a nonce or a column that no row has
            raise Damaged(f"the index row of {row.key} does not authenticate") from None
        return plain[: record.HEADER_SIZE], decode(plain[record.HEADER_SIZE :])

    def tombstone(self, key: str, generation: int) -> Tombstone:
        """A tombstone: this key was removed at this generation."""
        return Tombstone(key, generation, self._mac(self._keyring.current.first, key, generation))

    def is_genuine(self, tombstone: Tombstone) -> bool:
        """Whether the tombstone was made with a master key of this vault that is held."""
        if not 0 <= tombstone.generation < 1 << 64:
            return False
        known = self._keyring.current.masters
        if self._signer(tombstone, known) is None:
            self._keyring.refresh()
            others = [master for master in self._keyring.current.masters if master not in known]
            return self._signer(tombstone, others) is not None
        return True

    def resigned(self, tombstone: Tombstone) -> Tombstone | None:
        """A genuine tombstone under the first master key; None where it is that, or is not genuine."""
        again = self.tombstone(tombstone.key, tombstone.generation)
        return again if again.mac != tombstone.mac and self.is_genuine(tombstone) else None

    def _tags(self, head: Head) -> tuple[bytes, ...]:
        owners = (head.user_id, head.tenant_id, head.assistant_id)
        if owners == _NOBODY and not head.labels:
            return ()
        return self._tags_of(tuple(head.owners()), tuple(head.labels.items()))

    def _derive_tags(
        self, owners: tuple[tuple[str, str], ...], labels: tuple[tuple[str, str], ...]
    ) -> tuple[bytes, ...]:
        """The keyed digests under which a backend finds the session: owner, tenant, assistant and labels, sorted."""
        tag = self._keyring.current.tag
        found = [tag(kind, "", value) for kind, value in owners]
        found.extend([tag("label", name, value) for name, value in labels])
        return tuple(sorted(found))

    def _signer(self, tombstone: Tombstone, masters: Iterable[MasterKey]) -> MasterKey | None:
        key, generation = tombstone.key, tombstone.generation
        return next(
            (each for each in masters if hmac.compare_digest(tombstone.mac, self._mac(each, key, generation))), None
        )

    def _mac(self, master: MasterKey, key: str, generation: int) -> bytes:
        text = b"tombstone" + generation.to_bytes(8, "little") + locator_of(key).encode()
        return hmac.digest(self._signing_key(master), text, "sha512")[: record.TAG_SIZE]

    def _derive_signing_key(self, master: MasterKey) -> bytes:
        return master.subkey(b"tombstone", self._keyring.vault_id)
