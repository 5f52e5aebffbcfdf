"""MirrorBackend: every verb is the primary's. What a commit changed is marked for the mirror; nothing waits for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import VaultError
from ...format.sealed import Container, Current, Delete, Heads, IndexRow, Query, Update, Write
from ..protocol import Backend, Burying, SealGrave, Traits, remarks_of
from .replicator import Replicator


class MirrorBackend:
    """A backend with a follower. Safe from any thread.

    No verb touches the follower, so none can fail or wait because of it; only ``close`` gives it a bounded time.
    """

    def __init__(self, primary: Backend, mirror: Replicator) -> None:
        self.primary = primary
        self.mirror = mirror
        self._mark = mirror.mark
        if isinstance(primary, Burying):  # else it would look like one
            self._primary_bury = primary.delete_many
            self.delete_many = self._bury

    @property
    def traits(self) -> Traits:
        """Those of the primary."""
        return self.primary.traits

    def head(self, key: str) -> IndexRow | None:
        """The newest head, of the primary."""
        return self.primary.head(key)

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container, of the primary."""
        return self.primary.read(key, start, settled=settled)

    def commit(self, key: str, update: Update) -> Current:
        """To the primary. Marked also where that raised: what it has then, a look will tell."""
        changes = False

        def watched(newest: Current) -> Write | Delete | None:
            nonlocal changes
            result = update(newest)
            changes = result is not None
            return result

        try:
            return self.primary.commit(key, watched)
        finally:
            if changes:
                self._mark(key)

    def _bury(self, keys: Sequence[str], update: SealGrave) -> Mapping[str, Current | VaultError]:
        """As ``commit``, of many."""
        changed: set[str] = set()

        def watched(key: str, newest: Current) -> Delete | None:
            grave = update(key, newest)
            if grave is not None:
                changed.add(key)
            return grave

        try:
            return self._primary_bury(keys, watched)
        finally:
            for key in changed:
                self._mark(key)

    def scan(self, query: Query) -> Heads:
        """Those of the primary."""
        return self.primary.scan(query)

    def count(self, query: Query) -> int:
        """Those of the primary."""
        return self.primary.count(query)

    def reindex(self) -> object:
        """The primary's index."""
        return self.primary.reindex()

    def stats(self) -> dict[str, int]:
        """Those of the primary, and how far the mirror is behind."""
        status = self.mirror.status()
        return {
            **self.primary.stats(),
            "mirror_behind": status.behind,
            "mirror_lag_seconds": int(status.lag or 0),
            "mirror_refused": len(status.refused),
            "mirror_extra": status.extra,
        }

    def health(self) -> dict[str, str | None]:
        """Those of the primary, and the mirror where somebody has to see to it; see ``MirrorStatus.problem``."""
        return {**self.primary.health(), "mirror": self.mirror.status().problem}

    def remarks(self) -> dict[str, str]:
        """Those of the primary, and how the mirror stands where that is no problem."""
        status = self.mirror.status()
        level = status.error is None and not status.behind and not status.comparing
        return {**remarks_of(self.primary), "mirror": "ok" if level else status.words}

    def close(self) -> None:
        """Give the mirror its time, then close the primary. Idempotent."""
        try:
            self.mirror.close()
        finally:
            self.primary.close()
