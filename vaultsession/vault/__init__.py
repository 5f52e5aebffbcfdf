"""A vault: who it is, and its key slots. Sessions are the backend's business.

``directory`` on files, and that it is private · ``engine`` in an engine, beside the sessions · ``opened`` what
unlocking yields, and what both can do · ``papers`` identity and key slots as one value, and how a copy follows
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
from .papers import follow_papers

__all__ = [
    "DIRECTORIES",
    "KEYRING_COUNTER",
    "LOCKS",
    "NETWORK_FILE_SYSTEMS",
    "SESSIONS",
    "EngineVault",
    "OpenVault",
    "Vault",
    "VaultDirectory",
    "follow_papers",
]
