"""Conversations of Pydantic AI. It has no store but one in memory."""

from __future__ import annotations

from typing import Any

from pydantic_ai.conversation import Conversation
from pydantic_ai.conversation_store import InMemoryConversationStore
from pydantic_ai.messages import ModelRequest, ModelResponse, TextPart, UserPromptPart

from vaultsession import RawKey
from vaultsession.integrations.pydantic_ai import VaultConversationStore

from ...sample import Message
from ..store import KEY, SESSION, AsyncHistory, Store

FRAMEWORK = "pydantic-ai"


class ConversationHistory(AsyncHistory):
    """One conversation, saved after each turn."""

    def __init__(self, store: Any) -> None:
        super().__init__()
        self._store = store
        self._conversation = Conversation(conversation_id=SESSION)

    def turn(self, messages: list[Message]) -> None:
        self._conversation.messages += [
            ModelRequest(parts=[UserPromptPart(str(message["content"]))])
            if message["role"] == "user"
            else ModelResponse(parts=[TextPart(str(message["content"]))])
            for message in messages
        ]
        self.run(self._store.save(self._conversation))

    def load(self) -> int:
        return len(self.run(self._store.load(SESSION)).messages)

    def close(self) -> None:
        if isinstance(self._store, VaultConversationStore):
            self._store.close()
        super().close()


def _ours(directory: str, **settings: Any) -> ConversationHistory:
    return ConversationHistory(VaultConversationStore.from_url(f"{directory}/vault", key=RawKey(KEY), **settings))


STORES = (
    Store("VaultConversationStore", durable=True, encrypts=True, open=_ours),
    Store(
        "VaultConversationStore, no cache", durable=True, encrypts=True, open=lambda place: _ours(place, cache_bytes=0)
    ),
    Store(
        "InMemoryConversationStore",
        durable=False,
        encrypts=False,
        open=lambda _: ConversationHistory(InMemoryConversationStore()),
    ),
)
