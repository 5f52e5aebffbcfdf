"""A vault's place on a Redis: a prefix of its own, engines and backends on it, and a bare client that plays the attacker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from vaultsession.backends.redis import RedisBackend, RedisEngine, connect
from vaultsession.testing.sealer import Sealer


def with_options(url: str, **options: object) -> str:
    """The URL with more options."""
    text = "&".join(f"{name}={value}" for name, value in options.items())
    return f"{url}{'&' if '?' in url else '?'}{text}"


class Place:
    """One prefix on one server. What is opened here is closed at the end, and every key of the prefix removed."""

    def __init__(self, url: str, **options: object) -> None:
        self.prefix = f"test-{os.urandom(6).hex()}"
        self.url = with_options(url, prefix=self.prefix, **options)
        self.bare = redis.Redis.from_url(url, protocol=2)
        self._opened: list[Any] = []

    def engine(self, **options: object) -> RedisEngine:
        self._opened.append(connect(with_options(self.url, **options)))
        return self._opened[-1]

    def backend(self, scribe: Sealer, **options: object) -> RedisBackend:
        """A backend with a memory of its own."""
        return self.engine(**options).backend(Sealer(scribe.keyring).describe)

    def keys(self, kind: str = "") -> list[bytes]:
        """The keys of the prefix; of one kind: c containers, n rows, tag, all, exp."""
        return sorted(self.bare.scan_iter(f"{self.prefix}:{'{*}:' + kind if kind else ''}*", count=1000))

    def of(self, key: str, kind: str) -> str:
        """The key of a session's container (c) or row (n), where there is one shard."""
        return f"{self.prefix}:{{0}}:{kind}:{key[-32:]}"

    def dump(self) -> dict[bytes, bytes]:
        """All that is kept, to be put back."""
        return {name: self.bare.dump(name) for name in self.keys()}

    def restore(self, kept: dict[bytes, bytes]) -> None:
        for name in self.keys():
            self.bare.delete(name)
        for name, data in kept.items():
            self.bare.restore(name, 0, data)

    def close(self) -> None:
        for opened in self._opened:
            opened.close()
        for name in self.keys():
            self.bare.delete(name)
        self.bare.close()


@pytest.fixture
def place(redis_url: str) -> Iterator[Place]:
    place = Place(redis_url)
    yield place
    place.close()
