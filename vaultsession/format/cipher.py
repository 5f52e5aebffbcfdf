"""The keys of one container, and sealing and opening its records with them. Pure.

No plaintext leaves before its tag is verified. Head and body use different keys, so one nonce serves both; nonces are
random, since a counter would repeat itself after "append, crash, append again" and after a restored backup.
"""

from __future__ import annotations

import os
from typing import Any, Protocol

from ..errors import Damaged, TooLarge, UnsupportedFormat
from .head import LARGEST_HEAD
from .keys import KEY_SIZE, Keyring, MasterKey, derive
from .primitives import AESGCM, AESGCMSIV, ChaCha20Poly1305, InvalidTag, UnsupportedAlgorithm, compare_digest
from .record import (
    BOUND_SIZE,
    COMMITTED_SIZE,
    FOOTER,
    FOOTER_MASK,
    FOOTER_SIZE,
    FORMAT,
    FRAME,
    FRAME_SIZE,
    HEADER,
    HEADER_SIZE,
    KINDS,
    LARGEST_RECORD,
    MAGIC,
    NONCE_SIZE,
    PADDED,
    SALT_SIZE,
    SUITE_AES_GCM,
    SUITE_AES_GCM_SIV,
    SUITE_CHACHA,
    TAG_SIZE,
    Header,
    Record,
    parse_header,
)

_SUITES: dict[int, Any] = {SUITE_AES_GCM: AESGCM, SUITE_CHACHA: ChaCha20Poly1305, SUITE_AES_GCM_SIV: AESGCMSIV}
_COMMITMENT_SIZE = 32
_LENGTH_SIZE = 4


class Masters(Protocol):
    """A holder of master keys: a ``Keyring``, or something that looks again before it gives up."""

    @property
    def vault_id(self) -> bytes:
        """Which vault the keys are of."""
        ...

    @property
    def current(self) -> Keyring:
        """The keyring as it was seen last."""
        ...

    def refresh(self) -> None:
        """Look again."""
        ...

    def sealing(self, tenant_id: str | None) -> MasterKey:
        """The key that what is this tenant's is sealed under."""
        ...

    def master(self, key_id: bytes) -> MasterKey:
        """The master key of that id, or ``UnknownKey``."""
        ...


def aead(suite: int, key: bytes) -> Any:  # noqa: ANN401 - they have no type in common
    """The cipher of a suite under a key of 32 bytes; ``UnsupportedFormat`` where this OpenSSL has none."""
    try:
        return _SUITES[suite](key)
    except (KeyError, UnsupportedAlgorithm):
        raise UnsupportedFormat(
            f"suite {suite} needs a newer OpenSSL than this one", found=suite, supported=(1, 2)
        ) from None


class ContainerCipher:
    """Seals and opens the records of one container. Immutable, hence safe from any thread."""

    __slots__ = ("_body", "_head", "generation", "header", "padded", "sealed_as")

    def __init__(self, header: bytes, parsed: Header, keys: bytes) -> None:
        self._head = aead(parsed.suite, keys[:KEY_SIZE])
        self._body = aead(parsed.suite, keys[KEY_SIZE : 2 * KEY_SIZE])
        self.header = header
        self.generation = parsed.generation
        self.padded = bool(parsed.flags & PADDED)
        self.sealed_as = (parsed.key_id, parsed.suite, self.padded)

    @classmethod
    def open(cls, header: bytes, keyring: Masters, locator: str) -> ContainerCipher:
        """The cipher of a container that exists.

        One comparison proves header, key, vault and file name together: ``Damaged`` if it fails, ``UnknownKey`` if the
        key is not held, ``UnsupportedFormat``.
        """
        parsed = parse_header(header)
        keys = _derive(keyring.master(parsed.key_id), header[:COMMITTED_SIZE], parsed.salt, keyring.vault_id, locator)
        if not compare_digest(keys[2 * KEY_SIZE :], parsed.commitment):
            raise Damaged("the header does not fit its key and name: edited, swapped, or of another vault")
        return cls(header[:HEADER_SIZE], parsed, keys)

    @classmethod
    def create(
        cls,
        keyring: Keyring,
        locator: str,
        *,
        generation: int,
        suite: int = SUITE_AES_GCM,
        padded: bool = False,
        master: MasterKey | None = None,
    ) -> ContainerCipher:
        """The cipher of a new container under that master key, or the first one: new salt, new keys."""
        master = master or keyring.first
        salt = os.urandom(SALT_SIZE)
        flags = PADDED if padded else 0
        plain = HEADER.pack(MAGIC, FORMAT, suite, flags, master.id, generation, salt, b"")
        keys = _derive(master, plain[:COMMITTED_SIZE], salt, keyring.vault_id, locator)
        commitment = keys[2 * KEY_SIZE :]
        parsed = Header(suite, flags, master.id, generation, salt, commitment)
        return cls(plain[:-_COMMITMENT_SIZE] + commitment, parsed, keys)

    def seal(
        self, kind: int, seq: int, offset: int, link: bytes, head: bytes, *, codec: int = 0, body: bytes | None = None
    ) -> bytes:
        """The bytes of one record, which opens at this offset only.

        ``head`` and ``body`` are plaintext; a record without a body is a HEAD.
        """
        nonce = os.urandom(NONCE_SIZE)
        if body is not None and self.padded:
            body = _pad(body)
        body_size = 0 if body is None else len(body) + TAG_SIZE
        if body_size > LARGEST_RECORD - FRAME_SIZE - LARGEST_HEAD - FOOTER_SIZE:
            raise TooLarge(f"a record of {body_size} bytes; the bound is {LARGEST_RECORD}")
        bound = FRAME.pack(len(head) + TAG_SIZE, body_size, kind, codec, 0, seq, b"")[:BOUND_SIZE]
        place = _place_of(bound, offset, link)
        sealed_body = b"" if body is None else self._body.encrypt(nonce, body, b"b" + place)
        body_tag = sealed_body[-TAG_SIZE:] if sealed_body else bytes(TAG_SIZE)
        sealed_head = self._head.encrypt(nonce, head, b"h" + place + body_tag)
        size = FRAME_SIZE + body_size + len(sealed_head) + FOOTER_SIZE
        return b"".join((bound, nonce, sealed_body, sealed_head, FOOTER.pack(size, size ^ FOOTER_MASK)))

    def open_head(self, record: Record) -> bytes:
        """The plaintext of the record's head: proves the record's place in the chain and the tag of its body."""
        place = _place_of(record.bound, record.offset, record.link)
        try:
            plain: bytes = self._head.decrypt(record.nonce, record.head, b"h" + place + record.body_tag)
        except InvalidTag:
            raise Damaged(f"record {record.seq} at offset {record.offset} does not authenticate") from None
        if record.kind not in KINDS:
            raise UnsupportedFormat(f"record type {record.kind}", found=record.kind, supported=tuple(KINDS))
        return plain

    def open_body(self, record: Record) -> bytes:
        """The plaintext of the record's body, as its codec left it. To be believed once ``open_head`` passed."""
        if not record.body:
            return b""
        place = _place_of(record.bound, record.offset, record.link)
        try:
            plain: bytes = self._body.decrypt(record.nonce, record.body, b"b" + place)
        except InvalidTag:
            raise Damaged(f"the body of record {record.seq} at offset {record.offset} does not authenticate") from None
        return _unpad(plain) if self.padded else plain


def _place_of(bound: bytes, offset: int, link: bytes) -> bytes:
    """Where a record belongs: its frame, its offset, and the record that it follows.

    The offset is in it because heads name the offset of the last FULL: were records to open anywhere, a dead one that
    is doubled in front would move the others, and another record would stand where the FULL is said to begin.
    """
    return bound + offset.to_bytes(8, "little") + link


def _derive(master: MasterKey, committed: bytes, salt: bytes, vault_id: bytes, locator: str) -> bytes:
    info = b"vaultsession/file/v1\0" + committed + vault_id + locator.encode()
    return derive(master.secret, salt, info, 2 * KEY_SIZE + _COMMITMENT_SIZE)


def padme(size: int) -> int:
    """The padded length of Padmé (Nikitin et al., PETS 2019): at most 12 % more, leaks O(log log size) bits."""
    if size < 2:  # noqa: PLR2004 - below 2 bytes the formula has no logarithm
        return size
    exponent = size.bit_length() - 1
    free_bits = exponent - exponent.bit_length()
    mask = (1 << max(free_bits, 0)) - 1
    return (size + mask) & ~mask


def _pad(body: bytes) -> bytes:
    whole = padme(_LENGTH_SIZE + len(body))
    return len(body).to_bytes(_LENGTH_SIZE, "little") + body + bytes(whole - _LENGTH_SIZE - len(body))


def _unpad(plain: bytes) -> bytes:
    size = int.from_bytes(plain[:_LENGTH_SIZE], "little")
    if len(plain) != padme(_LENGTH_SIZE + size):
        raise Damaged("an authentic record has padding that this package does not write")
    return plain[_LENGTH_SIZE : _LENGTH_SIZE + size]
