"""Items that ``EncryptedSession`` of the OpenAI Agents SDK has encrypted, opened with its key.

::

    {"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": TOKEN}      TOKEN: Fernet over the JSON of the item

The key of a session is HKDF-SHA256 of the master key with the id as the salt. The master key is 32 bytes in urlsafe
base64, or any text. Items are opened whatever their age: the SDK hides those that are older than its ttl.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_INFO = b"agents.session-store.hkdf.v1"
_SIZE = 32
_KIND = (1, 1, "hkdf-v1")

Opener = Callable[[object], bytes]
"""The JSON within an envelope. ``ValueError`` for what is none, is of another version, or another key's."""


def opener_of(source_key: str, session_id: str) -> Opener:
    """What opens the items of one session."""
    derived = HKDF(SHA256(), _SIZE, salt=session_id.encode(), info=_INFO).derive(_master(source_key))
    cipher = Fernet(base64.urlsafe_b64encode(derived))

    def opened(envelope: object) -> bytes:
        if not isinstance(envelope, dict) or "__enc__" not in envelope:
            raise ValueError("not encrypted, among items that are: nobody vouches for it")
        payload = envelope.get("payload")
        if (envelope["__enc__"], envelope.get("v"), envelope.get("kid")) != _KIND or not isinstance(payload, str):
            raise ValueError("encrypted in a way of another version")
        try:
            return cipher.decrypt(payload.encode())
        except (InvalidToken, UnicodeEncodeError):
            raise ValueError("encrypted with another key, for another session, or damaged") from None

    return opened


def _master(source_key: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(source_key)
        if len(data) == _SIZE:
            return data
    except ValueError:
        pass
    return source_key.encode()
