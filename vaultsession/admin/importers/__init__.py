"""What other programs keep, as sessions: a reader for each format, and where the sessions go.

A reader yields an ``ImportedSession`` for each session, with the gaps in it, and a ``Skipped`` for what it cannot read:
file, line and reason. It never raises for what is in a file. Nothing is followed out of the source: links are reported,
never read.
"""

from __future__ import annotations

from .formats import AUTO, FORMATS, read, read_lines
from .placement import Placed, place
from .session import Found, ImportedSession
from .sources import Skipped

__all__ = ["AUTO", "FORMATS", "Found", "ImportedSession", "Placed", "Skipped", "place", "read", "read_lines"]
