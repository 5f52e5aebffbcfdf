"""The dictionaries of a vault: which there are, sealed and opened, and which one new records are compressed with.

A dictionary is made of the texts of conversations: it never leaves memory unsealed. It lies with the vault, under a
number that grows with time and is never used twice, and its content is never changed, since records refer to it by that
number. It is sealed under the first master key, and anew when that is replaced (FORMAT.md §4.5).

Number 32768 is the one that comes with the package: learned from synthetic conversations, it serves until there is a
better one, and for what that one has never seen. A record whose dictionary is gone or damaged is ``UnknownDictionary``:
locked, and whole again once the dictionary is.
"""

from __future__ import annotations

import functools
import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from ..errors import TrainingRefused, UnknownDictionary, UnknownKey, VaultError
from ..util.lazy import log
from .cipher import Masters
from .keys import TENANT_SIZE, MasterKey
from .payload import Dictionary
from .primitives import AESGCM, InvalidTag

SHIPPED = 1 << 15
"""Number of the dictionary that comes with the package: the first that zstd leaves to private use."""
FIRST = 1 << 16
LAST = (1 << 31) - 1
"""Numbers of those that were trained; they end where zstd's private ones do."""

EPOCH = 1_767_225_600
"""2026-01-01 in seconds: a trained dictionary has the number ``FIRST`` + its second since then, or the next free."""

USUAL_SIZE = 112 * 1024
LARGEST_DICTIONARY = 256 * 1024
MOST_DICTIONARIES = 64
"""Each takes about half a megabyte of memory where it is used."""

MAGIC = b"VSD1"
_RETIRED = 1 << 31
_FRONT = struct.Struct("<4sI8s")
_NONCE_SIZE = 12
_TAG_SIZE = 16
LARGEST_SEALED = _FRONT.size + _NONCE_SIZE + LARGEST_DICTIONARY + _TAG_SIZE

_NUMBER = slice(4, 8)
_TRIES = 100


class DictionaryStore(Protocol):
    """Where a vault keeps its dictionaries, sealed. What was added is durable."""

    def dictionaries(self) -> Sequence[int]:
        """The numbers of those that new records may refer to, ascending: no power cut can take them back."""
        ...

    def dictionary(self, number: int) -> Sequence[bytes]:
        """The sealed copies that there are of one, the best known first; not proved."""
        ...

    def add_dictionary(self, number: int, data: bytes) -> bool:
        """Keep a new one, durably; False where there is one of that number already."""
        ...

    def level_dictionary(self, number: int, data: bytes) -> None:
        """Replace every copy of one."""
        ...

    def delete_dictionary(self, number: int) -> None:
        """Remove it for good. Idempotent."""
        ...


class MemoryDictionaryStore:
    """Dictionaries that end with the process; see ``DictionaryStore``."""

    def __init__(self) -> None:
        self._sealed: dict[int, bytes] = {}

    def dictionaries(self) -> Sequence[int]:
        return sorted(self._sealed)

    def dictionary(self, number: int) -> Sequence[bytes]:
        return (self._sealed[number],) if number in self._sealed else ()

    def add_dictionary(self, number: int, data: bytes) -> bool:
        return self._sealed.setdefault(number, data) is data

    def level_dictionary(self, number: int, data: bytes) -> None:
        self._sealed[number] = data

    def delete_dictionary(self, number: int) -> None:
        self._sealed.pop(number, None)


@functools.cache
def shipped() -> Dictionary:
    """The dictionary that comes with the package, read once."""
    with open(os.path.join(os.path.dirname(__file__), f"{SHIPPED}.zdict"), "rb") as file:
        return Dictionary(file.read())


class Dictionaries:
    """The dictionaries that records of one vault refer to, loaded as they are met. Safe from any thread."""

    def __init__(self, keys: Masters, store: DictionaryStore | None = None) -> None:
        self.keys = keys
        self._store = MemoryDictionaryStore() if store is None else store
        self.is_stale = False
        """Whether it is to be chosen before the next record: for the first time, or since the keyring has changed."""
        self.of_all: tuple[Dictionary, ...] | None = None
        """Those that were chosen, if records of every container may refer to them; None where ``own_of`` says it."""
        self._known: dict[int, tuple[Dictionary, bytes]] = {}
        """Each with the id of the key that it was last proved under."""
        self._of_tenants: dict[bytes, Dictionary] = {}
        self._lock = threading.RLock()
        self._newest: Dictionary | None = None

    @property
    def current(self) -> tuple[Dictionary, ...]:
        """Those to compress with: the newest, and the one of the package for what the newest has never seen."""
        if self.is_stale:
            self.choose()
        return (shipped(),) if self._newest is None else (self._newest, shipped())

    def own_of(self, key_id: bytes) -> Dictionary | None:
        """The newest of the tenant whose key this is: it serves that tenant alone, and goes with its keys."""
        if self.is_stale:
            self.choose()
        own = self._of_tenants.get(key_id[:TENANT_SIZE]) if self._of_tenants else None
        return None if own is None or any(master.id == key_id for master in self.keys.current.masters) else own

    def choose(self) -> None:
        """Compress with the newest that the vault holds from now on. One that cannot be read is passed over."""
        self.is_stale = False
        try:
            numbers = self._store.dictionaries()
        except VaultError as error:
            # As text: what keeps a warning would keep the frames of the error, and a commit's hold descriptors.
            log.warning("the dictionaries of the vault cannot be looked at: %s", str(error))
            return
        newest: Dictionary | None = None
        of_tenants: dict[bytes, Dictionary] = {}
        for number in sorted(numbers, reverse=True)[:MOST_DICTIONARIES]:
            if newest is not None and not self.keys.current.tenant_keys:
                break
            try:
                copies = self._store.dictionary(number)
                if any(map(_is_retired, copies)):
                    continue
                known, key_id = self._owned(number, copies)
            except VaultError as error:
                log.warning("new records are not compressed with dictionary %s: %s", number, str(error))
                continue
            if any(master.id == key_id for master in self.keys.current.masters):
                newest = newest or known
            else:
                of_tenants.setdefault(key_id[:TENANT_SIZE], known)
        self._newest, self._of_tenants = newest, of_tenants
        self.of_all = None if of_tenants else self.current

    def mark_stale(self) -> None:
        """Choose before the next record is sealed: a process that only reads needs none."""
        self.is_stale = True

    def numbers(self) -> Sequence[int]:
        """The numbers of those that the vault holds."""
        return self._store.dictionaries()

    def owners(self) -> Iterator[tuple[int, set[bytes]]]:
        """The number of each, and the ids of the keys that its copies say that they lie under."""
        for number in self.numbers():
            yield number, set(map(key_id_of, self._store.dictionary(number)))

    def retire(self, number: int) -> None:
        """Compress nothing more with it, in whichever process, once that has seen the keyring change. Idempotent."""
        copies = self._store.dictionary(number)
        if not all(map(_is_retired, copies)):
            known, data = self._proved(number, copies)
            key = self.keys.master(key_id_of(data))
            self._store.level_dictionary(number, self.seal(known, key, retired=True))
        self.choose()

    def delete(self, number: int) -> None:
        """Remove one that no record refers to."""
        self._store.delete_dictionary(number)
        self._known.pop(number, None)
        self.choose()

    def find(self, number: int) -> Dictionary:
        """The dictionary of that number, from the vault if it is met for the first time. ``UnknownDictionary``."""
        known = self._known.get(number)
        if known is not None:
            return known[0]
        if number == SHIPPED:
            return shipped()
        with self._lock:
            if number not in self._known:
                self._owned(number, self._store.dictionary(number) if FIRST <= number <= LAST else ())
            return self._known[number][0]

    def _owned(self, number: int, copies: Sequence[bytes]) -> tuple[Dictionary, bytes]:
        """A trained one, and the id of the key that it lies under: proved anew where it was sealed again."""
        with self._lock:
            known = self._known.get(number)
            if known is None or known[1] not in map(key_id_of, copies):
                made, data = self._proved(number, copies)
                known = self._known[number] = (made if known is None else known[0]), key_id_of(data)
            return known

    def keep(self, content: bytes, now: int, tenant_id: str | None = None) -> Dictionary:
        """A new dictionary, numbered, sealed and added to the vault; new records are compressed with it.

        In a vault with keys of tenants one of a tenant is sealed under its key, and serves its sessions alone. ``now``
        in microseconds since 1970. Returns when no power cut can take it back. ``TrainingRefused`` where the vault
        holds as many as it may.
        """
        numbers = self.numbers()
        if len(numbers) >= MOST_DICTIONARIES:
            raise TrainingRefused(f"the vault has {len(numbers)} dictionaries already: drop one by a rotation first")
        self.keys.refresh()
        key = self.keys.sealing(tenant_id)
        number = max(FIRST, FIRST + now // 1_000_000 - EPOCH, *(each + 1 for each in numbers))
        for candidate in range(number, min(number + _TRIES, LAST + 1)):
            made = numbered(content, candidate)
            if self._store.add_dictionary(candidate, self.seal(made, key)):
                self._known[candidate] = made, key.id
                self.choose()
                return made
        raise TrainingRefused(f"there is no free number for a dictionary from {number} on")

    def reseal(self, sealing: Callable[[bytes], MasterKey]) -> list[str]:
        """Seal each under the key that ``sealing`` says for the id of its present one. Those that cannot be opened.

        What lies under a destroyed key is left as it is, and is none of them.
        """
        left: list[str] = []
        for number in self._store.dictionaries():
            copies = self._store.dictionary(number)
            try:
                known, data = self._proved(number, copies)
            except UnknownDictionary:
                if not any(map(self._is_erased, copies)):
                    left.append(f"dictionary {number}")
                continue
            key = sealing(key_id_of(data))
            if any(key_id_of(copy) != key.id for copy in copies):
                self._store.level_dictionary(number, self.seal(known, key, retired=_is_retired(data)))
        return left

    def seal(self, dictionary: Dictionary, key: MasterKey | None = None, *, retired: bool = False) -> bytes:
        """The sealed bytes, which open under this number in this vault only; under the first master key, or another.

        A ``retired`` one opens, and nothing new is compressed with it.
        """
        key = key or self.keys.current.first
        front = _FRONT.pack(MAGIC, dictionary.number | (_RETIRED if retired else 0), key.id)
        nonce = os.urandom(_NONCE_SIZE)
        return front + nonce + self._cipher(key).encrypt(nonce, dictionary.content, front + self.keys.vault_id)

    def open(self, number: int, data: bytes) -> Dictionary:
        """A sealed dictionary, proved. ``UnknownDictionary`` for anything that this vault did not seal so."""
        front, sealed = data[: _FRONT.size], data[_FRONT.size :]
        begins = data[: _NUMBER.stop] in [MAGIC + each.to_bytes(4, "little") for each in (number, number | _RETIRED)]
        if not _FRONT.size < len(data) <= LARGEST_SEALED or not begins:
            raise UnknownDictionary(f"it is none, or of another number than {number}")
        try:
            cipher = self._cipher(self.keys.master(key_id_of(data)))
            content = cipher.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], front + self.keys.vault_id)
            made = Dictionary(content)
        except UnknownKey as error:
            raise UnknownDictionary(str(error)) from None
        except (InvalidTag, ValueError):  # a nonce that was cut is a ValueError
            raise UnknownDictionary("it does not authenticate: edited, or of another vault") from None
        if made.number != number:
            raise UnknownDictionary(f"it holds a dictionary of number {made.number}")
        return made

    def _proved(self, number: int, copies: Sequence[bytes]) -> tuple[Dictionary, bytes]:
        """The first copy that opens: what it holds, and the copy."""
        problem = "it is gone"
        for data in copies:
            try:
                return self.open(number, data), data
            except UnknownDictionary as error:
                problem = str(error)
        raise UnknownDictionary(
            f"compressed with dictionary {number}, which cannot be read ({problem}): restore it from a backup"
        )

    def _is_erased(self, data: bytes) -> bool:
        """Whether a copy lies under a key of a tenant that was destroyed."""
        try:
            self.keys.master(key_id_of(data))
        except UnknownKey as error:
            return error.destroyed
        return False

    def _cipher(self, key: MasterKey) -> AESGCM:
        return AESGCM(key.subkey(b"dictionary", self.keys.vault_id))


def _is_retired(data: bytes) -> bool:
    """Whether a sealed dictionary says that nothing new is compressed with it."""
    return bool(int.from_bytes(data[_NUMBER], "little") & _RETIRED)


def key_id_of(data: bytes) -> bytes:
    """The id of the key that a sealed dictionary says that it lies under."""
    return data[_NUMBER.stop : _FRONT.size]


def numbered(content: bytes, number: int) -> Dictionary:
    """The zstd dictionary under another number."""
    return Dictionary(content[: _NUMBER.start] + number.to_bytes(4, "little") + content[_NUMBER.stop :])
