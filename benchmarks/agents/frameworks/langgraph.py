"""Checkpoints of LangGraph: a turn is a step, which reads the newest checkpoint and puts the next one with its writes.

SqliteSaver's write-ahead log is made to be flushed at each commit; by default it is flushed now and then.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from vaultsession import RawKey
from vaultsession.integrations.langgraph import VaultSaver

from ...sample import Message
from ..store import KEY, SESSION, History, Store

FRAMEWORK = "langgraph"

THREAD: Any = {"configurable": {"thread_id": SESSION, "checkpoint_ns": ""}}


class Thread(History):
    """A thread of any checkpointer."""

    def __init__(self, saver: Any, closed: Any) -> None:
        self._saver = saver
        self._closed = closed
        self._count = 0

    def turn(self, messages: list[Message]) -> None:
        found = self._saver.get_tuple(THREAD)
        before = found.checkpoint if found else empty_checkpoint()
        said = [
            HumanMessage(content=str(each.get("content")), id=f"{self._count}-{n}") for n, each in enumerate(messages)
        ]
        self._count += 1
        checkpoint = empty_checkpoint()
        version = self._saver.get_next_version(before["channel_versions"].get("messages"), None)
        checkpoint["channel_values"] = {"messages": [*before["channel_values"].get("messages", []), *said]}
        checkpoint["channel_versions"] = {"messages": version}
        config = found.config if found else THREAD
        metadata: Any = {"source": "loop", "step": self._count, "parents": {}}
        at = self._saver.put(config, checkpoint, metadata, {"messages": version})
        self._saver.put_writes(at, [("messages", said)], f"task-{self._count}")

    def load(self) -> int:
        return len(self._saver.get_tuple(THREAD).checkpoint["channel_values"]["messages"])

    def close(self) -> None:
        self._closed.close()


def _ours(directory: str, **settings: Any) -> Thread:
    saver = VaultSaver.from_url(f"{directory}/vault", key=RawKey(KEY), **settings)
    return Thread(saver, saver)


def _sqlite(directory: str, *, synchronous: str = "FULL", encrypted: bool = False) -> Thread:
    connection = sqlite3.connect(f"{directory}/checkpoints.db", check_same_thread=False)
    serde = EncryptedSerializer.from_pycryptodome_aes(key=KEY) if encrypted else None
    saver = SqliteSaver(connection, serde=serde)
    saver.setup()
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    return Thread(saver, connection)


STORES = (
    Store("VaultSaver", durable=True, encrypts=True, open=_ours),
    Store("VaultSaver, os", durable=False, encrypts=True, open=lambda place: _ours(place, durability="os")),
    Store("SqliteSaver", durable=True, encrypts=False, open=_sqlite),
    Store("SqliteSaver, off", durable=False, encrypts=False, open=lambda place: _sqlite(place, synchronous="OFF")),
    Store("SqliteSaver, EncryptedSerializer", True, True, lambda place: _sqlite(place, encrypted=True)),
)
