"""SqlBackend is held to the contract on every database that it speaks to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sql_servers import Server

from vaultsession.backends.sql import SqlBackend, connect
from vaultsession.testing import BackendContract
from vaultsession.testing.sealer import Sealer

Opening = Callable[[], SqlBackend]


class SqlContract(BackendContract):
    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def reopen(self, url: str, scribe: Sealer) -> Iterator[Opening]:
        opened: list[SqlBackend] = []

        def opening() -> SqlBackend:
            opened.append(connect(url).backend(Sealer(scribe.keyring).describe))
            return opened[-1]

        yield opening
        for backend in opened:
            backend.close()

    @pytest.fixture
    def backend(self, reopen: Opening) -> SqlBackend:
        return reopen()


class TestSqlite(SqlContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/sessions.db"


class TestMariadb(SqlContract):
    @pytest.fixture
    def url(self, mariadb_server: Server) -> str:
        return mariadb_server.database()


class TestPostgresql(SqlContract):
    @pytest.fixture
    def url(self, postgresql_server: Server) -> str:
        return postgresql_server.database()
