"""SessionId: accept an id or refuse it, and map it to the name that every backend uses.

An id is never cleaned. It is accepted as it is and mapped injectively to a *locator*, a keyed digest of fixed length:
``../..``, NUL and emoji are legal: they never touch a path. The *slug* in front is decoration for people.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NewType

from ..errors import InvalidSessionId
from .primitives import hmac_sha512

LONGEST_ID = 1024
"""Bytes of UTF-8 that an id may have."""

LOCATOR_LENGTH = 32
"""Characters of a locator, from ``[0-9a-v]``: 20 bytes in base32hex."""

LOCATOR = slice(-LOCATOR_LENGTH, None)
"""Where in a key its locator stands, for what is done at every write; else ``locator_of``."""

SessionId = NewType("SessionId", str)

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
"""base32hex in lower case (RFC 4648), two digits at a time: six times as quick as the standard library's."""

_ESCAPED = str.maketrans({"%": "%25", "/": "%2F"})
_DIGEST_SIZE = 32
"""Bytes of the digest in an id that would be too long, as 64 digits."""

_SLUG_LENGTH = 40
_IN_SLUG = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
"""Only letters of ASCII have a lower case here: U+212A has one in Unicode that is of ASCII, and U+0130 one of two."""

_OF_LOCATORS, _OF_SLUGS = frozenset(_DIGITS), frozenset(_IN_SLUG.lower())


def parse(text: object) -> SessionId:
    """The id, unchanged, or ``InvalidSessionId``: non-empty str, at most 1024 bytes of UTF-8, no lone surrogates."""
    if not isinstance(text, str):
        raise InvalidSessionId(f"a session id is a str, not {type(text).__name__}")
    if not text:
        raise InvalidSessionId("a session id cannot be empty")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidSessionId("a session id cannot hold lone surrogates") from None
    if size > LONGEST_ID:
        raise InvalidSessionId(f"a session id has at most {LONGEST_ID} bytes of UTF-8, this one has {size}")
    return SessionId(str(text))


def composed(*parts: str) -> str:
    """One session id of several: injective, and readable while it fits.

    The parts are joined by slashes, with ``%`` and ``/`` in them escaped. Where that is too long for a session id its
    beginning stands before a SHA-256 of the whole: put the parts into labels or the state as well.

    >>> composed("app", "a/b", "")
    'app/a%2Fb/'
    """
    joined = "/".join([part.translate(_ESCAPED) for part in parts])
    if len(joined) * 4 <= LONGEST_ID:
        return joined
    try:
        data = joined.encode()
    except UnicodeEncodeError:
        return joined  # refused by each verb
    if len(data) <= LONGEST_ID:
        return joined
    kept = data[: LONGEST_ID - 2 * _DIGEST_SIZE - 2].decode("utf-8", "ignore")
    # No id that fits has two percent signs in a row: they are escaped as %25.
    import hashlib  # noqa: PLC0415 - for what hardly any id is

    return f"{kept}%%{hashlib.sha256(data).hexdigest()}"


def locator(naming_key: bytes, session_id: SessionId) -> str:
    """The 32 characters that identify a session in this vault: keyed, injective, lower case, fixed length."""
    number = int.from_bytes(hmac_sha512(naming_key, session_id.encode())[:20], "big")
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(150, -10, -10)])


def key(naming_key: bytes, session_id: SessionId, *, readable: bool) -> str:
    """The name under which backends keep a session: ``slug~locator``, or the bare locator in a private-names vault."""
    place = locator(naming_key, session_id)
    slug = _slug(session_id) if readable else ""
    return f"{slug}~{place}" if slug else place


def _slug(session_id: SessionId) -> str:
    # A pattern, which takes 0.1 ms to be compiled, only where something is to be replaced.
    text = re.sub(f"[^{_IN_SLUG}]+", "-", session_id) if session_id.strip(_IN_SLUG) else session_id
    return text[:_SLUG_LENGTH].strip("-").lower()


def is_key(text: str) -> bool:
    """Whether the text has the shape of a key. Names that come back from a listing are checked before they are used."""
    slug, tilde, place = text.rpartition("~")
    has_slug = 0 < len(slug) <= _SLUG_LENGTH and _OF_SLUGS.issuperset(slug)
    return len(place) == LOCATOR_LENGTH and _OF_LOCATORS.issuperset(place) and (has_slug or not tilde)


def is_key_of(text: object, locator: str) -> bool:
    """Whether this is a key of the session with that locator. For what stands in an index, of whatever type."""
    return isinstance(text, str) and text[-LOCATOR_LENGTH:] == locator and is_key(text)


def parse_locator(name: object) -> str:
    """A locator from the bytes that a storage gives, or ``ValueError``: whatever else stands there names no session."""
    if not isinstance(name, bytes) or len(name) != LOCATOR_LENGTH or name.strip(_DIGITS.encode()):
        raise ValueError("no locator")
    return name.decode("ascii")


def locator_of(session_key: str) -> str:
    """The locator within a key."""
    return session_key[LOCATOR]


def new(now: int, randomness: Callable[[int], bytes] = os.urandom) -> SessionId:
    """A fresh UUIDv7 (RFC 9562): sorts by the time of creation. ``now`` in microseconds since 1970."""
    random = int.from_bytes(randomness(10), "big")
    value = (now // 1000) << 80 | 0x7 << 76 | (random >> 68) << 64 | 0b10 << 62 | (random & ((1 << 62) - 1))
    text = f"{value:032x}"
    return SessionId(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
