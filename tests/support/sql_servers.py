"""Real database servers for the tests: MariaDB and PostgreSQL on loopback, each with a password and a directory of its own.

Their files are in memory where there is such a place: they flush as ever, and nothing here cuts the power of their host.
``VAULTSESSION_TEST_MYSQL_URL`` and ``VAULTSESSION_TEST_POSTGRES_URL`` name servers that are used instead; their user may
make databases. With ``VAULTSESSION_REQUIRE_SERVICES=1`` a missing MariaDB fails the tests that it would else skip.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa
from memory import in_memory

PASSWORD = "correct-horse-7"
MYSQL_URL = "VAULTSESSION_TEST_MYSQL_URL"
POSTGRES_URL = "VAULTSESSION_TEST_POSTGRES_URL"
REQUIRED = "VAULTSESSION_REQUIRE_SERVICES"
PATIENCE = 60


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something that a process does in its own time."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def sqlite_file(path: Path | str) -> Iterator[sqlite3.Connection]:
    """A file of SQLite, as somebody else opens it: what is done is committed, and the connection closed."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        yield connection


@dataclass
class Server:
    """A server of ours, which can be killed and started again, or one that was there; ``url`` names no database."""

    url: sa.URL
    command: list[str] = field(default_factory=list)
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None
    log: str = os.devnull
    made: list[str] = field(default_factory=list)

    @property
    def is_ours(self) -> bool:
        return bool(self.command)

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, user=self.user, cwd="/")
        until(self.answers, f"{self.command[0]} answers")

    def answers(self) -> bool:
        assert self.process is None or self.process.poll() is None, Path(self.log).read_text()[-2000:]
        try:
            self.execute("SELECT 1")
        except sa.exc.OperationalError:
            return False
        return True

    def execute(self, *statements: str, database: str | None = None) -> list[tuple[object, ...]]:
        """As the administrator; the rows of the last statement."""
        url = self.url if database is None else self.url.set(database=database)
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        rows: list[tuple[object, ...]] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.execute(sa.text(statement))
                rows = [tuple(row) for row in result] if result.returns_rows else []
        return rows

    def database(self) -> str:
        """The URL of a fresh database."""
        name = f"vst_{os.urandom(6).hex()}"  # a server that was there is shared by all test modules, and all runs
        self.execute(f"CREATE DATABASE {name}")
        self.made.append(name)
        return self.url.set(database=name).render_as_string(hide_password=False)

    def clear(self) -> None:
        """Remove the databases that were made here: of a server that goes on without us."""
        force = " WITH (FORCE)" if self.url.get_backend_name() == "postgresql" else ""
        self.execute(*(f"DROP DATABASE {name}{force}" for name in self.made))

    def kill(self) -> None:
        """As a power cut would end it."""
        assert self.process is not None
        if self.url.get_backend_name() == "postgresql":
            self.process.send_signal(signal.SIGQUIT)  # its workers are processes: this is how all of them end at once
        else:
            self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()


def missing(what: str, install: str, *, required: bool) -> None:
    """Skip, or fail where the services are required."""
    reason = f"{what}; install it with: {install}"
    if required and os.environ.get(REQUIRED) == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _below(*folders: str) -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), *folders])


@contextlib.contextmanager
def mariadb() -> Iterator[Server]:
    given = os.environ.get(MYSQL_URL)
    if given:
        there = Server(sa.make_url(given).set(drivername="mysql+pymysql"))
        yield there
        there.clear()
        return
    path = _below("/usr/sbin", "/usr/local/sbin")
    daemon, maker = shutil.which("mariadbd", path=path), shutil.which("mariadb-install-db", path=path)
    if daemon is None or maker is None:
        missing("there is no mariadbd", "apt-get install mariadb-server", required=True)
        return
    directory = tempfile.mkdtemp(prefix="vst-mariadb-", dir=in_memory())
    owner = pwd.getpwuid(os.getuid()).pw_name
    data, port = os.path.join(directory, "data"), free_port()
    setup = os.path.join(directory, "setup.sql")
    Path(setup).write_text(
        f"CREATE USER IF NOT EXISTS tester@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
        "GRANT ALL ON *.* TO tester@'127.0.0.1' WITH GRANT OPTION;\n"
    )
    common = ["--no-defaults", f"--user={owner}", f"--datadir={data}"]
    try:
        subprocess.run(
            [maker, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
            timeout=300,
        )
        command = [
            daemon, *common, "--bind-address=127.0.0.1", f"--port={port}", f"--socket={directory}/socket",
            f"--pid-file={directory}/pid", "--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M",
            "--skip-name-resolve", f"--init-file={setup}",
        ]  # fmt: skip
        url = sa.URL.create("mysql+pymysql", "tester", PASSWORD, "127.0.0.1", port)
        server = Server(url, command, log=os.path.join(directory, "log"))
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def postgresql() -> Iterator[Server]:
    given = os.environ.get(POSTGRES_URL)
    if given:
        there = Server(sa.make_url(given).set(drivername="postgresql+psycopg"))
        yield there
        there.clear()
        return
    path = _below(*sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True))
    daemon, maker = shutil.which("postgres", path=path), shutil.which("initdb", path=path)
    if daemon is None or maker is None:
        missing("there is no postgres", "apt-get install postgresql", required=False)
        return
    user = None
    directory = tempfile.mkdtemp(prefix="vst-postgres-", dir=in_memory())
    try:
        if os.getuid() == 0:  # it refuses to run as root
            for user in ("postgres", "nobody"):
                with contextlib.suppress(KeyError):
                    shutil.chown(directory, user)
                    break
            else:
                pytest.skip("PostgreSQL does not run as root, and there is no other account")
        data, secret, port = os.path.join(directory, "data"), os.path.join(directory, "secret"), free_port()
        Path(secret).write_text(PASSWORD)
        if user is not None:
            shutil.chown(secret, user)
        subprocess.run(
            [maker, "-D", data, "-U", "tester", f"--pwfile={secret}", "--auth=scram-sha-256", "-E", "UTF8", "--locale=C"],
            check=True, capture_output=True, timeout=300, user=user, cwd="/",
        )  # fmt: skip
        command = [daemon, "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", directory, "-c", "shared_buffers=32MB"]
        url = sa.URL.create("postgresql+psycopg", "tester", PASSWORD, "127.0.0.1", port, "postgres")
        server = Server(url, command, user, log=os.path.join(directory, "log"))
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


# -- fixtures: import them in the file that asks for one ---------------------------------------------------------------


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    with mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[Server]:
    with postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "mysql", "postgresql"])
def any_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a fresh database of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sessions.db"
    name = {"mysql": "mariadb_server", "postgresql": "postgresql_server"}[request.param]
    server: Server = request.getfixturevalue(name)
    return server.database()
