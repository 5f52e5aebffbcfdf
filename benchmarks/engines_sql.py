"""Run: ``python -m benchmarks.engines_sql [--rounds N] [--only sqlite] [--json FILE]``.

An append against a bare insert of as many bytes in a transaction of its own, through the same library into the same
database; and what a load, a page of a listing and a creation cost. Servers are started as the tests start them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.backends.sql.tables import Bytes

from .harness import Report, interleaved

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

import sql_servers

KEY = RawKey(bytes(range(32)))
MESSAGE = {"role": "user", "content": "What does the contract say about the notice period, and since when? " * 8}


@contextlib.contextmanager
def databases(kind: str) -> Iterator[str]:
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as directory:
            yield f"sqlite:///{directory}/sessions.db"
        return
    with {"mysql": sql_servers.mariadb, "postgresql": sql_servers.postgresql}[kind]() as server:
        yield server.database()


class Bare:
    """A table of its own in the same database, and an insert with its commit."""

    def __init__(self, url: str) -> None:
        if url.startswith("sqlite"):  # a file of ours holds our tables alone: a second one beside it
            url += ".bare"
        self.engine = sa.create_engine(url)
        if url.startswith("sqlite"):
            sa.event.listen(self.engine, "connect", _as_ours)
        rows = sa.MetaData()
        self.table = sa.Table(
            "bare",
            rows,
            sa.Column("locator", Bytes(32), primary_key=True),
            sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("data", Bytes(), nullable=False),
        )
        rows.create_all(self.engine)
        self.number = 0

    def insert(self, size: int) -> None:
        self.number += 1
        with self.engine.begin() as connection:
            connection.execute(
                self.table.insert(), {"locator": b"l" * 32, "number": self.number, "data": os.urandom(size)}
            )

    def close(self) -> None:
        self.engine.dispose()


def _as_ours(connection, record) -> None:
    del record
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def measure(report: Report, kind: str, rounds: int) -> None:
    with databases(kind) as url, open_store(url, key=KEY) as store:
        bare = Bare(url)
        try:
            _append(report, kind, store, bare, rounds)
            _others(report, kind, store, rounds)
        finally:
            bare.close()


def _append(report: Report, kind: str, store: SessionStore, bare: Bare, rounds: int) -> None:
    for owner, name in ((None, "an append"), ("alice", "an append to a session with an owner")):
        session = "with" if owner else "without"
        store.create(session, user_id=owner)
        store.append(session, MESSAGE)
        before = store.stats()["bytes"]
        store.append(session, MESSAGE)
        size = store.stats()["bytes"] - before
        calls = {"ours": lambda: store.append(session, MESSAGE), "floor": lambda: bare.insert(size)}  # noqa: B023 - used here
        report.compare(f"{kind}: {name} / a bare insert", interleaved(calls, rounds), 1.5)


def _others(report: Report, kind: str, store: SessionStore, rounds: int) -> None:
    numbers = iter(range(10**9))
    calls = {
        "create": lambda: store.create(f"session {next(numbers)}", user_id="alice", messages=[MESSAGE]),
        "load": lambda: store.load("without"),
        "page": lambda: store.list(user_id="alice", limit=20),
        "count": store.count,
    }
    for name, times in interleaved(calls, rounds).items():
        report.add(f"{kind}: {name}", sorted(times)[len(times) // 2], "us")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines_sql", description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--only", choices=("sqlite", "mysql", "postgresql"), action="append")
    parser.add_argument("--json", help="write the rows there")
    chosen = parser.parse_args()
    report = Report()
    for kind in chosen.only or ("sqlite", "mysql", "postgresql"):
        measure(report, kind, chosen.rounds)
    print(report.closing_line())
    if chosen.json:
        report.save(chosen.json)


if __name__ == "__main__":
    main()
