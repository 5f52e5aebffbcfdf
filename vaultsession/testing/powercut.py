"""What a medium may hold after a power cut: from what was done to it, and what was flushed, to every image in a bound.

Pure. The assumptions, which are those of POSIX and weaker than ext4's or XFS's:

- What was flushed is there: data and size of a file by ``fsync`` or ``fdatasync`` of the file, its mode by ``fsync``,
  entries of a directory by ``fsync`` of that directory. The flush of a file says nothing of its name.
- Of what was not flushed any part may be there: any of the writes to a file, in any order, the newest torn at a sector
  of 512 bytes or at any byte, or its size without its data (zeros); any of the changes to directories. A rename is
  atomic: the old name or the new one. What a failed flush was to write is not flushed by a later one that succeeds.
- SQLite's files are written behind our back. They are gone, or as they were at some moment since SQLite last wrote all
  of its log into the table file, flushed; and the log may end anywhere behind what was flushed of it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import NamedTuple

from .disk_image import (
    ABOVE,
    FRAME_HEADER,
    LOG_HEADER,
    DiskWrite,
    Entries,
    Event,
    Flush,
    FlushEntries,
    Found,
    Image,
    Kind,
    Lost,
    Mode,
    Name,
    WalIndex,
    patched,
)

SECTOR = 512

_MOST_ENTRIES = 8


class Option(NamedTuple):
    """One of the things that may have become of a part of the medium. ``told`` says it in words."""

    told: str
    value: object


class Part(NamedTuple):
    """A part of the medium that was not flushed. The first option: all of it is there; the second: nothing is."""

    kind: str
    node: int
    options: Sequence[Option]


class _File:
    """A file: what of it was flushed, and what was not."""

    __slots__ = ("data", "lost", "mode", "modes", "writes")

    def __init__(self, kind: Kind) -> None:
        self.data = kind.data
        self.mode = kind.mode
        self.modes: list[int] = []
        self.writes: list[DiskWrite] = []
        self.lost: list[DiskWrite] = []

    def flush(self, *, whole: bool) -> None:
        if self.lost:  # in order, as if the lost had never been made; they stay possible in the images
            self.data = patched(self.data, [write for write in self.writes if write not in self.lost])
            self.writes = list(self.lost)
        else:
            self.data, self.writes = patched(self.data, self.writes), []
        if whole and self.modes:
            self.mode, self.modes = self.modes[-1], []

    def lose(self) -> None:
        self.lost = list(self.writes)


class Medium:
    """Follows the events one by one, and says at any moment what a power cut may leave."""

    def __init__(self, names: Mapping[Name, int], kinds: Mapping[int, Kind], *, seed: int = 0) -> None:
        self._names = dict(names)
        self._kinds = kinds
        self._entries: list[Entries] = []
        self._files: dict[int, _File] = {}
        self._indexes: list[WalIndex] = []
        self._index_found = False
        self._random = random.Random(seed)  # noqa: S311 - to choose among legal states, the same in every run
        self.notes: list[object] = []

    def follow(self, event: Event) -> None:  # noqa: C901, PLR0912 - one branch per kind of event
        """One more thing has happened."""
        if isinstance(event, DiskWrite):
            self._file(event.node).writes.append(event)
        elif isinstance(event, Mode):
            self._file(event.node).modes.append(event.mode)
        elif isinstance(event, Flush):
            self._file(event.node).flush(whole=event.whole)
        elif isinstance(event, Lost):
            self._file(event.node).lose()
        elif isinstance(event, Entries):
            self._entries.append(event)
        elif isinstance(event, FlushEntries):
            waiting, self._entries = self._entries, []
            for entries in waiting:
                if any(directory == event.node for (directory, _), _ in entries.changes):
                    entries.apply(self._names)
                else:
                    self._entries.append(entries)
        elif isinstance(event, Found):
            self._names[event.name] = event.node
        elif isinstance(event, WalIndex):
            if event.settled:
                self._indexes.clear()
            self._indexes.append(event)
            self._index_found = bool(event.files) and (event.found or self._index_found)
        else:
            self.notes.append(event.value)

    def images(self, bound: int) -> Iterator[tuple[str, Image]]:
        """At most ``bound`` images, each with what became of what was not flushed.

        All of it, nothing, each part in each way beside all and beside nothing of the others, and then any mixture,
        chosen at random.
        """
        parts = list(self._parts())
        seen: set[int] = set()
        for choice in self._choices([len(part.options) for part in parts], bound):
            image = self._image(parts, choice)
            if (print_ := image.fingerprint()) in seen:
                continue
            seen.add(print_)
            chosen = [part.options[number].told for part, number in zip(parts, choice, strict=True)]
            yield "; ".join(chosen) or "everything was flushed", image
            if len(seen) >= bound:
                return

    def _choices(self, sizes: Sequence[int], bound: int) -> Iterator[tuple[int, ...]]:
        everything = (0,) * len(sizes)
        nothing = tuple(min(1, size - 1) for size in sizes)
        yield everything
        yield nothing
        if not sizes:
            return
        turns = []  # by part, so that a part with many options does not crowd out the others
        for at, size in enumerate(sizes):
            each = [
                (*others[:at], option, *others[at + 1 :])
                for others in (everything, nothing)
                for option in range(size)
                if option != others[at]
            ]
            self._random.shuffle(each)
            turns.append(each)
        for turn in zip_longest(*turns):
            yield from filter(None, turn)
        for _ in range(bound):
            yield tuple(self._random.randrange(size) for size in sizes)

    def _parts(self) -> Iterator[Part]:
        if self._entries:
            yield Part("entries", ABOVE, list(self._entry_options()))
        reachable = {*self._names.values(), *(node for entry in self._entries for _, node in entry.changes)}
        for node, file in self._files.items():
            if node not in reachable:
                continue
            if file.writes:
                yield Part("data", node, [Option(f"file {node}: {told}", data) for told, data in torn(file)])
            if file.modes:
                modes = dict.fromkeys((file.modes[-1], file.mode))
                yield Part("mode", node, [Option(f"file {node}: mode {mode:o}", mode) for mode in modes])
        if self._indexes:
            yield Part("index", ABOVE, list(self._index_options()))

    def _entry_options(self) -> Iterator[Option]:
        count = len(self._entries)
        recent = range(max(0, count - _MOST_ENTRIES), count)
        yield Option("all names", range(count))
        yield Option("no names", ())
        for end in recent:
            if end:
                yield Option(f"{end} of {count} names", range(end))
        for at in recent:
            if at < count - 1:
                yield Option(f"all names but number {at}", [number for number in range(count) if number != at])
            if count > 1:
                yield Option(f"of {count} names number {at}", [at])

    def _index_options(self) -> Iterator[Option]:
        *_, newest = self._indexes
        yield Option("index as it is", newest.files)
        if not self._index_found:  # what was found is on the medium, under its name
            yield Option("no index", {})
        few = self._indexes[:-1]
        if len(few) > 3:  # noqa: PLR2004 - the oldest, the newest and one between
            few = [few[0], self._random.choice(few[1:-1]), few[-1]]
        for index in few:
            yield Option("an older index", index.files)
        for index in (newest, *few[:1]):
            yield from self._cut_options(index)

    def _cut_options(self, index: WalIndex) -> Iterator[Option]:
        if index.found:
            return
        for name, data in index.files.items():
            if name.endswith("-wal"):
                frame = FRAME_HEADER + index.page
                flushed = LOG_HEADER + index.frames * frame if index.frames else 0
                cuts = {flushed, flushed + frame, len(data) - frame, len(data) - SECTOR, len(data) - 1}
                if flushed < len(data):
                    cuts.add(self._random.randrange(flushed, len(data)))
                for cut in sorted(cut for cut in cuts if flushed <= cut < len(data)):
                    yield Option(f"the index' log cut at {cut} of {len(data)}", {**index.files, name: data[:cut]})
            elif not any(index.frames or index.found for index in self._indexes):
                # Its first flush is a checkpoint.
                left = self._random.choice((b"", bytes(len(data)), data[: len(data) // 2]))
                yield Option(f"an index that was never flushed: {len(left)} bytes", {**index.files, name: left})

    def _image(self, parts: Sequence[Part], choice: Sequence[int]) -> Image:
        names, data, modes = dict(self._names), {}, {}
        index: Mapping[str, bytes] = {}
        for part, number in zip(parts, choice, strict=True):
            value = part.options[number].value
            if part.kind == "entries":
                for at in value:  # type: ignore[attr-defined]  # by the kind of the part
                    self._entries[at].apply(names)
            elif part.kind == "data":
                data[part.node] = value
            elif part.kind == "mode":
                modes[part.node] = value
            else:
                index = value  # type: ignore[assignment]  # as above
        children: dict[int, list[tuple[str, int]]] = {}
        for (directory, name), node in names.items():
            children.setdefault(directory, []).append((name, node))
        found: dict[str, tuple[int, bytes | None]] = {}
        waiting = [(name, node) for name, node in children.get(ABOVE, [])]
        while waiting:
            path, node = waiting.pop()
            kind, file = self._kinds[node], self._files.get(node)
            if kind.directory:
                found[path] = kind.mode, None
                waiting.extend((os.path.join(path, name), below) for name, below in children.get(node, ()))
                continue
            mode = modes.get(node, file.mode if file else kind.mode)
            found[path] = mode, data.get(node, file.data if file else kind.data)  # type: ignore[assignment]  # as above
        if "" in found:
            found.update((name, (0o600, content)) for name, content in index.items())
        return Image(found)

    def _file(self, node: int) -> _File:
        return self._files.setdefault(node, _File(self._kinds[node]))


def torn(file: _File) -> Iterator[tuple[str, bytes]]:
    """What may be there of a file with writes that were not flushed, all and nothing first."""
    writes = file.writes
    count, *before = len(writes), *writes[:-1]
    newest = writes[-1]
    whole, without = patched(file.data, writes), patched(file.data, before)
    yield "all", whole
    yield "nothing", file.data
    for end in range(1, count):
        yield f"{end} of {count} writes", patched(file.data, writes[:end])
        yield f"all writes but number {end}", patched(file.data, [*writes[: end - 1], *writes[end:]])
    end = newest.offset + len(newest.data)
    if len(whole) > len(file.data):
        yield (
            "its size",
            patched(file.data, [DiskWrite(newest.node, len(file.data), bytes(len(whole) - len(file.data)))]),
        )
    for cut in _cuts(newest):
        kept = newest._replace(data=newest.data[: cut - newest.offset])
        yield f"torn at {cut}", patched(without, [kept])
        yield f"zeros from {cut}", patched(patched(without, [newest._replace(data=bytes(len(newest.data)))]), [kept])
    sectors = [newest.offset, *range(_next_sector(newest.offset), end, SECTOR), end]
    pieces = [
        DiskWrite(newest.node, start, newest.data[start - newest.offset : stop - newest.offset])
        for start, stop in pairwise(sectors)
    ]
    if len(pieces) > 1:
        zeros = patched(without, [newest._replace(data=bytes(len(newest.data)))])
        yield "its last sector", patched(zeros, pieces[-1:])
        yield "all but its first sector", patched(zeros, pieces[1:])
        yield "every other sector", patched(zeros, pieces[::2])
        middle = len(pieces) // 2
        yield "all but a sector in its middle", patched(zeros, [*pieces[:middle], *pieces[middle + 1 :]])


def _cuts(write: DiskWrite) -> list[int]:
    """Where a write may be torn: the first, a middle and the last sector, in the middle, and before its last byte."""
    end = write.offset + len(write.data)
    sectors = range(_next_sector(write.offset), end, SECTOR)
    few = {sectors[0], sectors[len(sectors) // 2], sectors[-1]} if sectors else set()
    few |= {write.offset + len(write.data) // 2, end - 1}
    return sorted(cut for cut in few if write.offset < cut < end)


def _next_sector(offset: int) -> int:
    return (offset // SECTOR + 1) * SECTOR
