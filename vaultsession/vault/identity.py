"""What ``vault.json`` says: which vault this is, in the open. No secrets; the keyring has a sealed copy. Pure."""

from __future__ import annotations

import functools
from datetime import datetime
from typing import Any

import orjson

from ..errors import Damaged, UnsupportedFormat
from ..format.keys import VAULT_ID_SIZE, Keyring
from ..util.clock import to_datetime, to_micros
from ..util.named_tuple import NamedTuple

VERSION = 1
FACTS = "vault.json"
LARGEST_FACTS = 4096

_FORMAT = "vaultsession"
_NAMES = {"readable": True, "private": False}


class Identity(NamedTuple):
    """What ``vault.json`` says, and the key set has a sealed copy of. ``created`` in microseconds since 1970."""

    vault_id: bytes
    readable_names: bool
    created: int

    def encode(self) -> bytes:
        """The bytes of ``vault.json``. There is one spelling."""
        fields = {
            "format": _FORMAT,
            "version": VERSION,
            "vault_id": self.vault_id.hex(),
            "names": "readable" if self.readable_names else "private",
            "created": to_datetime(self.created).isoformat(timespec="microseconds"),
        }
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)

    @classmethod
    @functools.lru_cache(4)  # each look at the metadata of a vault reads it
    def decode(cls, data: bytes) -> Identity:
        """What these bytes say; ``Damaged`` for any spelling but the one that is written, or ``UnsupportedFormat``."""
        try:
            fields: Any = orjson.loads(data)
            version = fields["version"]
            if fields["format"] == _FORMAT and type(version) is int and version > VERSION:
                raise UnsupportedFormat(
                    f"a vault of format {version}; this version of vaultsession reads format {VERSION}: upgrade it",
                    found=version,
                    supported=VERSION,
                )
            created = to_micros(datetime.fromisoformat(fields["created"]))
            identity = cls(bytes.fromhex(fields["vault_id"]), _NAMES[fields["names"]], created)
            if len(identity.vault_id) == VAULT_ID_SIZE and identity.encode() == data:
                return identity
        except (ValueError, TypeError, LookupError, OverflowError):
            pass
        raise Damaged(f"{FACTS} is not what this package writes: restore it from a backup")

    @classmethod
    def of(cls, keyring: Keyring) -> Identity:
        """The sealed copy."""
        return cls(keyring.vault_id, keyring.readable_names, keyring.created)
