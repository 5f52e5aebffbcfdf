"""FilesBackend: the verbs, over sealed containers, stripes and an index.

The index is never believed about the content of a session: it lists, and it keeps what was acknowledged.

Locks are taken in this order: the stripe of a session, then the index. Only ``delete_many`` holds several stripes,
taken in ascending order. None is held while a caller's iterator waits.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Literal

from ...errors import BackendUnavailable, Damaged, DurabilityUnknown, VaultError
from ...format.ids import LOCATOR, locator_of
from ...format.sealed import (
    Commit,
    Container,
    Current,
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
from ...util.disk import CREATE_NEW, PRIVATE_DIRECTORY, PRIVATE_FILE, Disk, is_there, opened, sync_tree, write_all
from ...util.lazy import log
from ..protocol import Backend, RebuildReport, Traits
from . import index_queries
from .container import has_no_record_behind, is_at, is_unchanged, refuse_vanished, stat_path
from .container_store import ContainerStore, Unflushed
from .index import Index
from .index_schema import forget
from .layout import FULL, FilesLayout, key_in, keys_in, refusal
from .open_files import FileState
from .quarantine import Quarantine
from .rebuild import IndexRebuild, Progress, batches
from .writers import WriterMarkers

_PAGE = 500
_PAGE_OF_EXPIRED = 5000
"""The expired are not stored in the order of a listing: each page of them is a sort of all."""

_LOOKED_FOR = 500
"""Sessions whose files are looked for by one ``health``."""
_NAMED = 3
_PROBE = "0" * 32
_BLOCK = 4096

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
        self._read_head = describe
        self._durable = durability == "sync"
        self.traits = Traits("files", durable=True, waits=self._durable, slugs=True)
        self._writable = writable
        self._layout = FilesLayout(path)
        self.quarantine = Quarantine(disk, self._layout, durable=self._durable)
        self._index = Index(disk, self._layout, writable=writable, durable=self._durable)
        self._closed = False
        self._looked_behind = ""
        self._begin()
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        _alive.add(self)

    def _begin(self) -> None:
        """Locks, open files and a marker of this process alone."""
        self._markers = WriterMarkers(self._disk, self._layout, durable=self._durable)
        self._containers = ContainerStore(
            self._disk, self._layout, self._index, self.quarantine, self._read_head, durable=self._durable
        )
        self._open_file = self._containers.open_files.get
        self._rebuild = IndexRebuild(
            self._disk,
            self._layout,
            self._index,
            self._containers,
            self.quarantine,
            mark_dirty=self._mark_dirty,
            tokens=self._markers.tokens,
            writable=self._writable,
            durable=self._durable,
        )

    # -- one session ---------------------------------------------------------------------------------------------------

    def head(self, key: str) -> IndexRow | None:
        """The newest head: one ``lstat``, and a read behind its end, where nothing has changed."""
        state = self._open_file(key)
        try:
            if (
                state is not None
                and state.row is not None
                and is_unchanged(state, stat_path(self._disk, state))
                and has_no_record_behind(self._disk, state)
            ):
                return state.row
        except OSError:
            pass  # gone, or refused: reported below
        self._check_open()
        try:
            return self._containers.head(key)
        except OSError as error:
            raise self._containers.unavailable(key, error) from error

    def is_newest(self, key: str, point: Witness) -> bool:
        """Whether the session is at this point: one ``lstat``, and a read at its end. No head is opened to know it."""
        state = self._open_file(key)
        if state is None:
            return super().is_newest(key, point)
        try:
            if not (is_unchanged(state, stat_path(self._disk, state)) and is_at(self._disk, state, point)):
                return False
        except OSError:
            return False  # gone, or refused: whoever reads it says so
        if state.row is None and not state.end:  # from now on its end is not read
            self._containers.open_files.put(key, state._replace(end=point.version))
        return True

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on; ``settled`` waits for the stripe, so never within an ``update``."""
        self._check_open()
        try:
            if not settled:
                return self._containers.read(key, start)
            stripe = self._containers.stripes.of(locator_of(key))
            with stripe.mutex, stripe:
                return self._containers.read(key, start)
        except OSError as error:
            raise self._containers.unavailable(key, error) from error

    def commit(self, key: str, update: Update) -> Commit:
        refused = None if self._markers.held and not self._closed else self._begun_writing()
        begun = False
        containers = self._containers
        stripe = containers.stripes.of(key[LOCATOR])
        try:
            with stripe.mutex, stripe:
                try:
                    state, newest = containers.newest(key)
                except OSError as error:
                    raise containers.unavailable(key, error) from error
                change = update(newest)
                if not isinstance(change, Write | Delete):
                    return Commit.of(newest, change)
                if isinstance(change, Write) and (refused is not None or containers.unasked):
                    self._refuse(key, refused)
                if refused is None and not self._markers.flushed:
                    self._ensure_marker()
                begun = True
                if isinstance(change, Delete) or change.instead is None:
                    unflushed = containers.write(key, state, newest, change)
                else:
                    change, unflushed = self._written(key, state, newest, change, change.instead)
            if unflushed is not None:
                containers.flush(unflushed)
        except BaseException as error:
            if begun:
                containers.index_is_behind = True
                containers.open_files.drop(key)
                if isinstance(error, OSError):
                    raise containers.unavailable(key, error) from error
            raise
        return Commit.of(newest, change)

    def delete_many(self, keys: Sequence[str], update: DeleteUpdate) -> Mapping[str, Commit | VaultError]:
        refused = self._begun_writing()
        try:
            begin = self._ensure_marker if refused is None else lambda: None
            return self._containers.delete_many(keys, update, begin)
        except BaseException:
            self._containers.index_is_behind = True
            raise

    # -- all sessions --------------------------------------------------------------------------------------------------

    def scan(self, query: Query) -> Heads:
        """Heads in the order asked for, read from the index in pages; no lock is held between two of them."""
        self._flush_index()
        return self._pages(query)

    def count(self, query: Query) -> int:
        self._flush_index()
        return self._rebuild.read(partial(index_queries.count, query=query))

    def stats(self) -> dict[str, int]:
        """Sessions, their bytes, tombstones, and what lies in quarantine."""
        self._flush_index()
        sessions, size, tombstones = self._rebuild.read(index_queries.totals)
        with self._errors_of(self._layout.quarantine):
            copies = self.quarantine.entries()
        return {
            "sessions": sessions,
            "bytes": size,
            "tombstones": tombstones,
            "quarantined": len(copies),
            "quarantine_bytes": sum(entry[1] for entry in copies),
        }

    def tombstones(self) -> Iterator[Tombstone]:
        """Those in the index, in pages; no lock is held between two of them."""
        self._flush_index()
        after = ""
        while page := self._rebuild.read(partial(index_queries.tombstones, after=after, size=_PAGE)):
            yield from page
            after = locator_of(page[-1].key)
            self._check_open()

    def unindexed(self) -> Iterator[str]:
        """Containers without a row: damaged or locked when the index was rebuilt."""
        self._flush_index()
        with self._errors_of(self._layout.sessions):
            for names in batches(self._disk.names(self._layout.sessions)):
                keys = {locator_of(key): key for key in map(key_in, names) if key is not None}
                rows = self._rebuild.read(partial(index_queries.summaries, locators=list(keys)))
                yield from [key for locator, key in keys.items() if locator not in rows]

    def has_file(self, key: str) -> bool:
        """Whether a session has a file, of whatever state; one that was being made counts where it is whole."""
        with self._errors_of(self._layout.sessions):
            if is_there(self._disk, self._layout.session(key)):
                return True
            if not is_there(self._disk, self._layout.creation(key)):
                return False
        try:
            return self.head(key) is not None
        except Damaged:
            return False  # it was acknowledged, and is lost
        except VaultError:
            return True

    def keys(self) -> list[str]:
        """The keys of all sessions that have a file, in their order."""
        with self._errors_of(self._layout.sessions):
            return sorted(filter(self.has_file, keys_in(self._disk.names(self._layout.sessions))))

    def lost(self) -> Iterator[str]:
        """Sessions whose container a rebuild did not find; those that none has looked for are listed still."""
        self._flush_index()
        yield from [row.key for row in self._rebuild.read(index_queries.all_lost)]

    def reindex(self, progress: Progress | None = None, *, everything: bool = True) -> RebuildReport:
        """Rebuild every row from its container, or with ``everything`` False those that disagree with it.

        Witnesses and tombstones stay.
        """
        self._check_open()
        if everything:
            self._begin_writing()
        return self._rebuild.repaired(partial(self._rebuild.rebuild, everything=everything, progress=progress))

    def witness_of(self, key: str) -> Witness | None:
        """The newest version of a session that the index knows to be flushed."""
        self._check_open()
        return self._index.lookup(locator_of(key)).witness

    def forget(self, key: str) -> None:
        """Remember nothing of a session, so that it is not lost but absent: for who took its container away on purpose.

        Under its stripe.
        """
        self._rebuild.repaired(partial(self._index.write, partial(forget, locator=locator_of(key))))

    def remembered(self) -> Mapping[str, int]:
        """The numbers that ``remember`` kept in the index; none where that was replaced since."""
        self._check_open()
        return self._rebuild.read(index_queries.meta)

    def remember(self, name: str, value: int) -> None:
        """Keep a number in the index, flushed; and before it the names in the vault's directory, which it speaks of.

        Else the index could remember a change of the keyring that a power cut takes back.
        """
        self._check_open()
        if self._durable:
            with self._errors_of(self._layout.root):
                self._disk.sync_directory(self._layout.root)
        self._rebuild.repaired(partial(self._index.put_meta, name, value))

    def settle(self) -> None:
        """Flush the whole directory, and remember of every session that is listed that it is flushed."""
        self._check_open()
        try:
            with self._index.disconnected():
                sync_tree(self._disk, self._layout.root)
        except OSError as error:
            raise DurabilityUnknown(f"{self._layout.root}: not all could be flushed: {error}") from error
        self._rebuild.make_witnesses()
        self._index.sync(self._markers.tokens, others=True)

    def health(self) -> dict[str, str | None]:
        """The directory, whether it can be written and holds every session, and the index: each with its problem.

        Of the sessions that are listed some are looked for, the next ones each time.
        """
        self._check_open()
        directory = index = None
        try:
            self._disk.stat(self._layout.sessions)
            if self._writable:
                self._probe()
        except OSError as error:
            directory = str(refusal(self._layout.sessions, error))
        if (problem := self._rebuild.problem()) is not None:
            index = f"{problem}; sessions are listed from their files, and nothing proves that they are the newest"
        try:
            lost = [row.key for row in self._rebuild.read(index_queries.all_lost)] + self._newly_lost()
            if lost and directory is None:
                named = ", ".join(lost[:_NAMED]) + (", …" if len(lost) > _NAMED else "")
                count = "1 session is" if len(lost) == 1 else f"{len(lost)} sessions are"
                directory = f"{count} lost, whose file is gone: restore it, or delete the session: {named}"
        except VaultError as error:
            index = index or str(error)
        return {"files": directory, "index": index}

    def ask_index(self) -> None:
        """``BackendUnavailable`` where the index cannot be used: listings are derived in memory then."""
        if (problem := self._rebuild.problem()) is not None:
            raise BackendUnavailable(problem)

    # -- the store itself ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Flush the index, mark the marker clean, and close every file. Idempotent."""
        if self._closed:
            return
        clean = False
        try:
            if self._markers.held:
                self._rebuild.repaired(partial(self._index.sync, self._markers.new_token))
                if self._durable and self._containers.names_unflushed:  # a journal has them by now
                    self._disk.sync_directory(self._layout.sessions)
                clean = not (self._containers.index_is_behind or self._index.was_replaced)
        except (VaultError, OSError) as error:
            log.warning("the index was not written; the next opening rebuilds it: %s", str(error))
        finally:
            self._closed = True
            _alive.discard(self)
            with contextlib.ExitStack() as steps:  # each is done, also when one before it is interrupted
                steps.callback(self._containers.close)
                steps.callback(self._release, clean=clean)
                steps.callback(self._index.close)

    def _release(self, *, clean: bool) -> None:
        with contextlib.suppress(OSError):
            self._markers.release(clean=clean)

    def _probe(self) -> None:
        """Write a file and remove it again. ``OSError``: nothing can be written here."""
        path = self._layout.temporary(_PROBE)
        try:
            with opened(self._disk, path, CREATE_NEW, PRIVATE_FILE) as fd:
                write_all(self._disk, fd, bytes(_BLOCK), 0)
        finally:
            with contextlib.suppress(OSError):
                self._disk.unlink(path)

    def _newly_lost(self) -> list[str]:
        """Of the next sessions that are listed those that were acknowledged and whose file is gone."""
        rows = self._rebuild.read(partial(index_queries.summaries_after, after=self._looked_behind, size=_LOOKED_FOR))
        self._looked_behind = max(rows) if len(rows) == _LOOKED_FOR else ""
        lost = []
        for row in rows.values():
            try:
                self._disk.stat(self._layout.session(row.key))
            except FileNotFoundError:
                try:
                    self.head(row.key)
                except Damaged as error:
                    if error.lost is not None:
                        lost.append(row.key)
            except OSError:
                continue
        return lost

    def _open(self) -> None:
        """Make missing directories, and index what writers that died did not."""
        if not self._writable:
            return
        for directory in (self._layout.sessions, self._layout.locks, self._layout.quarantine):
            with contextlib.suppress(OSError):  # it exists, or the vault is read-only: the first write reports that
                self._disk.mkdir(directory, PRIVATE_DIRECTORY)
        try:
            self._recover()
        except (OSError, VaultError) as error:
            # Sessions can be read without an index: the next listing, or the next opening, tries again.
            log.warning("the index of %s was not rebuilt: %s", self._layout.root, str(error))

    def _recover(self) -> None:
        """Make an index if there is none, and rebuild what writers that died did not index."""
        dead = self._markers.dead()
        try:
            if self._index.is_missing():
                self._rebuild.replace(0)
            outdated = self._is_outdated()
            if dead or outdated:
                rebuild = partial(self._rebuild.rebuild, everything=False, outdated=outdated)
                report = self._rebuild.repaired(rebuild)
                if outdated:
                    log.warning(
                        "the index of %s was of another moment than the vault, like a restored one: it agrees now; "
                        "%d sessions that it named are gone, removed since or lost",
                        self._layout.root,
                        report.removed,
                    )
                self._rebuild.repaired(partial(self._index.sync, self._markers.tokens, others=True))
                self._markers.clear(dead)
        finally:
            self._markers.unlock(dead)

    def _is_outdated(self) -> bool:
        """Whether the index lacks what a writer left in it that closed: it is an older one, put back.

        Asked for twice before it is believed: a writer may just be closing.
        """
        for _ in range(2):
            tokens = self._markers.tokens()
            kept = self._rebuild.read(index_queries.meta) if tokens else {}
            if all(kept.get(name) == token for name, token in tokens.items()):
                return False
        return True

    def _begun_writing(self) -> str | None:
        """Why nothing can be written on a full medium, where a removal makes room; None: a marker is taken."""
        try:
            self._begin_writing()
        except BackendUnavailable as error:
            if getattr(error.__cause__, "errno", None) not in FULL:
                raise
            return str(error)
        return None

    def _refuse(self, key: str, refused: str | None) -> None:
        """``BackendUnavailable`` where nothing may be written: as ``refused``, or what was acknowledged is not known.

        Under the stripe.
        """
        if refused is not None:
            raise BackendUnavailable(refused) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if (problem := self._containers.unasked.get(key)) is not None:
            raise BackendUnavailable(problem)

    def _written(
        self, key: str, state: FileState | None, newest: Current, change: Write, instead: Callable[[], Write]
    ) -> tuple[Write, Unflushed | None]:
        """What was written, and what of it is to be flushed. Where there is no room for a whole container, a record."""
        containers = self._containers
        if self._disk.has_room(self._layout.sessions, len(change.data)):
            try:
                return change, containers.write(key, state, newest, change)
            except OSError as error:
                if error.errno not in FULL:
                    raise
        smaller = instead()._replace(note=change.note)
        return smaller, containers.write(key, state, newest, smaller)

    def _begin_writing(self) -> None:
        """Take a writer's marker. It is flushed meanwhile, and waited for before the first byte is written."""
        self._check_open()
        if not self._writable:
            raise BackendUnavailable(f"{self._layout.root} was opened for reading only")
        if not self._take_marker():
            with self._errors_of(self._layout.locks):
                self._recover()
            self._take_marker()

    def _take_marker(self) -> bool:
        """Take a marker and have it flushed; False where only those of dead writers are left."""
        with self._errors_of(self._layout.locks):
            taken = self._markers.take()
        if taken:
            self._index.start(self._markers.flush)
        return taken

    def _mark_dirty(self) -> None:
        """Make the next opening rebuild, whatever becomes of this store: by a dirty marker, flushed.

        Where only markers of dead writers are left, they are dirty already; to clear them would take an index.
        """
        if self._take_marker():
            self._ensure_marker()

    def _ensure_marker(self) -> None:
        """Return when the marker of this store is flushed: before the first byte is written."""
        if not self._markers.flushed:
            with self._errors_of(self._layout.locks):
                self._markers.wait()

    def _flush_index(self) -> None:
        """Let the index list everything that this process has written."""
        self._check_open()
        self._rebuild.flush()

    def _pages(self, query: Query) -> Heads:
        most = _PAGE if query.expired_at is None else _PAGE_OF_EXPIRED
        after, skip, left = query.after, query.offset, query.limit
        while left is None or left > 0:
            self._check_open()
            if self._rebuild.is_derived:  # for every page anew: the rest is one
                most = sys.maxsize
            size = most if left is None else min(left, most)
            rows = self._rebuild.read(partial(index_queries.page, query=query, after=after, size=size, skip=skip))
            yield from rows
            if len(rows) < size:
                break
            if left is not None:
                left -= size
            after, skip = (rows[-1].updated, locator_of(rows[-1].key)), 0
        else:
            return
        if query.expired_at is not None:  # for a sweep: what has expired is not lost for long
            yield from self._rebuild.read(partial(index_queries.all_lost, expired_at=query.expired_at))

    @contextlib.contextmanager
    def _errors_of(self, path: str) -> Iterator[None]:
        """Raise an ``OSError`` as ``BackendUnavailable`` of this path; ``VaultNotFound`` where the vault is gone."""
        try:
            yield
        except OSError as error:
            raise self._refusal(path, error) from error

    def _refusal(self, path: str, error: OSError) -> VaultError:
        if isinstance(error, FileNotFoundError):
            refuse_vanished(self._disk, self._layout.sessions)
        return refusal(path, error)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the store is closed")

    # -- a fork --------------------------------------------------------------------------------------------------------

    def _before_fork(self) -> None:
        self._held_for_fork = self._index.before_fork()

    def _after_fork_in_parent(self) -> None:
        for lock in self._held_for_fork:
            lock.release()

    def _after_fork_in_child(self) -> None:
        """Everything anew: locks, descriptors and the marker are those of the parent's open files."""
        self._index.after_fork()
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
