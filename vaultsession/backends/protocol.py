"""The Backend protocol: a handful of verbs over sealed values. To write a backend is to write these.

Every verb may be called from any thread. Storage errors are raised as ``BackendUnavailable``, a flush whose outcome
nobody knows as ``DurabilityUnknown``; ``Unreadable`` comes from the ``describe`` that the backend was given and passes
through. Held to this contract by ``vaultsession.testing.BackendContract``.

Decision (2026-11): writing, appending and removing are one verb. What shall follow is always a function of what is
newest, so ``commit`` takes that function and the backend guarantees that nothing comes between; compare-and-swap is a
``seal`` that raises Conflict. Three verbs with an ``expect`` each said the same in three ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

from ..errors import Unreadable, VaultError, without_frames
from ..format.sealed import Container, Current, Delete, Heads, IndexRow, Query, ReadHead, Tombstone, Update
from .leases import Leases


class Traits(NamedTuple):
    """Whether a backend outlives the process, whether several hosts share it, and whether it expires by itself.

    ``waits``: whether a write waits for a medium or a server, so that several at once are quicker than one by one.
    """

    name: str
    durable: bool
    waits: bool
    shared: bool = False
    expires: bool = False


class Backend(Protocol):
    """Sealed sessions by key."""

    @property
    def traits(self) -> Traits:
        """What this backend is."""
        ...

    def head(self, key: str) -> IndexRow | None:
        """The newest head. Cheap enough to call on every cached load."""
        ...

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        """The container from ``start`` on (negative: that many last bytes), as one consistent view.

        ``settled`` waits until no writer of this key is half-way; asked before a verdict other than clean is believed.
        """
        ...

    def commit(self, key: str, seal: Update) -> Current:
        """Put behind the newest what ``seal`` makes of it, atomically and durably, and return what is newest then."""
        ...

    def scan(self, query: Query) -> Heads:
        """Heads in the order asked for. May lag behind other processes by a moment, never behind this one."""
        ...

    def count(self, query: Query) -> int:
        """How many heads ``scan`` would give without a limit."""
        ...

    def reindex(self) -> object:
        """Forget whatever was derived from the containers, for listing them, and derive it anew."""
        ...

    def stats(self) -> dict[str, int]:
        """Counts and bytes: at least ``sessions`` and ``bytes``."""
        ...

    def health(self) -> dict[str, str | None]:
        """Each component by name, and its problem in words: None where it is well."""
        ...

    def close(self) -> None:
        """Release what is held. Idempotent."""
        ...


@runtime_checkable
class Graveyard(Protocol):
    """A backend that can tell which sessions were removed. No other is asked."""

    def tombstones(self) -> Iterator[Tombstone]:
        """Every tombstone of a session that is not there, in no order; as of some moment of the iteration.

        One may be given twice.
        """
        ...


SealGrave = Callable[[str, Current], Delete | None]
"""What decides whether a session is removed: from its key and its newest to its grave; None leaves it as it is.

It opens the row before it makes a grave of it: as in ``commit``, what it is given may be no more than an index says.
"""


@runtime_checkable
class Burying(Protocol):
    """A backend that removes many sessions for less than as many commits. No other is asked."""

    def delete_many(self, keys: Sequence[str], seal: SealGrave) -> Mapping[str, Current | VaultError]:
        """Remove those of which ``seal`` makes a grave, each by itself as ``commit`` would, in an order of its own.

        By key: what is newest then, or why it is not known to be removed; what fails for one holds up no other.
        """
        ...


def delete_many(backend: Backend, keys: Sequence[str], seal: SealGrave) -> Mapping[str, Current | VaultError]:
    """``Burying.delete_many``, where there is no such thing by one commit after another.

    What cannot be read is told of its key. Any other error is raised at once: of a server that is away, the next
    commits would wait as long.
    """
    if isinstance(backend, Burying):
        return backend.delete_many(keys, seal)
    outcomes: dict[str, Current | VaultError] = {}
    for key in keys:
        try:
            outcomes[key] = backend.commit(key, partial(seal, key))
        except Unreadable as error:
            outcomes[key] = without_frames(error)
    return outcomes


IndexAnswers = Mapping[str, bool | VaultError]
"""By key whether a session was found, or why it is not known to be removed."""


def answers(outcomes: Mapping[str, Current | VaultError], found: set[str]) -> IndexAnswers:
    """By key whether it is among the found, or what failed."""
    return {key: each if isinstance(each, VaultError) else key in found for key, each in outcomes.items()}


@runtime_checkable
class Shelf(Protocol):
    """A backend that may hold containers which it cannot list. No other is asked."""

    def unlisted(self) -> Iterator[str]:
        """The key of every container that has no row: it could not be described when it was found."""
        ...


@runtime_checkable
class Remarking(Protocol):
    """A backend with something to say of what is well. No other is asked."""

    def remarks(self) -> Mapping[str, str]:
        """What is worth knowing of a component without being its problem, as of the last ``health``. Never waits."""
        ...


def remarks_of(backend: Backend) -> Mapping[str, str]:
    """What it has to say of what is well."""
    return backend.remarks() if isinstance(backend, Remarking) else {}


class Engine(Protocol):
    """A server or a database that keeps the sessions of a vault, and the vault's own papers beside them.

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
        """The sessions. Whoever closes the backend closes the engine."""
        ...

    def leases(self) -> Leases:
        """Turn leases among all that use this engine."""
        ...

    def close(self) -> None:
        """Let go of every connection. Idempotent."""
        ...
