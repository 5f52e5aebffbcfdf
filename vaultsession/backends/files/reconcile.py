"""Deriving the index from the containers: after a writer died, and where there is no index that can be believed.

The files are the truth. What cannot be read stays where it is, and so does its row; nothing is removed on the word of
an authentication failure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from typing import NamedTuple

from ...disk import READ, Disk, opened
from ...envelope import v1
from ...errors import BackendUnavailable, Unreadable
from ...ids import locator_of
from ...sealed import SealedHead
from .contents import Contents
from .known import Outline
from .layout import Layout, key_in, temporary_in
from .locks import Stripes

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_SLICES = tuple(itertools.pairwise((None, *_DIGITS[1:], None)))
"""Bounds of locators, by their first digit and open at both ends. Rows are compared with files a slice at a time: all
rows in outline took half a kilobyte for each session, which is half a gigabyte for a million."""

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
    The directory is read before the rows: a row whose container was not there yet is looked at again, under its stripe.
    """
    slices, others = _sliced(disk.listdir(layout.sessions))
    temporaries = sum(_remove_temporary(disk, layout, stripes, name) for name in others)
    total = sum(map(len, slices))
    changed = unreadable = scanned = removed = 0
    for bounds, keys in zip(_SLICES, slices, strict=True):
        outlines = contents.outlines(*bounds)
        for key in sorted(keys, key=locator_of):  # the order of the index, whose pages are then met once
            if progress is not None:
                progress(scanned, total)
            scanned += 1
            locator = locator_of(key)
            outline = outlines.pop(locator, None)
            if outline is not None and not everything and _agrees(disk, layout.session(key), outline):
                continue
            try:
                found = _derive_row(contents, observe, key, outline)
            except (Unreadable, BackendUnavailable, OSError):
                unreadable += 1
                continue
            if found:
                changed += 1
            elif outline is not None:
                outlines[locator] = outline
        removed += sum(_remove_row(disk, layout, contents, stripes, locator, outlines[locator]) for locator in outlines)
    contents.flush()
    if everything:
        contents.retag()
    if progress is not None:
        progress(total, total)
    return Report(scanned, changed, removed, unreadable, temporaries)


def _sliced(names: list[str]) -> tuple[list[list[str]], list[str]]:
    """The keys among the names of a directory, slice by slice, and the other names. Empties the list that is given."""
    slices: list[list[str]] = [[] for _ in _SLICES]
    others = []
    while names:  # taken one by one, so that a million are held once
        name = names.pop()
        key = key_in(name)
        if key is None:
            others.append(name)
        else:
            slices[_DIGITS.index(locator_of(key)[0])].append(key)
    return slices, others


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
        size = disk.fstat(fd).st_size
        end = disk.pread(fd, v1.LINK_AND_FOOTER, max(0, size - v1.LINK_AND_FOOTER))
        return size == outline.size and end[: v1.TAG_SIZE] == outline.version
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


def _remove_row(
    disk: Disk, layout: Layout, contents: Contents, stripes: Stripes, locator: str, outline: Outline
) -> int:
    stripe = stripes.of(locator)
    with stripe.mutex, stripe:
        try:
            disk.stat(layout.session(outline.key))
        except (FileNotFoundError, ValueError):  # ValueError: a row whose key is none
            contents.remove(locator, outline.version)
            return 1
    return 0
