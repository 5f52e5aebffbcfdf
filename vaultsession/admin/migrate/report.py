"""What came of a migration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import NamedTuple

from ...backends.protocol import Backend
from ...backends.replication import has_vanished
from ...errors import UnknownKey, Unreadable

Progress = Callable[[int, int | None], object]
"""Called with ``(done, total)``, in sessions."""


def silent(done: int, total: int | None) -> None:
    """No progress."""


class Trouble(StrEnum):
    """Why a session was not copied."""

    DAMAGED = "damaged"
    """The source's does not authenticate: it was left out."""
    LOCKED = "locked"
    """It takes a key that is not at hand."""
    AHEAD = "ahead"
    """The target has a newer one, or a tombstone above it: it was left as it is."""
    EXTRA = "extra"
    """Only the target has it: it was left as it is."""
    DIFFERENT = "different"
    """What was read back is not what was written, or the source changed all the while."""


class Problem(NamedTuple):
    """One session that is not the same on both sides."""

    key: str
    trouble: Trouble
    reason: str


@dataclass(slots=True)
class MigrationReport:
    """Counts of sessions, and what is not as it should be. ``verified`` were read back and found to be the same.

    ``authenticated`` of them were opened with the key before they were put in place; without a key that is none.
    """

    sessions: int = 0
    copied: int = 0
    current: int = 0
    updated: int = 0
    removed: int = 0
    tombstones: int = 0
    bytes: int = 0
    verified: int = 0
    authenticated: int = 0
    metadata: str = ""
    problems: list[Problem] = field(default_factory=list)

    def problem(self, key: str, trouble: Trouble, reason: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(key, trouble, reason))

    def unreadable(self, key: str, error: Unreadable, reason: str = "{}") -> None:
        """Add the problem that an error is; ``reason`` says more of a damage."""
        if isinstance(error, UnknownKey):
            self.problem(key, Trouble.LOCKED, str(error))
        else:
            self.problem(key, Trouble.DAMAGED, reason.format(error))

    def fields(self) -> dict[str, object]:
        """Ready for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "problems"}


def unlisted(source: Backend, report: MigrationReport) -> Iterator[str]:
    """The keys that no listing has, each once and counted. What cannot be read without its row is a problem."""
    for key in dict.fromkeys(source.unindexed()):
        report.sessions += 1
        if has_vanished(source, key):
            reason = "at the source: its row is gone; `vaultsession reindex` there finds it; it was left out"
            report.problem(key, Trouble.DAMAGED, reason)
        else:
            yield key
