"""VaultCipher: the key of a vault for what other checkpointers keep elsewhere.

A sealed value is a header (1 byte version, 8 bytes id of the master key, 24 bytes random salt) and AES-256-GCM of the
message, with the header as additional data and a nonce of zeros: its key is HKDF-SHA-512 of the master key, with the
vault's id and the salt as salt and ``vaultsession/langgraph/v1`` as info, so that no key seals twice.
"""

from __future__ import annotations

import os
from typing import Self, Unpack

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ...errors import Damaged, UnsupportedFormat
from ...format.keys import KEY_ID_SIZE, KEY_SIZE, MasterKey, derive
from ...store.open import OpenFields, Place
from ..adapter import Lent, StoreHandle, StoreOwner

NAME = "vaultsession"
_VERSION = b"\1"
_SALT = 24
_HEADER = len(_VERSION) + KEY_ID_SIZE + _SALT
_NONCE = bytes(12)
"""One key, one message: each has a salt of its own."""


class VaultCipher(StoreOwner):
    """A cipher for ``EncryptedSerializer``, under the master key of a vault: AES-256-GCM, a key for each message.

    ``SqliteSaver(connection, serde=EncryptedSerializer(VaultCipher(store)))`` seals what it keeps in its own database.
    After a rotation the vault still opens what was sealed before, until ``prune_keys``. Safe from any thread.
    """

    def __init__(self, store: Lent) -> None:
        self._handle = StoreHandle.of(store)
        self._keys = self._store._reader.keys  # noqa: SLF001 - the cipher is a part of the store

    @classmethod
    def from_url(cls, path_or_url: Place = None, **fields: Unpack[OpenFields]) -> Self:
        """The cipher of a vault that is opened for it as by ``open_store``, and closed with it."""
        return StoreHandle.opened(path_or_url, fields).closed_unless(cls)

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """The name of this cipher, and the message sealed."""
        self._keys.refresh()  # a key that was retired meanwhile seals nothing more
        master = self._keys.sealing(None)
        header = _VERSION + master.id + os.urandom(_SALT)
        return NAME, header + self._cipher(master, header).encrypt(_NONCE, plaintext, header)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """The message. ``Damaged``, ``UnknownKey``; ``UnsupportedFormat`` for what another cipher has sealed."""
        header, sealed = ciphertext[:_HEADER], ciphertext[_HEADER:]
        if ciphername != NAME or header[:1] != _VERSION:
            raise UnsupportedFormat(f"sealed by {ciphername!r:.40}", found=ciphername, supported=NAME)
        if len(header) < _HEADER:
            raise Damaged("a sealed value that was cut")
        master = self._keys.master(header[len(_VERSION) : len(_VERSION) + KEY_ID_SIZE])
        try:
            return self._cipher(master, header).decrypt(_NONCE, sealed, header)
        except InvalidTag:
            raise Damaged("a sealed value does not authenticate") from None

    def _cipher(self, master: MasterKey, header: bytes) -> AESGCM:
        salt = self._keys.vault_id + header[-_SALT:]
        return AESGCM(derive(master.secret, salt, b"vaultsession/langgraph/v1", KEY_SIZE))
