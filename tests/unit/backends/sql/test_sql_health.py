"""How a database is: what it gives up by its settings is a remark, and a replica is a problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sql_servers import PASSWORD, Server, sqlite_file

from vaultsession import RawKey, open_store

KEY = RawKey(bytes(range(32)))


def told(url: str) -> dict[str, Any]:
    with open_store(url, key=KEY) as store:
        return store.health()


def _refuse_shared(server: Server) -> None:
    if not server.is_ours:
        pytest.skip("this changes the settings of the whole server")


def test_a_file_has_nothing_to_remark(tmp_path: Path) -> None:
    health = told(f"sqlite:///{tmp_path}/sessions.db")
    assert (health["ok"], health["sqlite"]) == (True, "ok")


@pytest.mark.parametrize("table", ["sessions", "pieces", "tags", "leases", "metadata"])
def test_a_database_that_lost_a_table_is_not_well(tmp_path: Path, table: str) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/sessions.db")
    with open_store(f"sqlite:///{tmp_path}/sessions.db", key=KEY) as store:
        store.create("a")
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP TABLE vaultsession_{table}"))
        engine.dispose()
        health = store.health()
    assert not health["ok"]
    assert f"vaultsession_{table}" in health["sqlite"]


def test_a_mariadb_with_relaxed_flushing_is_well_and_says_so(mariadb_server: Server) -> None:
    _refuse_shared(mariadb_server)
    url = mariadb_server.database()
    assert told(url)["mysql"] == "ok"
    mariadb_server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    try:
        health = told(url)
    finally:
        mariadb_server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    assert health["ok"] is True
    assert "innodb_flush_log_at_trx_commit is 2" in health["mysql"]


def test_a_mariadb_that_is_read_only_is_a_problem(mariadb_server: Server) -> None:
    _refuse_shared(mariadb_server)
    with open_store(mariadb_server.database(), key=KEY) as store:
        mariadb_server.execute("SET GLOBAL read_only = ON")
        try:
            health = store.health()
        finally:
            mariadb_server.execute("SET GLOBAL read_only = OFF")
        assert health["ok"] is False
        assert "primary" in health["mysql"]
        assert PASSWORD not in str(health)
        assert store.health()["ok"] is True


@pytest.mark.parametrize(
    ("setting", "ok", "words"),
    [
        ("synchronous_commit = off", True, "synchronous_commit"),
        ("default_transaction_read_only = on", False, "primary"),
    ],
)
def test_a_postgresql_says_what_its_settings_give_up(
    postgresql_server: Server, setting: str, ok: bool, words: str
) -> None:
    url = postgresql_server.database()
    assert told(url)["postgresql"] == "ok"
    with open_store(url, key=KEY) as store:
        postgresql_server.execute(f"ALTER DATABASE {sa.make_url(url).database} SET {setting}")
        store._backend._database.engine.dispose()  # type: ignore[attr-defined]  # the setting is of new connections
        health = store.health()
    assert health["ok"] is ok
    assert words in health["postgresql"]


@pytest.mark.parametrize("table", ["sessions", "pieces", "tags", "leases"])
def test_a_table_that_is_gone_is_not_well(tmp_path: Path, table: str) -> None:
    """Its health was ok, while every listing failed."""
    url = f"sqlite:///{tmp_path}/s.db"
    with open_store(url, key=RawKey(bytes(range(32)))) as store:
        store.create("a")
        with sqlite_file(tmp_path / "s.db") as database:
            database.execute(f"DROP TABLE vaultsession_{table}")
        database.close()
        health = store.health()
        assert not health["ok"]
        assert f"vaultsession_{table}" in health["sqlite"]
