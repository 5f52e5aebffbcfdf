"""MirrorBackend: every verb is the primary's. What a commit changed is marked for the mirror; nothing waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ...errors import VaultError
from ...format.sealed import (
    Commit,
    Container,
    Current,
    Delete,
    DeleteUpdate,
    Heads,
    IndexRow,
    Keep,
    Query,
    Tombstone,
    Update,
    Witness,
)
from ..protocol import Backend, RebuildReport, RecordedUpdate
from .replicator import Replicator


class MirrorBackend(Backend):
    """A backend with a follower. Safe from any thread.

    No verb touches the follower, so none can fail or wait because of it; only ``close`` gives it a bounded time.
    """

    def __init__(self, primary: Backend, mirror: Replicator) -> None:
        self.primary = primary
        self.mirror = mirror
        self._mark = mirror.mark
        self.traits = primary.traits

    def head(self, key: str) -> IndexRow | None:
        return self.primary.head(key)

    def is_newest(self, key: str, point: Witness) -> bool:
        """Whether that is the newest point, of the primary."""
        return self.primary.is_newest(key, point)

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        return self.primary.read(key, start, settled=settled)

    def commit(self, key: str, update: Update) -> Commit:
        """To the primary. Marked also where that raised: what it has then, a look will show."""
        recorded = RecordedUpdate(update)
        try:
            return self.primary.commit(key, recorded)
        finally:
            if recorded.change is not None:
                self._mark(key)

    def delete_many(self, keys: Sequence[str], update: DeleteUpdate) -> Mapping[str, Commit | VaultError]:
        changed: set[str] = set()

        def recorded(key: str, newest: Current) -> Delete | Keep | None:
            change = update(key, newest)
            if isinstance(change, Delete):
                changed.add(key)
            return change

        try:
            return self.primary.delete_many(keys, recorded)
        finally:
            for key in changed:
                self._mark(key)

    def scan(self, query: Query) -> Heads:
        return self.primary.scan(query)

    def count(self, query: Query) -> int:
        return self.primary.count(query)

    def reindex(self) -> RebuildReport:
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

    def tombstones(self) -> Iterator[Tombstone]:
        return self.primary.tombstones()

    def unindexed(self) -> Iterator[str]:
        return self.primary.unindexed()

    def lost(self) -> Iterator[str]:
        return self.primary.lost()

    def notes(self) -> dict[str, str]:
        """Those of the primary, and how the mirror stands where that is no problem."""
        status = self.mirror.status()
        level = status.error is None and not status.behind and not status.comparing
        return {**self.primary.notes(), "mirror": "ok" if level else status.words}

    def close(self) -> None:
        """Give the mirror its time, then close the primary. Idempotent."""
        try:
            self.mirror.close()
        finally:
            self.primary.close()
