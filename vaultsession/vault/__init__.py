"""A vault: who it is, and its key slots. Sessions are the backend's business.

``directory`` on files, and that it is private · ``engine`` in an engine, beside the sessions · ``opened`` what
unlocking yields, and what both can do · ``keypapers`` its keys, for whoever uses them for long
"""

from .directory import (
    DIRECTORIES,
    KEYRING_COUNTER,
    LOCKS,
    NETWORK_FILE_SYSTEMS,
    SESSIONS,
    VaultDirectory,
)
from .engine import EngineVault
from .opened import OpenVault, Vault
from .keypapers import VaultPapers
from .tenant_files import TENANTS

__all__ = [
    "DIRECTORIES",
    "KEYRING_COUNTER",
    "LOCKS",
    "NETWORK_FILE_SYSTEMS",
    "SESSIONS",
    "TENANTS",
    "EngineVault",
    "OpenVault",
    "Vault",
    "VaultDirectory",
    "VaultPapers",
]
