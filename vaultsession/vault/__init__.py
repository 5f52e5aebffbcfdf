"""A vault: who it is, and its key slots. Sessions are the backend's business.

``directory`` on files, and that it is private · ``engine`` in an engine, beside the sessions · ``opened`` what
unlocking yields, and what both can do · ``keypapers`` its keys, for whoever uses them for long
"""

from .dictionaries import DICTIONARIES, DictionaryFiles, number_in
from .directory import (
    DIRECTORIES,
    KEYRING_COUNTER,
    LOCKS,
    NETWORK_FILE_SYSTEMS,
    SESSIONS,
    VaultDirectory,
)
from .engine import EngineVault
from .keypapers import VaultPapers
from .opened import OpenVault, Vault
from .tenant_files import TENANTS

__all__ = [
    "DICTIONARIES",
    "DIRECTORIES",
    "KEYRING_COUNTER",
    "LOCKS",
    "NETWORK_FILE_SYSTEMS",
    "SESSIONS",
    "TENANTS",
    "DictionaryFiles",
    "EngineVault",
    "OpenVault",
    "Vault",
    "VaultDirectory",
    "VaultPapers",
    "number_in",
]
