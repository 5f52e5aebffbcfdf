"""When a container is merged: estimates of the bytes that nothing reads again, and of small records. Pure.

A container is replaced by a fresh one when dead bytes or small records have piled up in it. No body is opened to know:
heads carry what is estimated here.
"""

from __future__ import annotations

from ..format import document
from ..format.diff import Difference
from ..format.document import Change
from ..format.head import Head
from ..format.index_row import AROUND
from ..format.payload import Packed
from ..format.record import HEADER_SIZE, SMALLEST_RECORD, TAG_SIZE
from ..format.sealed import IndexRow

DEAD_FACTOR = 4
DEAD_FLOOR = 64 * 1024
"""Dead bytes that a container may carry: 4 times the living, or 64 KiB (16 KiB replaced every second save of 20 KB)."""

APPENDED_FLOOR = 8 * 1024
"""Bytes that small records may take which were appended: as much as the rest of the document, or 8 KiB.

What is merged has doubled since the last time, so that a byte which was appended is written at most twice more, in a
life of any length. Of ten turns of 1.5 KB merging frees the first block of the file system, and a cold load of them
takes 0.1 ms of CPU less; at 4 KiB it freed none, and took as long as four turns.
"""

RUN = 10
CONTENDED = 64
"""A writer that merges keeps the others waiting. So a process merges after so many own records in a row, when
no other is likely to be writing; before that, only where small records take so many times as much as the rest. (Four
processes on four sessions: 6 200 appends a second, 1.7 ms at the 99th percentile, 43 at worst; 6 350, 1.6 and 62 at 256
times the rest; 5 800, 2.8 and 31 at 24 times; 3 500 and 4.5 where all merge.)
"""

_BESIDE = SMALLEST_RECORD + TAG_SIZE - AROUND
"""What a record takes beside its body, but for what the blob of its row takes."""

POSTPONED = 3
"""Where a pause is waited for, small records may take so many times as much before they are merged without one.

That is 28 turns of 1.5 KB without a pause of a second between two of them; a cold load of those takes 0.35 ms of CPU,
and 0.12 when they are merged. At twice as much a life of 50 turns, and one of 200, was merged twice as often.
"""


def is_worn(size: int, head: Head, run: int, *, postponed: bool = False) -> bool:
    """Whether dead bytes or small records have piled up, by the size and head that one more record would give.

    ``postponed``: so many that the next pause cannot be waited for.
    """
    living = size - head.full - head.dead
    share, floor = 1 if run >= RUN else CONTENDED, APPENDED_FLOOR
    if postponed:
        share, floor = max(share, POSTPONED), POSTPONED * floor
    if head.appended > max(share * (living - head.appended), floor):
        return True
    return is_wasteful(head.full - HEADER_SIZE + head.dead, living)


def dead_after(newest: IndexRow, head: Head, change: Change, addition: Packed) -> int:
    """Bytes behind the last FULL that nothing will read again, estimated: no body is opened to know.

    Dropped messages are taken to be as large as the others, and a key of the state that is set to replace one of the
    same size. An estimate too high lets the container be replaced earlier, never twice in a row for the same bytes.
    """
    span = newest.size - head.full
    dropped = change.pop + change.trim
    dead = head.dead + (span - head.dead) * dropped // max(1, head.messages + addition.messages)
    if change.set or change.unset:
        dead += overhead(newest) + len(addition.data)
    return min(dead, span)


def dead_after_save(newest: IndexRow, head: Head, difference: Difference, addition: Packed) -> int:
    """The same of a document that was saved, where the bytes of JSON that it drops are known.

    They are taken to be stored as the others are, or as what is added is, whichever is more: the newest message, saved
    again and again while it grows, lies in small records that compress far worse than a history does.
    """
    span = newest.size - head.full
    as_others = difference.dropped * span // max(1, head.raw)
    as_added = difference.dropped * len(addition.data) // len(addition.text)
    return min(head.dead + max(as_others, as_added), span)


def mergeable(newest: IndexRow, addition: Packed) -> int:
    """Bytes of a record behind the newest that merging could save some of."""
    if len(addition.text) >= document.LARGE:
        return 0
    return overhead(newest) + (len(addition.data) if addition.codec else 0)


def overhead(newest: IndexRow) -> int:
    """What a record takes beside its body, but for a digit or two: its head will be about as long as the newest."""
    return len(newest.blob) + _BESIDE


def is_wasteful(dead: int, living: int) -> bool:
    """Whether dead bytes outweigh the living so far that a fresh container is cheaper in the long run."""
    return dead > max(DEAD_FACTOR * living, DEAD_FLOOR)
