"""LangGraph's ``SqliteSaver``: a checkpoint of the whole state at each step, kept beside all earlier ones.

What a graph does in a turn: the newest checkpoint of the thread is read, its messages are extended, and it is put anew.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from ..rival import Message, Rival


class LangGraph(Rival):
    """Plain, or with its ``EncryptedSerializer`` (AES of pycryptodome)."""

    def __init__(self, directory: str, *, cold: bool, encrypted: bool = False) -> None:
        del cold
        self._sql = sqlite3.connect(f"{directory}/checkpoints.db", check_same_thread=False, timeout=30)
        serde = EncryptedSerializer.from_pycryptodome_aes(key=bytes(range(32))) if encrypted else None
        self._saver = SqliteSaver(self._sql, serde=serde)
        self._saver.setup()

    def save(self, id: str, messages: list[Message]) -> None:
        self._put(_config(id), messages)

    def append(self, id: str, messages: list[Message]) -> None:
        found = self._saver.get_tuple(_config(id))
        self._put(found.config, found.checkpoint["channel_values"]["messages"] + messages)

    def load(self, id: str) -> list[Message]:
        return self._saver.get_tuple(_config(id)).checkpoint["channel_values"]["messages"]

    def close(self) -> None:
        self._sql.close()

    def _put(self, config: Any, messages: list[Message]) -> None:
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"messages": messages}
        self._saver.put(config, checkpoint, {"source": "loop", "step": 1, "parents": {}}, {})


def _config(id: str) -> Any:
    return {"configurable": {"thread_id": id, "checkpoint_ns": ""}}


ADAPTER = LangGraph
