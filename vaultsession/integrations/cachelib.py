"""cachelib: ``VaultCache``, a cache of values that expire, and with Flask-Session the sessions of a web application.

::

    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=VaultCache.from_url("sessions", default_timeout=86400))

A key is one session of the vault: ``{"value": …}`` as its state. Values are JSON, and come back equal. With ``pickled``
one that is not JSON is pickled; in a vault nobody without its key can have put another pickle in the place of it.
"""

from __future__ import annotations

import base64
import datetime as dt
import pickle
from typing import Any, Self, Unpack

from ..errors import InvalidDocument, SessionExists, SessionNotFound
from ..format.payload import Json
from ..store.fields import SessionFields
from ..store.open import OpenFields, Place
from ..store.session import Session
from .adapter import Lent, StoreHandle, StoreOwner, composed_id, framework, labelled

with framework("cachelib", extra="cachelib", tried=("0.17", "0.18")):
    from cachelib import BaseCache

_PREFIX = "cache"


class VaultCache(StoreOwner, BaseCache):
    """A cache in a vault. Threads and processes may share one; ``add``, ``inc`` and ``dec`` are atomic over all.

    ``prefix`` tells caches of one vault apart. Timeouts in seconds, 0 for ever, by default ``default_timeout``. Errors
    of the vault are raised: none of them is a missing value. ``InvalidDocument`` for a value that is no JSON, unless
    ``pickled``.
    """

    def __init__(
        self,
        store: Lent,
        *,
        default_timeout: int | dt.timedelta = 300,
        ignore_delete_many_errors: bool = True,
        prefix: str = "",
        pickled: bool = False,
        **fields: Unpack[SessionFields],
    ) -> None:
        super().__init__(default_timeout, ignore_delete_many_errors)
        self._handle = StoreHandle.of(store)
        self._prefix = prefix
        self._pickled = pickled
        self._fields = fields

    @classmethod
    def from_url(
        cls,
        path_or_url: Place = None,
        *,
        default_timeout: int | dt.timedelta = 300,
        prefix: str = "",
        pickled: bool = False,
        fields: SessionFields | None = None,
        **settings: Unpack[OpenFields],
    ) -> Self:
        """In a store of its own, opened as ``open_store`` does. ``close`` closes it."""
        handle = StoreHandle.opened(path_or_url, settings)
        return handle.closed_unless(
            lambda handle: cls(handle, default_timeout=default_timeout, prefix=prefix, pickled=pickled, **fields or {})
        )

    def get(self, key: str) -> Any:
        """The value, a copy; None where there is none."""
        session = self._store.get(self._id(key))
        if session is None:
            return None
        state = session.state
        # Sealed and authenticated: it is a pickle of this application.
        return pickle.loads(base64.b64decode(state["pickle"])) if "pickle" in state else state.get("value")  # noqa: S301

    def set(self, key: str, value: Any, timeout: int | dt.timedelta | None = None) -> bool:
        """Put a value, whatever is there."""
        return self._put(key, value, timeout, is_new=False)

    def add(self, key: str, value: Any, timeout: int | dt.timedelta | None = None) -> bool:
        """Put a value where there is none; whether it was put."""
        return self._put(key, value, timeout, is_new=True)

    def delete(self, key: str) -> bool:
        """Remove a value; whether there was one."""
        return self._store.delete(self._id(key))

    def has(self, key: str) -> bool:
        """Whether there is a value."""
        return self._store.exists(self._id(key))

    def clear(self) -> bool:
        """Remove all values of this prefix, and nothing else of the vault."""
        self._store.delete_many([info.id for info in self._store.list(labels=self._labels())])
        return True

    def inc(self, key: str, delta: int = 1) -> int:
        """Add to a number, of 0 where there is none; the sum. The life of a value that is there stays."""
        found = 0

        def count(session: Session[Any]) -> None:
            nonlocal found
            found = session.state["value"] + delta
            session.state["value"] = found

        while True:
            try:
                self._store.update(self._id(key), count)
                return found
            except SessionNotFound:
                if self.add(key, delta):
                    return delta

    def dec(self, key: str, delta: int = 1) -> int:
        """``inc`` of the negative."""
        return self.inc(key, -delta)

    def _put(self, key: str, value: Any, timeout: int | dt.timedelta | None, *, is_new: bool) -> bool:
        seconds = self._normalize_timeout(timeout)
        if seconds < 0:
            return self.delete(key) or not is_new
        try:
            return self._write(key, {"value": value}, seconds, is_new=is_new)
        except InvalidDocument:
            if not self._pickled:
                raise
            pickled = base64.b64encode(pickle.dumps(value)).decode("ascii")
            return self._write(key, {"pickle": pickled}, seconds, is_new=is_new)

    def _write(self, key: str, state: Json, seconds: int, *, is_new: bool) -> bool:
        fields = labelled(self._fields, self._labels()) | SessionFields(ttl=seconds or None, sliding=False)
        if not is_new:
            self._store.save(self._id(key), state=state, **fields)
            return True
        try:
            self._store.create(self._id(key), state=state, **fields)
        except SessionExists:
            return False
        return True

    def _id(self, key: str) -> str:
        return composed_id(_PREFIX, self._prefix, key)

    def _labels(self) -> dict[str, str]:
        return {"framework": "cachelib", "prefix": composed_id(self._prefix)}
