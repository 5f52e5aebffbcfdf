"""A run of the archiver: which files of the sources are looked at, sealed and removed, and what becomes of each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from ...errors import (
    Conflict,
    InvalidDocument,
    InvalidSessionId,
    InvalidSetting,
    SessionExists,
    SessionNotFound,
    TooLarge,
    Unreadable,
)
from ...store.store import SessionStore
from ...util.clock import Clock, SystemClock
from ...util.disk import Disk
from ...util.parallel import parallel_map
from ..importers.sources import Skipped
from .archiver import Archived, ArchiveOutcome, Archiver, words_of
from .contents import Busy, Changed, is_of_project
from .discovery import LEFTOVER, SHREDDED, SourceFile, discover
from .removal import finish_shredding, put_back, remove

LEASE = "vaultsession archive"
"""What one archiver holds while it runs, so that there is no second one."""

THREADS = 2
"""Files that are worked on at once. Of those that are ``_LARGE`` one is: its part in memory is."""
_LARGE = 1 << 20

_REFUSALS = (InvalidDocument, InvalidSessionId, TooLarge, Unreadable, SessionExists, Conflict, SessionNotFound)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveOptions:
    """Which files, and what for. ``older_than`` in microseconds since the last write; ``dry_run`` changes nothing.

    ``keys`` are files that open the vault: sealed in it they would open nothing any more.
    """

    sources: tuple[str, ...] = ()
    older_than: int = 0
    project: str | None = None
    keys: tuple[str, ...] = ()
    remove: bool = False
    shred: bool = False
    dry_run: bool = False


def archive(
    store: SessionStore[Any],
    options: ArchiveOptions,
    *,
    environ: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
    disk: Disk | None = None,
    patience: float = 5.0,
    threads: int = THREADS,
) -> Iterator[Archived | Skipped]:
    """Every file as it is done. ``LeaseTimeout`` where another archiver is at work; ``BackendUnavailable`` ends it.

    ``InvalidSetting`` where files are to be removed and what is sealed may lie in memory alone.
    """
    clock = clock or SystemClock()
    archiver = Archiver(store, disk=disk, clock=clock, dry_run=options.dry_run)
    if options.remove and not archiver.elements.are_lasting:
        raise InvalidSetting("no file is removed: this vault is in memory, or goes on there while its server is away")
    with contextlib.nullcontext() if options.dry_run else store.lease(LEASE, timeout=patience):
        chosen = _chosen(archiver, discover(options.sources, environ), options, clock)
        large = Lock()

        def work(found: SourceFile | Skipped) -> Archived | Skipped:
            if isinstance(found, Skipped):
                return found
            with large if found.status.st_size > _LARGE else contextlib.nullcontext():
                return archived(archiver, found, options)

        # A file is compressed and flushed while another one is read.
        yield from parallel_map(work, chosen, overlap=threads > 1, threads=threads)


def _chosen(
    archiver: Archiver, sources: Iterable[SourceFile | Skipped], options: ArchiveOptions, clock: Clock
) -> Iterator[SourceFile | Skipped]:
    for found in sources:
        source = found if isinstance(found, Skipped) else _renamed(archiver, found, options)
        if isinstance(source, Skipped) or (source is not None and is_chosen(source, options, clock)):
            yield source


def archived(archiver: Archiver, source: SourceFile, options: ArchiveOptions) -> Archived:
    """What became of one file."""
    try:
        done = archiver.archive(source)
        if done.outcome is not ArchiveOutcome.LEFT and options.remove and not done.problem:
            done = _removed(archiver, source, done, options)
    except _REFUSALS as error:
        done = Archived(source.path, "", ArchiveOutcome.LEFT, source.status.st_size, problem=str(error))
    return replace(done, agent=source.agent.name if source.agent else "")


def _removed(archiver: Archiver, source: SourceFile, done: Archived, options: ArchiveOptions) -> Archived:
    if options.dry_run:
        return replace(done, removed=archiver.is_quiet(source.status, options.older_than))
    try:
        remove(archiver, source, done.id, shred=options.shred, age=options.older_than)
    except (Changed, OSError) as error:
        return replace(done, problem=f"not removed: {words_of(error)}", is_busy=isinstance(error, Busy))
    return replace(done, removed=True)


def _renamed(archiver: Archiver, source: SourceFile, options: ArchiveOptions) -> SourceFile | Skipped | None:
    """The source; with its own name where a run before this one has ended while it was removing it.

    None where it has its own name as well, by which it is found, or was being shredded.
    """
    if not source.name.endswith((LEFTOVER, SHREDDED)):
        return source
    if options.dry_run or (source.name.endswith(SHREDDED) and not options.remove):
        return Skipped(source.path, "a run ended while it removed this file: the next with --remove goes on with it")
    try:
        if source.name.endswith(SHREDDED):
            finish_shredding(archiver, replace(source, name=source.name.removesuffix(SHREDDED)))
            return None
        if not put_back(archiver.disk, source.path):
            return None
    except (Changed, OSError, Unreadable) as error:
        return Skipped(source.path, str(error))
    return replace(source, name=source.name.removesuffix(LEFTOVER))


def is_chosen(source: SourceFile, options: ArchiveOptions, clock: Clock) -> bool:
    """Whether a file is one of those that the options mean."""
    if any(os.path.realpath(key) == os.path.realpath(source.path) for key in options.keys):
        return False
    if options.older_than and clock.now() - source.status.st_mtime_ns // 1000 < options.older_than:
        return False
    return options.project is None or is_of_project(source, options.project)
