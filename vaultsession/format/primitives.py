"""Ciphers, digests and X25519: what this package takes of ``cryptography``, and how. Pure.

Each process pays for them before its first byte, so they come from the compiled part of ``cryptography``. Its modules
for them import ciphers that nobody uses here (5 ms), and to ask whether there is X25519 the whole wrapper (8 ms);
they are the fallback. ``hashlib`` and ``hmac`` would load a second OpenSSL, that of Python (4 ms).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA512

if TYPE_CHECKING:
    from hashlib import blake2b
    from hmac import compare_digest

    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
    from cryptography.hazmat.primitives.hashes import Hash
    from cryptography.hazmat.primitives.hmac import HMAC

    generate_private, private_key = X25519PrivateKey.generate, X25519PrivateKey.from_private_bytes
    public_key = X25519PublicKey.from_public_bytes
else:
    try:
        from _blake2 import blake2b
        from _operator import _compare_digest as compare_digest
    except ImportError:  # pragma: no cover - not CPython as it is today
        from hashlib import blake2b
        from hmac import compare_digest
    try:
        from cryptography.hazmat.bindings import _rust

        AESGCM, AESGCMSIV, ChaCha20Poly1305 = (
            getattr(_rust.openssl.aead, name) for name in ("AESGCM", "AESGCMSIV", "ChaCha20Poly1305")
        )
        Hash, HMAC, _x25519 = _rust.openssl.hashes.Hash, _rust.openssl.hmac.HMAC, _rust.openssl.x25519
        generate_private, private_key = _x25519.generate_key, _x25519.from_private_bytes
        public_key = _x25519.from_public_bytes
    except (ImportError, AttributeError):  # not ``cryptography`` as it is today: its compiled part is no promise
        from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV, ChaCha20Poly1305
        from cryptography.hazmat.primitives.hashes import Hash
        from cryptography.hazmat.primitives.hmac import HMAC

        generate_private, private_key = X25519PrivateKey.generate, X25519PrivateKey.from_private_bytes
        public_key = X25519PublicKey.from_public_bytes

__all__ = [
    "AESGCM",
    "AESGCMSIV",
    "ChaCha20Poly1305",
    "Hash",
    "InvalidTag",
    "UnsupportedAlgorithm",
    "blake2b",
    "compare_digest",
    "generate_private",
    "hmac_sha512",
    "private_key",
    "public_key",
    "sha512",
]

_SHA512 = SHA512()


def sha512(data: bytes) -> Hash:
    """A hash that began with the data: ``copy``, ``update`` and ``finalize`` as ever."""
    begun = Hash(_SHA512)
    begun.update(data)
    return begun


def hmac_sha512(key: bytes, data: bytes) -> bytes:
    """The 64 bytes of HMAC-SHA-512."""
    begun = HMAC(key, _SHA512)
    begun.update(data)
    return begun.finalize()
