"""Files sealed as agents write them: what has changed is archived, and all of it now and then (extra ``archive``)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Event
from typing import Any

from ...errors import InvalidSetting, LeaseTimeout
from ...store.store import SessionStore
from ...util.clock import Clock, SystemClock
from ..importers.sources import Skipped
from .archiver import Archived, Archiver
from .discovery import changed_files, places_of
from .run import LEASE, ArchiveOptions, archive, archived, is_chosen

_QUIET = 5_000
"""Milliseconds for which changes are gathered before they are sealed."""
_STEP = 500
_LOOK = 60_000
_WHOLE_RUN = 3_600
"""Seconds between looks at every file: what was left because it was in use is done then."""


class Minute(Counter[str]):
    """What was done since the last line about it."""

    def add(self, done: Archived | Skipped) -> None:
        """Count what became of a file."""
        if isinstance(done, Skipped):
            self["skipped"] += 1
            return
        if done.added:
            self[str(done.outcome)] += 1
            self["bytes"] += done.added
        if done.removed:
            self["removed"] += 1
        if done.problem and not done.is_busy:
            self["left"] += 1


class ArchiveFollower:
    """Archives what there is, then what is written. ``InvalidSetting`` where there is nothing to follow."""

    def __init__(
        self,
        store: SessionStore[Any],
        options: ArchiveOptions,
        *,
        environ: Mapping[str, str] = os.environ,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._options = options
        self._environ = environ
        self._clock = clock or SystemClock()
        self._archiver = Archiver(store, clock=self._clock, remembers=True)
        self._places = places_of(options.sources, environ)
        self._minute = Minute()
        self._looked: int | None = None
        if not self._places:
            raise InvalidSetting("there is nothing to follow: no agent has files here, and no directory is named")

    def run(self, stop: Event | None = None) -> Iterator[Minute]:
        """Go on until ``stop``, or Ctrl-C; what was done in a minute, whenever something was. ``InvalidSetting``."""
        try:
            from watchfiles import watch  # noqa: PLC0415 - an extra: imported when used
        except ImportError:
            raise InvalidSetting("following needs watchfiles: pip install 'vaultsession[archive]'") from None
        self._look(again=True)  # within a minute: for what is written before the watch begins
        yield self._taken()
        said = self._clock.now()
        for changes in watch(
            *self._places, debounce=_QUIET, step=_STEP, rust_timeout=_LOOK, yield_on_timeout=True, stop_event=stop,
            ignore_permission_denied=True, watch_filter=None, raise_interrupt=False,
        ):  # fmt: skip
            now = self._clock.now()
            if self._looked is None or now - self._looked >= _WHOLE_RUN * 1_000_000:
                self._look()
            else:
                self._seal({path for _, path in changes})
            if now - said >= _LOOK * 1000 and self._minute:
                yield self._taken()
                said = now
        if self._minute:
            yield self._taken()

    def _look(self, *, again: bool = False) -> None:
        """Every file of the sources. Where another archiver is at work, or ``again``, also the next time."""
        try:
            for done in archive(self._store, self._options, environ=self._environ, clock=self._clock):
                self._minute.add(done)
        except LeaseTimeout:
            return
        self._looked = None if again else self._clock.now()

    def _seal(self, paths: set[str]) -> None:
        """Files that were written to; none of them is removed, since it is in use."""
        found = {each.path: each for path in paths for each in changed_files(path, self._places)}
        chosen = [found[path] for path in sorted(found) if is_chosen(found[path], self._options, self._clock)]
        if not chosen:
            return
        try:
            with self._store.lease(LEASE):
                for source in chosen:
                    self._minute.add(archived(self._archiver, source, replace(self._options, remove=False)))
        except LeaseTimeout:  # another archiver is at work
            self._looked = None

    def _taken(self) -> Minute:
        minute, self._minute = self._minute, Minute()
        return minute
