"""Removing many sessions at once: the stripes of a batch are held together, and their tombstones are one transaction.

One by one, a removal of a small session is mostly a transaction of the index, a look into the quarantine, and the wait
for the file system to free what nobody names any more. Here a batch shares the first two. The third is not waited for:
the descriptors of what was removed are held until the stripes are let go, and closed by other threads.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ...errors import DurabilityUnknown, VaultError, without_frames
from ...format.ids import locator_of
from ...format.sealed import Commit, Current, Delete, DeleteUpdate, IndexRow
from ...util.disk import Disk
from .commit import SessionCommits
from .container import ends_as_expected, is_spoiled, open_container
from .index import Index
from .layout import FilesLayout, stripe_of
from .locks import PathLock
from .open_files import MOST, FileState, OpenFile
from .quarantine import Quarantine

BATCH = min(32, MOST)
"""Sessions whose stripes are held together: some 2 ms of looks, names and one transaction.

With 64 nothing was quicker, and who appended beside a sweep waited twice as long at worst.
"""

_FEW = 8
"""Descriptors that are closed here: a thread costs as much as closing them."""

_CLOSING = 3
"""Threads that close, and batches whose descriptors wait for them before whoever removes more waits too."""

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

Outcomes = dict[str, Commit | VaultError]


class _Burial(NamedTuple):
    """A session that is to be removed, and the container that said so."""

    key: str
    state: FileState | None
    newest: Current
    grave: Delete


class BatchDelete:
    """Removes sessions of one vault in batches. Safe from any thread.

    ``begin`` is called under the stripes before the first name goes, and returns when the marker of this store is
    flushed; ``behind`` where files may have changed without the index being told.
    """

    def __init__(
        self,
        disk: Disk,
        layout: FilesLayout,
        contents: Index,
        quarantine: Quarantine,
        sessions: SessionCommits,
        *,
        durable: bool,
        begin: Callable[[], None],
        behind: Callable[[], None],
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._contents = contents
        self._quarantine = quarantine
        self._sessions = sessions
        self._durable = durable
        self._begin = begin
        self._behind = behind
        self._mutex = threading.Lock()
        self._closers: ThreadPoolExecutor | None = None
        self._closed = False
        self._closing: deque[Future[None]] = deque()

    def delete_many(self, keys: Sequence[str], update: DeleteUpdate) -> Mapping[str, Commit | VaultError]:
        """See ``Backend.delete_many``."""
        outcomes: Outcomes = {}
        for batch in _batches(keys):
            gone: list[OpenFile] = []
            numbers = sorted({stripe_of(locator_of(key)) for key in batch})
            stripes = [self._sessions.stripes.numbered(number) for number in numbers]
            try:
                _holding(stripes, partial(self._bury, batch, self._vouched(batch), update, outcomes, gone))
            except VaultError as error:  # a stripe, or the marker: nothing of the batch was changed
                outcomes.update(dict.fromkeys(batch, without_frames(error)))
            finally:
                self._let_go(gone)
        return outcomes

    def close(self) -> None:
        """Wait until every descriptor is closed."""
        with self._mutex:
            closers, self._closers, self._closed = self._closers, None, True
            self._closing.clear()
        if closers is not None:
            closers.shutdown()

    def _vouched(self, batch: Sequence[str]) -> Mapping[str, IndexRow]:
        """Rows that the index has of sessions whose container is not open here; none from an index that is damaged."""
        unknown = [locator_of(key) for key in batch if self._sessions.states.get(key) is None]
        if not unknown:
            return {}
        try:
            return self._contents.vouched(unknown)
        except VaultError:
            return {}

    def _bury(
        self,
        batch: Sequence[str],
        vouched: Mapping[str, IndexRow],
        update: DeleteUpdate,
        outcomes: Outcomes,
        gone: list[OpenFile],
    ) -> None:
        """Look at each of a batch, and remove those that are to go. Under all of its stripes."""
        burials = self._sentenced(batch, vouched, update, outcomes)
        if not burials:
            return
        self._begin()
        try:
            gone.extend(each.state.descriptor for each in burials if each.state is not None)
            self._remove([each for each in burials if not each.grave.shred], outcomes)
            for each in burials:
                if each.grave.shred:  # overwritten under a name of its own: one by one
                    outcomes[each.key] = self._attempt(each)
        except BaseException:
            self._behind()
            raise

    def _sentenced(
        self, batch: Sequence[str], vouched: Mapping[str, IndexRow], update: DeleteUpdate, outcomes: Outcomes
    ) -> list[_Burial]:
        """Those that are to be removed. Nothing is changed yet."""
        burials = []
        for key in batch:
            try:
                state, newest = self._newest(key, vouched.get(key))
                grave = update(key, newest)
            except OSError as error:
                outcomes[key] = self._sessions.unavailable(key, error)
            except VaultError as error:
                outcomes[key] = without_frames(error)
            else:
                outcomes[key] = Commit.of(newest, None if isinstance(grave, Delete) else grave)
                if isinstance(grave, Delete):
                    if grave.tombstone.key != key:
                        raise ValueError(f"a tombstone of another session than {key}")
                    burials.append(_Burial(key, state, newest, grave))
        return burials

    def _newest(self, key: str, row: IndexRow | None) -> tuple[FileState | None, Current]:
        """The newest of a session, under its stripe: by its row where that proves it, else by opening the container.

        A row proves it that the index knows to be flushed, whose record is the last of the file: 16 bytes of its tag
        stand there. Whatever was put behind or in place of that record since, by an append a moment ago or by someone
        who set the index back, ends the file with another tag; and a file that was set back by itself lacks this one.
        Nothing of it can be torn, since it was flushed. ``update`` proves that the row is genuine. A file and
        an index that were both set back to the same moment would pass here as they pass when the container is opened.
        """
        if row is not None:
            state = open_container(self._disk, self._layout.session(key), row.witness, None)
            if state is not None and not is_spoiled(state) and _ends_with(self._disk, state, row):
                return state, row
        return self._sessions.newest(key)

    def _remove(self, burials: Sequence[_Burial], outcomes: Outcomes) -> None:
        """Take the names away, then tell the index of all, before any stripe is let go: see ``SessionCommits.put``."""
        removed = []
        for each in burials:
            self._sessions.states.drop(each.key)
            try:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.unlink(self._layout.session(each.key))
            except OSError as error:
                self._behind()
                outcomes[each.key] = self._sessions.unavailable(each.key, error)
                continue
            self._contents.note_removed(each.grave.tombstone)
            outcomes[each.key] = Commit.of(each.newest, each.grave)
            removed.append(each)
        if not removed:
            return
        with contextlib.suppress(VaultError):
            self._contents.flush()
        try:
            self._quarantine.forget(*[locator_of(each.key) for each in removed])
        except OSError as error:
            self._behind()
            outcomes.update({each.key: self._sessions.unavailable(each.key, error) for each in removed})
        promised = [each.key for each in removed if each.grave.flush]
        if not promised or not self._durable:
            return
        try:
            self._disk.sync_directory(self._layout.sessions)
        except OSError as error:
            self._behind()
            for key in promised:
                outcomes[key] = DurabilityUnknown(f"{key}: removed, but the flush of the directory failed: {error}")

    def _attempt(self, burial: _Burial) -> Commit | VaultError:
        try:
            self._sessions.put(burial.key, None, None, burial.grave)
            return Commit.of(burial.newest, burial.grave)
        except OSError as error:
            self._behind()
            return self._sessions.unavailable(burial.key, error)
        except VaultError as error:
            self._behind()
            return without_frames(error)

    def _let_go(self, gone: list[OpenFile]) -> None:
        """Close what nobody names any more. Freeing a file may wait for the device: 2 ms each with ``discard``."""
        if len(gone) < _FEW or self._closed:
            gone.clear()
            return
        with self._mutex:
            if self._closers is None:
                from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - a millisecond that only a batch pays

                self._closers = ThreadPoolExecutor(_CLOSING, thread_name_prefix="vaultsession-closing")
            try:
                self._closing.append(self._closers.submit(gone.clear))
            except RuntimeError:  # the interpreter is about to end: no more threads
                gone.clear()
            oldest = self._closing.popleft() if len(self._closing) > _CLOSING else None
        if oldest is not None:
            oldest.result()


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Batches of sessions that share few stripes: each of them waits for few others, and few wait for it."""
    ordered = sorted(dict.fromkeys(keys), key=lambda key: stripe_of(locator_of(key)))
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


def _ends_with(disk: Disk, state: FileState, row: IndexRow) -> bool:
    """Whether the record of a row is the last of the container."""
    return state.size == row.size and ends_as_expected(disk, state._replace(row=row))


def _holding(stripes: Sequence[PathLock], work: Callable[[], T]) -> T:
    """Do it while all of the stripes are held, taken in ascending order.

    By recursion and not on an exit stack: there, an interrupt could arrive between the acquisition of a mutex and its
    entry on the stack, and leave it locked for ever.
    """
    if not stripes:
        return work()
    with stripes[0].mutex, stripes[0]:
        return _holding(stripes[1:], work)
