"""LangChain: ``VaultChatHistory``, a chat message history in a vault, in the place of ``FileChatMessageHistory``.

Messages are as ``messages_to_dict`` has them, in the session of the vault of that id. LangChain has deprecated its
histories: agents that are new keep their state in a checkpointer.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Unpack

from ..errors import InvalidDocument, SessionNotFound
from ..store.fields import SessionFields
from .adapter import Lent, SessionAdapter, StoreHandle, as_json, composed_id, framework, labelled

with framework("langchain-core", extra="langchain", tried=("1.8", "1.9")):
    from langchain_core.chat_history import BaseChatMessageHistory
    from langchain_core.messages import messages_from_dict, messages_to_dict


class VaultChatHistory(SessionAdapter, BaseChatMessageHistory):
    """The messages of one session. ``fields`` are those of a session that is made: ``ttl``, ``user_id`` ….

    An absent or expired session has no messages; adding to it begins it anew. Each ``add_messages`` is one record.
    """

    def __init__(self, session_id: str, store: Lent, **fields: Unpack[SessionFields]) -> None:
        self.session_id = session_id
        self._handle = StoreHandle.of(store)
        self._id = composed_id(session_id)
        self._fields = labelled(fields, {"framework": "langchain"})

    @property
    def messages(self) -> list[Any]:
        """The history, oldest first: a new list."""
        try:
            found: list[Any] = messages_from_dict(self._handle.store.messages(self._id))
        except SessionNotFound:
            return []
        return found

    async def aget_messages(self) -> list[Any]:
        """``messages``, awaited."""
        return await self._handle.run(lambda: self.messages)

    def add_messages(self, messages: Sequence[Any]) -> None:
        """Put messages behind the history, all or none."""
        said = messages_to_dict(messages)
        try:
            self._handle.store.append(self._id, *said, create=True, **self._fields)
        except InvalidDocument:
            self._handle.store.append(self._id, *as_json(said), create=True, **self._fields)

    async def aadd_messages(self, messages: Sequence[Any]) -> None:
        """``add_messages``, awaited."""
        await self._handle.run(self.add_messages, messages)

    def clear(self) -> None:
        """Remove all messages: nothing of them stays in the session's file."""
        with suppress(SessionNotFound):
            self._handle.store.clear(self._id)

    async def aclear(self) -> None:
        """``clear``, awaited."""
        await self._handle.run(self.clear)
