r"""The keyring file: a random vault key, wrapped once per secret, that seals the key set. Pure: bytes in, bytes out.

Normative. Integers are little-endian; every field is checked, and what the encoder would not have written is refused.

::

    keyring file                                        slot (220 bytes)
    0      4    magic ``VSK1``                          0    8   slot id, random
    4      1    format version 1                        8    1   kind: 1 raw key, 2 Argon2id, 3 scrypt
    5      1    number of slots n, 1 to 32              9    1   bytes of label, at most 64
    6      2    flags 0; a bit -> UnsupportedFormat     10   2   reserved 0
    8      8    counter: 1, then +1 at every change     12   4   Argon2id: memory in KiB    scrypt: N    raw: 0
    16     16   vault id                                16   4   Argon2id: passes           scrypt: r    raw: 0
    32     220n slots                                   20   4   Argon2id: lanes            scrypt: p    raw: 0
    a      4    bytes of the sealed key set c           24   8   created, microseconds since 1970
    a+4    32   salt, random at every change            32   64  label, UTF-8, zero padded
    a+36   12   nonce, random                           96   32  salt, random
    a+48   c    the key set, AES-256-GCM under K_set    128  32  commitment
    b      32   MAC                                     160  12  nonce, random
    b+32   16   checksum                                172  48  the vault key, AES-256-GCM under K_slot

    key set                                             master key
    0      16   vault id                                0    8   key id
    16     1    names: 0 private, 1 readable            8    32  secret
    17     1    1 if tenants have own keys, else 0      40   1   1 if retired, else 0
    18     2    number of master keys m, 1 to 1024
    20     4    reserved 0
    24     8    created, microseconds since 1970
    32     32   root key
    64     41m  master keys; the first one seals and is not retired

    stretched                = the raw key, or Argon2id or scrypt of the passphrase (UTF-8 of its NFC form) and the salt
    K_slot(32) ‖ commitment  = HKDF-SHA-512(stretched, salt, "vaultsession/slot/v1\0" ‖ kind)
    AAD of the vault key     = bytes 0 to 159 of the slot ‖ vault id
    K_set(32) ‖ K_mac(32)    = HKDF-SHA-512(vault key, salt at a+4, "vaultsession/keyring/v1\0" ‖ bytes 0 to 31)
    AAD of the key set       = bytes 0 to a+47
    MAC                      = HMAC-SHA-512(K_mac, bytes 0 to b-1)[:32]
    checksum                 = SHA-512(bytes 0 to b+31)[:16], the last 16 bytes in every version to come

What distinguishes the verdicts:

- The **checksum** is no secret and proves nothing against an adversary. It says without a key that a copy is torn or
  rotten, so that accidental damage is never reported as a wrong key, a damaged version byte never as another version,
  and the better of two copies is known before anything is unlocked. Later versions keep it: a version byte that is not
  1 under a right checksum is UnsupportedFormat.
- The **commitment** is compared, in constant time, before anything is unwrapped. It depends on secret, salt and kind
  alone: no match is WrongKey. After a match the key is right, and every further failure (the slot's other fields,
  another vault's id, the MAC, the key set) is Damaged.
- The **MAC** covers every byte before it. Only when it is right is anything of the file believed.

The vault key is the same for the life of the vault: a change needs no other slot's secret. Hence a removed slot still
opens an old copy of this file, and with it what is sealed later: to prevent that takes a new vault.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import Damaged, InvalidSetting, TooLarge, UnsupportedFormat, WrongKey
from ..format.keys import KEY_SIZE, VAULT_ID_SIZE, Keyring, MasterKey, derive
from .secret import MOST_WORK, Passphrase, Secret, SecretKind, Stretching

VERSION = 1
FIRST_COUNTER = 1
LARGEST_FILE = 64 * 1024
MOST_SLOTS = 32
MOST_MASTERS = 1024
LONGEST_LABEL = 64
"""Bytes of UTF-8 that a slot's label may have."""
MOST_FILE_WORK = 4 * MOST_WORK
"""KiB times passes that all slots of a file may cost together: about ten seconds."""

_MAGIC = b"VSK1"
_FILE = struct.Struct("<4sBBHQ16s")
_SLOT_FACTS = struct.Struct("<8sBBHIIIQ64s32s")
_SLOT_WRAP = struct.Struct("<32s12s48s")
_SLOT_SIZE = _SLOT_FACTS.size + _SLOT_WRAP.size
_SLOT_AAD = _SLOT_FACTS.size + 32
_SEALED = struct.Struct("<I32s12s")
_SET = struct.Struct("<16sBBHIQ32s")
_MASTER = struct.Struct("<8s32sB")
_MAC_SIZE = 32
_CHECKSUM_SIZE = 16
_TAG_SIZE = 16
_LATEST = 253_402_300_799_999_999  # the last microsecond of the year 9999


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


@dataclass(frozen=True, slots=True)
class KeyringFile:
    """A keyring file whose checksum and structure are right, still locked: nothing in it is proved yet."""

    vault_id: bytes
    counter: int
    slots: tuple[Slot, ...]
    data: bytes = field(repr=False)

    def unlock(self, secret: Secret) -> UnlockedKeyring:
        """All of it. ``WrongKey`` if no slot's commitment matches, ``Damaged`` if one does and the rest fails."""
        for slot, wrapped in zip(self.slots, _wrapped(self.data), strict=True):
            if slot.takes_passphrase is not isinstance(secret, Passphrase):
                continue
            facts, (commitment, nonce, vault_key) = (
                wrapped[: _SLOT_FACTS.size],
                _SLOT_WRAP.unpack_from(wrapped, _SLOT_FACTS.size),
            )
            wrapping_key, expected = _slot_keys(secret, facts)
            if not hmac.compare_digest(commitment, expected):
                continue
            try:
                opened = AESGCM(wrapping_key).decrypt(nonce, vault_key, wrapped[:_SLOT_AAD] + self.vault_id)
            except InvalidTag:
                raise Damaged(f"the key is right, but its slot {slot.name} in the keyring file was altered") from None
            return self.reopen(opened, slot)
        kind = "passphrase" if isinstance(secret, Passphrase) else "raw key"
        fitting = sum(slot.takes_passphrase is isinstance(secret, Passphrase) for slot in self.slots)
        raise WrongKey(f"this key opens none of the {fitting} {kind} slots (of {len(self.slots)} slots) of this vault")

    def reopen(self, vault_key: bytes, slot: Slot | None = None) -> UnlockedKeyring:
        """The same by the vault key of an earlier unlocking; ``Damaged`` if this is no file made under it."""
        body, mac = self.data[: -_CHECKSUM_SIZE - _MAC_SIZE], self.data[-_CHECKSUM_SIZE - _MAC_SIZE : -_CHECKSUM_SIZE]
        start = _FILE.size + _SLOT_SIZE * len(self.slots)
        _, salt, nonce = _SEALED.unpack_from(body, start)
        start += _SEALED.size
        set_key, mac_key = _file_keys(vault_key, salt, body[: _FILE.size])
        if not hmac.compare_digest(mac, _mac(mac_key, body)):
            raise Damaged("the keyring file was altered: its MAC is wrong")
        try:
            plain = AESGCM(set_key).decrypt(nonce, body[start:], body[:start])
        except InvalidTag:
            raise Damaged("the key set does not authenticate") from None
        keyring = _decode_set(plain)
        if keyring.vault_id != self.vault_id:
            raise Damaged("the key set belongs to another vault")
        return UnlockedKeyring(keyring, self.counter, self.slots, slot, vault_key, self.data)


@dataclass(frozen=True, slots=True)
class UnlockedKeyring:
    """An authentic keyring file, opened: ``slot`` is the one that opened it, None where the vault key did.

    Each change gives the bytes of the next file, counter + 1, without the secrets of the other slots.
    """

    keyring: Keyring
    counter: int
    slots: tuple[Slot, ...]
    slot: Slot | None
    vault_key: bytes = field(repr=False)
    data: bytes = field(repr=False)

    def reopen(self, file: KeyringFile) -> UnlockedKeyring:
        """Another file of this vault, opened with what is known from this one; ``Damaged`` if it does not prove it."""
        return self if file.data == self.data else file.reopen(self.vault_key, self.slot)

    def proves(self, file: KeyringFile) -> bool:
        """Whether the writer of a file had the vault key."""
        try:
            self.reopen(file)
        except Damaged:
            return False
        return True

    def add_slot(self, secret: Secret, *, label: str = "", now: int = 0) -> bytes:
        """The file with one more slot, which is the last. ``TooLarge`` beyond the bound."""
        if len(self.slots) >= MOST_SLOTS:
            raise TooLarge(f"a vault has at most {MOST_SLOTS} key slots: remove one first")
        added = _wrap(self.vault_key, secret, self.keyring.vault_id, label, now)
        if sum(_parse_slot(raw)[1] for raw in (*_wrapped(self.data), added)) > MOST_FILE_WORK:
            raise TooLarge("the passphrase slots of this vault would together cost too much to try: remove one first")
        return self._encode(self.keyring, (*_wrapped(self.data), added))

    def remove_slot(self, slot_id: bytes) -> bytes:
        """The file without that slot; ``InvalidSetting`` if there is no such slot, or it is the last.

        An older copy of the file still opens with the slot's secret.
        """
        kept = tuple(raw for slot, raw in zip(self.slots, _wrapped(self.data), strict=True) if slot.id != slot_id)
        if len(kept) == len(self.slots):
            held = ", ".join(slot.name for slot in self.slots)
            raise InvalidSetting(f"there is no key slot {slot_id.hex()} in this vault (there are {held})")
        if not kept:
            raise InvalidSetting("this is the last key slot: without it nobody could open the vault; add another first")
        return self._encode(self.keyring, kept)

    def replace_masters(self, masters: Iterable[MasterKey]) -> bytes:
        """The file with these master keys; the first seals and is not retired."""
        return self._encode(replace(self.keyring, masters=tuple(masters)), _wrapped(self.data))

    def _encode(self, keyring: Keyring, wrapped: tuple[bytes, ...]) -> bytes:
        return _encode_file(keyring, self.vault_key, self.counter + 1, wrapped)


def create(keyring: Keyring, secret: Secret, *, label: str = "", now: int = 0, vault_key: bytes | None = None) -> bytes:
    """The first keyring file of a vault: one slot, counter 1, and a new vault key unless one is given."""
    vault_key = os.urandom(KEY_SIZE) if vault_key is None else vault_key
    return _encode_file(keyring, vault_key, FIRST_COUNTER, (_wrap(vault_key, secret, keyring.vault_id, label, now),))


def parse(data: bytes) -> KeyringFile:
    """A keyring file as far as it can be read without a key, or ``Damaged`` or ``UnsupportedFormat``."""
    if not len(_MAGIC) + 1 + _CHECKSUM_SIZE <= len(data) <= LARGEST_FILE or not data.startswith(_MAGIC):
        raise Damaged(f"not a keyring file ({len(data)} bytes)")
    if not hmac.compare_digest(_checksum(data[:-_CHECKSUM_SIZE]), data[-_CHECKSUM_SIZE:]):
        raise Damaged("the keyring file is torn or damaged: its checksum is wrong")
    if (version := data[len(_MAGIC)]) != VERSION:
        raise UnsupportedFormat(
            f"a keyring file of version {version}; this version of vaultsession reads version {VERSION}",
            found=version,
            supported=VERSION,
        )
    try:
        _, _, count, flags, counter, vault_id = _FILE.unpack_from(data)
        if flags:
            raise UnsupportedFormat(f"the keyring file has unknown flags {flags:#06x}", found=flags, supported=0)
        start = _FILE.size + count * _SLOT_SIZE
        sealed, _, _ = _SEALED.unpack_from(data, start)
    except struct.error:
        raise Damaged("the keyring file is cut short") from None
    masters, rest = divmod(sealed - _SET.size - _TAG_SIZE, _MASTER.size)
    if (
        len(data) != start + _SEALED.size + sealed + _MAC_SIZE + _CHECKSUM_SIZE
        or rest
        or not 1 <= masters <= MOST_MASTERS
    ):
        raise Damaged("the lengths in the keyring file disagree")
    if not 1 <= count <= MOST_SLOTS or counter < 1:
        raise Damaged(f"a keyring file with {count} slots and counter {counter}")
    slots = _parse_slots(_wrapped(data))
    return KeyringFile(vault_id, counter, slots, data)


def _encode_file(keyring: Keyring, vault_key: bytes, counter: int, wrapped: tuple[bytes, ...]) -> bytes:
    header = _FILE.pack(_MAGIC, VERSION, len(wrapped), 0, counter, keyring.vault_id)
    plain = _encode_set(keyring)
    salt, nonce = os.urandom(32), os.urandom(12)
    set_key, mac_key = _file_keys(vault_key, salt, header)
    before = b"".join((header, *wrapped, _SEALED.pack(len(plain) + _TAG_SIZE, salt, nonce)))
    data = before + AESGCM(set_key).encrypt(nonce, plain, before)
    data += _mac(mac_key, data)
    data += _checksum(data)
    parse(data)  # what is written can be read: all that is refused there is refused here, before anything is replaced
    return data


def _encode_set(keyring: Keyring) -> bytes:
    masters = keyring.masters
    if len(masters) > MOST_MASTERS:
        raise TooLarge(f"a vault has at most {MOST_MASTERS} master keys")
    head = _SET.pack(
        keyring.vault_id,
        keyring.readable_names,
        keyring.tenant_keys,
        len(masters),
        0,
        _moment(keyring.created),
        keyring.root,
    )
    plain = head + b"".join(_MASTER.pack(master.id, master.secret, master.retired) for master in masters)
    try:
        if _decode_set(plain) == keyring:
            return plain
    except Damaged as error:
        raise InvalidSetting(f"these keys cannot be written: {error}") from None
    raise InvalidSetting("keys have fixed sizes: 16 bytes of vault id, 8 of key id, 32 of secrets")


def _decode_set(plain: bytes) -> Keyring:
    """The keyring of an authentic key set; ``Damaged`` for one that this package does not write."""
    try:
        vault_id, names, tenants, count, reserved, created, root = _SET.unpack_from(plain)
        rows = list(_MASTER.iter_unpack(plain[_SET.size :]))
    except struct.error:
        raise Damaged("the key set has no length of a key set") from None
    sane = names <= 1 and tenants <= 1 and not reserved and len(rows) == count and created <= _LATEST
    if not sane or any(retired > 1 for _, _, retired in rows):
        raise Damaged("the key set holds values that no key set has")
    if not rows or rows[0][2] or len({key_id for key_id, _, _ in rows}) != len(rows):
        raise Damaged("the key set has no first master key that seals, or one key id twice")
    masters = tuple(MasterKey(key_id, secret, bool(retired)) for key_id, secret, retired in rows)
    return Keyring(vault_id, bool(names), created, root, masters, bool(tenants))


def _wrap(vault_key: bytes, secret: Secret, vault_id: bytes, label: str, now: int) -> bytes:
    """A new slot: the vault key under a key made from the secret."""
    if len(vault_id) != VAULT_ID_SIZE:
        raise ValueError(f"a vault id is {VAULT_ID_SIZE} bytes")
    named = label.encode("utf-8", "surrogatepass")
    if len(named) > LONGEST_LABEL or not label.isprintable():
        raise InvalidSetting(f"a key slot's label is printable text of at most {LONGEST_LABEL} bytes")
    how = Stretching.of(secret)
    facts = _SLOT_FACTS.pack(os.urandom(8), how.kind, len(named), 0, *how[1:], _moment(now), named, os.urandom(32))
    wrapping_key, commitment = _slot_keys(secret, facts)
    nonce = os.urandom(12)
    return facts + commitment + nonce + AESGCM(wrapping_key).encrypt(nonce, vault_key, facts + commitment + vault_id)


def _parse_slots(wrapped: tuple[bytes, ...]) -> tuple[Slot, ...]:
    parsed = [_parse_slot(raw) for raw in wrapped]
    work = sum(cost for _, cost in parsed)
    if work > MOST_FILE_WORK:
        raise UnsupportedFormat(f"key slots that cost {work} KiB times passes", found=work, supported=MOST_FILE_WORK)
    if len({slot.id for slot, _ in parsed}) != len(parsed):
        raise Damaged("two key slots have the same id")
    return tuple(slot for slot, _ in parsed)


def _parse_slot(wrapped: bytes) -> tuple[Slot, int]:
    """The public facts of a slot, and what opening it costs in KiB times passes."""
    slot_id, kind, size, reserved, *parameters, created, named, _ = _SLOT_FACTS.unpack_from(wrapped)
    if reserved or size > LONGEST_LABEL or any(named[size:]) or created > _LATEST:
        raise Damaged("a key slot holds values that no slot has")
    try:
        label = named[:size].decode()
    except UnicodeDecodeError:
        raise Damaged("a key slot's label is not text") from None
    if not label.isprintable():
        raise Damaged("a key slot's label is not printable")
    work = Stretching(kind, *parameters).work()
    return Slot(slot_id, SecretKind(kind), label, created), work


def _slot_keys(secret: Secret, facts: bytes) -> tuple[bytes, bytes]:
    """The wrapping key and the commitment that this secret makes with the salt and the parameters of a slot."""
    _, kind, _, _, *parameters, _, _, salt = _SLOT_FACTS.unpack(facts)
    stretched = Stretching(kind, *parameters).stretched(secret, salt)
    made = derive(stretched, salt, b"vaultsession/slot/v1\0" + bytes([kind]), KEY_SIZE + 32)
    return made[:KEY_SIZE], made[KEY_SIZE:]


def _file_keys(vault_key: bytes, salt: bytes, header: bytes) -> tuple[bytes, bytes]:
    made = derive(vault_key, salt, b"vaultsession/keyring/v1\0" + header, 2 * KEY_SIZE)
    return made[:KEY_SIZE], made[KEY_SIZE:]


def _mac(mac_key: bytes, data: bytes) -> bytes:
    return hmac.digest(mac_key, data, "sha512")[:_MAC_SIZE]


def _checksum(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()[:_CHECKSUM_SIZE]


def _wrapped(data: bytes) -> tuple[bytes, ...]:
    """The slots of a file, in bytes."""
    count = data[5]
    return tuple(
        data[start : start + _SLOT_SIZE] for start in range(_FILE.size, _FILE.size + count * _SLOT_SIZE, _SLOT_SIZE)
    )


def _moment(now: int) -> int:
    if not 0 <= now <= _LATEST:
        raise ValueError(f"{now} is no time between the years 1970 and 9999")
    return now
