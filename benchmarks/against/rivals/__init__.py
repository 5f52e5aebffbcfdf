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

ENTRIES = (
    Entry(OURS, "ours", durable=True, encrypted=True),
    Entry("vaultsession, os", "ours", durable=False, encrypted=True, options={"durability": "os"}),
    Entry("floor, sealed", "bare", durable=True, encrypted=True, options={"sealed": True}, excludes=False),
    Entry("floor, plain", "bare", durable=True, encrypted=False, options={"sealed": False}, excludes=False),
    Entry("sqlite rows", "sql_rows", durable=True, encrypted=False),
    Entry("sqlite blobs", "sql_blobs", durable=True, encrypted=False),
    Entry("sqlcipher rows", "sql_rows", True, True, "sqlcipher3-binary", {"encrypted": True}),
    Entry("sqlcipher blobs", "sql_blobs", True, True, "sqlcipher3-binary", {"encrypted": True}),
    Entry("redis, always", "redis_server", True, False, "redis", {"always": True}, served=True),
    Entry("redis, default", "redis_server", False, False, "redis", {"always": False}, served=True),
    Entry("openai sqlite", "openai_agents", True, False, "openai-agents", {"kind": "plain"}),
    Entry("openai advanced", "openai_agents", True, False, "openai-agents", {"kind": "advanced"}),
    Entry("openai encrypted", "openai_agents", True, True, "openai-agents", {"kind": "encrypted"}),
    Entry("langgraph", "langgraph_saver", True, False, "langgraph-checkpoint-sqlite"),
    Entry("langgraph encrypted", "langgraph_saver", True, True, "langgraph-checkpoint-sqlite", {"encrypted": True}),
    Entry("langchain file", "langchain_file", False, False, "langchain-community"),
    Entry("strands file", "strands_files", False, False, "strands-agents"),
    Entry("adk sqlite", "adk_service", True, False, "google-adk", {"kind": "sqlite"}),
    Entry("adk database", "adk_service", True, False, "google-adk", {"kind": "database"}),
    Entry("diskcache", "disk_cache", False, False, "diskcache"),
    Entry("diskcache, durable", "disk_cache", True, False, "diskcache", {"durable": True}),
    Entry("cachelib files", "file_cache", False, False, "cachelib"),
    Entry("sqlitedict", "sqlite_dict", False, False, "sqlitedict"),
    Entry("sqlitedict, durable", "sqlite_dict", True, False, "sqlitedict", {"durable": True}),
)

BY_NAME = {entry.name: entry for entry in ENTRIES}
