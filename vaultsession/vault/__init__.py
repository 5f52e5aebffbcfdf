"""A vault: who it is, and its key slots. Sessions are the backend's business.

``directory`` on files, and that it is private · ``dictionaries`` their files · ``engine`` in an engine, beside the
sessions · ``opened`` what unlocking yields, and what both can do
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
from .opened import OpenVault, Vault

__all__ = [
    "DICTIONARIES",
    "DIRECTORIES",
    "KEYRING_COUNTER",
    "LOCKS",
    "NETWORK_FILE_SYSTEMS",
    "SESSIONS",
    "DictionaryFiles",
    "EngineVault",
    "OpenVault",
    "Vault",
    "VaultDirectory",
    "number_in",
]
