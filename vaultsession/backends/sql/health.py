"""How a database is, in words: what is wrong with it, and what its settings give up."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from ...errors import VaultError
from .database import Database


def problems(database: Database) -> tuple[dict[str, str | None], dict[str, str]]:
    """Why it cannot be used, and what a power cut takes of what it acknowledged; under the name of its dialect."""
    try:
        problem, note = database.ask(_asked[database.dialect])
    except VaultError as error:
        problem, note = str(error), None
    return {database.dialect: problem}, {} if note is None else {database.dialect: note}


def _sqlite(connection: sa.Connection) -> tuple[str | None, str | None]:
    connection.execute(sa.text("SELECT count(*) FROM sqlite_master")).all()
    return None, None


def _mysql(connection: sa.Connection) -> tuple[str | None, str | None]:
    flushed, read_only = connection.execute(
        sa.text("SELECT @@GLOBAL.innodb_flush_log_at_trx_commit, @@GLOBAL.read_only")
    ).one()
    if str(read_only) not in ("0", "OFF"):  # a number, or in some versions a word
        return "read_only is on, as on a replica: give the URL of the primary", None
    if int(flushed) == 1:
        return None, None
    return None, f"innodb_flush_log_at_trx_commit is {flushed}: a power cut takes commits of the last second"


def _postgresql(connection: sa.Connection) -> tuple[str | None, str | None]:
    if connection.execute(sa.text("SHOW transaction_read_only")).scalar_one() == "on":
        return "it may only be read, as a replica may: give the URL of its primary", None
    for name in ("fsync", "synchronous_commit"):
        if connection.execute(sa.text(f"SHOW {name}")).scalar_one() == "off":
            return None, f"{name} is off: a power cut takes commits that were acknowledged"
    return None, None


_asked: dict[str, Callable[[sa.Connection], tuple[str | None, str | None]]] = {
    "sqlite": _sqlite,
    "mysql": _mysql,
    "postgresql": _postgresql,
}
