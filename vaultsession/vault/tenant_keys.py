"""The keys of one tenant, in a small file of their own: to destroy them is to erase the tenant. Pure: bytes in, out.

In a vault whose key set says so, sessions with a ``tenant_id`` are sealed under keys that stand in no keyring file.
They lie apart on purpose. The keyring file belongs into every backup, and a key that lies in a backup cannot be
destroyed. So: back up the sessions and the keyring as often as you like; of ``tenants/`` keep one copy, elsewhere, and
overwrite it. Then the destruction of a tenant's keys reaches every backup of its sessions. An older copy of the
tenant's file, together with a secret that opens the keyring, still reads them.

FORMAT.md §2.4 is normative. What the encoder would not have written is refused.

A key belongs to the master key that was the first when it was made, and is deleted with it: another first one asks for
a new key of each tenant, so that one rotation renews them all. Destroyed keys stay listed, so that what they sealed is
known to be erased, not locked. A tenant that writes again gets a new key. An id is never given to another key: two
files of one tenant, one of them from a backup, are merged by it.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum

from ..errors import Damaged, TooLarge, UnknownKey, UnsupportedFormat
from ..format.keys import KEY_ID_SIZE, KEY_SIZE, TENANT_SIZE, Keyring, MasterKey
from ..format.primitives import AESGCM, InvalidTag
from ..util.named_tuple import NamedTuple

VERSION = 1
MOST_KEYS = 65535

_MAGIC = b"VST1"
_FILE = struct.Struct("<4sBBH16s16s8s12s")
_KEY = struct.Struct("<8s32s8sB")
_NONCE_SIZE = 12
_TAG_SIZE = 16
LARGEST_FILE = _FILE.size + MOST_KEYS * _KEY.size + _TAG_SIZE
_NO_SECRET = bytes(KEY_SIZE)
_PURPOSE = b"tenants"


class State(IntEnum):
    """What a tenant's key is still good for."""

    SEALS = 0
    RETIRED = 1
    DESTROYED = 2


class TenantKey(NamedTuple):
    """One key of a tenant. ``made_under`` is the id of the master key that was the first then."""

    master: MasterKey
    made_under: bytes
    state: State


class TenantKeys(NamedTuple):
    """All keys of one tenant, oldest first; at most the last one seals. Immutable."""

    digest: bytes
    keys: tuple[TenantKey, ...] = ()

    @classmethod
    def digest_of(cls, keyring: Keyring, tenant_id: str, variant: int = 0) -> bytes:
        """The 16 bytes that stand for the tenant wherever its keys are kept.

        Another ``variant`` gives another file, for a tenant whose file would be that of another one.
        """
        return keyring.tag("tenant key", str(variant) if variant else "", tenant_id)

    @property
    def name(self) -> str:
        return name_of(self.digest)

    def sealing(self, made_under: bytes) -> MasterKey | None:
        """The key that seals while that master key is the first; None: another is due."""
        newest = self.keys[-1] if self.keys else None
        fits = newest is not None and newest.state is State.SEALS and newest.made_under == made_under
        return newest.master if newest is not None and fits else None

    def find(self, key_id: bytes) -> TenantKey | None:
        return next((key for key in self.keys if key.master.id == key_id), None)

    def grown(self, made_under: bytes) -> TenantKeys:
        """With a new key, which seals, and no other that does. ``TooLarge`` beyond the bound."""
        if len(self.keys) >= MOST_KEYS:
            raise TooLarge(f"a tenant has at most {MOST_KEYS} keys in its life")
        key_id = self.digest[:TENANT_SIZE] + os.urandom(KEY_ID_SIZE - TENANT_SIZE)
        if self.find(key_id) is not None:
            return self.grown(made_under)
        fresh = TenantKey(MasterKey(key_id, os.urandom(KEY_SIZE)), made_under, State.SEALS)
        return self._replace(keys=(*(_retired(key) for key in self.keys), fresh))

    def merged(self, other: TenantKeys) -> TenantKeys:
        """With the keys of another file of this tenant in front. What one of them destroyed is destroyed.

        ``Damaged`` where one id names two secrets.
        """
        found = {key.master.id: key for key in self.keys}
        more = []
        for key in other.keys:
            mine = found.get(key.master.id)
            if mine is None:
                more.append(_retired(key))
            elif key.state is State.DESTROYED:
                found[key.master.id] = key
            elif mine.state is not State.DESTROYED and mine.master.secret != key.master.secret:
                raise Damaged(f"key {key.master.id.hex()} of a tenant has two secrets in two files: keep both files")
        return self._replace(keys=(*more, *found.values()))

    def outdated(self, masters: set[bytes]) -> set[bytes]:
        """The ids of those that belong to none of these master keys, but for destroyed ones."""
        return {
            key.master.id for key in self.keys if key.state is not State.DESTROYED and key.made_under not in masters
        }

    def without(self, outdated: set[bytes], made_under: bytes) -> TenantKeys:
        """Without those; with a new key where they were all that seals."""
        renewed = self if self.sealing(made_under) is not None else self.grown(made_under)
        return renewed._replace(keys=tuple(key for key in renewed.keys if key.master.id not in outdated))

    def destroyed(self) -> TenantKeys:
        """Without any secret."""
        gone = (
            TenantKey(MasterKey(key.master.id, _NO_SECRET, retired=True), key.made_under, State.DESTROYED)
            for key in self.keys
        )
        return self._replace(keys=tuple(gone))

    def erased(self) -> set[bytes]:
        """The ids of those that were destroyed."""
        return {key.master.id for key in self.keys if key.state is State.DESTROYED}

    def encode(self, keyring: Keyring) -> bytes:
        """The bytes of the file, sealed under the first master key."""
        first, vault_id = keyring.first, keyring.vault_id
        nonce = os.urandom(_NONCE_SIZE)
        header = _FILE.pack(_MAGIC, VERSION, 0, len(self.keys), vault_id, self.digest, first.id, nonce)
        plain = b"".join(_KEY.pack(key.master.id, key.master.secret, key.made_under, key.state) for key in self.keys)
        return header + AESGCM(first.subkey(_PURPOSE, vault_id)).encrypt(nonce, plain, header)

    @classmethod
    def decode(cls, data: bytes, keyring: Keyring, name: str) -> TenantKeys:
        """The keys of the file of that name; ``Damaged`` for one that this vault did not write there.

        ``UnknownKey`` for one that lies under a master key that the keyring does not hold.
        """
        where = f"tenants/{name}"
        if data[:4] == _MAGIC and len(data) > _FILE.size and data[4] > VERSION:
            raise UnsupportedFormat(f"{where}: a file of version {data[4]}", found=data[4], supported=VERSION)
        try:
            magic, version, reserved, count, vault_id, digest, key_id, nonce = _FILE.unpack_from(data)
            if magic != _MAGIC or vault_id != keyring.vault_id:
                raise Damaged(f"{where} is no file of this vault: restore it from its own backup")
            key = keyring.master(key_id).subkey(_PURPOSE, vault_id)
            plain = AESGCM(key).decrypt(nonce, data[_FILE.size :], data[: _FILE.size])
            rows = list(_KEY.iter_unpack(plain))
        except UnknownKey:
            raise UnknownKey(
                f"{where} is sealed under master key {key_id.hex()}, which this keyring does not hold: restore a copy "
                "that was made after the keys were rotated"
            ) from None
        except (struct.error, InvalidTag, ValueError):
            raise Damaged(f"{where} does not authenticate: restore it from its own backup") from None
        held = cls(digest, tuple(_key(*row) for row in rows))
        sane = (version, reserved) == (VERSION, 0)
        if not sane or count != len(rows) or not rows or held.name != name or not held._is_ordered():
            raise Damaged(f"{where} is not what this package writes there: restore it from its own backup")
        return held

    def _is_ordered(self) -> bool:
        ids = {key.master.id for key in self.keys}
        ours = all(key_id[:TENANT_SIZE] == self.digest[:TENANT_SIZE] for key_id in ids)
        blank = all((key.master.secret == _NO_SECRET) is (key.state is State.DESTROYED) for key in self.keys)
        only_last_seals = all(key.state is not State.SEALS for key in self.keys[:-1])
        return blank and only_last_seals and ours and len(ids) == len(self.keys)


def name_of(key_id_or_digest: bytes) -> str:
    """The name of the file that would hold a key of this id."""
    return key_id_or_digest[:TENANT_SIZE].hex()


def sealed_under(data: bytes) -> bytes:
    """The id of the master key that a file says that it lies under."""
    return data[_FILE.size - _NONCE_SIZE - KEY_ID_SIZE : _FILE.size - _NONCE_SIZE]


def _retired(key: TenantKey) -> TenantKey:
    if key.state is State.DESTROYED:
        return key
    return TenantKey(key.master._replace(retired=True), key.made_under, State.RETIRED)


def _key(key_id: bytes, secret: bytes, made_under: bytes, state: int) -> TenantKey:
    try:
        known = State(state)
    except ValueError:
        raise Damaged("a tenant's key is in a state that no key has") from None
    return TenantKey(MasterKey(key_id, secret, retired=known is not State.SEALS), made_under, known)
