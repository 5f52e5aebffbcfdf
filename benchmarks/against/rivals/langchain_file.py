"""LangChain's ``FileChatMessageHistory``: a JSON file for each session, read and written whole for each message."""

from __future__ import annotations

import json
from collections.abc import Iterable

from langchain_community.chat_message_histories import FileChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, messages_to_dict

from ..rival import Filling, Message, Rival


class LangChainFile(Rival):
    """Written in place and never flushed. Messages are a role and a text."""

    takes_any_json = False

    def __init__(self, directory: str, *, cold: bool) -> None:
        del cold
        self._directory = directory

    def create(self, id: str, messages: list[Message]) -> None:
        self.append(id, messages)

    def save(self, id: str, messages: list[Message]) -> None:
        self._history(id).clear()
        self.append(id, messages)

    def append(self, id: str, messages: list[Message]) -> None:
        self._history(id).add_messages([_theirs(each) for each in messages])

    def load(self, id: str) -> list[Message]:
        return [_ours(each) for each in self._history(id).messages]

    def fill(self, sessions: Iterable[Filling]) -> None:
        for each in sessions:  # the file that add_messages would leave behind, which takes the square of the length
            history = self._history(each.id)
            history.file_path.write_text(json.dumps(messages_to_dict([_theirs(one) for one in each.messages])))

    def _history(self, id: str) -> FileChatMessageHistory:
        return FileChatMessageHistory(f"{self._directory}/{id}.json")


def _theirs(message: Message) -> BaseMessage:
    return (HumanMessage if message["role"] == "user" else AIMessage)(message["content"])


def _ours(message: BaseMessage) -> Message:
    return {"role": "user" if message.type == "human" else "assistant", "content": message.content}


ADAPTER = LangChainFile
