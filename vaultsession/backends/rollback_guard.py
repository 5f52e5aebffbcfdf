"""What this process has itself seen of sessions that lie elsewhere: who shows it something older later is found out.

A server keeps a session and the row about it, and can set back both at once. What was seen here it cannot set back. It
lasts as long as the process, and for the sessions that were used last.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from ..format.ids import locator_of
from ..format.sealed import Current, IndexRow, Tombstone, Witness

MOST = 65_536
"""Sessions remembered, at about 400 bytes each."""


class _Sight(NamedTuple):
    witness: Witness | None
    grave: Tombstone | None


class RollbackGuard:
    """The newest point of the life of each session, and its newest tombstone. Bounded; safe from any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._sights: OrderedDict[str, _Sight] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, key: str, witness: Witness) -> None:
        """Remember it unless something as new is known: of two versions of one point the first is believed."""
        with self._lock:
            known = self._known(key)
            if known.witness is None or witness[:2] > known.witness[:2]:
                self._keep(key, _Sight(witness, known.grave))

    def delete_many(self, key: str, tombstone: Tombstone) -> None:
        """Remember that what lived up to this generation was removed."""
        with self._lock:
            known = self._known(key)
            if known.grave is None or tombstone.generation > known.grave.generation:
                self._keep(key, _Sight(known.witness, tombstone))

    def see(self, key: str, newest: Current) -> None:
        """``note`` or ``delete_many``, as it may be. Of what cannot be extended nothing is remembered."""
        if isinstance(newest, Tombstone):
            self.delete_many(key, newest)
        elif isinstance(newest, IndexRow) and not newest.torn:
            self.note(key, newest.witness)

    def get(self, key: str) -> Witness | None:
        """The newest point that was seen."""
        with self._lock:
            return self._known(key).witness

    def grave(self, key: str) -> Tombstone | None:
        """The newest tombstone that was seen."""
        with self._lock:
            return self._known(key).grave

    def _known(self, key: str) -> _Sight:
        return self._sights.get(locator_of(key), _NOTHING)

    def _keep(self, key: str, sight: _Sight) -> None:
        name = locator_of(key)
        self._sights[name] = sight
        self._sights.move_to_end(name)
        if len(self._sights) > self._most:
            self._sights.popitem(last=False)


_NOTHING = _Sight(None, None)
