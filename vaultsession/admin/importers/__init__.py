"""What people have, as sessions: readers of other formats, one file each, and where their records go.

``plain`` a JSON file per session · ``jsonlines`` a session or a message per line · ``openai_agents`` the database of
the OpenAI Agents SDK · ``claude_code`` transcripts · ``langchain`` its file history · ``detect`` which of them a file
is · ``records`` what they yield · ``facts`` from an object to a record · ``strict`` JSON that can be kept ·
``sources`` files below a path · ``placing`` a record into a store

A reader yields an ``ImportedSession`` for each session, and a ``Skipped`` for what it cannot read: file, line and
reason. It never raises for what is in a file. Nothing is followed out of the source: links are reported, never read.
"""

from __future__ import annotations

from .detect import AUTO, FORMATS, read, read_lines
from .placement import Placed, place
from .records import Found, ImportedSession, Skipped

__all__ = ["AUTO", "FORMATS", "Found", "ImportedSession", "Placed", "Skipped", "place", "read", "read_lines"]
