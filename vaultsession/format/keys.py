"""Keyring and subkey derivation. Pure: keys come in from above, nothing is read or written here.

An ordered keyring: the first master key seals, all of them open. The naming root is the same for the life of a vault.
"""

from __future__ import annotations

import os
from functools import cached_property

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from ..errors import UnknownKey
from ..util.named_tuple import NamedTuple
from . import ids
from .primitives import hmac_sha512

KEY_SIZE = 32
KEY_ID_SIZE = 8
VAULT_ID_SIZE = 16
TENANT_SIZE = 5
"""Bytes at the front of a key id that say whose it is, where it is a key of a tenant; the others are random."""


class MasterKey(NamedTuple):
    """One key that sessions are sealed under: ``id`` (8 bytes) stands in their headers, ``secret`` (32) nowhere.

    A retired key opens and never seals.
    """

    id: bytes
    secret: bytes
    retired: bool = False

    def __repr__(self) -> str:
        return f"MasterKey(id={self.id!r}, retired={self.retired})"

    @classmethod
    def generate(cls) -> MasterKey:
        return cls(os.urandom(KEY_ID_SIZE), os.urandom(KEY_SIZE))

    def subkey(self, purpose: bytes, vault_id: bytes) -> bytes:
        """The key of that purpose: K_index, K_tombstone, K_tenants or K_dictionary of FORMAT.md §3."""
        return derive(self.secret, vault_id, b"vaultsession/master/v1\0" + purpose, KEY_SIZE)


class _KeyringFields(NamedTuple):
    vault_id: bytes
    readable_names: bool
    created: int
    naming_root: bytes
    masters: tuple[MasterKey, ...]
    tenant_keys: bool = False


class Keyring(_KeyringFields):
    """What unlocking a vault yields: its identity, its naming root and its master keys.

    ``vault_id`` is 16 random bytes, ``readable_names`` says whether keys carry a slug, ``created`` is in microseconds
    since 1970, ``tenant_keys`` says whether sessions of a tenant are sealed under keys of that tenant (``tenants``).
    Immutable, hence safe from any thread.
    """

    def __repr__(self) -> str:
        return f"Keyring(vault_id={self.vault_id!r}, masters={self.masters!r})"

    @classmethod
    def generate(cls, *, readable_names: bool = True, created: int = 0, tenant_keys: bool = False) -> Keyring:
        return cls(
            vault_id=os.urandom(VAULT_ID_SIZE),
            readable_names=readable_names,
            created=created,
            naming_root=os.urandom(KEY_SIZE),
            masters=(MasterKey.generate(),),
            tenant_keys=tenant_keys,
        )

    @property
    def first(self) -> MasterKey:
        """The master key that seals."""
        return self.masters[0]

    @property
    def current(self) -> Keyring:
        """Itself: a keyring that stands alone is the newest there is."""
        return self

    def refresh(self) -> None:
        """Nothing: as above."""

    def sealing(self, tenant_id: str | None) -> MasterKey:
        """The first master key: the keys of a tenant are not among these."""
        del tenant_id
        return self.first

    def master(self, key_id: bytes) -> MasterKey:
        """The master key of that id, or ``UnknownKey``."""
        for candidate in self.masters:
            if candidate.id == key_id:
                return candidate
        held = ", ".join(master.id.hex() for master in self.masters)
        raise UnknownKey(f"sealed under master key {key_id.hex()}, which this keyring does not hold (it holds {held})")

    @cached_property
    def naming_key(self) -> bytes:
        """K_name: locators are its HMACs."""
        return self._from_root(b"name")

    @cached_property
    def tag_key(self) -> bytes:
        """K_tag: tags are its HMACs."""
        return self._from_root(b"tag")

    def session_key(self, session_id: ids.SessionId, *, slugs: bool = True) -> str:
        """The name of a session: with a slug where names are readable, and may have one where it is kept."""
        return ids.key(self.naming_key, session_id, readable=slugs and self.readable_names)

    def tag(self, kind: str, name: str, value: str) -> bytes:
        """The 16-byte keyed digest by which a backend knows an owner or a label.

        The kind and the length of the name are in it, so that user "alice" and assistant "alice" differ.
        """
        named = name.encode()
        text = kind.encode() + b"\0" + len(named).to_bytes(4, "little") + named + value.encode()
        return hmac_sha512(self.tag_key, text)[:16]

    def _from_root(self, purpose: bytes) -> bytes:
        return expand(self.naming_root, b"vaultsession/root/v1\0" + purpose + b"\0" + self.vault_id, KEY_SIZE)


def derive(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA-512 (RFC 5869), extract and expand."""
    return HKDF(SHA512(), size, salt, info).derive(secret)


def expand(secret: bytes, info: bytes, size: int) -> bytes:
    """HKDF-SHA-512, expand only: for secrets that are uniformly random already."""
    return HKDFExpand(SHA512(), size, info).derive(secret)
