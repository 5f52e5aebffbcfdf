"""Deriving the index from the containers: after a writer died, and where there is no index that can be believed.

The files are the truth. What cannot be read stays where it is, and so does its row; nothing is removed on the word of
an authentication failure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ...disk import READ, Disk, opened
from ...envelope import v1
from ...errors import BackendUnavailable, Unreadable
from ...ids import locator_of
from ...sealed import SealedHead
from . import room
from .contents import Contents
from .known import Outline
from .layout import Layout, key_in, temporary_in
from .locks import Stripes

BATCH = 500
"""Names or rows that are held at once: SQLite takes 999 values in one statement."""

Progress = Callable[[int, int], None]
Observe = Callable[[str], SealedHead | None]


class Report(NamedTuple):
    """What a pass over the directory met: containers; rows changed and removed; files unreadable; orphans removed."""

    scanned: int = 0
    changed: int = 0
    removed: int = 0
    unreadable: int = 0
    temporaries: int = 0


def derive(
    disk: Disk,
    layout: Layout,
    contents: Contents,
    stripes: Stripes,
    observe: Observe,
    *,
    everything: bool,
    progress: Progress | None = None,
) -> Report:
    """Make the rows agree with the containers.

    A row that names the last record and the size of its container is left alone, unless ``everything`` is derived anew,
    the tags among it. A tombstone over a container that reads as living is forged, and is taken out.
    Directory and rows are read a batch at a time, so that a million sessions take no more memory than a thousand.
    """
    total = sum(1 for _ in disk.names(layout.sessions)) if progress is not None else 0
    changed = unreadable = scanned = 0
    others: list[str] = []
    misnamed: set[str] = set()
    for names in batches(disk.names(layout.sessions)):
        keys = [key for key in map(key_in, names) if key is not None]
        others += [name for name in names if key_in(name) is None]
        outlines = contents.outlines([locator_of(key) for key in keys])
        for key in keys:
            if progress is not None:
                progress(min(scanned, total), total)
            scanned += 1
            outline = outlines.get(locator_of(key))
            if outline is not None and outline.key != key:
                misnamed.add(locator_of(key))
            if outline is not None and not everything and _agrees(disk, layout.session(key), outline):
                continue
            try:
                changed += _derive_row(contents, observe, key, outline)
            except (Unreadable, BackendUnavailable, OSError):
                unreadable += 1
        contents.flush()
    temporaries = sum(_remove_temporary(disk, layout, stripes, name) for name in others)
    removed = _remove_rows(disk, layout, contents, stripes, misnamed)
    if everything:
        contents.retag()
    if progress is not None:
        progress(total, total)
    return Report(scanned, changed, removed, unreadable, temporaries)


def batches(names: Iterable[str]) -> Iterator[list[str]]:
    """The names, ``BATCH`` at a time."""
    rest = iter(names)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch


def _derive_row(contents: Contents, observe: Observe, key: str, outline: Outline | None) -> bool:
    """The row of one container, noted; False where it reads as absent."""
    locator = locator_of(key)
    buried = contents.tombstone(locator)
    if buried is not None and outline is not None and outline.generation <= buried.generation:
        # No transaction of ours leaves both. Whoever has the keys is told of a tombstone only where no row stands.
        contents.remove(locator, outline.version)
        outline = None
    row = observe(key)
    if row is None:
        return False
    if buried is not None and row.generation <= buried.generation:
        contents.disbelieve(locator, buried)  # it was read past, so it is not genuine
    contents.note(row, flushed=False, replacing=None if outline is None else outline.version)
    return True


def _agrees(disk: Disk, path: str, outline: Outline) -> bool:
    with contextlib.suppress(OSError), opened(disk, path, READ) as fd:
        end = disk.pread(fd, v1.LINK_AND_FOOTER, max(0, outline.size - v1.LINK_AND_FOOTER))
        return end[: v1.TAG_SIZE] == outline.version and room.end_of(disk, fd, disk.fstat(fd).st_size) == outline.size
    return False


def _remove_temporary(disk: Disk, layout: Layout, stripes: Stripes, name: str) -> int:
    """A temporary exists only while the stripe of its locator is held: whoever gets the stripe finds an orphan."""
    locator = temporary_in(name)
    if locator is None:
        return 0
    stripe = stripes.of(locator)
    with stripe.mutex, stripe, contextlib.suppress(OSError):  # gone, or a directory that someone planted
        disk.unlink(os.path.join(layout.sessions, name))
        return 1
    return 0


def _remove_rows(disk: Disk, layout: Layout, contents: Contents, stripes: Stripes, spared: set[str]) -> int:
    """Remove the rows of sessions that are not there; ``spared`` are there under another name."""
    removed, after = 0, ""
    while outlines := contents.outlines_behind(after, BATCH):
        for locator, outline in outlines.items():
            if locator not in spared and _is_gone(disk, layout, outline):
                stripe = stripes.of(locator)
                with stripe.mutex, stripe:
                    if _is_gone(disk, layout, outline):  # and no writer is just putting it there
                        contents.remove(locator, outline.version)
                        removed += 1
        after = locator
    return removed


def _is_gone(disk: Disk, layout: Layout, outline: Outline) -> bool:
    try:
        disk.stat(layout.session(outline.key))
    except (FileNotFoundError, ValueError):  # ValueError: a row whose key is none
        return True
    return False
