"""Answers that were read before, for as long as nobody has written to the index since. No SQL here.

A listing that is asked for again and again, as by whoever shows it, then costs a look at SQLite's counter of commits.
What is kept is exactly what reading again would give: where sessions expire, it holds until the next one does.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from ...format.sealed import Query
from ...util.lru import Recent

LARGEST = 128
"""Rows of a page that is kept: those of whoever walks through all are not asked for again."""

_MOST = 32

T = TypeVar("T")


class Answer(NamedTuple, Generic[T]):
    """What was read, which connection's count of commits before it was, and when, and until when it holds."""

    value: T
    commits: tuple[int, int]
    since: int
    until: int | None


class IndexAnswers(Generic[T]):
    """By what was asked. Used under the lock of the connection that is asked; the oldest go first."""

    def __init__(self) -> None:
        self._answers: Recent[Hashable, Answer[T]] = Recent(_MOST)

    def get(self, asked: Hashable, commits: tuple[int, int], now: int) -> T | None:
        """What was answered, if it still is the answer. Not to be changed."""
        known = self._answers.get(asked)
        if known is None or known.commits != commits or now < known.since:
            return None
        return known.value if known.until is None or now < known.until else None

    def keep(self, asked: Hashable, answer: Answer[T]) -> None:
        """Keep it, and forget the oldest beyond the bound."""
        self._answers.keep(asked, answer)


def asked_for_page(query: Query, after: tuple[int, str] | None, size: int, skip: int) -> Hashable:
    """What tells a page from others; None for one that is not kept."""
    return None if size > LARGEST else (asked_for(query), query.newest_first, after, size, skip)


def asked_for(query: Query) -> Hashable:
    """What tells the sessions that match from others, whatever the time."""
    return query.tags, query.alive_at is None, query.expired_at is None
