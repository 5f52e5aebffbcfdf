"""Rotation: a new first master key, and every session sealed under it, while other processes work.

::

    1  a new first master key, and a new vault key, flushed     from here on others seal new containers under it
    2  every session that lies under another key is replaced    one commit each, compared and swapped like any other
    3  tombstones, dictionaries and tenants' files likewise     each compared and swapped
    4  the old keys are marked as retired, flushed              they open and never seal again
    5  once more as 2 and 3: what was written meanwhile

It needs no journal. Under which key something lies stands in it, and that a rotation is under way in the keyring: an
older key that is not retired. The next rotation then goes on with it, also beside another one. Killed anywhere,
everything is under a key that the keyring holds.

Retired keys stay until they are pruned: mirrors and backups may still need them.

A rotation can drop dictionaries. Before step 1 they are marked as retired: who sees the new key compresses with another
from then on. The second look opens every session. They are deleted at the end, if every session could be read.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import closing, nullcontext

from ..backends.protocol import Backend
from ..errors import Conflict, InvalidSetting, TooLarge, UnknownDictionary, Unreadable, VaultError, without_frames
from ..format import record
from ..format.dictionaries import FIRST, LAST
from ..format.index_row import root_of
from ..format.keys import MasterKey
from ..format.payload import CODEC_DICTIONARY, dictionary_of
from ..format.sealed import Current, Delete, IndexRow, Query, ReadRange, Tombstone, Write
from ..util.lazy import log
from ..util.named_tuple import NamedTuple
from ..util.parallel import parallel_map
from ..vault.live_keyring import LiveKeyring
from ..vault.tenant_keys import TenantKeys
from .cache import SessionCache
from .listing import proved
from .reader import Reader
from .writer import Writer

Progress = Callable[[int, int], object]

_LARGE = 4 << 20
"""Bytes of a session from which on one is replaced at a time; smaller ones side by side, so that flushes overlap."""

_LAG = 0.15
"""Seconds after which a listing holds what other processes wrote before: three batches of index writes."""


class Rotation(NamedTuple):
    """What a rotation came to. Key ids in hex; ``left`` are the keys of sessions that could not be read, and what else.

    ``resumed``: it went on with one that was begun before.
    """

    key: str
    retired: tuple[str, ...]
    sessions: int
    replaced: int
    left: tuple[str, ...] = ()
    resumed: bool = False


class KeyUse(NamedTuple):
    """A key by its id, in hex, and how many sessions lie under it.

    ``state``: "seals" (the first), "opens" (an older one, while a rotation is under way), "retired", or "tenant".
    """

    id: str
    state: str
    sessions: int


class Rotator:
    """Changes master keys. Safe from any thread, and beside any other process."""

    def __init__(self, backend: Backend, reader: Reader, writer: Writer, cache: SessionCache) -> None:
        self._backend = backend
        self._reader = reader
        self._writer = writer
        self._cache = cache
        self._one_large = threading.Lock()
        self._without: frozenset[int] = frozenset()
        self._looks_closer = False

    @property
    def _keys(self) -> LiveKeyring:
        return self._reader.keys

    def rotate(self, progress: Progress | None = None, drop: Collection[int] = ()) -> Rotation:
        """See the module. What the storage refuses passes through; call again to go on.

        ``InvalidSetting`` for a dictionary to drop that the vault does not hold.
        """
        self._keys.refresh()
        dictionaries, before = self._reader.dictionaries, {master.id for master in self._keys.current.masters}
        for number in sorted(drop):
            try:
                dictionaries.find(number if FIRST <= number <= LAST else 0)
            except UnknownDictionary:
                raise InvalidSetting(f"the vault has no dictionary {number} that can be read") from None
        for number in drop:
            dictionaries.retire(number)
        self._without = frozenset(drop)
        first = self._keys.change(_begun).first
        total = self._backend.count(Query())
        replaced, _ = self._replace_all(total, progress)
        self._settle()
        keyring = self._keys.change(lambda masters: _retired_but(masters, first.id))
        if self._backend.traits.durable:
            time.sleep(_LAG)
        self._looks_closer = bool(drop)
        more, left = self._replace_all(total, None)
        for number in drop if not left and not self._backend.reindex().unreadable else ():
            dictionaries.delete(number)
        left += tuple(self._settle())
        retired = tuple(master.id.hex() for master in keyring.masters if master.retired)
        return Rotation(first.id.hex(), retired, total, replaced + more, left, resumed=first.id in before)

    def usage(self) -> list[KeyUse]:
        """The master keys, the one that seals first, then those of tenants: only such as sessions lie under."""
        self._keys.refresh()
        used = self._under()
        masters = self._keys.current.masters
        found = [
            KeyUse(
                master.id.hex(), "retired" if master.retired else "opens" if number else "seals", used.pop(master.id, 0)
            )
            for number, master in enumerate(masters)
        ]
        return found + [KeyUse(key_id.hex(), "tenant", count) for key_id, count in sorted(used.items())]

    def prune(self) -> tuple[str, ...]:
        """Delete the retired keys, and the keys of tenants that belong to them; their ids in hex.

        ``Conflict`` while something lies under one of them, or cannot be read: nothing is deleted then. Copies in
        quarantine, mirrors and backups are not looked at: what lies there under these keys is lost.
        """
        retired = {master.id for master in self._keys.change(lambda masters: masters).masters if master.retired}
        retired |= self._keys.outdated()
        if not retired:
            return ()
        self._refuse_used(retired)
        gone: list[MasterKey] = []
        of_tenants: dict[str, TenantKeys] = {}

        def without(masters: tuple[MasterKey, ...]) -> list[MasterKey]:
            gone[:] = [master for master in masters if master.id in retired]
            return [master for master in masters if master.id not in retired]

        self._keys.change(without)
        try:
            self._keys.delete_outdated(of_tenants)
            self._refuse_used(retired)
        except BaseException:
            # Another process sealed under one in the very moment (Conflict); or whether it did is not known, since the
            # backend was away or the look was interrupted. They come back.
            try:
                self._keys.change(lambda masters: [*masters, *(key for key in gone if key not in masters)])
            finally:
                self._keys.bring_back(of_tenants)
            raise
        return tuple(sorted(key_id.hex() for key_id in retired))

    def _settle(self) -> list[str]:
        """Put what is no session under the keys of the moment. What cannot be opened, in words."""
        self._keys.refresh()
        left = self._keys.rewrap_tenants()
        left += self._reader.dictionaries.reseal(self._keys.sealing_instead)
        for tombstone in self._backend.tombstones():
            if self._reader.rows.resigned(tombstone) is not None:
                self._backend.commit(tombstone.key, self._resigned)
        return left

    def _resigned(self, newest: Current) -> Delete | None:
        again = self._reader.rows.resigned(newest) if isinstance(newest, Tombstone) else None
        return None if again is None else Delete(again)

    def _under(self) -> Counter[bytes]:
        """How many sessions lie under each key."""
        return proved(
            self._backend,
            self._reader,
            Query(),
            lambda rows: Counter(each.header[record.KEY_ID] for each in rows),
        )

    def _replace_all(self, total: int, progress: Progress | None) -> tuple[int, tuple[str, ...]]:
        replaced, left, how, rows = 0, [], self._backend.traits, self._backend.scan(Query(newest_first=False))
        with closing(parallel_map(self._attempt, rows, overlap=how.waits, at_once=how.shared)) as outcomes:
            for number, (key, outcome) in enumerate(outcomes, 1):
                if isinstance(outcome, VaultError):
                    log.warning("still under its old key: %s: %s", key, outcome)
                    left.append(key)
                else:
                    replaced += outcome
                if progress is not None:
                    progress(number, max(total, number))
        return replaced, tuple(left)

    def _attempt(self, row: IndexRow) -> tuple[str, bool | VaultError]:
        with self._one_large if row.size > _LARGE else nullcontext():
            try:
                return row.key, self._replace(row)
            except (Unreadable, TooLarge) as error:
                return row.key, without_frames(error)

    def _replace(self, row: IndexRow) -> bool:
        def update(newest: Current) -> Write | None:
            if not isinstance(newest, IndexRow):
                return None
            opened = self._reader.opened(newest)
            fetch = self._cache.fetch(row.key)
            is_due = self._writer.is_under_another_key(opened) or self._hangs_on_another(newest)
            if not is_due and not (self._looks_closer and self._refers(row.key, fetch)):
                return None
            return self._writer.resealed(newest, opened, fetch, without=self._without)

        return (self._looks_closer or self._is_behind(row)) and self._backend.commit(row.key, update).change is not None

    def _refers(self, key: str, fetch: ReadRange) -> bool:
        """Whether a living record was compressed with a dictionary that is being dropped."""
        living = self._reader.living(key, fetch) or ()
        return any(each.codec == CODEC_DICTIONARY and dictionary_of(each.body) in self._without for each in living)

    def _is_behind(self, row: IndexRow) -> bool:
        """By the row alone; where it cannot be believed, the container is asked."""
        try:
            header, head = self._reader.rows.open(row)
        except Unreadable:
            return True
        return header[record.KEY_ID] != self._keys.sealing(head.tenant_id).id or self._hangs_on_another(row)

    def _hangs_on_another(self, row: IndexRow) -> bool:
        return root_of(row) != self._keys.current.first.id

    def _refuse_used(self, retired: set[bytes]) -> None:
        if left := self._settle():
            raise Conflict(f"what lies under a retired key and cannot be opened: {', '.join(left)}")
        if unreadable := self._backend.reindex().unreadable:
            said = "sessions cannot be read, and nobody can say which key they need: see `vaultsession doctor`"
            raise Conflict(f"{unreadable} {said}")
        used = proved(
            self._backend,
            self._reader,
            Query(),
            lambda rows: sum(not retired.isdisjoint((each.header[record.KEY_ID], root_of(each.row))) for each in rows),
        )
        if used:
            raise Conflict(f"{used} sessions lie under a retired key: `vaultsession key rotate` replaces them first")


def _begun(masters: tuple[MasterKey, ...]) -> tuple[MasterKey, ...]:
    """A new first key, unless a rotation is under way: then it is that one's."""
    if any(not master.retired for master in masters[1:]):
        return masters
    return (MasterKey.generate(), *masters)


def _retired_but(masters: tuple[MasterKey, ...], first: bytes) -> tuple[MasterKey, ...]:
    """All retired that stand behind the first; all as they are if another rotation has begun since."""
    if masters[0].id != first:
        return masters
    return (masters[0], *(master._replace(retired=True) for master in masters[1:]))
