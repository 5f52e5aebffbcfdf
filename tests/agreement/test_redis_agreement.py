"""Model and stores must agree on Redis too: one store, and two in turn."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from redis_lab import Place

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.testing.state_machine import SessionMachine

KEY = RawKey(bytes(range(100, 132)))
MODEST = settings(max_examples=12, stateful_step_count=25)


class OnRedis(SessionMachine):
    restarts: ClassVar[bool] = True
    url: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.place = Place(self.url)

    def open(self, number: int) -> SessionStore:
        # The second store keeps no document, so that what it says never comes from a cache.
        return open_store(self.place.url, key=KEY, clock=self.clock, cache_bytes=0 if number else 1 << 20)

    def lose_index(self) -> None:
        for kind in ("all", "exp", "tag"):
            for name in self.place.keys(kind):
                self.place.bare.delete(name)
        with open_store(self.place.url, key=KEY, clock=self.clock) as store:
            store.reindex()

    def finish(self) -> None:
        self.place.close()


class OnRedisInTurn(OnRedis):
    stores: ClassVar[int] = 2


@pytest.mark.slow
@pytest.mark.parametrize("machine", [OnRedis, OnRedisInTurn])
def test_model_and_stores_agree(machine: type[OnRedis], redis_url: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(OnRedis, "url", redis_url)
    run_state_machine_as_test(machine, settings=MODEST)
