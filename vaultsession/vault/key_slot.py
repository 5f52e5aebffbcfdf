"""One slot of a keyring file: a key pair that a secret opens, and the vault key, sealed for that pair. Pure.

FORMAT.md §2.2 is normative. The slot's secret seals a private key and a voucher key, once. The public key lies open
beside them, so that a holder of the vault's keys seals a new vault key for every slot without asking for a secret. The
voucher key stands in the key set too: without it nobody makes a vault key that the slot would take.
"""

from __future__ import annotations

import os
import struct

from ..errors import Damaged, InvalidSetting
from ..format.keys import KEY_SIZE, VAULT_ID_SIZE, derive
from ..format.primitives import AESGCM, InvalidTag, compare_digest, generate_private, private_key, public_key
from ..util.named_tuple import NamedTuple
from .secret import Secret, SecretKind, Stretching

LONGEST_LABEL = 64
"""Bytes of UTF-8 that a slot's label may have."""
LATEST = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""

_FACTS = struct.Struct("<8sBBHIIIQ64s32s")
_KEYS = struct.Struct("<32s32s12s80s32s48s")
SLOT_SIZE = _FACTS.size + _KEYS.size
_COMMITTED = _FACTS.size + 64
_ONCE = bytes(12)
"""The nonce of a vault key: each lies under a key of its own."""


class Slot(NamedTuple):
    """The public facts of one slot. ``created`` in microseconds since 1970."""

    id: bytes
    kind: SecretKind
    label: str
    created: int

    @property
    def name(self) -> str:
        """The id as people see it, 16 hex digits."""
        return self.id.hex()

    @property
    def takes_passphrase(self) -> bool:
        """Whether a passphrase opens it, rather than a raw key."""
        return self.kind is not SecretKind.RAW


class SlotKeys(NamedTuple):
    """What a slot's secret opens, the same for the slot's life: the private key and the voucher key, 32 bytes each."""

    private: bytes
    voucher: bytes

    def open(self, raw: bytes, vault_id: bytes) -> bytes:
        """The vault key that lies in the slot. ``Damaged`` unless it was sealed by a holder of the voucher key."""
        *_, ephemeral, sealed = _KEYS.unpack_from(raw, _FACTS.size)
        try:
            shared = private_key(self.private).exchange(public_key(ephemeral))
            return AESGCM(_wrapping_key(shared, self.voucher, ephemeral, raw, vault_id)).decrypt(_ONCE, sealed, None)
        except (InvalidTag, ValueError):  # ValueError: a point of low order
            raise Damaged(f"the vault key in slot {id_of(raw).hex()} of the keyring file was altered") from None


def make(secret: Secret, vault_key: bytes, vault_id: bytes, label: str, now: int) -> tuple[bytes, SlotKeys]:
    """A new slot for this secret, with the vault key in it. ``InvalidSetting`` for a label that none has."""
    if len(vault_id) != VAULT_ID_SIZE:
        raise ValueError(f"a vault id is {VAULT_ID_SIZE} bytes")
    named = label.encode("utf-8", "surrogatepass")
    if len(named) > LONGEST_LABEL or not label.isprintable():
        raise InvalidSetting(f"a key slot's label is printable text of at most {LONGEST_LABEL} bytes")
    if not 0 <= now <= LATEST:
        raise ValueError(f"{now} is no time between the years 1970 and 9999")
    how = Stretching.of(secret)
    facts = _FACTS.pack(os.urandom(8), how.kind, len(named), 0, *how[1:], now, named, os.urandom(32))
    sealing_key, commitment = _secret_keys(secret, facts)
    pair = generate_private()
    keys = SlotKeys(pair.private_bytes_raw(), os.urandom(KEY_SIZE))
    committed = facts + commitment + pair.public_key().public_bytes_raw()
    nonce = os.urandom(12)
    sealed = AESGCM(sealing_key).encrypt(nonce, b"".join(keys), committed + vault_id)
    return renew(committed + nonce + sealed + bytes(80), vault_key, keys.voucher, vault_id), keys


def renew(raw: bytes, vault_key: bytes, voucher: bytes, vault_id: bytes) -> bytes:
    """The slot with this vault key in it: what it has of its own stays."""
    _, public, _, _, _, _ = _KEYS.unpack_from(raw, _FACTS.size)
    try:
        ephemeral = generate_private()
        shared = ephemeral.exchange(public_key(public))
    except ValueError:  # authentic, and yet a point of low order
        raise Damaged(f"the public key of slot {id_of(raw).hex()} is none") from None
    point = ephemeral.public_key().public_bytes_raw()
    sealed = AESGCM(_wrapping_key(shared, voucher, point, raw, vault_id)).encrypt(_ONCE, vault_key, None)
    return raw[: -len(point) - len(sealed)] + point + sealed


def unlock(raw: bytes, secret: Secret, vault_id: bytes) -> SlotKeys | None:
    """What the slot keeps for this secret; None for another's. ``Damaged`` if the secret is right and the rest not."""
    commitment, _, nonce, sealed, _, _ = _KEYS.unpack_from(raw, _FACTS.size)
    sealing_key, expected = _secret_keys(secret, raw[: _FACTS.size])
    if not compare_digest(commitment, expected):
        return None
    try:
        plain = AESGCM(sealing_key).decrypt(nonce, sealed, raw[:_COMMITTED] + vault_id)
    except InvalidTag:
        raise Damaged(f"the key is right, but its slot {id_of(raw).hex()} in the keyring file was altered") from None
    return SlotKeys(plain[:KEY_SIZE], plain[KEY_SIZE:])


def parse(raw: bytes) -> tuple[Slot, int]:
    """The public facts of a slot, and what opening it costs in KiB times passes. ``Damaged``, ``UnsupportedFormat``."""
    slot_id, kind, size, reserved, *parameters, created, named, _ = _FACTS.unpack_from(raw)
    if reserved or size > LONGEST_LABEL or any(named[size:]) or created > LATEST:
        raise Damaged("a key slot holds values that no slot has")
    try:
        label = named[:size].decode()
    except UnicodeDecodeError:
        raise Damaged("a key slot's label is not text") from None
    if not label.isprintable():
        raise Damaged("a key slot's label is not printable")
    work = Stretching(kind, *parameters).work()
    return Slot(slot_id, SecretKind(kind), label, created), work


def id_of(raw: bytes) -> bytes:
    return raw[:8]


def _secret_keys(secret: Secret, facts: bytes) -> tuple[bytes, bytes]:
    """The sealing key and the commitment that this secret makes with the salt and the parameters of a slot."""
    _, kind, _, _, *parameters, _, _, salt = _FACTS.unpack(facts)
    stretched = Stretching(kind, *parameters).stretched(secret, salt)
    made = derive(stretched, salt, b"vaultsession/slot/v1\0" + bytes([kind]), KEY_SIZE + 32)
    return made[:KEY_SIZE], made[KEY_SIZE:]


def _wrapping_key(shared: bytes, voucher: bytes, ephemeral: bytes, raw: bytes, vault_id: bytes) -> bytes:
    info = b"vaultsession/wrap/v1\0" + ephemeral + raw[:_COMMITTED] + vault_id
    return derive(shared, voucher, info, KEY_SIZE)
