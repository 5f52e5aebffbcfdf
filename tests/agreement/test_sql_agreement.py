"""Model and stores must agree on databases too: two stores in turn on a SQLite file, and on MariaDB."""

from __future__ import annotations

import shutil
import tempfile
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from memory import in_memory
from sql_servers import Server

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.testing.state_machine import SessionMachine

KEY = RawKey(bytes(range(100, 132)))


class OnDatabase(SessionMachine):
    restarts: ClassVar[bool] = True
    stores: ClassVar[int] = 2

    url: str

    def open(self, number: int) -> SessionStore:
        # The second store keeps no document, so that what it says never comes from a cache.
        return open_store(self.url, key=KEY, clock=self.clock, cache_bytes=0 if number else 1 << 20)


class OnSqlite(OnDatabase):
    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp(dir=in_memory())
        self.url = f"sqlite:///{self.root}/sessions.db"

    def finish(self) -> None:
        shutil.rmtree(self.root)


pytestmark = pytest.mark.slow

TestSqlite = OnSqlite.TestCase
TestSqlite.settings = settings(max_examples=12)


def test_mariadb_agrees(mariadb_server: Server) -> None:
    class OnMariadb(OnDatabase):
        def __init__(self) -> None:
            super().__init__()
            self.url = mariadb_server.database()

    run_state_machine_as_test(OnMariadb, settings=settings(max_examples=5))
