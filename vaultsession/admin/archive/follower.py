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
from ..importers.session import Skipped
from .archiver import Archived, Archiver
from .discovery import changed_file, places_of
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
        self["removed"] += done.removed
        self["left"] += bool(done.problem) and not done.is_busy


def follow(
    store: SessionStore[Any],
    options: ArchiveOptions,
    *,
    environ: Mapping[str, str] = os.environ,
    clock: Clock | None = None,
    stop: Event | None = None,
) -> Iterator[Minute]:
    """Archive what there is, then what is written, until ``stop``; a ``Minute`` whenever something was done in one.

    ``InvalidSetting`` without the extra. An archiver that runs beside this one is waited for.
    """
    try:
        from watchfiles import watch  # noqa: PLC0415 - an extra: imported when used
    except ImportError:
        raise InvalidSetting("following needs the package watchfiles: pip install 'vaultsession[archive]'") from None
    clock = clock or SystemClock()
    archiver = Archiver(store, clock=clock)
    places = places_of(options.sources, environ)
    if not places:
        raise InvalidSetting("there is nothing to follow: no agent has files here, and no directory is named")
    minute, said, whole = Minute(), clock.now(), 0
    for changes in watch(
        *places, debounce=_QUIET, step=_STEP, rust_timeout=_LOOK, yield_on_timeout=True, stop_event=stop,
        ignore_permission_denied=True, watch_filter=None,
    ):  # fmt: skip
        if clock.now() - whole >= _WHOLE_RUN * 1_000_000:
            try:
                for done in archive(store, options, environ=environ, clock=clock):
                    minute.add(done)
                whole = clock.now()
            except LeaseTimeout:
                minute["waited"] += 1
        else:
            found = (changed_file(path, places) for path in sorted({path for _, path in changes}))
            chosen = [source for source in found if source is not None and is_chosen(source, options, clock)]
            if chosen:
                with store.lease(LEASE):
                    for source in chosen:
                        minute.add(archived(archiver, source, replace(options, remove=False)))
        if clock.now() - said >= _LOOK * 1000 or said == 0:
            if minute:
                yield minute
            minute, said = Minute(), clock.now()
    if minute:
        yield minute
