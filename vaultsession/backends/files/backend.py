"""FilesBackend: the verbs, over sealed containers, stripes and an index.

The index is never believed about a session: it lists, and it remembers what was acknowledged.

Locks are taken in this order: the stripe of a session, then the index. Only ``burying`` holds several stripes, which it
takes in ascending order. None is held while a caller's iterator waits.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from ...errors import BackendUnavailable, VaultError
from ...format.ids import locator_of
from ...format.sealed import (
    Commit,
    Container,
    Delete,
    DeleteUpdate,
    Heads,
    IndexRow,
    Query,
    ReadHead,
    Tombstone,
    Update,
    Witness,
    Write,
)
from ...util.disk import PRIVATE_DIRECTORY, Disk
from ..protocol import Backend, Traits
from .batch_delete import BatchDelete
from .commit import SessionCommits
from .container import is_still_empty_behind, is_unchanged, look
from .index import Index
from .layout import FilesLayout, key_in
from .listing import IndexListing
from .quarantine import Quarantine
from .rebuild import Progress, RebuildReport, batches
from .writers import WriterMarkers

_log = logging.getLogger("vaultsession")

_TOMBSTONES = 500
"""Tombstones in one page."""

Durability = Literal["sync", "os"]


class FilesBackend(Backend):
    """One container per session below ``path``, a vault directory that exists. Safe from any thread and any process.

    ``durability="os"`` skips every flush: what was acknowledged then survives the process and not a power cut. With
    ``writable`` False nothing is written at all. After ``close()`` every verb is a ``RuntimeError``.
    """

    def __init__(
        self, path: str, *, disk: Disk, describe: ReadHead, durability: Durability = "sync", writable: bool = True
    ) -> None:
        self._disk = disk
        self._describe = describe
        self._durable = durability == "sync"
        self.traits = Traits("files", durable=True, waits=self._durable)
        self._writable = writable
        self._layout = FilesLayout(path)
        self.quarantine = Quarantine(disk, self._layout, flush=self._durable)
        self._contents = Index(disk, self._layout, writable=writable, durable=self._durable)
        self._closed = False
        self._begin()
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        _alive.add(self)

    def _begin(self) -> None:
        """Locks, descriptors and a marker of this process alone, which owes the index nothing."""
        self._lagging = False
        self._markers = WriterMarkers(self._disk, self._layout, flush=self._durable)
        self._sessions = SessionCommits(
            self._disk, self._layout, self._contents, self.quarantine, self._describe, durable=self._durable
        )
        self._known = self._sessions.states.get
        self._burials = BatchDelete(
            self._disk,
            self._layout,
            self._contents,
            self.quarantine,
            self._sessions,
            durable=self._durable,
            begin=self._assure_marker,
            behind=self._fall_behind,
        )
        self._catalogue = IndexListing(
            self._disk,
            self._layout,
            self._contents,
            self.quarantine,
            self._sessions,
            mark=self._mark,
            writable=self._writable,
        )

    # -- one session ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> IndexRow | None:
        """The newest head; a look at its path and behind its end where nothing has changed."""
        state = self._known(key)
        try:
            if (
                state is not None
                and state.row is not None
                and is_unchanged(state, look(self._disk, state))
                and is_still_empty_behind(self._disk, state)
            ):
                return state.row
        except OSError:
            pass  # it is not there, or not to be had: told below
        self._check_open()
        try:
            return self._sessions.observe(key)
        except OSError as error:
            raise self._sessions.unavailable(key, error) from error

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on; ``settled`` waits for the stripe: never asked within an ``update``."""
        self._check_open()
        try:
            if not settled:
                return self._sessions.read(key, start)
            stripe = self._sessions.stripes.of(locator_of(key))
            with stripe.mutex, stripe:
                return self._sessions.read(key, start)
        except OSError as error:
            raise self._sessions.unavailable(key, error) from error

    def commit(self, key: str, update: Update) -> Commit:
        """Put behind the newest what ``update`` makes of it; see ``Backend.commit``."""
        if not self._markers.held or self._closed:
            self._begin_writing()
        begun = False
        sessions = self._sessions
        stripe = sessions.stripes.of(locator_of(key))
        try:
            with stripe.mutex, stripe:
                try:
                    state, newest = sessions.newest(key)
                except OSError as error:
                    raise self._sessions.unavailable(key, error) from error
                change = update(newest)
                if not isinstance(change, Write | Delete):
                    return Commit.of(newest, change)
                self._assure_marker()
                begun = True
                owed = sessions.put(key, state, newest, change)
            if owed is not None:
                sessions.flush(owed)
        except BaseException as error:
            if begun:
                self._fall_behind()
                sessions.states.drop(key)
                if isinstance(error, OSError):
                    raise self._sessions.unavailable(key, error) from error
            raise
        return Commit.of(newest, change)

    def delete_many(self, keys: Sequence[str], update: DeleteUpdate) -> Mapping[str, Commit | VaultError]:
        """Remove those that ``update`` says; see ``Backend.delete_many``."""
        if not self._markers.held or self._closed:
            self._begin_writing()
        return self._burials.delete_many(keys, update)

    # -- all sessions --------------------------------------------------------------------------------------------------

    def scan(self, query: Query) -> Heads:
        """Heads in the order asked for, read from the index in pages; nothing is held between two of them."""
        self._check_open()
        self._catalogue.refresh()
        return self._catalogue.pages(query, self._check_open)

    def count(self, query: Query) -> int:
        """How many heads ``scan`` would give without a limit."""
        self._check_open()
        self._catalogue.refresh()
        return self._catalogue.ask(lambda: self._contents.count(query))

    def stats(self) -> dict[str, int]:
        """Sessions, their bytes, tombstones, and what lies in quarantine."""
        self._check_open()
        self._catalogue.refresh()
        sessions, size, tombstones = self._catalogue.ask(self._contents.totals)
        try:
            kept = self.quarantine.entries()
        except OSError as error:
            raise BackendUnavailable(f"{self._layout.quarantine}: {error.strerror or error}") from error
        return {
            "sessions": sessions,
            "bytes": size,
            "tombstones": tombstones,
            "quarantined": len(kept),
            "quarantine_bytes": sum(entry[1] for entry in kept),
        }

    def tombstones(self) -> Iterator[Tombstone]:
        """Those that the index remembers, in pages; nothing is held between two of them."""
        self._check_open()
        self._catalogue.refresh()
        after = ""
        while page := self._catalogue.ask(partial(self._contents.tombstones, after, _TOMBSTONES)):
            yield from page
            after = locator_of(page[-1].key)
            self._check_open()

    def unindexed(self) -> Iterator[str]:
        """Containers that the index does not know: damaged or locked when it was derived."""
        self._check_open()
        self._catalogue.refresh()
        try:
            for names in batches(self._disk.names(self._layout.sessions)):
                keys = [key for key in map(key_in, names) if key is not None]
                listed = self._catalogue.ask(partial(self._contents.outlines, [locator_of(key) for key in keys]))
                yield from [key for key in keys if locator_of(key) not in listed]
        except OSError as error:
            raise BackendUnavailable(f"{self._layout.sessions}: {error.strerror or error}") from error

    def reindex(self, progress: Progress | None = None) -> RebuildReport:
        """Derive every row anew from its container. What was acknowledged, and the tombstones, stay remembered."""
        self._check_open()
        self._begin_writing()
        return self._catalogue.ask(lambda: self._catalogue.derive(everything=True, progress=progress))

    def reconcile(self) -> RebuildReport:
        """Derive the rows of containers that have changed since: what a writer that died did not list."""
        self._check_open()
        return self._catalogue.ask(lambda: self._catalogue.derive(everything=False))

    def witness_of(self, key: str) -> Witness | None:
        """The newest of a session that the index knows to be flushed."""
        self._check_open()
        return self._contents.known(locator_of(key)).witness

    def remembered(self, name: str) -> int | None:
        """A number that ``remember`` kept in the index; None also where that was derived anew since."""
        self._check_open()
        return self._catalogue.ask(lambda: self._contents.remembered(name))

    def remember(self, name: str, value: int) -> None:
        """Keep a number in the index, flushed; and before it the names in the vault's directory, which it speaks of.

        Else the index could remember a change of the keyring that a power cut takes back.
        """
        self._check_open()
        if self._durable:
            try:
                self._disk.sync_directory(self._layout.root)
            except OSError as error:
                raise BackendUnavailable(f"{self._layout.root}: {error.strerror or error}") from error
        self._catalogue.ask(lambda: self._contents.remember(name, value))

    def health(self) -> dict[str, str | None]:
        """The directory and the index, each with its problem in words."""
        self._check_open()
        directory = index = None
        try:
            self._disk.stat(self._layout.sessions)
        except OSError as error:
            directory = f"{self._layout.sessions}: {error.strerror or error}"
        try:
            self._catalogue.refresh()
            self._catalogue.ask(self._contents.totals)
        except VaultError as error:
            index = str(error)
        return {"files": directory, "index": index}

    @property
    def index_error(self) -> VaultError | None:
        """Why the index is not up to date; None while all is well."""
        return self._contents.error

    # -- the store itself ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Write the index, say that all is clean, and let go of everything. Idempotent."""
        if self._closed:
            return
        clean = False
        try:
            if self._markers.held:
                self._catalogue.ask(self._contents.settle)
                clean = not self._lagging
        except (VaultError, OSError) as error:
            _log.warning("the index was not written; the next opening derives it: %s", str(error))
        finally:
            self._closed = True
            _alive.discard(self)
            self._contents.close()
            self._burials.close()
            with contextlib.suppress(OSError):
                self._markers.release(clean=clean)
            self._sessions.close()

    def _open(self) -> None:
        """Make what is missing, and settle what writers that died have left undone."""
        if not self._writable:
            return
        for directory in (self._layout.sessions, self._layout.locks, self._layout.quarantine):
            with contextlib.suppress(OSError):  # it exists, or the vault is read-only: the first write will say so
                self._disk.mkdir(directory, PRIVATE_DIRECTORY)
        try:
            self._absolve_dead()
        except (OSError, VaultError) as error:
            # Sessions can be read without an index: the next listing, or the next opening, tries again.
            _log.warning("the index of %s was not brought up to date: %s", self._layout.root, str(error))

    def _absolve_dead(self) -> None:
        """Make an index if there is none, and bring it up to date with what writers that died did not list."""
        dead = self._markers.dead()
        try:
            self._catalogue.thorough = bool(dead)
            if self._contents.is_missing():
                self._catalogue.recover(0)
            if dead:
                self.reconcile()
                self._catalogue.ask(partial(self._contents.settle, others=True))
                self._markers.absolve(dead)
        finally:
            self._catalogue.thorough = False
            self._markers.leave(dead)

    def _begin_writing(self) -> None:
        """Take a writer's marker. It is flushed meanwhile, and waited for before the first byte is written."""
        self._check_open()
        if not self._writable:
            raise BackendUnavailable(f"{self._layout.root} was opened for reading only")
        if not self._take_marker():
            with self._locks_named():
                self._absolve_dead()
            self._take_marker()

    def _take_marker(self) -> bool:
        """Take a marker and have it flushed; False where there are none but those of dead writers."""
        with self._locks_named():
            taken = self._markers.take()
        if taken:
            self._contents.start(self._markers.assure)
        return taken

    def _mark(self) -> None:
        """See to it that the next opening reconciles, whatever becomes of this store: by a dirty marker, flushed.

        Where there are none but those of dead writers, they say so already; to absolve them would take an index.
        """
        if self._take_marker():
            self._wait_for_marker()

    def _assure_marker(self) -> None:
        """See to it that the marker of this store is on the medium, before the first byte is written."""
        if not self._markers.assured:
            self._wait_for_marker()

    def _fall_behind(self) -> None:
        """A file may have changed without the index being told: the next opening looks."""
        self._lagging = True

    def _wait_for_marker(self) -> None:
        with self._locks_named():
            self._markers.wait()

    @contextlib.contextmanager
    def _locks_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BackendUnavailable(f"{self._layout.locks}: {error.strerror or error}") from error

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")

    # -- a fork --------------------------------------------------------------------------------------------------------

    def _before_fork(self) -> None:
        self._held_for_fork = self._contents.before_fork()

    def _after_fork_in_parent(self) -> None:
        for lock in self._held_for_fork:
            lock.release()

    def _after_fork_in_child(self) -> None:
        """Everything anew: locks, descriptors and the marker are those of the parent's open files."""
        self._contents.after_fork()
        self._begin()


_alive: weakref.WeakSet[FilesBackend] = weakref.WeakSet()


def _each(act: Callable[[FilesBackend], None]) -> None:
    for backend in list(_alive):
        act(backend)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _each(FilesBackend._before_fork),  # noqa: SLF001 - our own class
        after_in_parent=lambda: _each(FilesBackend._after_fork_in_parent),  # noqa: SLF001 - as above
        after_in_child=lambda: _each(FilesBackend._after_fork_in_child),  # noqa: SLF001 - as above
    )
atexit.register(_each, FilesBackend.close)
