"""What opens a vault: a raw key, or a passphrase and what it costs to guess one. Pure.

A raw key is random and taken as it is. A passphrase is stretched, so that each guess costs memory and time: by
Argon2id, or by scrypt where OpenSSL lacks that. What that costs is floored when it is chosen and capped wherever it is
read: hostile parameters cost neither gigabytes nor minutes.
"""

from __future__ import annotations

import binascii
import os
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ..errors import InvalidSetting, KeyUnavailable, UnsupportedFormat
from ..util.named_tuple import NamedTuple

KEY = "VAULTSESSION_KEY"
KEY_FILE = "VAULTSESSION_KEY_FILE"
KEY_COMMAND = "VAULTSESSION_KEY_COMMAND"
PASSPHRASE_FILE = "VAULTSESSION_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable
"""Variables of the environment that hold a key, or name what does."""

RAW_KEY_SIZE = 32
LONGEST_PASSPHRASE = 1024
"""Bytes of UTF-8 that a passphrase may have."""

LEAST_MEMORY, MOST_MEMORY = 19 * 1024, 512 * 1024
"""KiB that a passphrase may cost: the floor is OWASP's, the cap keeps a hostile file off our memory."""
LEAST_PASSES, MOST_PASSES = 2, 32
MOST_LANES = 16
MOST_WORK = 4 * 1024 * 1024
"""KiB times passes that one try of a passphrase may cost: about three seconds."""

_SCRYPT_WRITTEN = (2**17, 8, 1)
_SCRYPT_PASSES = 4  # what one pass of scrypt costs in passes of Argon2id over the same memory, measured and rounded up
_SCRYPT_R = 8
_LEAST_N = 2**15
_FEWEST_BYTES = 8  # distinct bytes in a key: 32 random ones have fewer once in 10**40
_FEWEST_CHARACTERS = 4  # distinct ones in a new passphrase: what is no mistake and no joke


class SecretKind(IntEnum):
    """How a slot makes its key-encryption key: from a raw key, or from a passphrase in one of two ways."""

    RAW = 1
    ARGON2ID = 2
    SCRYPT = 3


class RawKey:
    """32 random bytes that open a slot. ``InvalidSetting`` for anything that looks like a password or a placeholder.

    >>> key = RawKey.generate()
    >>> RawKey.parse(key.text()) == key
    True
    """

    __slots__ = ("secret",)

    def __init__(self, secret: bytes) -> None:
        self.secret: Final = secret
        if type(self.secret) is not bytes or len(self.secret) != RAW_KEY_SIZE:
            raise InvalidSetting(
                f"a raw key is exactly {RAW_KEY_SIZE} bytes; a password goes through a passphrase source"
            )
        if _looks_typed(self.secret):
            raise InvalidSetting(
                "this key is text, like a password: use a passphrase source, which makes guessing expensive"
            )
        if len(set(self.secret)) < _FEWEST_BYTES:
            raise InvalidSetting(
                "this key repeats itself and is not random: generate one, or use a passphrase source for a password"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawKey) and self.secret == other.secret

    def __hash__(self) -> int:
        return hash(self.secret)

    def __repr__(self) -> str:
        return "RawKey()"

    @classmethod
    def generate(cls) -> RawKey:
        """A new random key."""
        return cls(os.urandom(RAW_KEY_SIZE))

    @classmethod
    def parse(cls, given: str | bytes) -> RawKey:
        """32 raw bytes, 64 hex digits, or base64 or base64url of 32 bytes; one trailing newline is dropped."""
        if isinstance(given, bytes):
            for bare in (given, given.removesuffix(b"\n"), given.removesuffix(b"\r\n")):
                if len(bare) == RAW_KEY_SIZE:
                    return cls(bare)
        text = given if isinstance(given, bytes) else given.encode("utf-8", "surrogatepass")
        decoded = _decode(text.removesuffix(b"\n").removesuffix(b"\r"))
        if decoded is None:
            raise InvalidSetting(
                "not a key: one is 32 raw bytes, 64 hex digits or the base64 of 32 bytes; "
                "for a password use a passphrase source, such as VAULTSESSION_PASSPHRASE_FILE"
            )
        return cls(decoded)

    def text(self) -> str:
        """The key as 64 hex digits, which ``parse`` takes."""
        return self.secret.hex()


class _CostFields(NamedTuple):
    memory: int
    passes: int
    lanes: int


class Cost(_CostFields):
    """What guessing a passphrase costs (Argon2id): memory in KiB, passes over it, lanes. Floored and capped."""

    __slots__ = ()

    def __new__(cls, memory: int = 64 * 1024, passes: int = 3, lanes: int = 4) -> Self:
        """``InvalidSetting`` beyond the bounds."""
        if not cls.fits(memory, passes, lanes):
            raise InvalidSetting(
                f"a passphrase costs {LEAST_MEMORY} to {MOST_MEMORY} KiB, {LEAST_PASSES} to {MOST_PASSES} passes, "
                f"1 to {MOST_LANES} lanes, and at most {MOST_WORK} KiB times passes; "
                f"not {memory} KiB, {passes} passes and {lanes} lanes"
            )
        return super().__new__(cls, memory, passes, lanes)

    @staticmethod
    def fits(memory: int, passes: int, lanes: int) -> bool:
        """Whether a slot may cost that."""
        return (
            LEAST_MEMORY <= memory <= MOST_MEMORY
            and LEAST_PASSES <= passes <= MOST_PASSES
            and 1 <= lanes <= MOST_LANES
            and memory * passes <= MOST_WORK
        )


class Passphrase:
    """Words that a person chose. ``cost`` is what a slot made from it costs; an existing slot knows its own.

    >>> Passphrase("correct horse battery staple")
    Passphrase(cost=Cost(memory=65536, passes=3, lanes=4))
    """

    __slots__ = ("cost", "words")

    def __init__(self, words: str, cost: Cost | None = None) -> None:
        self.words: Final = words
        self.cost: Final = cost or Cost()
        if not self.words:
            raise InvalidSetting("a passphrase cannot be empty")
        try:
            size = len(self.encoded())
        except UnicodeEncodeError:
            raise InvalidSetting("a passphrase is valid Unicode text") from None
        if size > LONGEST_PASSPHRASE:
            raise InvalidSetting(f"a passphrase has at most {LONGEST_PASSPHRASE} bytes, this one has {size}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passphrase) and (self.words, self.cost) == (other.words, other.cost)

    def __hash__(self) -> int:
        return hash((self.words, self.cost))

    def __repr__(self) -> str:
        return f"Passphrase(cost={self.cost!r})"

    def encoded(self) -> bytes:
        """What is stretched: UTF-8 of the NFC form, since keyboards differ in how they compose an accent."""
        import unicodedata  # noqa: PLC0415 - few vaults have a passphrase

        return unicodedata.normalize("NFC", self.words).encode()


Secret = RawKey | Passphrase
"""What opens a slot."""


class Stretching(NamedTuple):
    """How a slot makes key material from its secret: Argon2id with KiB, passes and lanes, or scrypt with N, r and p.

    A raw key is taken as it is, and its three parameters are 0.
    """

    kind: int
    memory: int
    passes: int
    lanes: int

    @classmethod
    def of(cls, secret: Secret) -> Stretching:
        """The one that a new slot gets. ``InvalidSetting`` for a passphrase that is guessed at once."""
        if isinstance(secret, RawKey):
            return cls(SecretKind.RAW, 0, 0, 0)
        if len(set(secret.words.strip())) < _FEWEST_CHARACTERS:
            raise InvalidSetting(
                f"this passphrase has fewer than {_FEWEST_CHARACTERS} different characters, white space around it not "
                "counted, and is guessed at once: take several words"
            )
        if _has_argon2():
            return cls(SecretKind.ARGON2ID, secret.cost.memory, secret.cost.passes, secret.cost.lanes)
        return cls(SecretKind.SCRYPT, *_SCRYPT_WRITTEN)

    def work(self) -> int:
        """What one try costs, in KiB times passes. ``UnsupportedFormat`` beyond the bounds, or for an unknown kind."""
        kind, *found = self
        if kind == SecretKind.RAW:
            fits, work = not any(found), 0
        elif kind == SecretKind.ARGON2ID:
            fits, work = Cost.fits(self.memory, self.passes, self.lanes), self.memory * self.passes
        elif kind == SecretKind.SCRYPT:
            work = self.memory * self.lanes * _SCRYPT_PASSES  # with r = 8 a step of N is 1 KiB, so that N counts KiB
            is_power = self.memory & (self.memory - 1) == 0
            in_range = _LEAST_N <= self.memory <= MOST_MEMORY and self.passes == _SCRYPT_R and self.lanes >= 1
            fits = is_power and in_range and work <= MOST_WORK
        else:
            raise UnsupportedFormat(
                f"a key slot of kind {kind}", found=kind, supported=[int(known) for known in SecretKind]
            )
        if not fits:
            message = f"a key slot of kind {kind} with parameters {tuple(found)} beyond the bounds"
            raise UnsupportedFormat(message, found=tuple(found))
        return work

    def stretched(self, secret: Secret, salt: bytes) -> bytes:
        """The key material. ``UnsupportedFormat`` where Argon2id is missing, ``KeyUnavailable`` where the memory is."""
        if isinstance(secret, RawKey):
            return secret.secret
        kind, memory, passes, lanes = self
        try:
            if kind == SecretKind.SCRYPT:
                return Scrypt(salt=salt, length=RAW_KEY_SIZE, n=memory, r=passes, p=lanes).derive(secret.encoded())
            hashing = Argon2id(salt=salt, length=RAW_KEY_SIZE, iterations=passes, lanes=lanes, memory_cost=memory)
            return hashing.derive(secret.encoded())
        except UnsupportedAlgorithm:
            raise UnsupportedFormat(
                "this passphrase slot needs Argon2id, which the OpenSSL of this installation lacks", found=kind
            ) from None
        except MemoryError:
            raise KeyUnavailable("there is not enough memory to stretch the passphrase for this slot") from None


def key_from(name: str, spelled: str | bytes) -> RawKey:
    """The raw key that a source of this name spells. ``InvalidSetting`` says which source it was."""
    try:
        return RawKey.parse(spelled)
    except InvalidSetting as error:
        raise InvalidSetting(f"{name}: {error}") from None


def _has_argon2() -> bool:
    try:
        Argon2id(salt=bytes(16), length=RAW_KEY_SIZE, iterations=1, lanes=1, memory_cost=8)
    except UnsupportedAlgorithm:  # pragma: no cover - OpenSSL before 3.2
        return False
    return True


def _looks_typed(secret: bytes) -> bool:
    """Whether a person could have typed it: valid UTF-8 without control characters, newlines and tabs apart."""
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return False
    return text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable()


def _decode(text: bytes) -> bytes | None:
    """The 32 bytes that the text spells in hex, base64 or base64url, padded or not; None for anything else."""
    try:
        if len(text) == 2 * RAW_KEY_SIZE:
            return binascii.unhexlify(text)
        standard = text.removesuffix(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        decoded = binascii.a2b_base64(standard + b"=", strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    # Encoding again refuses what decoders let pass: stray bits in the last digit, more than one padding sign.
    return (
        decoded
        if len(decoded) == RAW_KEY_SIZE and binascii.b2a_base64(decoded, newline=False) == standard + b"="
        else None
    )
