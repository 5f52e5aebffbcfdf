"""SqlBackend: sealed sessions in SQLite, MySQL, MariaDB or PostgreSQL, through SQLAlchemy Core."""

from .backend import SqlBackend
from .engine import SqlEngine, connect

__all__ = ["SqlBackend", "SqlEngine", "connect"]
