"""What this process has itself seen of sessions that lie elsewhere, so that an older state shown later is found out.

A server keeps a session and the row about it, and can set back both at once. What was seen here it cannot set back. It
lasts as long as the process, and for the sessions that were used last.
"""

from __future__ import annotations

import threading

from ..format.ids import locator_of
from ..format.sealed import Current, IndexRow, Tombstone, Witness
from ..util.lru import LRU
from ..util.named_tuple import NamedTuple

MOST = 65_536
"""Sessions remembered, at about 400 bytes each."""


class Sight(NamedTuple):
    """What was seen of one session: the newest point of its life, and its newest tombstone."""

    witness: Witness | None = None
    tombstone: Tombstone | None = None

    def joined(self, witness: Witness | None = None, tombstone: Tombstone | None = None) -> Sight:
        """With what a storage says, where that is newer. Of two versions of one point the one that was seen stays."""
        point, grave = self
        if witness is not None and (point is None or witness[:2] > point[:2]):
            point = witness
        if tombstone is not None and (grave is None or tombstone.generation > grave.generation):
            grave = tombstone
        return Sight(point, grave)


UNSEEN = Sight()


class RollbackGuard:
    """What was seen of each session. Bounded; safe from any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._sights: LRU[str, Sight] = LRU(most=most)
        self._lock = threading.RLock()

    def see(self, key: str, newest: Current) -> None:
        """Remember it unless something as new is known. Of what cannot be extended nothing is remembered."""
        if isinstance(newest, Tombstone):
            self._join(key, None, newest)
        elif isinstance(newest, IndexRow) and not newest.torn:
            self._join(key, newest.witness, None)

    def sight(self, key: str) -> Sight:
        """What was seen of a session."""
        return self._sights.get(locator_of(key)) or UNSEEN

    def is_news(self, row: IndexRow) -> bool:
        """Whether a row is not set back behind what was seen."""
        witness, tombstone = self.sight(row.key)
        if tombstone is not None and row.generation <= tombstone.generation:
            return False
        return witness is None or row.witness[:2] > witness[:2] or row.witness == witness

    def _join(self, key: str, witness: Witness | None, tombstone: Tombstone | None) -> None:
        name = locator_of(key)
        with self._lock:
            known = self._sights.get(name) or UNSEEN
            grave = known.tombstone
            if tombstone is not None and grave is not None and tombstone.generation == grave.generation:
                known = known._replace(tombstone=None)  # what a storage says was joined before: this process signed it
            sight = known.joined(witness, tombstone)
            if sight != known:
                self._sights.keep(name, sight)
