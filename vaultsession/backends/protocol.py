"""Backend: a handful of verbs over sealed values. To write a backend is to write these.

Every verb may be called from any thread. Storage errors are raised as ``BackendUnavailable``, a flush whose outcome
is unknown as ``DurabilityUnknown``; ``Unreadable`` comes from the ``ReadHead`` that the backend was given and passes
through. Held to this contract by ``vaultsession.testing.BackendContract``.

Decision (2026-11): writing, appending and removing are one verb. What shall follow is always a function of what is
newest, so ``commit`` takes that function and the backend guarantees that nothing comes between; compare-and-swap is an
``update`` that raises Conflict. Three verbs with an ``expect`` each said the same in three ways.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Protocol

from ..errors import BackendUnavailable, VaultError, without_frames
from ..format.sealed import (
    Commit,
    Container,
    Current,
    Decision,
    Delete,
    DeleteUpdate,
    Heads,
    IndexRow,
    Query,
    ReadHead,
    Tombstone,
    Update,
    Witness,
    Write,
)
from ..util.named_tuple import NamedTuple
from ..util.parallel import parallel_map
from .leases import Leases

LARGEST_VALUE = 64 << 20
"""Bytes of the largest value of metadata: the list of tenants, as long as a vault's may be, takes half of it."""


class Traits(NamedTuple):
    """Whether a backend outlives the process, whether several hosts share it, and whether it expires by itself.

    ``waits``: whether a write waits for a medium or a server, so that several at once are quicker than one by one.
    ``slugs``: whether a session's key may say what it is called, as the name of a file does. Elsewhere it is the
    locator alone, so that nobody reads there what people call their sessions.
    ``postpones``: whether a write that is acknowledged may wait in the memory of this process alone.
    """

    name: str
    durable: bool
    waits: bool
    shared: bool = False
    expires: bool = False
    slugs: bool = False
    postpones: bool = False


class RebuildReport(NamedTuple):
    """What a rebuild met: containers; rows changed and removed; containers unreadable; orphaned temporaries removed.

    ``lost`` are sessions that were acknowledged and whose container is gone.
    """

    scanned: int = 0
    changed: int = 0
    removed: int = 0
    unreadable: int = 0
    temporaries: int = 0
    lost: int = 0


class Backend(ABC):
    """Sealed sessions by key. What is not abstract has a slow, correct default.

    Of a key the locator counts: a slug in front of it makes no other session. Rows and tombstones come back under the
    locator or, with ``Traits.slugs``, under the name of the file.
    """

    traits: Traits

    @abstractmethod
    def head(self, key: str) -> IndexRow | None:
        """The newest head."""

    def is_newest(self, key: str, point: Witness) -> bool:
        """Whether the session is at this point, which was read or written before. Called on every cached load."""
        row = self.head(key)
        return row is not None and row.version == point.version

    @abstractmethod
    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on (negative: that many last bytes), as one consistent view.

        ``settled`` waits until no writer of this key is half-way; asked before a verdict other than clean is believed.
        """

    @abstractmethod
    def commit(self, key: str, update: Update) -> Commit:
        """Put behind the newest what ``update`` makes of it, atomically and durably."""

    @abstractmethod
    def scan(self, query: Query) -> Heads:
        """Heads in the order asked for. May lag behind other processes by a moment, never behind this one."""

    @abstractmethod
    def count(self, query: Query) -> int:
        """How many heads ``scan`` would give without a limit."""

    @abstractmethod
    def reindex(self) -> RebuildReport:
        """Forget whatever was derived from the containers, for listing them, and derive it anew."""

    @abstractmethod
    def stats(self) -> dict[str, int]:
        """Counts and bytes: at least ``sessions`` and ``bytes``."""

    @abstractmethod
    def health(self) -> dict[str, str | None]:
        """Each component by name, and its problem in words: None where it is well."""

    @abstractmethod
    def close(self) -> None:
        """Release what is held. Idempotent."""

    def delete_many(self, keys: Sequence[str], update: DeleteUpdate) -> Mapping[str, Commit | VaultError]:
        """Remove those that ``update`` says, each by itself as ``commit`` would, in any order.

        By key what became of it, or why it is not known to be removed; what fails for one holds up no other. Once the
        storage is away the rest is not tried: each commit would wait as long.
        """
        away: list[BackendUnavailable] = []

        def attempt(key: str) -> tuple[str, Commit | VaultError]:
            if away:
                return key, away[0]
            try:
                return key, self.commit(key, partial(update, key))
            except VaultError as error:
                if isinstance(error, BackendUnavailable):
                    away.append(error)
                return key, without_frames(error)

        with closing(parallel_map(attempt, dict.fromkeys(keys), overlap=self.traits.waits)) as outcomes:
            return dict(outcomes)

    def tombstones(self) -> Iterator[Tombstone]:
        """Every tombstone of a session that is not there, in no order; as of some moment of the iteration.

        One may be given twice. None from a backend that forgets what it removed.
        """
        return iter(())

    def unindexed(self) -> Iterator[str]:
        """The key of every container that has no row: it could not be described when it was found, or the row is gone.

        One may be given twice. None from a backend whose containers and rows are one.
        """
        return iter(())

    def lost(self) -> Iterator[str]:
        """The key of every session that was acknowledged, is in no listing any more, and was never removed.

        None from a backend whose containers and rows are one.
        """
        return iter(())

    def settle(self) -> None:  # noqa: B027 - nothing to be done by a backend that leaves nothing to the system
        """Make lasting what was left to the system; for the end of a copy."""

    def notes(self) -> Mapping[str, str]:
        """What is worth knowing of a component without being its problem, as of the last ``health``. Never waits."""
        return {}


class RecordedUpdate:
    """An update, with what it was given and what it changed the last time: also of a commit that raises."""

    def __init__(self, update: Update) -> None:
        self._update = update
        self.before: Current = None
        self.change: Write | Delete | None = None

    def __call__(self, newest: Current) -> Decision:
        """What the update decides."""
        self.before, self.change = newest, None
        decision = self._update(newest)
        self.change = decision if isinstance(decision, Write | Delete) else None
        return decision


class Engine(Protocol):
    """A server or a database that keeps the sessions of a vault, and its metadata beside them.

    Opened by its URL before there is a keyring; ``backend`` is asked for when there is one. Safe from any thread.
    """

    @property
    def where(self) -> str:
        """Which engine, in words that may be shown: scheme, host, database and prefix, never a password."""
        ...

    def metadata(self, name: str) -> bytes | None:
        """A small value that belongs to the vault as a whole, such as its key slots."""
        ...

    def put_metadata(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Replace it, atomically and durably, if it is what is expected (None: absent); False if it is not."""
        ...

    def backend(self, describe: ReadHead) -> Backend:
        """The sessions. Closing the backend closes the engine."""
        ...

    def leases(self) -> Leases:
        """Turn leases among all that use this engine."""
        ...

    def close(self) -> None:
        """Let go of every connection. Idempotent."""
        ...
