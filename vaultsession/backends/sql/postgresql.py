"""Connections to PostgreSQL, also through a pooler that hands out another server connection for each transaction.

Through one (PgBouncer in transaction mode, and what is built on it) nothing may be left on a connection: no limits set
at its start, which the pooler refuses or drops, and no prepared statements, which the next transaction does not find.
A pooler is known by this: it refuses the limits, or the process that answers is not the one that was connected to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .url import LOCK_WAIT

if TYPE_CHECKING:
    from psycopg import Connection

_REFUSED = "startup parameter"
"""In what a pooler says of ``options``."""


class PostgresConnector:
    """Connects as the arguments say, and knows then whether that was through a pooler. Safe from any thread."""

    def __init__(self, timeout: float) -> None:
        self.is_pooled = False
        limits = {"lock_timeout": LOCK_WAIT * 1000, "statement_timeout": math.ceil(timeout * 1000)}
        self._options = " ".join(f"-c {name}={value}" for name, value in limits.items())
        self._begin = "BEGIN; " + "; ".join(f"SET LOCAL {name} = {value}" for name, value in limits.items())

    @property
    def begin(self) -> str:
        """What begins a transaction with the limits, in one round trip."""
        return self._begin if self.is_pooled else "BEGIN"

    def connect(self, connect: Callable[..., Any], arguments: dict[str, Any]) -> Connection[Any]:
        """``connect`` is the driver's function. What that raises passes through."""
        given = {"options": self._options} | arguments
        if self.is_pooled and "options" not in arguments:
            del given["options"]
        try:
            connection: Connection[Any] = connect(**given)
        except Exception as error:
            if "options" in arguments or _REFUSED not in str(error):
                raise
            self.is_pooled = True
            connection = connect(**arguments)
        if not self.is_pooled:
            answering = connection.execute("SELECT pg_backend_pid()").fetchone()
            connection.commit()
            self.is_pooled = answering != (connection.info.backend_pid,)
        if self.is_pooled:
            connection.prepare_threshold = None
        return connection
