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
import logging
import os
import struct
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import TrainingRefused, UnknownDictionary, UnknownKey, VaultError
from .cipher import Masters
from .keys import MasterKey
from .payload import Dictionary

_log = logging.getLogger("vaultsession")

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
"""Each takes about half a megabyte of memory where it is used, and none is ever removed."""

MAGIC = b"VSD1"
_FRONT = struct.Struct("<4sI8s")
_NONCE_SIZE = 12
_TAG_SIZE = 16
LARGEST_SEALED = _FRONT.size + _NONCE_SIZE + LARGEST_DICTIONARY + _TAG_SIZE

_NUMBER = slice(4, 8)
_TRIES = 100


class DictionaryStore(Protocol):
    """Where a vault keeps its dictionaries, sealed. What was added is durable; nothing is ever taken away."""

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


@functools.cache
def shipped() -> Dictionary:
    """The dictionary that comes with the package, read once."""
    with open(os.path.join(os.path.dirname(__file__), f"{SHIPPED}.zdict"), "rb") as file:
        return Dictionary(file.read())


class Dictionaries:
    """The dictionaries that records of one vault refer to, loaded as they are met. Safe from any thread."""

    def __init__(self, keys: Masters, shelf: DictionaryStore | None = None) -> None:
        self.keys = keys
        self._shelf = shelf
        self._known: dict[int, Dictionary] = {}
        self._lock = threading.RLock()
        self._newest: Dictionary | None = None

    @property
    def newest(self) -> Dictionary:
        """The newest that was chosen or kept, else the one of the package."""
        return self._newest or shipped()

    @property
    def current(self) -> tuple[Dictionary, ...]:
        """Those to compress with: the newest, and the one of the package for what the newest has never seen."""
        return (shipped(),) if self._newest is None else (self._newest, shipped())

    def choose(self) -> None:
        """Compress with the newest that the vault holds from now on. One that cannot be read is passed over."""
        try:
            numbers = self._shelf.dictionaries() if self._shelf else ()
        except VaultError as error:
            _log.warning("the dictionaries of the vault cannot be looked at: %s", error)
            return
        for number in sorted(numbers, reverse=True)[:MOST_DICTIONARIES]:
            try:
                self._newest = self.find(number)
            except VaultError as error:
                _log.warning("new records are not compressed with dictionary %s: %s", number, error)
            else:
                return

    def find(self, number: int) -> Dictionary:
        """The dictionary of that number, from the vault if it is met for the first time. ``UnknownDictionary``."""
        known = self._known.get(number)
        if known is not None:
            return known
        if number == SHIPPED:
            return shipped()
        with self._lock:
            if number not in self._known:
                self._known[number] = self._load(number)
            return self._known[number]

    def keep(self, content: bytes, now: int) -> Dictionary:
        """A new dictionary, numbered, sealed and added to the vault; new records are compressed with it.

        ``now`` in microseconds since 1970. Returns when no power cut can take it back. ``TrainingRefused`` where the
        vault holds as many as it may.
        """
        numbers = self._shelf.dictionaries() if self._shelf else tuple(self._known)
        if len(numbers) >= MOST_DICTIONARIES:
            raise TrainingRefused(f"the vault has {len(numbers)} dictionaries already, and none is ever removed")
        number = max(FIRST, FIRST + now // 1_000_000 - EPOCH, *(each + 1 for each in numbers))
        for candidate in range(number, min(number + _TRIES, LAST + 1)):
            made = numbered(content, candidate)
            if self._shelf is None or self._shelf.add_dictionary(candidate, self.seal(made)):
                self._known[candidate] = self._newest = made
                return made
        raise TrainingRefused(f"there is no free number for a dictionary from {number} on")

    def reseal(self, sealing: Callable[[bytes], MasterKey]) -> list[str]:
        """Seal each under the key that ``sealing`` says for the id of its present one. Those that cannot be opened.

        What lies under a destroyed key is left as it is, and is none of them.
        """
        left: list[str] = []
        for number in self._shelf.dictionaries() if self._shelf else ():
            copies = self._shelf.dictionary(number) if self._shelf else ()
            try:
                known, data = self._proved(number, copies)
            except UnknownDictionary:
                if not any(map(self._is_erased, copies)):
                    left.append(f"dictionary {number}")
                continue
            key = sealing(key_id_of(data))
            if self._shelf and any(key_id_of(copy) != key.id for copy in copies):
                self._shelf.level_dictionary(number, self.seal(known, key))
        return left

    def seal(self, dictionary: Dictionary, key: MasterKey | None = None) -> bytes:
        """The sealed bytes, which open under this number in this vault only; under the first master key, or another."""
        key = key or self.keys.current.first
        front, nonce = _FRONT.pack(MAGIC, dictionary.number, key.id), os.urandom(_NONCE_SIZE)
        return front + nonce + self._cipher(key).encrypt(nonce, dictionary.content, front + self.keys.vault_id)

    def open(self, number: int, data: bytes) -> Dictionary:
        """A sealed dictionary, proved. ``UnknownDictionary`` for anything that this vault did not seal so."""
        front, sealed = data[: _FRONT.size], data[_FRONT.size :]
        begins = data.startswith(MAGIC + number.to_bytes(4, "little"))
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

    def _load(self, number: int) -> Dictionary:
        known = FIRST <= number <= LAST and self._shelf is not None
        return self._proved(number, self._shelf.dictionary(number) if known and self._shelf is not None else ())[0]

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


def key_id_of(data: bytes) -> bytes:
    """The id of the key that a sealed dictionary says that it lies under."""
    return data[_NUMBER.stop : _FRONT.size]


def numbered(content: bytes, number: int) -> Dictionary:
    """The zstd dictionary under another number."""
    return Dictionary(content[: _NUMBER.start] + number.to_bytes(4, "little") + content[_NUMBER.stop :])
