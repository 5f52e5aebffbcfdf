"""Strands' ``FileSessionManager``: a directory for each session, a JSON file for each message.

A history is replaced by removing the session and making it anew. A message is written under its number, so whoever
appends must know how many there are: the number is kept, as the manager of an agent keeps it.
"""

from __future__ import annotations

import os
from itertools import count

from strands.session.file_session_manager import FileSessionManager
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

from ..rival import Message, Rival

_AGENT = "agent"


class StrandsFiles(Rival):
    """Renamed into place and never flushed. Messages are a role and a text."""

    takes_any_json = False

    def __init__(self, directory: str, *, cold: bool) -> None:
        del cold
        self._directory = directory
        self._manager = FileSessionManager("manager", storage_dir=directory)
        self._next: dict[str, count[int]] = {}

    def create(self, id: str, messages: list[Message]) -> None:
        self._manager.create_session(Session(session_id=id, session_type=SessionType.AGENT))
        self._manager.create_agent(id, SessionAgent(agent_id=_AGENT, state={}, conversation_manager_state={}))
        self._next[id] = count()
        self.append(id, messages)

    def save(self, id: str, messages: list[Message]) -> None:
        if os.path.exists(os.path.join(self._directory, f"session_{id}")):
            self._manager.delete_session(id)
        self.create(id, messages)

    def append(self, id: str, messages: list[Message]) -> None:
        if id not in self._next:
            self._next[id] = count(len(os.listdir(self._messages(id))))
        for each in messages:
            theirs = {"role": each["role"], "content": [{"text": each["content"]}]}
            self._manager.create_message(id, _AGENT, SessionMessage.from_message(theirs, next(self._next[id])))

    def load(self, id: str) -> list[Message]:
        return [_ours(each) for each in self._manager.list_messages(id, _AGENT)]

    def last(self, id: str, n: int) -> list[Message]:
        there = len(os.listdir(self._messages(id)))
        return [_ours(each) for each in self._manager.list_messages(id, _AGENT, limit=n, offset=max(0, there - n))]

    def _messages(self, id: str) -> str:
        return os.path.join(self._directory, f"session_{id}", "agents", f"agent_{_AGENT}", "messages")


def _ours(message: SessionMessage) -> Message:
    theirs = message.to_message()
    return {"role": theirs["role"], "content": theirs["content"][0]["text"]}


ADAPTER = StrandsFiles
