"""Conflict copies: what a sync client leaves beside a session that two computers went on with.

A copy that authenticates holds what may be nowhere else. What the session has already is put aside; a copy that went on
from the session takes its place; and of two that went on by themselves the copy becomes a session of its own.
"""

from __future__ import annotations

import os
from functools import partial

from ...backends.files.layout import locator_within
from ...engine.reader import Document
from ...errors import BackendUnavailable, Conflict, Damaged
from ...format import document, ids, record
from ...format.ids import locator_of
from ...format.sealed import Container, Current, IndexRow, Tombstone, Write
from .sessions import SessionRepair

_MOST = 100


def take_in(sessions: SessionRepair, place: str) -> str:
    """Take in the copy at a path within the vault; the file goes to quarantine. ``VaultError``, with nothing done."""
    name = os.path.basename(place)
    locator = locator_within(name)
    if locator is None:
        raise BackendUnavailable(f"{place}: this is no copy of a session")
    container = sessions.copy_named(name)
    reader = sessions.reader
    row = reader.describe(locator, lambda _: container, thorough=True)
    loaded = reader.load(locator, lambda _: container)
    if row is None or loaded is None or row.torn:
        raise Damaged(f"{place}: not all of it authenticates: move it out")
    key = reader.key(loaded.head.id)
    if locator_of(key) != locator:
        raise Damaged(f"{place}: it is the copy of another session than its name says: move it out")
    done = _ConflictCopy(sessions, row._replace(key=key), container, loaded).take_in()
    return f"{done}; the file lies in {sessions.move_aside(name)}"


class _ConflictCopy:
    """What a copy says of itself, under the key of its session."""

    def __init__(self, sessions: SessionRepair, row: IndexRow, container: Container, loaded: Document) -> None:
        self._sessions = sessions
        self._reader = sessions.reader
        self._row = row
        self._container = container
        self._bodies, self._head = loaded.bodies, loaded.head

    def take_in(self) -> str:
        """What was done with it, in words."""
        commit = self._sessions.backend.commit(self._row.key, self._in_its_place)
        if commit.change is not None:
            return f"it went on from the session {self._head.id!r}, and is that now"
        if isinstance(commit.after, IndexRow) and self._is_contained():
            return f"the session {self._head.id!r} has all of it"
        return f"it is the session {self._forked()!r} now"

    def _in_its_place(self, newest: Current) -> Write | None:
        """The copy, where the newest is a beginning of it, or nothing is there."""
        row, container = self._row, self._container
        if isinstance(newest, Tombstone) and newest.generation >= row.generation:
            return None
        if isinstance(newest, IndexRow):
            is_beginning = newest.size < row.size and record.version_at(container, newest.size) == newest.version
            if not is_beginning:
                return None
        return Write(row, 0, container.header + container.data[: row.size - record.HEADER_SIZE])

    def _is_contained(self) -> bool:
        """Whether the session has every message of the copy, and a state that is no older."""
        there = self._reader.load(self._row.key, partial(self._sessions.backend.read, self._row.key))
        if there is None:
            return False
        state, messages = document.parse(self._bodies)
        other, others = document.parse(there.bodies)
        is_newer = there.head.updated >= self._head.updated
        return others[: len(messages)] == messages and (state == other or is_newer)

    def _forked(self) -> str:
        """The id of the session that the copy has become."""
        writer = self._sessions.writer_like(self._container)
        packed = [writer.pack(text) for text in document.merged(self._bodies)]
        for number in range(1, _MOST):
            name = f"{self._head.id[:900]}-conflict" + (f"-{number}" if number > 1 else "")
            head = self._head._replace(id=ids.parse(name))
            key = self._reader.key(name)

            def update(newest: Current, key: str = key) -> Write | None:
                return None if newest is not None else writer.new_container(key, newest, head, packed)  # noqa: B023 - called at once

            if self._sessions.backend.commit(key, update).change is not None:
                return name
        raise Conflict(f"there are {_MOST} conflict copies of {self._head.id!r} already")
