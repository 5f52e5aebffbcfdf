"""Chat histories of LangChain. Its file is written whole at each turn, and not flushed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, messages_from_dict, messages_to_dict

from vaultsession import RawKey
from vaultsession.integrations.langchain import VaultChatHistory

from ...sample import Message
from ..store import KEY, SESSION, History, Store

FRAMEWORK = "langchain"


class ChatHistory(History):
    """A history of either."""

    def __init__(self, history: Any) -> None:
        self._history = history

    def turn(self, messages: list[Message]) -> None:
        self._history.add_messages(
            [
                (HumanMessage if message["role"] == "user" else AIMessage)(str(message["content"]))
                for message in messages
            ]
        )

    def load(self) -> int:
        return len(self._history.messages)

    def close(self) -> None:
        if isinstance(self._history, VaultChatHistory):
            self._history.close()


class FileHistory:
    """What ``FileChatMessageHistory`` of langchain-community does, which needs half a hundred packages."""

    def __init__(self, directory: str) -> None:
        self._path = Path(directory, "history.json")
        self._path.write_text("[]", encoding="utf-8")

    @property
    def messages(self) -> list[BaseMessage]:
        return messages_from_dict(json.loads(self._path.read_text(encoding="utf-8")))

    def add_messages(self, messages: list[BaseMessage]) -> None:
        both = messages_to_dict(self.messages) + messages_to_dict(messages)
        self._path.write_text(json.dumps(both), encoding="utf-8")


def _ours(directory: str, **settings: Any) -> ChatHistory:
    return ChatHistory(VaultChatHistory.from_url(SESSION, f"{directory}/vault", key=RawKey(KEY), **settings))


STORES = (
    Store("VaultChatHistory", durable=True, encrypts=True, open=_ours),
    Store("VaultChatHistory, no cache", durable=True, encrypts=True, open=lambda place: _ours(place, cache_bytes=0)),
    Store("FileChatMessageHistory", durable=False, encrypts=False, open=lambda place: ChatHistory(FileHistory(place))),
)
