"""SqlBackend: sealed sessions in SQLite, MySQL, MariaDB or PostgreSQL, through SQLAlchemy Core.

::

    place        what a URL says: driver, options, and the name that may be shown
    tables       the schema, made on first use
    database     connections, transactions, and errors in words
    sessions     one session as a row and pieces of its container
    queries      listings as SELECTs
    leases       turn leases, timed by the server
    rebuild      rows rebuilt from containers
    backend      the verbs
    engine       metadata, leases and backend of one database
"""

from .backend import SqlBackend
from .engine import SqlEngine, connect

__all__ = ["SqlBackend", "SqlEngine", "connect"]
