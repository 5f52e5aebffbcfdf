"""What a URL says: the driver and its options, our own options, and a name that may be shown.

::

    sqlite:////var/lib/app/sessions.db?timeout=5
    mysql+pymysql://user:password@host/database?prefix=chat&pool_size=20
    postgresql+psycopg://user:password@host/database?sslmode=verify-full

Our own options are ``prefix`` of the tables, ``pool_size`` and ``timeout``; every other one is the driver's.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import exc

from ...errors import InvalidSetting
from ...util.place import checked

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "mysql": "mysql+pymysql",
    "mysql+pymysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""What may be written, and the driver that it means: those that the tests run on."""

PREFIX = "vaultsession"
POOL_SIZE = 8
TIMEOUT = 30.0
PREPARED = "prepare_threshold"

_LONGEST_TIMEOUT = 24 * 3600
LOCK_WAIT = 5
"""Seconds after which a wait for a row is given up, rolled back and begun anew."""

_PREFIX = re.compile(r"[a-z][a-z0-9_]{0,39}")


class SqlUrl(NamedTuple):
    """A database, how it is spoken to, and its name without a password."""

    url: sa.URL
    where: str
    prefix: str
    pool_size: int
    timeout: float
    arguments: dict[str, Any]

    @property
    def dialect(self) -> str:
        """One of "sqlite", "mysql" and "postgresql"."""
        return self.url.get_backend_name()

    @property
    def path(self) -> str:
        """The file of a SQLite database."""
        return self.url.database or ""


def parse(text: str) -> SqlUrl:
    """``InvalidSetting`` for a URL that names no database, a driver that is unknown, or an option without sense."""
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        raise InvalidSetting("this is no URL of a database: give scheme://user:password@host:port/database") from None
    if "@" in (url.host or ""):  # which would be shown, and is the rest of a password
        raise InvalidSetting("a password in the URL of a database holds no @ as it is: write %40 for it")
    driver = DRIVERS.get(url.drivername)
    if driver is None:
        raise InvalidSetting(f"{url.drivername}:// is none of {', '.join(sorted(DRIVERS))}")
    url = url.set(drivername=driver)
    prefix = _own(url, "prefix", PREFIX)
    if not _PREFIX.fullmatch(prefix):
        raise InvalidSetting(f"prefix is lower-case letters, digits and _, 40 at most, not {prefix!r:.60}")
    pool_size = _number(url, "pool_size", POOL_SIZE)
    if pool_size < 1 or pool_size != int(pool_size):
        raise InvalidSetting(f"pool_size is a whole number from 1 up, not {pool_size:g}")
    timeout = _number(url, "timeout", TIMEOUT)
    if not 0 < timeout <= _LONGEST_TIMEOUT:
        raise InvalidSetting(f"timeout is in seconds, above 0 and at most a day, not {timeout:g}")
    arguments = _arguments(url, timeout)
    url = url.difference_update_query(("prefix", "pool_size", "timeout", *({PREPARED} & arguments.keys())))
    is_file = driver.startswith("sqlite")
    if not url.database or (is_file and (":memory:" in url.database or url.query.get("mode") == "memory")):
        raise InvalidSetting(f"{url.drivername}:// names no database: a path or name goes behind the last slash")
    if is_file and url.query and url.query.get("uri") != "true":
        raise InvalidSetting(f"SQLite has no option {', '.join(url.query)}, unless uri=true is one of them")
    if is_file:
        checked(url.database)
    return SqlUrl(url, _where(url, prefix), prefix, int(pool_size), timeout, arguments)


def _own(url: sa.URL, name: str, default: str) -> str:
    value = url.query.get(name, default)
    if not isinstance(value, str):
        raise InvalidSetting(f"{name} is given more than once")
    return value


def _number(url: sa.URL, name: str, default: float) -> float:
    text = _own(url, name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidSetting(f"{name} is a number, not {text!r:.40}")
    return value


def _where(url: sa.URL, prefix: str) -> str:
    """Scheme, host, database and prefix. Nothing of the options, which may carry a secret too."""
    scheme = url.get_backend_name()
    tables = "" if prefix == PREFIX else f" (tables {prefix}_*)"
    if scheme == "sqlite":
        return f"sqlite:///{os.path.abspath((url.database or '').removeprefix('file:'))}{tables}"
    host = url.host or "localhost"
    return (
        f"{scheme}://{f'[{host}]' if ':' in host else host}{f':{url.port}' if url.port else ''}/{url.database}{tables}"
    )


def _arguments(url: sa.URL, timeout: float) -> dict[str, Any]:
    """Limits for the driver, unless the URL sets them: to give up, in time."""
    seconds = max(1, math.ceil(timeout))
    if url.get_backend_name() == "sqlite":
        return {"timeout": timeout}
    if url.get_backend_name() == "mysql":
        arguments: dict[str, Any] = {
            "connect_timeout": seconds,
            "read_timeout": timeout,
            "write_timeout": timeout,
            "init_command": f"SET SESSION innodb_lock_wait_timeout = {LOCK_WAIT}",
        }
    else:
        arguments = {
            "connect_timeout": seconds,
            "tcp_user_timeout": math.ceil(timeout * 1000),
            "client_encoding": "UTF8",  # else a database in SQL_ASCII would answer in bytes
        }
    return {name: value for name, value in arguments.items() if name not in url.query} | _prepared(url)


def _prepared(url: sa.URL) -> dict[str, Any]:
    """After how many uses psycopg prepares a statement: a number for the driver, which takes no text; "none" for never.

    Else after 5 uses. Through a pooler never: the next transaction may be on another connection of its.
    """
    if PREPARED not in url.query or url.get_backend_name() != "postgresql":
        return {}
    if url.query[PREPARED] == "none":
        return {PREPARED: None}
    number = _number(url, PREPARED, 0)
    if number < 0 or number != int(number):
        raise InvalidSetting(f"{PREPARED} is a whole number from 0 up, or none, not {number:g}")
    return {PREPARED: int(number)}
