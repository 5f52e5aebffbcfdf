"""Redis on this machine: a list for each session, a sorted set for each user.

Clients reach it through a socket of the file system and parse with hiredis where that is installed, as its
documentation advises. The first to open a directory starts a server for it and stops it again; others find its socket
there. "always" flushes the append-only file before each reply; the default keeps snapshots alone, and loses what came
after the last one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable

import orjson
import redis

from ..rival import Filling, Message, Rival
from .sql_rows import parsed


def missing() -> str | None:
    """Why it cannot run here, or None."""
    return None if shutil.which("redis-server") else "redis-server is not installed"


class Redis(Rival):
    """A list of JSON messages; each write is one transaction with the time of the last change."""

    def __init__(self, directory: str, *, cold: bool, always: bool) -> None:
        del cold
        self._server: subprocess.Popen[bytes] | None = None
        self._whereabouts = os.path.join(directory, "socket")
        if not os.path.exists(self._whereabouts):
            self._start(directory, always=always)
        with open(self._whereabouts, encoding="utf-8") as file:
            self._redis = redis.Redis(unix_socket_path=file.read())

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
        return parsed(self._redis.lrange(f"m:{id}", 0, -1))

    def last(self, id: str, n: int) -> list[Message]:
        return parsed(self._redis.lrange(f"m:{id}", -n, -1))

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
            os.unlink(self._whereabouts)
            shutil.rmtree(self._place)
        self._redis.close()

    def _add(self, pipe: redis.client.Pipeline, id: str, messages: list[Message], user: str = "user") -> None:
        pipe.zadd(f"u:{user}", {id: time.time()})
        pipe.rpush(f"m:{id}", *[orjson.dumps(each) for each in messages])

    def _start(self, directory: str, *, always: bool) -> None:
        self._place = tempfile.mkdtemp(prefix="vsb-")  # the name of a socket has at most some hundred bytes
        where = os.path.join(self._place, "s")
        durable = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"] if always else []
        command = ["redis-server", "--port", "0", "--unixsocket", where, "--dir", directory, *durable]
        self._server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(10)
                asked.connect(where)
                asked.sendall(b"PING\r\n")
                if asked.recv(100).startswith(b"+PONG"):
                    break
            time.sleep(0.02)
        with open(self._whereabouts, "w", encoding="utf-8") as file:
            file.write(where)


ADAPTER = Redis
