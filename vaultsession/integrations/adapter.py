"""What all adapters share: a store that is theirs or their caller's, ids of several parts, versions of a framework."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, Self

from ..errors import InvalidSetting
from ..format.ids import LONGEST_ID
from ..store.open import OpenFields, Place, open_store
from ..store.store import SessionStore

if TYPE_CHECKING:
    from ..store.aio import AsyncSessionStore

_ESCAPED = str.maketrans({"%": "%25", "/": "%2F"})
_DIGEST = 32
"""Bytes of the digest in an id that would be too long, as 64 digits."""


class UntriedVersionWarning(UserWarning):
    """A framework is installed in a version that no test of its adapter has run with."""


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
        """A store of its own, opened as ``open_store`` does: ``WrongKey`` and all else at once."""
        return cls(open_store(path_or_url, **fields), owned=True)

    @property
    def aio(self) -> AsyncSessionStore[Any]:
        """The store for asyncio, made when first asked for."""
        if self._aio is None:
            from ..store.aio import AsyncSessionStore  # noqa: PLC0415 - asyncio costs a third of an import

            self._aio = AsyncSessionStore(self.store)
        return self._aio

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


def composed_id(*parts: str) -> str:
    """One session id of several: injective, and readable while it fits.

    The parts are joined by slashes, with ``%`` and ``/`` in them escaped. Where that is too long for a session id its
    beginning stands before a SHA-256 of the whole: put the parts into labels or the state as well.

    >>> composed_id("app", "a/b", "")
    'app/a%2Fb/'
    """
    joined = "/".join([part.translate(_ESCAPED) for part in parts])
    if len(joined) * 4 <= LONGEST_ID:
        return joined
    try:
        data = joined.encode()
    except UnicodeEncodeError:
        return joined  # refused by each verb
    if len(data) <= LONGEST_ID:
        return joined
    kept = data[: LONGEST_ID - 2 * _DIGEST - 2].decode("utf-8", "ignore")
    # No id that fits has two percent signs in a row: they are escaped as %25.
    return f"{kept}%%{hashlib.sha256(data).hexdigest()}"
