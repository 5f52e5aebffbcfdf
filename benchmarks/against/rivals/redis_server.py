"""Redis on this machine, over loopback: a list for each session, a sorted set for each user.

The first to open a directory starts a server for it and stops it again; others find its port there. "always" flushes
the append-only file before each reply; the default keeps snapshots alone, and loses what came after the last one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable

import redis

from ..rival import Filling, Message, Rival


def missing() -> str | None:
    """Why it cannot run here, or None."""
    return None if shutil.which("redis-server") else "redis-server is not installed"


class Redis(Rival):
    """A list of JSON messages; each write is one transaction with the time of the last change."""

    def __init__(self, directory: str, *, cold: bool, always: bool) -> None:
        del cold
        self._server: subprocess.Popen[bytes] | None = None
        self._port_file = os.path.join(directory, "port")
        if not os.path.exists(self._port_file):
            self._start(directory, always=always)
        with open(self._port_file, encoding="ascii") as file:
            self._redis = redis.Redis(host="127.0.0.1", port=int(file.read()))

    def save(self, id: str, messages: list[Message]) -> None:
        pipe = self._redis.pipeline(transaction=True)
        pipe.delete(f"m:{id}")
        self._add(pipe, id, messages)
        pipe.execute()

    def append(self, id: str, messages: list[Message]) -> None:
        pipe = self._redis.pipeline(transaction=True)
        self._add(pipe, id, messages)
        pipe.execute()

    def load(self, id: str) -> list[Message]:
        return [json.loads(each) for each in self._redis.lrange(f"m:{id}", 0, -1)]

    def last(self, id: str, n: int) -> list[Message]:
        return [json.loads(each) for each in self._redis.lrange(f"m:{id}", -n, -1)]

    def page(self, user: str, n: int) -> int:
        return len(self._redis.zrevrange(f"u:{user}", 0, n - 1, withscores=True))

    def count(self, user: str) -> int:
        return int(self._redis.zcard(f"u:{user}"))

    def fill(self, sessions: Iterable[Filling]) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for number, each in enumerate(sessions):
            self._add(pipe, each.id, each.messages, each.user)
            if number % 100 == 99:
                pipe.execute()
        pipe.execute()

    def close(self) -> None:
        if self._server is not None:
            self._server.terminate()  # which saves what the mode saves
            self._server.wait(timeout=60)
            os.unlink(self._port_file)
        self._redis.close()

    def _add(self, pipe: redis.client.Pipeline, id: str, messages: list[Message], user: str = "user") -> None:
        pipe.zadd(f"u:{user}", {id: time.time()})
        pipe.rpush(f"m:{id}", *[json.dumps(each, ensure_ascii=False) for each in messages])

    def _start(self, directory: str, *, always: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"] if always else []
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", directory, *durable]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as asked:
                asked.sendall(b"PING\r\n")
                if asked.recv(100).startswith(b"+PONG"):
                    break
            time.sleep(0.02)
        with open(self._port_file, "w", encoding="ascii") as file:
            file.write(str(port))


ADAPTER = Redis
