"""The rivals: one file each. This table imports none of them, so that what is not installed is only missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from dataclasses import dataclass, field
from typing import Any

from ..rival import Rival


@dataclass(frozen=True)
class Entry:
    """One store in one mode. ``durable``: what survives a power cut once a write has returned, by its documentation."""

    name: str
    module: str
    durable: bool
    encrypted: bool
    how: str
    """Its mode, in a few words."""
    package: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    served: bool = False
    """A server: opened once, whoever else opens the directory asks it."""
    excludes: bool = True
    """Made for more than one process; the floor takes no lock."""

    @property
    def installed(self) -> bool:
        """Whether its package is there; nothing is imported to know."""
        try:
            return not self.package or bool(importlib.metadata.version(self.package))
        except importlib.metadata.PackageNotFoundError:
            return False

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        if not self.installed:
            return "not installed"
        try:
            module = importlib.import_module(f".{self.module}", __name__)
        except ImportError as error:
            return f"not importable: {error}"[:90]
        return module.missing() if hasattr(module, "missing") else None

    def version(self) -> str:
        """The version of what is measured."""
        return importlib.metadata.version(self.package) if self.package else ""

    def open(self, directory: str, *, cold: bool = False) -> Rival:
        """The store in that directory, made where there is none. ``cold``: nothing decoded is kept between calls."""
        os.makedirs(directory, exist_ok=True)
        made: type[Rival] = importlib.import_module(f".{self.module}", __name__).ADAPTER
        return made(directory, cold=cold, **self.options)


OURS = "vaultsession"
FLOOR = "floor, sealed"
_WAL = "journal_mode=WAL, synchronous=FULL"
_SQLCIPHER = ("sqlcipher3-binary", {"encrypted": True})
_LANGGRAPH_ENCRYPTED = ("langgraph-checkpoint-sqlite", {"encrypted": True})

ENTRIES = (
    Entry(OURS, "ours", durable=True, encrypted=True, how="its defaults"),
    Entry("vaultsession, os", "ours", False, True, 'durability="os": no flush', options={"durability": "os"}),
    Entry(FLOOR, "bare", True, True, "bare system calls, zstd, AES-256-GCM", options={"sealed": True}, excludes=False),
    Entry("floor, plain", "bare", True, False, "bare system calls", options={"sealed": False}, excludes=False),
    Entry("sqlite rows", "sql_rows", True, False, f"a row for each message; {_WAL}"),
    Entry("sqlite blobs", "sql_blobs", True, False, f"a row for each session; {_WAL}"),
    Entry("sqlcipher rows", "sql_rows", True, True, f"a row for each message; {_WAL}", *_SQLCIPHER),
    Entry("sqlcipher blobs", "sql_blobs", True, True, f"a row for each session; {_WAL}", *_SQLCIPHER),
    Entry("redis, always", "redis_server", True, False, "appendfsync always", "redis", {"always": True}, served=True),
    Entry("redis, default", "redis_server", False, False, "snapshots alone", "redis", {"always": False}, served=True),
    Entry("openai sqlite", "openai_agents", True, False, "SQLiteSession", "openai-agents", {"kind": "plain"}),
    Entry(
        "openai advanced", "openai_agents", True, False, "AdvancedSQLiteSession", "openai-agents", {"kind": "advanced"}
    ),
    Entry("openai encrypted", "openai_agents", True, True, "EncryptedSession", "openai-agents", {"kind": "encrypted"}),
    Entry("langgraph", "langgraph_saver", True, False, "SqliteSaver", "langgraph-checkpoint-sqlite"),
    Entry(
        "langgraph encrypted", "langgraph_saver", True, True, "SqliteSaver, EncryptedSerializer", *_LANGGRAPH_ENCRYPTED
    ),
    Entry("langchain file", "langchain_file", False, False, "FileChatMessageHistory", "langchain-community"),
    Entry("strands file", "strands_files", False, False, "FileSessionManager", "strands-agents"),
    Entry("adk sqlite", "adk_service", True, False, "SqliteSessionService", "google-adk", {"kind": "sqlite"}),
    Entry("adk database", "adk_service", True, False, "DatabaseSessionService", "google-adk", {"kind": "database"}),
    Entry("diskcache", "disk_cache", False, False, "its defaults", "diskcache"),
    Entry("diskcache, durable", "disk_cache", True, False, "sqlite_synchronous=2", "diskcache", {"durable": True}),
    Entry("cachelib files", "file_cache", False, False, "FileSystemCache", "cachelib"),
    Entry("sqlitedict", "sqlite_dict", False, False, "its defaults", "sqlitedict"),
    Entry("sqlitedict, durable", "sqlite_dict", True, False, _WAL, "sqlitedict", {"durable": True}),
)

BY_NAME = {entry.name: entry for entry in ENTRIES}
