"""A vault: who it is, and its key slots. Sessions are the backend's business.

``directory`` on files, and that it is private · ``dictionaries`` and ``tenant_files`` their files · ``engine`` in an
engine, beside the sessions · ``opened`` what unlocking yields, and what both can do · ``changes`` of the keys ·
``keypapers`` the keys, for whoever uses them for long · ``papers`` identity and key slots as one value · ``following``
how a copy of all that follows
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..util.lazy import names_in
from .dictionary_files import DICTIONARIES, DictionaryFiles, number_in
from .directory import DIRECTORIES, KEYRING_COUNTER, LOCKS, NETWORK_FILE_SYSTEMS, SESSIONS, VaultDirectory
from .key_store import VaultKeyStore
from .metadata import parse_metadata
from .tenant_files import TENANTS
from .unlocked import Candidates, OpenVault, Vault

if TYPE_CHECKING:
    from .engine_vault import EngineVault
    from .follow import follow_metadata, follow_tenants

__all__ = [
    "DICTIONARIES",
    "DIRECTORIES",
    "KEYRING_COUNTER",
    "LOCKS",
    "NETWORK_FILE_SYSTEMS",
    "SESSIONS",
    "TENANTS",
    "Candidates",
    "DictionaryFiles",
    "EngineVault",
    "OpenVault",
    "Vault",
    "VaultDirectory",
    "VaultKeyStore",
    "follow_metadata",
    "follow_tenants",
    "number_in",
    "parse_metadata",
]

__getattr__ = names_in(
    __name__,
    globals(),
    {"EngineVault": "engine_vault", "follow_metadata": "follow", "follow_tenants": "follow"},
)
