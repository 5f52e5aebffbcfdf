"""Model and stores must agree: in memory, on files, and two stores on one vault of files.

``HYPOTHESIS_PROFILE=deep`` looks further, and elsewhere each time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sampling import sampled

from vaultsession import RawKey, Session, SessionInfo, SessionStore, open_store
from vaultsession.testing.state_machine import SessionMachine

KEY = RawKey(bytes(range(100, 132)))


class OnMemory(SessionMachine):
    def open(self, number: int) -> SessionStore:
        return open_store("memory://", clock=self.clock)


class OnFiles(SessionMachine):
    restarts: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.root = tempfile.mkdtemp()
        self.path = os.path.join(self.root, "vault")

    def open(self, number: int) -> SessionStore:
        # The second store keeps no document, so that what it says never comes from a cache.
        cache_bytes = 0 if number else 1 << 20
        return open_store(self.path, key=KEY, clock=self.clock, durability="os", cache_bytes=cache_bytes)

    def lose_index(self) -> None:
        for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.path, name))

    def finish(self) -> None:
        shutil.rmtree(self.root)


class OnFilesInTurn(OnFiles):
    stores: ClassVar[int] = 2


class OnLossless(OnMemory):
    """What is plain is as it is without."""

    def open(self, number: int) -> SessionStore:
        return open_store("memory://", clock=self.clock, lossless=True)


MACHINES = (OnMemory, OnFiles, OnFilesInTurn)


@pytest.mark.parametrize("machine", [OnMemory, OnFilesInTurn])
def test_model_and_stores_agree(machine: type[SessionMachine]) -> None:
    run_state_machine_as_test(machine, settings=settings(max_examples=4, stateful_step_count=25))


@pytest.mark.slow
@pytest.mark.parametrize("machine", [*MACHINES, OnLossless])
def test_model_and_stores_agree_in_many_lives(machine: type[SessionMachine]) -> None:
    """Other lives in each run; the seed of pytest-randomly gives the same ones."""
    many = settings(derandomize=False, max_examples=settings.default.max_examples // 2)
    run_state_machine_as_test(machine, settings=many)


# -- tests of the test: a store that is wrong in one way is found ------------------------------------------------------


class Forgetful(SessionStore):
    def pop(self, id: str, n: int = 1) -> list[dict[str, object]]:
        return self.messages(id, last=n)


class Hasty(SessionStore):
    def save(self, session, *, overwrite: bool = False, **facts) -> Session:
        return super().save(session, overwrite=overwrite or not isinstance(session, str), **facts)


class Sleepless(SessionStore):
    def touch(self, id: str, ttl: object = None) -> SessionInfo:
        self.append(id)
        return self.load(id).info()


class Careless(SessionStore):
    def append(self, id: str, *messages, if_version: str | None = None, **how) -> SessionInfo:
        return super().append(id, *messages, **how)


class Torn(SessionStore):
    def append(self, id: str, *messages, unset=(), **how) -> SessionInfo:
        return super().append(id, *messages, **how)


class Mixed(SessionStore):
    def snapshot(self, id: str, *, last: int = 0) -> Any:
        found = super().snapshot(id, last=last)
        return found._replace(messages=self.messages(id, last=last + 1))


class Grown(SessionInfo):
    def only_grew_since(self, earlier: SessionInfo) -> bool:
        return self.message_count >= earlier.message_count


class Boastful(SessionStore):
    def append(self, id: str, *messages, **how) -> SessionInfo:
        info = super().append(id, *messages, **how)
        return Grown(info._head, info._document)


class Greedy(SessionStore):
    def replace_last(self, id: str, n: int, *messages, **how) -> SessionInfo:
        return super().replace_last(id, n + 1, *messages, **how)


@pytest.mark.slow
@pytest.mark.parametrize(
    "wrong", sampled([Forgetful, Hasty, Sleepless, Careless, Torn, Mixed, Boastful, Greedy], [Forgetful])
)
def test_a_store_that_is_wrong_in_one_way_is_found(wrong: type[SessionStore]) -> None:
    class Wrong(SessionMachine):
        def open(self, number: int) -> SessionStore:
            store = open_store("memory://", clock=self.clock)
            store.__class__ = wrong
            return store

    quick = settings(phases=[Phase.generate], max_examples=200, stateful_step_count=30)  # found is enough: not shrunk
    with pytest.raises(AssertionError, match="the store says"):
        run_state_machine_as_test(Wrong, settings=quick)
