"""``VaultSession``: a session of the OpenAI Agents SDK in a vault. Needs the extra ``openai-agents``.

::

    session = VaultSession.from_url("user-123", "sessions")
    result = await Runner.run(agent, "Hello", session=session)

Items are the messages of the vault's session of that id. It takes the place of ``SQLiteSession`` and of an
``EncryptedSession`` around one: absent and expired sessions are empty, a wrong key and damage are raised, never an
empty history. Each write is one record: all of its items or none. A write that was started is finished even if its task
is cancelled.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Self, Unpack

from ..errors import Conflict, InvalidDocument, SessionNotFound
from ..format import ids
from ..format.payload import Json
from ..store.fields import SessionFields
from ..store.open import OpenFields, Place
from ..store.session import Session
from .adapter import Lent, StoreHandle, StoreOwner, as_json, framework

with framework("openai-agents", extra="openai-agents", tried=("0.24", "0.25")):
    from agents.memory import SessionSettings
    from agents.memory import session as _session
    from agents.memory.session_settings import coerce_session_settings, resolve_session_limit

_Snapshot: Any = getattr(_session, "_CompactionSnapshot", None)
"""What compaction asks for and another version of the SDK may lack: compaction then replaces the whole history."""

_VERBS = ("get_items", "add_items", "pop_item", "clear_session")
_ON_LOOP = 256 << 10
"""Bytes of JSON that are parsed on the event loop, where they are cached: a millisecond at most."""
_ALL = 1 << 30
_DIGESTED = re.compile("%%[0-9a-f]{64}")


class VaultSession(StoreOwner):
    """A conversation of an agent: items in the session of that id.

    ``store`` stays its caller's and may serve any number of sessions: the way for a server. ``fields`` are those of
    ``SessionStore.create``, for when the session is made: ``user_id``, ``labels``, ``ttl`` …. ``InvalidSessionId`` for
    an id that is empty or no Unicode; one beyond 1024 bytes is kept under its digest. One event loop, or several, may
    use it.
    """

    def __init__(
        self,
        session_id: str,
        store: Lent,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        **fields: Unpack[SessionFields],
    ) -> None:
        self.session_id = session_id
        self.session_settings: SessionSettings | None = (
            SessionSettings() if session_settings is None else coerce_session_settings(session_settings)
        )
        self._id = _vault_id(session_id)
        self._fields = fields
        self._handle = StoreHandle.of(store)
        self._is_closed = False

    @classmethod
    def from_url(
        cls,
        session_id: str,
        path_or_url: Place = None,
        *,
        session_settings: SessionSettings | dict[str, Any] | None = None,
        fields: SessionFields | None = None,
        **settings: Unpack[OpenFields],
    ) -> Self:
        """The session of that id in a vault that is opened for it as by ``open_store``, and closed with it.

        ``WrongKey`` and all else that ``open_store`` raises, here and not when an agent runs.
        """
        return StoreHandle.opened(path_or_url, settings).closed_unless(
            lambda handle: cls(session_id, handle, session_settings=session_settings, **fields or {})
        )

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The newest ``limit`` items, oldest first; all where it is None or negative."""
        wanted = resolve_session_limit(limit, self.session_settings)
        last = None if wanted is None or wanted < 0 else wanted
        self._check_open()
        try:
            warm = self._handle.store.load_if_warm(self._id)
            if warm is not None and warm.info().size <= _ON_LOOP:
                return warm.messages if last is None else warm.messages[-last:] if last else []
            if last is None:  # loaded, since what is loaded is kept for the next turn
                return await self._handle.aio.run(lambda store: store.load(self._id).messages)
            return await self._handle.aio.messages(self._id, last=last)
        except SessionNotFound:
            return []

    async def add_items(self, items: list[Any]) -> None:
        """Put items behind the history, in one record."""
        self._check_open()
        if items:
            await self._written(items, self._append)

    async def pop_item(self) -> Any:
        """Remove the newest item and return it; None where there is none."""
        self._check_open()
        try:
            popped = await self._handle.aio.pop(self._id)
        except SessionNotFound:
            return None
        return popped[0] if popped else None

    async def clear_session(self) -> None:
        """Remove all items. Nothing of them stays in the session's file; its fields stay."""
        self._check_open()
        with suppress(SessionNotFound):
            await self._handle.aio.clear(self._id)

    def turn(self, timeout: float | None = None) -> AbstractAsyncContextManager[None]:
        """Hold the session's turn, one holder at a time over all processes: ``async with session.turn(): …``.

        A run reads the history first and writes its items later: of two runs at once neither sees the other's items.
        ``timeout`` in seconds; ``LeaseTimeout``.
        """
        self._check_open()
        return self._handle.aio.lease(self._id, timeout)

    def close(self) -> None:
        """Take no more calls; a vault that was opened for the session is closed. Idempotent."""
        self._is_closed = True
        super().close()

    async def aclose(self) -> None:
        """``close``, awaited."""
        self._is_closed = True
        await super().aclose()

    def __repr__(self) -> str:
        return f"<VaultSession {self.session_id!r:.80}{', closed' if self._is_closed else ''}>"

    # -- what OpenAIResponsesCompactionSession looks for ---------------------------------------------------------------

    async def _get_compaction_snapshot(self, limit: int, *, prune_prefix: Callable[[Any], bool] | None = None) -> Any:
        """The newest items of one version, and what replaces the last of them if that version is the newest still.

        None where a subclass has verbs of its own: they may transform items.
        """
        if _Snapshot is None or not self._has_own_verbs():
            return None
        self._check_open()
        aio = self._handle.aio
        try:
            seen = (await aio.snapshot(self._id, last=max(limit, 0))).messages
        except SessionNotFound:
            return _Snapshot([], True, _replaces_nothing)

        async def replace_suffix(start: int, output: list[Any]) -> bool:
            replaced = len(seen[start:])
            if not replaced:
                return False

            async def replace(added: Sequence[Json]) -> None:
                if prune_prefix is not None and (rest := await self._pruned(seen.info.version, replaced, prune_prefix)):
                    rest.messages += added
                    await aio.save(rest)
                else:
                    await aio.replace_last(self._id, replaced, *added, if_version=seen.info.version)

            try:
                await self._written(output, replace)
            except (Conflict, SessionNotFound):
                return False
            return True

        return _Snapshot(seen, len(seen) == seen.info.message_count, replace_suffix)

    async def _pruned(self, version: str, replaced: int, is_expired: Callable[[Any], bool]) -> Session[Any] | None:
        """The session of a version without its newest items and its expired first ones; None where none has expired."""
        session = await self._handle.aio.load(self._id)
        if session.version != version:
            raise Conflict("the history is another one by now")
        kept = session.messages[: len(session.messages) - replaced]
        expired = next((number for number, item in enumerate(kept) if not is_expired(item)), len(kept))
        session.messages = kept[expired:]
        return session if expired else None

    async def _atomic_replace_items(self, items: list[Any]) -> bool:
        """Replace the whole history in one record; False where a subclass has verbs of its own."""
        if not self._has_own_verbs():
            return False
        self._check_open()
        await self._written(items, self._replace_all)
        return True

    def _has_own_verbs(self) -> bool:
        return all(getattr(type(self), name) is getattr(VaultSession, name) for name in _VERBS)

    async def _append(self, messages: Sequence[Json]) -> None:
        await self._handle.aio.append(self._id, *messages, create=True, state=self._state(), **self._fields)

    async def _replace_all(self, messages: Sequence[Json]) -> None:
        try:
            await self._handle.aio.replace_last(self._id, _ALL, *messages)
        except SessionNotFound:
            if messages:
                await self._append(messages)

    async def _written(self, items: list[Any], write: Callable[[Sequence[Json]], Awaitable[None]]) -> None:
        """Write items as they are, which most are fit for, else as the SDK's own sessions read them back."""
        try:
            await write(items)
        except InvalidDocument as refused:
            try:
                plain = as_json(items)
            except (TypeError, ValueError, RecursionError):
                raise refused from None
            await write(plain)

    def _state(self) -> Json | None:
        """The id, where it is too long to be the vault's."""
        return None if self._id == self.session_id else {"session_id": self.session_id}

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("VaultSession is closed")


def _vault_id(session_id: str) -> str:
    """The id in the vault: the same, where it fits; else its beginning and a SHA-256 of the whole.

    What has the shape of such an id is digested itself: nobody chooses an id that is another's.
    """
    if not isinstance(session_id, str) or not session_id:
        return ids.parse(session_id)
    try:
        data = session_id.encode()
    except UnicodeEncodeError:
        return ids.parse(session_id)
    if len(data) <= ids.LONGEST_ID and not _DIGESTED.fullmatch(session_id[-66:]):
        return session_id
    return f"{data[: ids.LONGEST_ID - 66].decode('utf-8', 'ignore')}%%{hashlib.sha256(data).hexdigest()}"


async def _replaces_nothing(start: int, output: list[Any]) -> bool:
    """What stands for the replacement where there is no history."""
    del start, output
    return False
