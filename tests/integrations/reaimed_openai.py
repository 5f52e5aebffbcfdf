"""Run in front of the SDK's own tests: their SQLiteSession is a VaultSession, one vault for each database."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import agents
import agents.memory
from agents.extensions.memory import encrypt_session
from agents.memory import sqlite_session

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.integrations.openai_agents import VaultSession

_VAULTS = tempfile.mkdtemp(prefix="vaultsession-suite-")
_stores: dict[str, SessionStore] = {}
_theirs = sqlite_session.SQLiteSession


class SQLiteSession(VaultSession):
    """Made as theirs is."""

    def __init__(
        self, session_id: str, db_path: str | Path = ":memory:", *_tables: str, session_settings: Any = None
    ) -> None:
        super().__init__(session_id, _store(str(db_path)), session_settings=session_settings)


def _store(path: str) -> SessionStore:
    if path == ":memory:":
        return open_store("memory://")
    if path not in _stores:
        place = Path(_VAULTS, hashlib.sha256(path.encode()).hexdigest())
        _stores[path] = open_store(place, key=RawKey(bytes(range(200, 232))), durability="os")
    return _stores[path]


for _module in (agents, agents.memory, sqlite_session):
    _module.SQLiteSession = SQLiteSession  # type: ignore[attr-defined]
encrypt_session.SQLiteSession = _theirs  # it looks for private methods of the class itself
