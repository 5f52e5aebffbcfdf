"""OptimisticBackend: what backends have in common whose storage compares and swaps.

``commit`` shows the update function what this process knows to be newest, and the storage writes if that still stands
there: one round trip. Whatever the function makes of that, other than something to write, is asked again of what
really stands there.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from ..errors import Conflict, VaultError
from ..format.ids import locator_of
from ..format.sealed import Commit, Current, Delete, IndexRow, Update, Write, named
from ..util.deadline import pause
from ..util.fork import ForkSafe
from ..util.lru import LRU
from ..util.reentry import not_ours
from .protocol import Backend
from .rollback_guard import RollbackGuard

TRIES = 200
"""How often a commit is begun anew because others were quicker."""

_KNOWN = 4096
"""States kept, so that an append need not look first: at about 2 KB each."""

_LOCKS = 256


class StoredState(Protocol):
    """What stands in the storage for a session, as a change of it is compared and swapped on."""

    @property
    def newest(self) -> Current:
        """What that means."""
        ...


S = TypeVar("S", bound=StoredState)


class OptimisticBackend(ForkSafe, Backend, Generic[S]):
    """Sealed sessions in a storage that compares and swaps. Safe from any thread, and in the child of a fork."""

    def __init__(self) -> None:
        super().__init__()
        self._begin_anew()
        self._notes: dict[str, str] = {}

    def _begin_anew(self) -> None:
        """Nothing known and nothing locked: also in the child of a fork, where another thread may have held a lock."""
        self._seen = RollbackGuard()
        self._locks = tuple(threading.RLock() for _ in range(_LOCKS))
        self._states: LRU[str, S] = LRU(most=_KNOWN)

    def commit(self, key: str, update: Update) -> Commit:
        """Put behind the newest what ``update`` makes of it; see ``Backend.commit``.

        ``Conflict`` where others were quicker for too long. ``DurabilityUnknown`` where an answer was lost, and it is
        unknown whether the change was written.
        """
        self._check_open()
        key = locator_of(key)
        with not_ours(self._locks[hash(key) % _LOCKS]):
            state, is_certain = self._known(key), False
            for attempt in range(TRIES):
                if state is None:
                    state, is_certain = self._look(key), True
                    if state.newest is None:
                        self.confirm()
                try:
                    change = update(state.newest)
                    if isinstance(change, Write | Delete):
                        change = _checked(key, state.newest, change)
                except Exception:  # what the update raises, or the function of a caller's that it runs
                    if is_certain or self._stands(key, state):
                        raise
                    state = None  # it was said of something that is no longer the newest
                    continue
                if not isinstance(change, Write | Delete):
                    if is_certain or self._stands(key, state):
                        return Commit.of(state.newest, change)
                    state = None
                    continue
                if self._swap(key, state, change):
                    return Commit.of(state.newest, change)
                pause(min(attempt, 4))
                state, is_certain = self._known(key), False
            raise Conflict(f"others wrote to {key} {TRIES} times while this was tried: try again")

    def health(self) -> dict[str, str | None]:
        """Whether the storage answers and may be written to; see the module ``health`` beside this one."""
        self._check_open()
        problems, self._notes = self._inspect()
        if not any(problems.values()):
            try:
                self.confirm()
            except VaultError as error:
                problems = {**problems, next(iter(problems)): str(error)}
        return problems

    def notes(self) -> dict[str, str]:
        """What a crash of the storage would take, by its settings."""
        return self._notes

    # -- of each storage -----------------------------------------------------------------------------------------------

    @abstractmethod
    def _check_open(self) -> None:
        """``RuntimeError`` once it is closed."""

    @abstractmethod
    def confirm(self) -> None:
        """``VaultNotFound`` where the storage has lost what says that a vault is there: as if it were new.

        Asked where there is no session: else all of them would be told as absent.
        """

    def confirmed(self, heads: Iterator[IndexRow]) -> Iterator[IndexRow]:
        """The heads; where there are none the vault is looked for."""
        for head in heads:
            yield head
            break
        else:
            self.confirm()
        yield from heads

    @abstractmethod
    def _inspect(self) -> tuple[dict[str, str | None], dict[str, str]]:
        """Each component and its problem, and what is worth knowing of those that are well."""

    @abstractmethod
    def _look(self, key: str) -> S:
        """What stands there."""

    @abstractmethod
    def _stands(self, key: str, state: S) -> bool:
        """Whether that is still what stands there."""

    @abstractmethod
    def _swap(self, key: str, state: S, change: Write | Delete) -> bool:
        """Write it in place of that state, atomically and durably; False if something else stands there."""

    # -- what is known -------------------------------------------------------------------------------------------------

    def _known(self, key: str) -> S | None:
        state = self._states.get(key)
        if state is None or state.newest is None:  # of what is absent the vault itself is looked for
            return None
        row = state.newest
        return state if not isinstance(row, IndexRow) or row.torn or self._seen.is_news(row) else None


def _checked(key: str, newest: Current, change: Write | Delete) -> Write | Delete:
    """The change under the key of this storage; ``ValueError`` for what an update function must not return."""
    if isinstance(change, Delete):
        if locator_of(change.tombstone.key) != key:
            raise ValueError(f"a tombstone of another session than {key}")
        change.tombstone.check()
        return named(change, key)
    row = change.head
    if locator_of(row.key) != key or row.size != change.offset + len(change.data):
        raise ValueError(f"the head sealed for {key} does not describe the bytes beside it")
    follows = isinstance(newest, IndexRow) and not newest.torn and newest.size == change.offset
    if change.offset and not follows:
        raise ValueError(f"a record of {key} at offset {change.offset} does not follow the newest")
    return named(change, key)
