"""What all adapters share: a store that is theirs or their caller's, ids of several parts, versions of a framework."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, Unpack

from ..errors import InvalidSetting
from ..format.head import check_labels
from ..format.ids import composed as composed_id
from ..store.fields import SessionFields
from ..store.open import OpenFields, Place, open_store
from ..store.store import SessionStore

if TYPE_CHECKING:
    from ..store.aio import AsyncSessionStore

__all__ = [
    "AsyncStoreOwner",
    "Lent",
    "SessionAdapter",
    "StoreAdapter",
    "StoreHandle",
    "StoreOwner",
    "UntriedVersionWarning",
    "as_json",
    "composed_id",
    "framework",
    "labelled",
    "warn_of_untried",
]

T = TypeVar("T")


class UntriedVersionWarning(UserWarning):
    """A framework is installed in a version that no test of its adapter has run with."""


Lent: TypeAlias = "SessionStore[Any] | AsyncSessionStore[Any] | StoreHandle"
"""What adapters are made with: a store that stays its caller's, or a handle."""


class StoreHandle:
    """The store of an adapter: one that it opened, which it closes, or its caller's, which it leaves open.

    ``store`` has verbs that wait, ``aio`` the same for asyncio. Safe from any thread.
    """

    def __init__(self, store: SessionStore[Any] | AsyncSessionStore[Any], *, owned: bool = False) -> None:
        self._aio: AsyncSessionStore[Any] | None = None
        if not isinstance(store, SessionStore):
            self._aio = store
            store = getattr(store, "_store", store)
        if not isinstance(store, SessionStore):
            raise InvalidSetting(f"an adapter takes a SessionStore or an AsyncSessionStore, not {type(store).__name__}")
        self.store = store
        self._lends_aio = self._aio is not None
        self._owned = owned

    @classmethod
    def opened(cls, path_or_url: Place, fields: OpenFields) -> Self:
        """A store of its own, opened as ``open_store`` does: ``WrongKey`` and all else at once.

        It is ``lossless`` unless the settings say otherwise: frameworks keep what strict JSON does not carry.
        """
        if fields.get("settings") is None:
            fields = {"lossless": True, **fields}
        return cls(open_store(path_or_url, **fields), owned=True)

    @classmethod
    def of(cls, store: Lent) -> StoreHandle:
        """The handle of a store that is lent; a handle is given back as it is."""
        return store if isinstance(store, StoreHandle) else cls(store)

    def closed_unless(self, make: Callable[[Self], T]) -> T:
        """What is made with this handle, which is closed where that fails."""
        try:
            return make(self)
        except BaseException:
            self.close()
            raise

    @property
    def aio(self) -> AsyncSessionStore[Any]:
        """The store for asyncio, made when first asked for."""
        if self._aio is None:
            from ..store.aio import AsyncSessionStore  # noqa: PLC0415 - asyncio costs a third of an import

            self._aio = AsyncSessionStore(self.store)
        return self._aio

    async def run(self, call: Callable[..., T], *arguments: Any) -> T:
        """What a call returns from a thread of the store. It is finished even if the task is cancelled."""
        return await self.aio.run(lambda _: call(*arguments))

    def close(self) -> None:
        """Close what the adapter opened. Idempotent."""
        if self._owned:
            self.store.close()
        if self._aio is not None and not self._lends_aio:
            self._aio._threads.close()  # noqa: SLF001 - its close would close the store of the caller, too

    async def aclose(self) -> None:
        """``close``, awaited: the store is closed in a thread."""
        if self._owned:
            await self.aio.close()
        self.close()


class _Itself:
    """An attribute of a class that is the class."""

    def __get__(self, adapter: object, owner: type[T]) -> type[T]:
        return owner


class HandleOwner:
    """Base of an adapter that has a handle: an asynchronous context manager, which closes what the handle opened.

    ``from_store``, as the class itself, makes one in a store that stays the caller's.
    """

    _handle: StoreHandle
    from_store = _Itself()

    @property
    def _store(self) -> SessionStore[Any]:
        return self._handle.store

    async def aclose(self) -> None:
        """Close the store, where it was opened here. Idempotent."""
        await self._handle.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class AsyncStoreOwner(HandleOwner):
    """Base of one whose framework awaits ``close``."""

    async def close(self) -> None:
        """``aclose``."""
        await self.aclose()


class StoreOwner(HandleOwner):
    """Base of one that is closed at once as well, and is a context manager of both kinds."""

    def close(self) -> None:
        """``aclose``, without an event loop."""
        self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StoreAdapter(StoreOwner):
    """Base of an adapter that is made of a store, and of the fields of new sessions as ``create`` takes them."""

    def __init__(self, store: Lent, **fields: Unpack[SessionFields]) -> None:
        self._handle = StoreHandle.of(store)
        self._fields = fields

    @classmethod
    def from_url(
        cls, path_or_url: Place = None, *, fields: SessionFields | None = None, **settings: Unpack[OpenFields]
    ) -> Self:
        """In a store of its own, opened as ``open_store`` does, with its errors at once. ``close`` closes it."""
        return StoreHandle.opened(path_or_url, settings).closed_unless(lambda handle: cls(handle, **fields or {}))


class SessionAdapter(StoreOwner):
    """Base of an adapter that is one session: made of its id, a store and the fields of a new session."""

    if TYPE_CHECKING:

        def __init__(self, session_id: str, store: Lent, **fields: Unpack[SessionFields]) -> None: ...

    @classmethod
    def from_url(
        cls,
        session_id: str,
        path_or_url: Place = None,
        *,
        fields: SessionFields | None = None,
        **settings: Unpack[OpenFields],
    ) -> Self:
        """In a store of its own, opened as ``open_store`` does, with its errors at once. ``close`` closes it."""
        return StoreHandle.opened(path_or_url, settings).closed_unless(
            lambda handle: cls(session_id, handle, **fields or {})
        )


@contextmanager
def framework(distribution: str, *, extra: str, tried: tuple[str, str]) -> Iterator[None]:
    """Around the imports of a framework: ``ModuleNotFoundError`` says how to install it.

    ``tried`` is the lowest version that the adapter was run with, and the first that it was not. Another one warns,
    once in a process, since a module is imported once.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{error}; install what the adapter needs: pip install 'vaultsession[{extra}]'", name=error.name
        ) from error
    with suppress(metadata.PackageNotFoundError):  # a copy within another package says nothing of its version
        warn_of_untried(distribution, metadata.version(distribution), tried)


def warn_of_untried(distribution: str, installed: str, tried: tuple[str, str]) -> None:
    """``UntriedVersionWarning`` for a version outside the range, whose end is the first version not tried."""
    lowest, end = tried
    if not _numbers(lowest) <= _numbers(installed) < _numbers(end):
        warnings.warn(
            f"{distribution} {installed}: vaultsession was tried with {lowest} and later, before {end}",
            UntriedVersionWarning,
            stacklevel=5,
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version: ``(1, 62)`` of "1.62.0rc1"; zeros at its end say nothing."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def labelled(fields: SessionFields, labels: Mapping[str, str]) -> SessionFields:
    """The fields of a new session with these labels as well.

    ``InvalidSetting`` where a label of that name is among them already and says another thing: neither may win, since
    the adapter finds its sessions by one and their owner by the other.
    """
    given = check_labels(fields.get("labels"))
    for name, value in labels.items():
        if given.get(name, value) != value:
            raise InvalidSetting(
                f"the label {name!r} is one of this adapter, which makes it {value!r}: name yours otherwise"
            )
    return {**fields, "labels": {**given, **labels}}


def as_json(value: T) -> T:
    """A copy of a value as JSON gives it back: a tuple is a list, an enumeration its value, the key 1 is "1".

    For what the store refused with ``InvalidDocument``: the stores of most frameworks write it so. What has no JSON at
    all is a ``TypeError``, or a ``ValueError``, as there.
    """
    found: T = json.loads(json.dumps(value))
    return found
