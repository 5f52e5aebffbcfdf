"""The index as the verbs see it: it knows what this process knows, and is derived anew where it is damaged."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ...errors import BackendUnavailable
from ...format.ids import locator_of
from ...format.sealed import Heads, Query
from ...util.disk import Disk
from .commit import SessionCommits
from .index import Index
from .index_schema import IndexDamaged
from .layout import FilesLayout
from .quarantine import Quarantine
from .rebuild import Progress, RebuildReport, derive

_log = logging.getLogger("vaultsession")

_PAGE = 500
_PAGE_OF_EXPIRED = 5000

T = TypeVar("T")


class IndexListing:
    """Lists and counts. ``mark`` takes the marker of this store, and returns when it is flushed.

    No method is called under a stripe: deriving the index takes them one by one.
    """

    def __init__(
        self,
        disk: Disk,
        layout: FilesLayout,
        contents: Index,
        quarantine: Quarantine,
        sessions: SessionCommits,
        *,
        mark: Callable[[], None],
        writable: bool,
    ) -> None:
        self._disk = disk
        self._layout = layout
        self._contents = contents
        self._quarantine = quarantine
        self._sessions = sessions
        self._mark = mark
        self._writable = writable
        self._recovering = threading.Lock()
        self.thorough = False
        """Whether bodies are opened where everything is derived anew: a writer that died may have left torn ones."""

    def pages(self, query: Query, check_open: Callable[[], None]) -> Heads:
        """Heads in the order asked for; nothing is held between two pages."""
        # The expired are not stored in the order of a listing, so each page of them is a sort of all.
        most = _PAGE if query.expired_at is None else _PAGE_OF_EXPIRED
        after, skip, left = query.after, query.offset, query.limit
        while left is None or left > 0:
            check_open()
            size = most if left is None else min(left, most)
            rows = self.ask(partial(self._contents.page, query, after, size, skip))
            yield from rows
            if len(rows) < size:
                return
            if left is not None:
                left -= size
            after, skip = (rows[-1].updated, locator_of(rows[-1].key)), 0

    def refresh(self) -> None:
        """Let the index know all that this process knows."""
        self.ask(self._contents.flush)

    def ask(self, question: Callable[[], T]) -> T:
        """Ask the index; if it is damaged or gone, derive it anew and ask again."""
        try:
            return question()
        except IndexDamaged as damage:
            if not self._writable:
                raise BackendUnavailable(f"{damage}; opened for reading only, so it is not derived anew") from damage
            _log.warning("the index is derived anew: %s", str(damage))
            self.recover(damage.inode)
        try:
            return question()
        except IndexDamaged as damage:
            raise BackendUnavailable(f"{damage}, again after it was derived anew") from damage

    def recover(self, damaged: int) -> None:
        """Put the damaged file aside, and derive another. The witness and the tombstones are lost with it."""
        with self._recovering:
            # An index that was begun and not completed looks whole: before there is one, a dirty marker has to say
            # otherwise, flushed.
            with contextlib.closing(self._disk.names(self._layout.sessions)) as names:
                if next(names, None) is not None:
                    self._mark()
            if not self._contents.start_over(damaged, self._quarantine):
                return  # another thread or process has done it
            try:
                self.derive(everything=True, afresh=True)
            except IndexDamaged as again:
                raise BackendUnavailable(f"{again}, while it was derived anew") from again

    def derive(self, *, everything: bool, afresh: bool = False, progress: Progress | None = None) -> RebuildReport:
        """See ``reconcile.derive``."""
        try:
            report = derive(
                self._disk,
                self._layout,
                self._contents,
                self._sessions.stripes,
                partial(self._sessions.observe, thorough=self.thorough or not everything),
                everything=everything,
                afresh=afresh,
                progress=progress,
            )
        except OSError as error:
            raise BackendUnavailable(f"{self._layout.sessions}: {error.strerror or error}") from error
        if report.temporaries:
            with contextlib.suppress(OSError):  # else one may come back, when nobody looks for it
                self._disk.sync_directory(self._layout.sessions)
        if any(report):
            _log.info("the index was derived from the sessions: %s", report)
        return report
