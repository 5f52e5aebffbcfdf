"""Rows: a head sealed once more, for backends that keep lists without a key; and tombstones. Pure.

A row authenticates itself: its columns are the associated data of its blob. The blob begins with the id of the master
key that the row hangs on, and the container's header, so that a writer derives the container's keys from the row alone.
The key of the row hangs on that header and on K_index. So one key seals the rows of one container only, in its suite,
and a page still opens in a third of the time that the containers' own keys would take.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from typing import Any

from ..errors import Damaged, UnknownKey, UnsupportedFormat
from . import record
from .cipher import Masters, aead
from .head import Head, decode
from .ids import LOCATOR, LOCATOR_LENGTH, locator_of
from .keys import KEY_ID_SIZE, KEY_SIZE, Keyring, MasterKey
from .primitives import Hash, InvalidTag, compare_digest, hmac_sha512, sha512
from .sealed import GENERATIONS, IndexRow, Tombstone, columns_of

_ROW = b"row"
_ROW_KEY = b"\0\0\0\1"
_SUITE = 5
"""Where the header names it."""
_ROOT = slice(0, KEY_ID_SIZE)
_HEADER = slice(_ROOT.stop, _ROOT.stop + record.HEADER_SIZE)
_NONCE = slice(_HEADER.stop, _HEADER.stop + record.NONCE_SIZE)
AROUND = _NONCE.stop + record.TAG_SIZE
"""Bytes of a row's blob beside the head, which is as long there as in its record."""
_MASTERS = 64
_CONTAINERS = 256
"""Row keys that are kept, of the containers that are written to over and over."""
_NOBODY = (None, None, None)


def root_of(row: IndexRow) -> bytes:
    """The id of the master key that a row says that it hangs on."""
    return row.blob[_ROOT]


class IndexRowCipher:
    """Seals and opens rows and tombstones under the keys of one vault. Immutable, hence safe from any thread."""

    __slots__ = ("_begins", "_key_of", "_keyring", "_signing_key", "_tags_of")

    def __init__(self, keyring: Masters) -> None:
        self._keyring = keyring
        self._signing_key = functools.lru_cache(_MASTERS)(self._derive_signing_key)
        self._begins: tuple[Keyring, dict[bytes, Hash]] = keyring.current, {}
        self._key_of = functools.lru_cache(_CONTAINERS)(self._derive_key)
        self._tags_of = functools.lru_cache(1024)(self._derive_tags)  # the same few owners and labels, over and over

    def seal(
        self, key: str, header: bytes, generation: int, seq: int, version: bytes, size: int, head: Head, plain: bytes
    ) -> IndexRow:
        """The row of a head; ``plain`` is the head as it was encoded for the record."""
        tags, updated, expires = self._tags(head), head.updated, head.expires
        nonce = os.urandom(record.NONCE_SIZE)
        columns = columns_of(key, generation, seq, version, updated, expires, size, tags)
        root = self._keyring.current.masters[0].id
        sealed = self._key_of(root, header, key[LOCATOR]).encrypt(nonce, plain, _ROW + columns)
        blob = b"".join((root, header, nonce, sealed))
        return IndexRow(key, generation, seq, version, updated, expires, size, tags, blob)

    def open(self, row: IndexRow) -> tuple[bytes, Head]:
        """``(header, head)`` of a row, or ``Damaged``: forged, or put together from the columns of several."""
        blob = row.blob
        header = blob[_HEADER]
        try:
            cipher = self._derive_key(blob[_ROOT], header, locator_of(row.key))
            plain = cipher.decrypt(blob[_NONCE], blob[_NONCE.stop :], _ROW + columns_of(*row[:8]))
        except (InvalidTag, ValueError, UnsupportedFormat, UnknownKey):  # ValueError: a column that no row has, say
            raise Damaged(f"the index row of {row.key} does not authenticate") from None
        return header, decode(plain)

    def tombstone(self, key: str, generation: int) -> Tombstone:
        """A tombstone: this key was removed at this generation."""
        return Tombstone(key, generation, self._mac(self._keyring.current.first, key, generation))

    def is_genuine(self, tombstone: Tombstone) -> bool:
        """Whether the tombstone was made with a master key of this vault that is held."""
        if not 0 <= tombstone.generation < GENERATIONS:
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

    def _root(self, key_id: bytes) -> MasterKey:
        """The master key of that id; ``UnknownKey`` after a look whether the keyring has changed."""
        for master in self._keyring.current.masters:
            if master.id == key_id:
                return master
        self._keyring.refresh()
        return self._keyring.current.master(key_id)

    def _begin(self, root: bytes) -> Hash:
        """What the hashes of a master key begin with: for as long as the keyring stays as it is."""
        keyring, begins = self._begins
        if keyring is not self._keyring.current:
            keyring, begins = self._begins = self._keyring.current, {}
        found = begins.get(root)
        if found is None:
            subkey = self._root(root).subkey(b"index", self._keyring.vault_id)
            found = begins[root] = sha512(_ROW_KEY + subkey)
        return found

    def _derive_key(self, root: bytes, header: bytes, locator: str) -> Any:  # noqa: ANN401 - the suites have no type in common
        """The cipher of a container's rows.

        One hash of fixed length behind a secret, cut to half of its bytes (NIST SP 800-56C, one step), since a listing
        derives a key for each row: with HKDF the first page of a process would take half as long again.
        """
        if len(header) != record.HEADER_SIZE or len(locator) != LOCATOR_LENGTH:
            raise ValueError("a row without a header or a name")
        derived = self._begin(root).copy()
        derived.update(header + locator.encode())
        return aead(header[_SUITE], derived.finalize()[:KEY_SIZE])

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
        return next((each for each in masters if compare_digest(tombstone.mac, self._mac(each, key, generation))), None)

    def _mac(self, master: MasterKey, key: str, generation: int) -> bytes:
        text = b"tombstone" + generation.to_bytes(8, "little") + locator_of(key).encode()
        return hmac_sha512(self._signing_key(master), text)[: record.TAG_SIZE]

    def _derive_signing_key(self, master: MasterKey) -> bytes:
        return master.subkey(b"tombstone", self._keyring.vault_id)
