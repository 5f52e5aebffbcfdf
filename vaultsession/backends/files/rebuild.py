"""Rebuilding the index from the containers: after a writer died, and where the index is damaged or gone.

The files are the truth. What cannot be read stays where it is, and so does its row; nothing is removed on the word of
an authentication failure.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeVar

from ...errors import BackendUnavailable, Unreadable, VaultError
from ...format import record
from ...format.ids import locator_of
from ...format.sealed import IndexRow, Tombstone, Witness
from ...util.descriptors import share
from ...util.disk import PRIVATE_FILE, READ, Disk, is_there, opened
from ...util.lazy import log
from ...util.parallel import parallel_map
from ...util.reentry import not_ours
from ..protocol import RebuildReport
from . import index_queries, preallocation
from .container_store import ContainerStore
from .index import Index
from .index_queries import RowSummary
from .index_schema import (
    UNTAGGED,
    IndexDamaged,
    IndexEntry,
    apply_all,
    lose_row,
    put_meta,
    put_witness,
    remove_row,
    remove_tombstone,
)
from .layout import FilesLayout, creation_in, is_begun, key_in, refusal, removal_in, temporary_in, vanished
from .quarantine import Quarantine
from .standby_index import StandbyIndex

BATCH = 500
"""Names or rows in memory at once: SQLite takes 999 values in one statement."""

_WRITE_BATCH = 4000
"""Rows in one transaction: the trees of a large index are then walked in order."""

_OPEN_TOGETHER = share(64, 16)
"""Containers that are read at once: those that are not in memory are waited for together."""

Progress = Callable[[int, int], None]

Seen = defaultdict[str, bytearray]
"""The locators of the containers that were met, by their first characters: 100 000 take 5 MB."""

_PART = 2

T = TypeVar("T")
Row = TypeVar("Row", IndexRow, RowSummary)


class IndexRebuild:
    """Makes the index agree with the containers. ``mark_dirty`` returns when this store's marker is dirty and flushed.

    ``tokens`` gives those of the writers' markers, which an index that was built anew has to have.

    Safe from any thread. No method is called under a stripe: a rebuild takes them one by one.
    """

    def __init__(
        self,
        disk: Disk,
        layout: FilesLayout,
        index: Index,
        containers: ContainerStore,
        quarantine: Quarantine,
        *,
        mark_dirty: Callable[[], None],
        tokens: Callable[[], Mapping[str, int]],
        writable: bool,
        durable: bool,
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._index = index
        self._containers = containers
        self._quarantine = quarantine
        self._mark_dirty = mark_dirty
        self._tokens = tokens
        self._writable = writable
        self._durable = durable
        self._mutex = threading.RLock()
        self._standby = StandbyIndex(disk, layout, containers.head)
        self.unwritten: str | None = None

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """The result of a query; a damaged index is rebuilt first. One that is out of reach is derived in memory."""
        try:
            if self.unwritten is None:
                found = self.repaired(partial(self._index.read, query))
                self._standby.rest()
                return found
            reason = self.unwritten
        except BackendUnavailable as error:
            reason = str(error)
        return self._standby.read(query, reason)

    @property
    def is_derived(self) -> bool:
        """Whether the index was out of reach when it was read last, and rows were derived in memory."""
        return self._standby.is_used

    def flush(self) -> None:
        """Write the buffer. Where that cannot be done, listings are derived in memory until it can."""
        try:
            self.repaired(self._index.flush)
        except BackendUnavailable as error:
            self.unwritten = str(error)
        else:
            self.unwritten = None

    def problem(self) -> str | None:
        """Why the index cannot be used."""
        try:
            self.flush()
            if self.unwritten is not None:
                return self.unwritten
            self.repaired(partial(self._index.read, index_queries.is_empty))
        except VaultError as error:
            return str(error)
        return None

    def repaired(self, action: Callable[[], T]) -> T:
        """Use the index; if it is damaged or gone, rebuild it and use it again."""
        try:
            return action()
        except IndexDamaged as damage:
            if not self._writable:
                raise BackendUnavailable(f"{damage}; opened for reading only, so it is not rebuilt") from damage
            self.replace(damage.inode, because=str(damage))
        try:
            return action()
        except IndexDamaged as damage:
            raise BackendUnavailable(f"{damage}, again after it was rebuilt") from damage

    def replace(self, damaged: int, *, because: str = "") -> None:
        """Quarantine the file of this inode, and build a new index. Witnesses and tombstones are lost with the file."""
        with not_ours(self._mutex):
            # An index that is half built looks whole: a dirty marker, flushed before, says otherwise.
            try:
                with contextlib.closing(self._disk.names(self._layout.sessions)) as names:
                    has_sessions = next(names, None) is not None
            except FileNotFoundError:
                raise vanished(self._layout.sessions) from None
            except OSError as error:
                raise refusal(self._layout.sessions, error) from error
            if because:
                log.warning("the index is rebuilt: %s", because)
            if has_sessions:
                self._mark_dirty()
            if not self._index.start_over(damaged, self._quarantine):
                return  # another thread or process has done it
            try:
                self.rebuild(everything=True, empty=True)
                if tokens := self._tokens():
                    self._index.write(partial(put_meta, values=tokens))
            except IndexDamaged as again:
                raise BackendUnavailable(f"{again}, while it was rebuilt") from again

    def rebuild(
        self, *, everything: bool, empty: bool = False, outdated: bool = False, progress: Progress | None = None
    ) -> RebuildReport:
        """Make rows and tags agree with the containers.

        A row that names the last record and the size of its container is left alone, unless ``everything`` is rebuilt.
        A tombstone over a container that reads as living is forged, and is removed. Directory and rows are read a batch
        at a time, so that a million sessions take no more memory than a thousand. ``empty``: the index has no rows yet,
        and its tags are written after the last one. ``outdated``: the index is older than the vault, so that sessions
        whose container is gone may have been removed since: they are not lost.
        """
        try:
            report = self._rebuild(everything=everything, empty=empty, outdated=outdated, progress=progress)
        except OSError as error:
            raise refusal(self._layout.sessions, error) from error
        if report.temporaries:
            with contextlib.suppress(OSError):  # else one may come back, and the next rebuild removes it
                self._disk.sync_directory(self._layout.sessions)
        if any(report):
            log.info("the index was rebuilt: %s", report)
        return report

    def make_witnesses(self) -> None:
        """Flush every container that is listed, and let its row be a witness of it: after a copy was flushed whole."""
        after = ""
        while rows := self._index.read(partial(index_queries.summaries_after, after=after, size=BATCH)):
            flushed = self._flushed(row for row in rows.values() if row.flushed != row.point)

            def write(connection: sqlite3.Connection, flushed: list[RowSummary] = flushed) -> None:
                for row in flushed:
                    put_witness(connection, locator_of(row.key), row.point)

            self._index.write(write)
            after = max(rows)

    def _rebuild(self, *, everything: bool, empty: bool, outdated: bool, progress: Progress | None) -> RebuildReport:
        total = sum(1 for _ in self._disk.names(self._layout.sessions)) if progress is not None else 0
        scanned = changed = unreadable = 0
        entries: dict[str, IndexEntry] = {}
        seen = Seen(bytearray)
        self._index.flush()  # the buffer is met among the rows, and not written over what is rebuilt
        try:
            orphans = self._complete()
            for names in batches(self._disk.names(self._layout.sessions)):
                keys = {key: locator_of(key) for key in map(key_in, names) if key is not None}
                rows = self._index.read(partial(index_queries.summaries, locators=list(keys.values())))
                tombstones = self._index.read(partial(index_queries.tombstones_of, locators=list(keys.values())))
                compared = [] if everything else [(k, rows[place]) for k, place in keys.items() if place in rows]
                agreeing = self._agreeing(compared)
                self._begin_reads(keys.keys() - agreeing)
                for key, locator in keys.items():
                    if progress is not None:
                        progress(min(scanned, total), total)
                    scanned += 1
                    seen[locator[:_PART]] += f"{locator} ".encode()
                    if key in agreeing:
                        continue
                    try:
                        entry = self._entry(key, rows.get(locator), tombstones.get(locator))
                    except (Unreadable, BackendUnavailable, OSError):
                        unreadable += 1
                        continue
                    if entry is not None:
                        entries[locator] = entry
                if len(entries) >= _WRITE_BATCH:
                    changed += self._write(entries, tagged=not empty)
            changed += self._write(entries, tagged=not empty)
            removed, lost = self._remove_rows(seen, outdated=outdated)
        finally:  # also after a failure, or where an earlier rebuild failed before its last step
            if everything or UNTAGGED in self._index.read(index_queries.meta):
                self._index.rebuild_tags()
        if progress is not None:
            progress(total, total)
        return RebuildReport(scanned, changed, removed, unreadable, orphans, lost)

    def _write(self, entries: dict[str, IndexEntry], *, tagged: bool) -> int:
        """Write the entries and empty the dictionary; how many they were."""

        def write(connection: sqlite3.Connection) -> None:
            if not tagged:
                put_meta(connection, {UNTAGGED: 1})
            apply_all(connection, entries, tagged=tagged)

        count = len(entries)
        if entries:
            if self._durable:
                self._flush_containers(entries)
            self._index.write(write)
        entries.clear()
        return count

    def _entry(self, key: str, summary: RowSummary | None, tombstone: Tombstone | None) -> IndexEntry | None:
        """The entry of one container; None where it reads as absent."""
        locator = locator_of(key)
        if tombstone is not None and summary is not None and summary.generation <= tombstone.generation:
            # No transaction of a writer leaves both, and a tombstone is looked up only where no row stands.
            self._index.write(partial(remove_row, locator=locator, version=summary.version))
            summary = None
        row = self._containers.head(key, thorough=True)
        if row is None:
            return None
        if tombstone is not None and row.generation <= tombstone.generation:
            # It was read as living in spite of the tombstone, which is not genuine then.
            self._index.write(partial(remove_tombstone, locator=locator, tombstone=tombstone))
        flushed = summary.flushed if summary is not None and summary.flushed == row.witness else None
        replaced = None if summary is None else summary.version
        return IndexEntry(row, None, flushed, replaced, boot=self._index.boot)

    def _flush_containers(self, entries: dict[str, IndexEntry]) -> None:
        """Flush what the rows were derived from, and make each a witness: what was proved may not be lost again."""
        rows = [row for entry in entries.values() if (row := entry.row) and not row.torn and entry.witness is None]
        if flushed := self._flushed(rows):
            with contextlib.suppress(OSError):
                self._disk.sync_directory(self._layout.sessions)
                for row in flushed:
                    locator = locator_of(row.key)
                    entries[locator] = entries[locator]._replace(witness=row.witness)

    def _flushed(self, rows: Iterable[Row]) -> list[Row]:
        """Those of which the container could be flushed: several at a time, which share a commit of the journal."""
        rows = list(rows)
        paths = [self._layout.session(row.key) for row in rows]
        with contextlib.closing(parallel_map(self._is_flushed, paths, overlap=True, at_once=False)) as outcomes:
            return [row for row, is_flushed in zip(rows, outcomes, strict=True) if is_flushed]

    def _agreeing(self, rows: Iterable[tuple[str, RowSummary]]) -> set[str]:
        """The keys of those containers whose rows name their last record and their size."""
        found: set[str] = set()
        rest = iter(rows)
        while group := list(itertools.islice(rest, _OPEN_TOGETHER)):
            files: list[tuple[int, str, RowSummary]] = []
            try:
                for key, row in group:
                    with contextlib.suppress(OSError):
                        files.append((self._disk.open(self._layout.session(key), READ), key, row))
                        self._disk.begin_read(files[-1][0], preallocation.LIMIT, _before_end(row))
                for fd, key, row in files:
                    with contextlib.suppress(OSError):
                        if self._agrees(fd, row):
                            found.add(key)
            finally:
                for fd, *_ in files:
                    with contextlib.suppress(OSError):
                        self._disk.close(fd)
        return found

    def _begin_reads(self, keys: Iterable[str]) -> None:
        """Have the system read these containers while the first of them is looked at."""
        for key in keys:
            with contextlib.suppress(OSError), opened(self._disk, self._layout.session(key), READ) as fd:
                self._disk.begin_read(fd, 0, 0)

    def _agrees(self, fd: int, row: RowSummary) -> bool:
        tag = self._disk.pread(fd, record.TAG_SIZE, _before_end(row))
        return tag == row.version and row.size == preallocation.end_of(self._disk, fd, self._disk.fstat(fd).st_size)

    def _complete(self) -> int:
        """Complete what writers that died have begun; how many files that were.

        All of it before any row is made: of one session a power cut may leave the names of a creation and of a removal.
        """
        containers, completed = self._containers, 0
        for name in filter(is_begun, list(self._disk.names(self._layout.sessions))):
            if (locator := temporary_in(name)) is not None:  # it exists only while the stripe is held: an orphan
                path = os.path.join(self._layout.sessions, name)
                completed += self._is_done(locator, partial(self._disk.unlink, path))
            elif (removal := removal_in(name)) is not None:
                completed += self._is_done(removal.locator, partial(containers.removals.complete, name, removal))
            elif (key := creation_in(name)) is not None:
                completed += self._is_done(locator_of(key), partial(containers.creations.complete, key))
        return completed

    def _is_done(self, locator: str, act: Callable[[], bool | None]) -> bool:
        """Whether an act could be done under the stripe of a session, and did not answer that there was nothing."""
        stripe = self._containers.stripes.of(locator)
        with stripe.mutex, stripe, contextlib.suppress(OSError, VaultError):
            return act() is not False
        return False

    def _is_flushed(self, path: str) -> bool:
        """Flush a container; whether that could be done. What a failed flush has spoiled is never flushed again."""
        with contextlib.suppress(OSError), opened(self._disk, path, READ) as fd:
            if self._disk.fstat(fd).st_mode & PRIVATE_FILE != PRIVATE_FILE:
                return False
            self._disk.fdatasync(fd)
            return True
        return False

    def _remove_rows(self, seen: Seen, *, outdated: bool) -> tuple[int, int]:
        """Remove the rows of sessions without a container, which are among those that were not seen.

        What was acknowledged stays known, as lost. How many were removed, and how many of them are lost.
        """
        removed = lost = 0
        for locator, row in self._unseen(seen):
            if not self._is_gone(row):
                continue
            stripe = self._containers.stripes.of(locator)
            with stripe.mutex, stripe:
                if self._is_gone(row):  # and no writer is just putting it there
                    witness = None if outdated else row.witness(self._index.boot)
                    self._index.write(partial(_forget_row, locator=locator, version=row.version, witness=witness))
                    removed += 1
                    lost += witness is not None
        return removed, lost

    def _unseen(self, seen: Seen) -> Iterator[tuple[str, RowSummary]]:
        after = ""
        part, present = "", set[bytes]()
        while locators := self._index.read(partial(index_queries.locators_after, after=after, size=BATCH)):
            unseen = []
            for after in locators:
                if after[:_PART] != part:
                    part = after[:_PART]
                    present = set(bytes(seen[part]).split())
                if after.encode() not in present:
                    unseen.append(after)
            if unseen:
                yield from self._index.read(partial(index_queries.summaries, locators=unseen)).items()

    def _is_gone(self, row: RowSummary) -> bool:
        try:
            names = self._layout.session(row.key), self._layout.creation(row.key)
        except ValueError:  # a row whose key is none
            return True
        return not any(is_there(self._disk, name) for name in names)


def _forget_row(connection: sqlite3.Connection, *, locator: str, version: bytes, witness: Witness | None) -> None:
    """Remove the row of a session without a container; what a witness says was acknowledged stays known, as lost."""
    if witness is None:
        remove_row(connection, locator, version)
    else:
        lose_row(connection, locator, version, witness)


def _before_end(row: RowSummary) -> int:
    """Where the tag of the last record stands in the container that a row names."""
    return max(0, row.size - record.LINK_AND_FOOTER)


def batches(names: Iterable[str]) -> Iterator[list[str]]:
    """The names, ``BATCH`` at a time."""
    rest = iter(names)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch
