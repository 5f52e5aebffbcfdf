"""The keyring file: a random vault key that seals the key set, and lies in one slot per secret. Pure: bytes in, out.

FORMAT.md §2.1 to §2.3 are normative: layout, derivations, what the verdicts mean, and why a new vault key reaches every
slot without its secret. Every field is checked, and what the encoder would not have written is refused.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Iterable

from ..errors import Damaged, InvalidSetting, TooLarge, UnsupportedFormat, WrongKey
from ..format.keys import KEY_SIZE, Keyring, MasterKey, derive
from ..format.primitives import AESGCM, InvalidTag, compare_digest, hmac_sha512, sha512
from ..util.named_tuple import NamedTuple
from . import key_slot
from .key_slot import LATEST, SLOT_SIZE, Slot, SlotKeys
from .secret import MOST_WORK, Passphrase, Secret

VERSION = 1
FIRST_COUNTER = 1
LARGEST_FILE = 64 * 1024
MOST_SLOTS = 32
MOST_MASTERS = 1024
MOST_FORMER = 255
"""Changes of the vault key that a key set tells of: the newest."""
MOST_FILE_WORK = 4 * MOST_WORK
"""KiB times passes that all slots of a file may cost together: about ten seconds."""

_MAGIC = b"VSK1"
_FILE = struct.Struct("<4sBBHQ16s")
_SEALED = struct.Struct("<I32s12s")
_SET = struct.Struct("<16sBBHBB2sQ32s")
_MASTER = struct.Struct("<8s32sB")
_MAC_SIZE = 32
_CHECKSUM_SIZE = 16
_TAG_SIZE = 16


class KeyringFile(NamedTuple):
    """A keyring file whose checksum and structure are right, still locked: nothing in it is proved yet."""

    vault_id: bytes
    counter: int
    slots: tuple[Slot, ...]
    data: bytes

    def __repr__(self) -> str:
        return f"KeyringFile(vault_id={self.vault_id!r}, counter={self.counter}, slots={self.slots!r})"

    def unlock(self, secret: Secret) -> UnlockedKeyring:
        """All of it. ``WrongKey`` if no slot's commitment matches, ``Damaged`` if one does and the rest fails."""
        for slot, raw in zip(self.slots, _raw_slots(self.data), strict=True):
            if slot.takes_passphrase is isinstance(secret, Passphrase):
                keys = key_slot.unlock(raw, secret, self.vault_id)
                if keys is not None:
                    return self.open(keys.open(raw, self.vault_id), slot, keys)
        kind = "passphrase" if isinstance(secret, Passphrase) else "raw key"
        fitting = sum(slot.takes_passphrase is isinstance(secret, Passphrase) for slot in self.slots)
        raise WrongKey(f"this key opens none of the {fitting} {kind} slots (of {len(self.slots)} slots) of this vault")

    def open(self, vault_key: bytes, slot: Slot, keys: SlotKeys) -> UnlockedKeyring:
        """The same by the vault key and the keys of one of its slots; ``Damaged`` if it was not made under that key."""
        before, mac = self.data[: -_CHECKSUM_SIZE - _MAC_SIZE], self.data[-_CHECKSUM_SIZE - _MAC_SIZE : -_CHECKSUM_SIZE]
        body = before[:-_MAC_SIZE]
        start = _FILE.size + SLOT_SIZE * len(self.slots)
        _, salt, nonce = _SEALED.unpack_from(body, start)
        start += _SEALED.size
        set_key, mac_key = _file_keys(vault_key, salt, body[: _FILE.size])
        if not compare_digest(mac, _mac(mac_key, before)):
            raise Damaged("the keyring file was altered: its MAC is wrong")
        try:
            plain = AESGCM(set_key).decrypt(nonce, body[start:], body[:start])
        except InvalidTag:
            raise Damaged("the key set does not authenticate") from None
        keyring, vouchers, former = _decode_set(plain, len(self.slots))
        if keyring.vault_id != self.vault_id:
            raise Damaged("the key set belongs to another vault")
        return UnlockedKeyring(keyring, self.counter, self.slots, slot, keys, vault_key, vouchers, former, self.data)

    def raw_slot(self, slot_id: bytes) -> bytes | None:
        return next((raw for raw in _raw_slots(self.data) if key_slot.id_of(raw) == slot_id), None)

    def follows(self, descent_key: bytes) -> bool:
        """Whether its maker knew the vault key, of which this is the descent key, that was replaced last."""
        body, proof = self.data[: -_CHECKSUM_SIZE - 2 * _MAC_SIZE], self.data[-_CHECKSUM_SIZE - 2 * _MAC_SIZE :]
        return compare_digest(proof[:_MAC_SIZE], _mac(descent_key, body))


class UnlockedKeyring(NamedTuple):
    """An authentic keyring file, opened: ``slot`` is the one that opened it, ``slot_keys`` what its secret gave.

    ``vouchers`` has the voucher key of each slot, ``former`` the descent keys of earlier vault keys, newest first.
    Each change gives the bytes of the next file, counter + 1, without the secrets of the other slots.
    """

    keyring: Keyring
    counter: int
    slots: tuple[Slot, ...]
    slot: Slot
    slot_keys: SlotKeys
    vault_key: bytes
    vouchers: tuple[bytes, ...]
    former: tuple[bytes, ...]
    data: bytes

    def __repr__(self) -> str:
        return f"UnlockedKeyring(keyring={self.keyring!r}, counter={self.counter}, slot={self.slot!r})"

    @property
    def descent_key(self) -> bytes:
        """What later key sets tell of this vault key: it proves that they descend from it, and opens nothing."""
        return derive(self.vault_key, self.keyring.vault_id, b"vaultsession/descent/v1\0", KEY_SIZE)

    def reopen(self, file: KeyringFile) -> UnlockedKeyring:
        """Another file of this vault, opened with what is known from this one.

        ``Damaged`` if it has another vault key that does not descend from this one's; ``WrongKey`` if it descends, and
        the slot that opened this one is not in it.
        """
        if file.data == self.data:
            return self
        try:
            return file.open(self.vault_key, self.slot, self.slot_keys)
        except Damaged:
            if file.raw_slot(self.slot.id) is None and file.follows(self.descent_key):
                raise WrongKey(
                    f"key slot {self.slot.name}, which opened this vault, was removed and the keys of the vault were "
                    "rotated: open it with another key"
                ) from None
            later = self._by_slot(file)
            if later is None:
                raise
        if self.descent_key not in later.former:
            raise Damaged("the keyring file has a vault key that does not descend from the one that is known")
        return later

    def proves(self, file: KeyringFile) -> bool:
        """Whether the writer of a file had this vault key, or one that followed it."""
        try:
            self.reopen(file)
        except Damaged:
            return False
        except WrongKey:
            pass
        return True

    def is_ancestor(self, file: KeyringFile) -> bool:
        """Whether a file was made under a vault key that this one descends from, as far as the slot opens it."""
        older = self._by_slot(file)
        return older is not None and older.descent_key in self.former

    def _by_slot(self, file: KeyringFile) -> UnlockedKeyring | None:
        """A file under another vault key, opened by the same slot; None where that is not in it, or opens nothing."""
        raw = file.raw_slot(self.slot.id)
        try:
            if raw is not None:
                return file.open(self.slot_keys.open(raw, file.vault_id), self.slot, self.slot_keys)
        except Damaged:
            pass
        return None

    def is_kin(self, file: KeyringFile) -> bool:
        """Whether a file that this one does not lead to was made by someone who knew an earlier vault key of both."""
        return self.is_ancestor(file) or any(map(file.follows, self.former))

    def descends_from(self, mark: int) -> bool:
        """Whether a ``mark`` that was remembered is of this vault key, or of one that it descends from."""
        return any(_mark(key) == mark for key in (self.descent_key, *self.former))

    @property
    def mark(self) -> int:
        """A number to remember beside the counter, in the open, by which a later file is known to descend from this."""
        return _mark(self.descent_key)

    def add_slot(self, secret: Secret, *, label: str = "", now: int = 0) -> bytes:
        """The file with one more slot, which is the last. ``TooLarge`` beyond the bound."""
        if len(self.slots) >= MOST_SLOTS:
            raise TooLarge(f"a vault has at most {MOST_SLOTS} key slots: remove one first")
        added, keys = key_slot.make(secret, self.vault_key, self.keyring.vault_id, label, now)
        raw = (*_raw_slots(self.data), added)
        if sum(key_slot.parse(each)[1] for each in raw) > MOST_FILE_WORK:
            raise TooLarge("the passphrase slots of this vault would together cost too much to try: remove one first")
        return self._encode(raw, (*self.vouchers, keys.voucher))

    def remove_slot(self, slot_id: bytes) -> bytes:
        """The file without that slot; ``InvalidSetting`` if there is no such slot, or it is the last.

        An older copy of the file still opens with the slot's secret, and leads to the vault key until a rotation.
        """
        kept = [
            (raw, voucher)
            for raw, voucher in zip(_raw_slots(self.data), self.vouchers, strict=True)
            if key_slot.id_of(raw) != slot_id
        ]
        if len(kept) == len(self.slots):
            held = ", ".join(slot.name for slot in self.slots)
            raise InvalidSetting(f"there is no key slot {slot_id.hex()} in this vault (there are {held})")
        if not kept:
            raise InvalidSetting("this is the last key slot: without it nobody could open the vault; add another first")
        raw, vouchers = zip(*kept, strict=True)
        return self._encode(raw, vouchers)

    def replace_masters(self, masters: Iterable[MasterKey]) -> bytes:
        """The file with these master keys; the first seals and is not retired.

        With a new first one the vault key is new too, for every slot that there is; ``WrongKey`` if that has to be
        opened by a slot that was removed.
        """
        keyring = self.keyring._replace(masters=tuple(masters))
        raw = _raw_slots(self.data)
        if not keyring.masters or keyring.first.id == self.keyring.first.id:
            return self._encode(raw, self.vouchers, keyring)
        if self.slot not in self.slots:  # its next vault key would not open for this process
            raise WrongKey(f"key slot {self.slot.name}, which opened this vault, was removed: open it with another key")
        vault_key = os.urandom(KEY_SIZE)
        raw = tuple(
            key_slot.renew(each, vault_key, voucher, keyring.vault_id)
            for each, voucher in zip(raw, self.vouchers, strict=True)
        )
        former = (self.descent_key, *self.former)[:MOST_FORMER]
        return _encode_file(keyring, vault_key, self.counter + 1, raw, self.vouchers, former)

    def _encode(self, raw: tuple[bytes, ...], vouchers: tuple[bytes, ...], keyring: Keyring | None = None) -> bytes:
        return _encode_file(keyring or self.keyring, self.vault_key, self.counter + 1, raw, vouchers, self.former)


def create(keyring: Keyring, secret: Secret, *, label: str = "", now: int = 0) -> UnlockedKeyring:
    """The first keyring file of a vault: one slot, counter 1, a new vault key."""
    vault_key = os.urandom(KEY_SIZE)
    raw, keys = key_slot.make(secret, vault_key, keyring.vault_id, label, now)
    file = parse(_encode_file(keyring, vault_key, FIRST_COUNTER, (raw,), (keys.voucher,), ()))
    return file.open(vault_key, file.slots[0], keys)


@functools.lru_cache(4)  # the second copy is the first, and each look at the keys reads both
def parse(data: bytes) -> KeyringFile:
    """A keyring file as far as it can be read without a key, or ``Damaged`` or ``UnsupportedFormat``."""
    if not len(_MAGIC) + 1 + _CHECKSUM_SIZE <= len(data) <= LARGEST_FILE or not data.startswith(_MAGIC):
        raise Damaged(f"not a keyring file ({len(data)} bytes)")
    if not compare_digest(_checksum(data[:-_CHECKSUM_SIZE]), data[-_CHECKSUM_SIZE:]):
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
        start = _FILE.size + count * SLOT_SIZE
        sealed, _, _ = _SEALED.unpack_from(data, start)
    except struct.error:
        raise Damaged("the keyring file is cut short") from None
    if len(data) != start + _SEALED.size + sealed + 2 * _MAC_SIZE + _CHECKSUM_SIZE:
        raise Damaged("the lengths in the keyring file disagree")
    if not 1 <= count <= MOST_SLOTS or counter < 1:
        raise Damaged(f"a keyring file with {count} slots and counter {counter}")
    slots = _parse_slots(_raw_slots(data))
    return KeyringFile(vault_id, counter, slots, data)


def _encode_file(
    keyring: Keyring,
    vault_key: bytes,
    counter: int,
    raw: tuple[bytes, ...],
    vouchers: tuple[bytes, ...],
    former: tuple[bytes, ...],
) -> bytes:
    header = _FILE.pack(_MAGIC, VERSION, len(raw), 0, counter, keyring.vault_id)
    plain = _encode_set(keyring, vouchers, former)
    salt, nonce = os.urandom(32), os.urandom(12)
    set_key, mac_key = _file_keys(vault_key, salt, header)
    before = b"".join((header, *raw, _SEALED.pack(len(plain) + _TAG_SIZE, salt, nonce)))
    data = before + AESGCM(set_key).encrypt(nonce, plain, before)
    data += _mac(former[0] if former else os.urandom(KEY_SIZE), data)
    data += _mac(mac_key, data)
    data += _checksum(data)
    parse(data)  # what is written can be read: all that is refused there is refused here, before anything is replaced
    return data


def _encode_set(keyring: Keyring, vouchers: tuple[bytes, ...], former: tuple[bytes, ...]) -> bytes:
    masters = keyring.masters
    if len(masters) > MOST_MASTERS:
        raise TooLarge(f"a vault has at most {MOST_MASTERS} master keys")
    if not 0 <= keyring.created <= LATEST:
        raise ValueError(f"{keyring.created} is no time between the years 1970 and 9999")
    head = _SET.pack(
        keyring.vault_id,
        keyring.readable_names,
        keyring.tenant_keys,
        len(masters),
        len(former),
        0,
        b"",
        keyring.created,
        keyring.naming_root,
    )
    listed = (_MASTER.pack(master.id, master.secret, master.retired) for master in masters)
    plain = b"".join((head, *vouchers, *former, *listed))
    try:
        if _decode_set(plain, len(vouchers)) == (keyring, vouchers, former):
            return plain
    except Damaged as error:
        raise InvalidSetting(f"these keys cannot be written: {error}") from None
    raise InvalidSetting("keys have fixed sizes: 16 bytes of vault id, 8 of key id, 32 of secrets")


def _decode_set(plain: bytes, slots: int) -> tuple[Keyring, tuple[bytes, ...], tuple[bytes, ...]]:
    """Keyring, voucher keys and descent keys of an authentic key set; ``Damaged`` for one that is never written."""
    try:
        vault_id, names, tenants, count, replaced, flags, rest, created, root = _SET.unpack_from(plain)
        end = _SET.size + (slots + replaced) * KEY_SIZE
        keys = [plain[start : start + KEY_SIZE] for start in range(_SET.size, end, KEY_SIZE)]
        rows = list(_MASTER.iter_unpack(plain[end:]))
    except struct.error:
        raise Damaged("the key set has no length of a key set") from None
    sane = names <= 1 and tenants <= 1 and not flags and not any(rest) and len(rows) == count and created <= LATEST
    if not sane or any(retired > 1 for _, _, retired in rows):
        raise Damaged("the key set holds values that no key set has")
    if not rows or rows[0][2] or len({key_id for key_id, _, _ in rows}) != len(rows):
        raise Damaged("the key set has no first master key that seals, or one key id twice")
    masters = tuple(MasterKey(key_id, secret, bool(retired)) for key_id, secret, retired in rows)
    keyring = Keyring(vault_id, bool(names), created, root, masters, bool(tenants))
    return keyring, tuple(keys[:slots]), tuple(keys[slots:])


def _parse_slots(raw: tuple[bytes, ...]) -> tuple[Slot, ...]:
    parsed = [key_slot.parse(each) for each in raw]
    work = sum(cost for _, cost in parsed)
    if work > MOST_FILE_WORK:
        raise UnsupportedFormat(f"key slots that cost {work} KiB times passes", found=work, supported=MOST_FILE_WORK)
    if len({slot.id for slot, _ in parsed}) != len(parsed):
        raise Damaged("two key slots have the same id")
    return tuple(slot for slot, _ in parsed)


def _file_keys(vault_key: bytes, salt: bytes, header: bytes) -> tuple[bytes, bytes]:
    made = derive(vault_key, salt, b"vaultsession/keyring/v1\0" + header, 2 * KEY_SIZE)
    return made[:KEY_SIZE], made[KEY_SIZE:]


def _mac(mac_key: bytes, data: bytes) -> bytes:
    return hmac_sha512(mac_key, data)[:_MAC_SIZE]


def _mark(descent_key: bytes) -> int:
    """63 bits, which is what an index keeps as a number."""
    return int.from_bytes(sha512(b"vaultsession/mark/v1\0" + descent_key).finalize()[:8], "little") >> 1


def _checksum(data: bytes) -> bytes:
    return sha512(data).finalize()[:_CHECKSUM_SIZE]


def _raw_slots(data: bytes) -> tuple[bytes, ...]:
    """The slots of a file, in bytes."""
    end = _FILE.size + data[5] * SLOT_SIZE
    return tuple(data[start : start + SLOT_SIZE] for start in range(_FILE.size, end, SLOT_SIZE))
