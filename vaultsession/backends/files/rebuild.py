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

from ...errors import BackendUnavailable, Unreadable
from ...format import record
from ...format.ids import locator_of
from ...format.sealed import IndexRow, Tombstone
from ...util.disk import READ, Disk, opened
from . import preallocation
from .index import Index
from .index_schema import IndexEntry
from .index_values import Outline
from .layout import FilesLayout, key_in, temporary_in
from .locks import Stripes

BATCH = 500
"""Names or rows that are held at once: SQLite takes 999 values in one statement."""

_WRITTEN = 4000
"""Rows that are written at once: the trees of a large index are then walked, not hopped about in."""

Progress = Callable[[int, int], None]
Observe = Callable[[str], IndexRow | None]


class RebuildReport(NamedTuple):
    """What a pass over the directory met: containers; rows changed and removed; files unreadable; orphans removed."""

    scanned: int = 0
    changed: int = 0
    removed: int = 0
    unreadable: int = 0
    temporaries: int = 0


def derive(
    disk: Disk,
    layout: FilesLayout,
    contents: Index,
    stripes: Stripes,
    observe: Observe,
    *,
    everything: bool,
    afresh: bool = False,
    progress: Progress | None = None,
) -> RebuildReport:
    """Make the rows agree with the containers.

    A row that names the last record and the size of its container is left alone, unless ``everything`` is derived anew,
    the tags among it. A tombstone over a container that reads as living is forged, and is taken out.
    Directory and rows are read a batch at a time, so that a million sessions take no more memory than a thousand.
    ``afresh``: the index was empty, and its tags are written when all rows are there.
    """
    total = sum(1 for _ in disk.names(layout.sessions)) if progress is not None else 0
    others: list[str] = []
    misnamed: set[str] = set()
    try:
        met = _derive_rows(
            disk,
            layout,
            contents,
            observe,
            others,
            misnamed,
            everything=everything,
            tagged=not afresh,
            progress=None if progress is None else lambda scanned: progress(min(scanned, total), total),
        )
        temporaries = sum(_remove_temporary(disk, layout, stripes, name) for name in others)
        removed = _remove_rows(disk, layout, contents, stripes, misnamed)
    finally:  # also where only a part of the rows could be derived, or where someone before did not come to this
        if everything or contents.is_untagged():
            contents.retag()
    if progress is not None:
        progress(total, total)
    return met._replace(removed=removed, temporaries=temporaries)


def _derive_rows(
    disk: Disk,
    layout: FilesLayout,
    contents: Index,
    observe: Observe,
    others: list[str],
    misnamed: set[str],
    *,
    everything: bool,
    tagged: bool,
    progress: Callable[[int], None] | None,
) -> RebuildReport:
    """Derive the row of each container; ``others`` and ``misnamed`` get what else was met."""
    changed = unreadable = scanned = 0
    entries: dict[str, IndexEntry] = {}
    contents.flush()  # what is pending is met among the rows, and not written over what is derived
    for names in batches(disk.names(layout.sessions)):
        keys = [key for key in map(key_in, names) if key is not None]
        others += [name for name in names if key_in(name) is None]
        locators = [locator_of(key) for key in keys]
        outlines, buried = contents.outlines(locators), contents.buried(locators)
        for key, locator in zip(keys, locators, strict=True):
            if progress is not None:
                progress(scanned)
            scanned += 1
            outline = outlines.get(locator)
            if outline is not None and outline.key != key:
                misnamed.add(locator)
            if outline is not None and not everything and _agrees(disk, layout.session(key), outline):
                continue
            try:
                entry = _derive_row(contents, observe, key, outline, buried.get(locator))
            except (Unreadable, BackendUnavailable, OSError):
                unreadable += 1
                continue
            if entry is not None:
                changed += 1
                entries[locator] = entry
        if len(entries) >= _WRITTEN:
            contents.write(entries, tagged=tagged)
            entries.clear()
    contents.write(entries, tagged=tagged)
    return RebuildReport(scanned, changed, 0, unreadable)


def batches(names: Iterable[str]) -> Iterator[list[str]]:
    """The names, ``BATCH`` at a time."""
    rest = iter(names)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch


def _derive_row(
    contents: Index, observe: Observe, key: str, outline: Outline | None, buried: Tombstone | None
) -> IndexEntry | None:
    """The row of one container, to be written; None where it reads as absent."""
    locator = locator_of(key)
    if buried is not None and outline is not None and outline.generation <= buried.generation:
        # No transaction of ours leaves both. Whoever has the keys is told of a tombstone only where no row stands.
        contents.remove(locator, outline.version)
        outline = None
    row = observe(key)
    if row is None:
        return None
    if buried is not None and row.generation <= buried.generation:
        contents.disbelieve(locator, buried)  # it was read past, so it is not genuine
    return IndexEntry(row, None, None, None if outline is None else outline.version)


def _agrees(disk: Disk, path: str, outline: Outline) -> bool:
    with contextlib.suppress(OSError), opened(disk, path, READ) as fd:
        end = disk.pread(fd, record.LINK_AND_FOOTER, max(0, outline.size - record.LINK_AND_FOOTER))
        return (
            end[: record.TAG_SIZE] == outline.version
            and preallocation.end_of(disk, fd, disk.fstat(fd).st_size) == outline.size
        )
    return False


def _remove_temporary(disk: Disk, layout: FilesLayout, stripes: Stripes, name: str) -> int:
    """A temporary exists only while the stripe of its locator is held: whoever gets the stripe finds an orphan."""
    locator = temporary_in(name)
    if locator is None:
        return 0
    stripe = stripes.of(locator)
    with stripe.mutex, stripe, contextlib.suppress(OSError):  # gone, or a directory that someone planted
        disk.unlink(os.path.join(layout.sessions, name))
        return 1
    return 0


def _remove_rows(disk: Disk, layout: FilesLayout, contents: Index, stripes: Stripes, spared: set[str]) -> int:
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


def _is_gone(disk: Disk, layout: FilesLayout, outline: Outline) -> bool:
    try:
        disk.stat(layout.session(outline.key))
    except (FileNotFoundError, ValueError):  # ValueError: a row whose key is none
        return True
    return False
