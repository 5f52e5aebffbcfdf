"""starsessions: ``VaultStore``, the sessions of Starlette applications in a vault.

::

    app.add_middleware(SessionMiddleware, store=VaultStore.from_url("sessions"), lifetime=86400)

A session of the application is one of the vault: what its serialiser wrote is the state, as text where it is text.
"""

from __future__ import annotations

from typing import Self, Unpack

from ..store.fields import SessionFields
from ..store.open import OpenFields, Place
from .adapter import Lent, StoreHandle, StoreOwner, composed_id, framework, labelled
from .blob import blob_of, blob_state

with framework("starsessions", extra="starsessions", tried=("2.2", "2.3")):
    from starsessions.stores.base import SessionStore

_PREFIX = "web"


class VaultStore(StoreOwner, SessionStore):
    """Sessions by the ids in cookies. Several event loops and processes may use one.

    One of ``lifetime`` 0, whose cookie ends with the browser, is kept for ``gc_ttl`` seconds after it was written last.
    ``fields`` are those of new sessions: ``labels``, ``assistant_id`` ….
    """

    def __init__(self, store: Lent, *, gc_ttl: int = 3600 * 24 * 30, **fields: Unpack[SessionFields]) -> None:
        self._handle = StoreHandle.of(store)
        self._gc_ttl = gc_ttl
        self._fields = labelled(fields, {"framework": "starsessions"})

    @classmethod
    def from_url(
        cls,
        path_or_url: Place = None,
        *,
        gc_ttl: int = 3600 * 24 * 30,
        fields: SessionFields | None = None,
        **settings: Unpack[OpenFields],
    ) -> Self:
        """In a store of its own, opened as ``open_store`` does. ``close`` closes it."""
        return StoreHandle.opened(path_or_url, settings).closed_unless(
            lambda handle: cls(handle, gc_ttl=gc_ttl, **fields or {})
        )

    async def read(self, session_id: str, lifetime: int) -> bytes:
        """What was written; nothing where the session is absent or expired."""
        del lifetime
        session = await self._handle.aio.get(composed_id(_PREFIX, session_id))
        return b"" if session is None else blob_of(session.state)

    async def write(self, session_id: str, data: bytes, lifetime: int, ttl: int) -> str:
        """Write the session, whatever is there, to be kept for ``ttl`` seconds. Returns its id."""
        seconds = max(1, ttl) if lifetime else self._gc_ttl
        fields: SessionFields = {**self._fields, "ttl": seconds, "sliding": False}
        await self._handle.aio.save(composed_id(_PREFIX, session_id), state=blob_state(data), **fields)
        return session_id

    async def remove(self, session_id: str) -> None:
        """Remove the session, if there is one."""
        await self._handle.aio.delete(composed_id(_PREFIX, session_id))
