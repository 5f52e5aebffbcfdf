"""An engine of a database: its metadata, its tables, and what it says of a place where they cannot be."""

from __future__ import annotations

import os
import socket
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sql_servers import PASSWORD, Server, free_port, sqlite_file

from vaultsession import RawKey, open_store
from vaultsession.backends.sql import SqlEngine, connect
from vaultsession.errors import BackendUnavailable, InvalidSetting, UnsupportedFormat, VaultNotFound, WrongKey
from vaultsession.testing.sealer import Sealer

KEY = RawKey(bytes(range(32)))
OTHER = RawKey(bytes(range(1, 33)))


@pytest.fixture
def engine(any_url: str) -> Iterator[SqlEngine]:
    engine = connect(any_url)
    yield engine
    engine.close()


def statements(url: str, *texts: str) -> None:
    """As another application would, through the driver."""
    engine = connect(url)
    try:
        for text in texts:
            engine._database.ask(lambda connection, text=text: connection.exec_driver_sql(text).close())
    finally:
        engine.close()


# -- metadata ------------------------------------------------------------------------------------------------------------


def test_a_paper_is_replaced_only_if_it_is_what_was_expected(engine: SqlEngine) -> None:
    assert engine.metadata("vault") is None
    assert not engine.put_metadata("vault", b"new", b"old")
    assert engine.put_metadata("vault", b"one\0\xff", None)
    assert not engine.put_metadata("vault", b"two", None)
    assert not engine.put_metadata("vault", b"two", b"another")
    assert engine.metadata("vault") == b"one\0\xff"
    assert engine.put_metadata("vault", b"two" * 100_000, b"one\0\xff")
    assert engine.put_metadata("vault", b"two" * 100_000, b"two" * 100_000)
    assert engine.metadata("vault") == b"two" * 100_000
    assert engine.metadata("Vault") is None


def test_a_name_that_is_none_is_refused(engine: SqlEngine) -> None:
    for name in ("", "x" * 65, "schema"):
        with pytest.raises(ValueError, match="no name"):
            engine.metadata(name)


def test_one_of_several_wins(any_url: str) -> None:
    won: list[int] = []

    def put(number: int) -> None:
        engine = connect(any_url)
        if engine.put_metadata("vault", b"%d" % number, None):
            won.append(number)
        engine.close()

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine = connect(any_url)
    assert [engine.metadata("vault")] == [b"%d" % number for number in won]
    engine.close()


def test_looking_for_a_vault_leaves_no_trace(any_url: str, tmp_path: Path) -> None:
    with pytest.raises(VaultNotFound):
        open_store(any_url, key=KEY, create=False)
    engine = connect(any_url)
    assert not engine.is_made()
    engine.close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_engine_says_so(engine: SqlEngine) -> None:
    engine.close()
    engine.close()
    for verb in (lambda: engine.metadata("vault"), lambda: engine.backend(Sealer().describe)):
        with pytest.raises(RuntimeError, match="closed"):
            verb()


# -- whole stores ------------------------------------------------------------------------------------------------------


def test_a_store_by_url_does_what_a_store_does(any_url: str) -> None:
    with open_store(any_url, key=KEY) as store:
        store.create("a", user_id="alice", state={"n": 1}, ttl="1d")
        store.append("a", {"role": "user", "content": "hello"})
        store.create("b", user_id="bob", labels={"kind": "x"})
        assert [info.id for info in store.list(user_id="alice")] == ["a"]
        assert store.count() == 2
        assert store.health()["ok"]
        assert PASSWORD not in str(store.health())
        with store.lease("a"):
            store.update("a", {"n": 2})
        assert store.sweep() == 0
    with open_store(any_url, key=KEY, create=False) as store:
        assert store.load("a").state == {"n": 2}
        assert store.load("a").messages == [{"role": "user", "content": "hello"}]
        assert store.delete("b")
        assert [info.id for info in store.list()] == ["a"]
    with pytest.raises(WrongKey) as refused:
        open_store(any_url, key=OTHER)
    assert PASSWORD not in str(refused.value)


def test_two_prefixes_are_two_vaults_in_one_database(any_url: str) -> None:
    other = any_url + ("&" if "?" in any_url else "?") + "prefix=other"
    with open_store(any_url, key=KEY) as one, open_store(other, key=OTHER) as two:
        one.create("a")
        assert not two.exists("a")
        assert two.count() == 0


# -- what cannot be ----------------------------------------------------------------------------------------------------


def test_tables_of_another_version_are_left_alone(any_url: str) -> None:
    open_store(any_url, key=KEY).close()
    name = "X'" + b"schema".hex() + "'" if not any_url.startswith("postgres") else "'schema'::bytea"
    data = "X'" + b"vaultsession tables 2".hex() + "'" if not any_url.startswith("postgres") else "'tables 2'::bytea"
    statements(any_url, f"UPDATE vaultsession_metadata SET data = {data} WHERE name = {name}")
    with pytest.raises(UnsupportedFormat, match="another version") as refused:
        connect(any_url)
    assert refused.value.found


@pytest.mark.parametrize("table", ["sessions", "metadata"])
def test_a_table_of_another_application_under_our_prefix_is_left_alone(
    any_url: str, table: str, tmp_path: Path
) -> None:
    if any_url.startswith("sqlite"):
        with sqlite_file(tmp_path / "sessions.db") as connection:
            connection.execute(f"CREATE TABLE vaultsession_{table} (name INTEGER)")
        connection.close()
        before = (tmp_path / "sessions.db").read_bytes()
    else:
        statements(any_url, f"CREATE TABLE vaultsession_{table} (name INTEGER)")
    with pytest.raises(BackendUnavailable, match="another application"):
        open_store(any_url, key=KEY)
    if any_url.startswith("sqlite"):
        assert (tmp_path / "sessions.db").read_bytes() == before
        assert os.listdir(tmp_path) == ["sessions.db"]


def test_tables_that_someone_who_died_left_half_made_are_completed(any_url: str) -> None:
    open_store(any_url, key=KEY).close()
    statements(any_url, "DROP TABLE vaultsession_leases", "DROP TABLE vaultsession_pieces")
    with open_store(any_url, key=KEY) as store, store.lease("a"):
        store.create("a", messages=[{"text": "".join(chr(0x4E00 + k * k % 9999) for k in range(9999))}])


def test_a_refused_connection_is_told(tmp_path: Path) -> None:
    for scheme in ("mysql+pymysql", "postgresql+psycopg"):
        with pytest.raises(BackendUnavailable, match=r"127.0.0.1") as refused:
            open_store(f"{scheme}://me:{PASSWORD}@127.0.0.1:{free_port()}/app", key=KEY)
        assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("kind", ["mariadb_server", "postgresql_server"])
def test_a_wrong_password_and_an_unknown_database_are_told(kind: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(kind)
    wrong = server.url.set(password="not-" + PASSWORD, database="app").render_as_string(hide_password=False)
    unknown = server.url.set(database="nowhere").render_as_string(hide_password=False)
    for url, said in ((wrong, "denied|authentication"), (unknown, "nowhere")):
        with pytest.raises(BackendUnavailable, match=said) as refused:
            open_store(url, key=KEY)
        assert PASSWORD not in str(refused.value)
        assert PASSWORD not in repr(refused.value.__cause__)


@pytest.mark.parametrize("kind", ["mariadb_server", "postgresql_server"])
def test_a_user_who_may_only_read_reads_and_is_told(kind: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(kind)
    url = server.database()
    with open_store(url, key=KEY) as store:
        store.create("a", state={"n": 1})
    name = server.url.set(database=url.rsplit("/", 1)[1]).database
    if kind == "mariadb_server":
        reader, grants = "reader@'127.0.0.1'", [f"GRANT SELECT ON {name}.* TO reader@'127.0.0.1'"]
    else:
        reader, grants = "reader", ["GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"]
    how = "IDENTIFIED BY" if kind == "mariadb_server" else "PASSWORD"
    server.execute(f"CREATE USER {reader} {how} '{PASSWORD}'")
    try:
        server.execute(*grants, database=name)
        where = server.url.set(username="reader", database=name).render_as_string(hide_password=False)
        with open_store(where, key=KEY) as store:
            assert store.load("a").state == {"n": 1}
            for verb in (lambda: store.append("a", {"n": 2}), lambda: store.create("b"), lambda: store.delete("a")):
                with pytest.raises(BackendUnavailable, match="denied"):
                    verb()
            assert store.load("a").messages == []
    finally:
        if kind == "postgresql_server":
            server.execute("DROP OWNED BY reader", database=name)
        server.execute(f"DROP USER {reader}")


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    "said", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * 200, b""], ids=["http", "noise", "end"]
)
@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+psycopg"])
def test_a_server_that_answers_garbage_is_told(scheme: str, said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def answer() -> None:
            for _ in range(4):
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                with peer:
                    peer.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"{scheme}://me:{PASSWORD}@127.0.0.1:{listening.getsockname()[1]}/app?timeout=2"
        with pytest.raises(BackendUnavailable, match=r"127.0.0.1") as refused:
            open_store(url, key=KEY)
        assert PASSWORD not in str(refused.value)
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("kind", ["mariadb_server", "postgresql_server"])
def test_an_option_that_the_driver_does_not_know_is_refused(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(kind).database() + "?pool_sise=3"
    with pytest.raises(InvalidSetting, match="pool_sise"):
        open_store(url, key=KEY)


# -- SQLite files ------------------------------------------------------------------------------------------------------


def test_an_option_of_sqlite_that_is_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="pool_sise"):
        open_store(f"sqlite:///{tmp_path}/x.db?pool_sise=3", key=KEY)


def test_the_file_is_private_and_flushes_each_commit(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/x.db", key=KEY) as store:
        store.create("a")
        database = store._backend._database
        modes = [
            database.ask(lambda c, n=name: c.exec_driver_sql(f"PRAGMA {n}").scalar())
            for name in ("journal_mode", "synchronous")
        ]
        assert modes == ["wal", 2]
        for each in tmp_path.iterdir():
            assert stat.S_IMODE(each.stat().st_mode) == 0o600, each


def test_a_file_of_another_application_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.db"
    with sqlite_file(theirs) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    text = tmp_path / "notes.txt"
    text.write_bytes(b"these are notes, and no database at all\n" * 50)
    for path in (theirs, text, tmp_path):
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(BackendUnavailable, match=path.name):
            open_store(f"sqlite:///{path}", key=KEY)
        assert before is None or path.read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["notes.txt", "theirs.db"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="nowhere"):
        open_store(f"sqlite:///{tmp_path}/nowhere/x.db", key=KEY)


def test_a_file_opened_for_reading_is_read_and_says_so(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/x.db", key=KEY) as store:
        store.create("a", state={"n": 1})
    with open_store(f"sqlite:///file:{tmp_path}/x.db?mode=ro&uri=true", key=KEY) as store:
        assert store.load("a").state == {"n": 1}
        with pytest.raises(BackendUnavailable, match="readonly"):
            store.append("a", {"n": 2})


def test_a_file_that_another_locks_for_too_long_is_told(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/x.db?timeout=0.05", key=KEY) as store:
        store.create("a")
        other = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BackendUnavailable, match="locked"):
            store.append("a", {"n": 1})
        other.execute("ROLLBACK")
        other.close()
        store.append("a", {"n": 2})
        assert store.load("a").messages == [{"n": 2}]
