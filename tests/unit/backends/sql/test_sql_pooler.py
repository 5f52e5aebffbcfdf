"""PostgreSQL behind a pooler that gives each transaction another connection, as PgBouncer does in transaction mode."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from sql_servers import PASSWORD, Server, free_port, missing, until

from vaultsession import InvalidSetting, RawKey, open_store
from vaultsession.backends.sql.postgresql import PostgresConnector
from vaultsession.backends.sql.url import parse

KEY = RawKey(bytes(range(32)))


class Driver:
    """Connects to a server, or to a pooler before it."""

    def __init__(self, *, refuses: str = "", answering: int = 7) -> None:
        self.refuses, self.answering = refuses, answering
        self.calls: list[dict[str, Any]] = []

    def connect(self, **arguments: Any) -> Any:
        self.calls.append(arguments)
        if self.refuses and "options" in arguments:
            raise OSError(self.refuses)
        cursor = SimpleNamespace(fetchone=lambda: (self.answering,))
        return SimpleNamespace(
            prepare_threshold=5,
            info=SimpleNamespace(backend_pid=7),
            execute=lambda _query: cursor,
            commit=lambda: None,
        )


def test_a_server_itself_gets_its_limits_with_the_connection() -> None:
    driver, connector = Driver(), PostgresConnector(30)
    assert connector.connect(driver.connect, {"host": "h"}).prepare_threshold == 5
    assert driver.calls == [{"host": "h", "options": "-c lock_timeout=5000 -c statement_timeout=30000"}]
    assert (connector.is_pooled, connector.begin) == (False, "BEGIN")


def test_a_pooler_that_refuses_the_limits_gets_them_with_each_transaction() -> None:
    driver, connector = Driver(refuses="FATAL: unsupported startup parameter: options"), PostgresConnector(30)
    for _ in range(2):
        assert connector.connect(driver.connect, {"host": "h"}).prepare_threshold is None
    assert driver.calls[1:] == [{"host": "h"}, {"host": "h"}]
    assert connector.begin == "BEGIN; SET LOCAL lock_timeout = 5000; SET LOCAL statement_timeout = 30000"


def test_a_pooler_that_drops_the_limits_is_known_by_who_answers() -> None:
    driver, connector = Driver(answering=8), PostgresConnector(30)
    assert connector.connect(driver.connect, {}).prepare_threshold is None
    assert connector.is_pooled


def test_options_of_the_url_are_the_users_own() -> None:
    driver = Driver(refuses="FATAL: unsupported startup parameter: options")
    with pytest.raises(OSError, match="unsupported"):
        PostgresConnector(30).connect(driver.connect, {"options": "-c geqo=off"})
    connector = PostgresConnector(30)
    with pytest.raises(OSError, match="no such host"):
        connector.connect(Driver(refuses="no such host").connect, {})
    assert not connector.is_pooled


@pytest.mark.parametrize(("given", "taken"), [("0", 0), ("12", 12), ("none", None)])
def test_when_statements_are_prepared_can_be_said_in_the_url(given: str, taken: int | None) -> None:
    place = parse(f"postgresql://h/d?prepare_threshold={given}")
    assert place.arguments["prepare_threshold"] == taken
    assert "prepare_threshold" not in place.url.query


@pytest.mark.parametrize("given", ["-1", "1.5", "soon", "nan"])
def test_a_threshold_without_sense_is_refused(given: str) -> None:
    with pytest.raises(InvalidSetting, match="prepare_threshold"):
        parse(f"postgresql://h/d?prepare_threshold={given}")


# -- a real one --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["", "ignore_startup_parameters=options"], ids=["as it comes", "options dropped"])
def pooled(request: pytest.FixtureRequest, postgresql_server: Server) -> Iterator[str]:
    """The URL of a fresh database, through a PgBouncer that has two connections to it."""
    program = shutil.which("pgbouncer", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    if program is None:
        missing("there is no pgbouncer", "apt-get install pgbouncer", required=False)
        return
    if not postgresql_server.is_ours:
        pytest.skip("the pooler knows the password of our own server alone")
    url = sa.make_url(postgresql_server.database())
    directory = Path(tempfile.mkdtemp(prefix="vst-pgbouncer-"))
    port = free_port()
    (directory / "users").write_text(f'"tester" "{PASSWORD}"\n')
    (directory / "ini").write_text(
        f"[databases]\n{url.database} = host=127.0.0.1 port={url.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nauth_type = plain\nauth_file = {directory}/users\npool_mode = transaction\n"
        f"default_pool_size = 2\nlogfile = {directory}/log\npidfile = {directory}/pid\nunix_socket_dir =\n{request.param}\n"
    )
    for path in (directory, *directory.iterdir()):
        if postgresql_server.user is not None:
            shutil.chown(path, postgresql_server.user)
    process = subprocess.Popen(
        [program, "-q", str(directory / "ini")],
        user=postgresql_server.user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    place = Server(url.set(port=port), log=str(directory / "log"), process=process)
    try:
        until(place.answers, "pgbouncer answers")
        yield place.url.render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait(60)
        shutil.rmtree(directory)


def test_a_store_behind_pgbouncer_in_transaction_mode(pooled: str) -> None:
    """It could not be opened; where the operator let it, half of the operations failed on prepared statements."""
    stores = [open_store(pooled, key=KEY) for _ in range(3)]
    stores[0].create("a", ttl="1h")
    failures: list[BaseException] = []

    def write(number: int) -> None:
        try:
            for turn in range(40):
                stores[number].append("a", {"store": number, "turn": turn})
                if turn % 10 == 0:
                    with stores[number].lease("a"):
                        stores[number].create(f"{number}-{turn}")
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with open_store(pooled, key=KEY) as fresh:
        messages = fresh.messages("a")
        for number in range(3):
            assert [each["turn"] for each in messages if each["store"] == number] == list(range(40))
        assert fresh.count() == 13
        assert fresh.delete("0-0")
        assert fresh.verify().sessions == 12
        assert fresh.health()["ok"]
        fresh.reindex()
        assert len(fresh.list()) == 12
    for store in stores:
        store.close()


def test_nothing_stays_on_a_connection_that_others_use_next(pooled: str) -> None:
    with open_store(pooled, key=KEY) as store:
        store.create("a")
        store.append("a", {"n": 1})
    engine = sa.create_engine(pooled, poolclass=sa.NullPool, connect_args={"prepare_threshold": None})
    with engine.connect() as connection:
        for name in ("lock_timeout", "statement_timeout"):
            assert connection.execute(sa.text(f"SHOW {name}")).scalar() == "0"
        assert connection.execute(sa.text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0


def test_a_database_in_sql_ascii_is_one_like_others(postgresql_server: Server) -> None:
    """What answered there was "no postgresql server"."""
    name = f"vst_{os.urandom(6).hex()}"
    postgresql_server.execute(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    postgresql_server.made.append(name)
    url = postgresql_server.url.set(database=name).render_as_string(hide_password=False)
    with open_store(url, key=KEY) as store:
        store.create("Grüße ✓", messages=[{"content": "naïve 🙂"}], title="née")
    with open_store(url, key=KEY) as store:
        assert store.load("Grüße ✓").messages == [{"content": "naïve 🙂"}]
        assert store.health()["ok"]
