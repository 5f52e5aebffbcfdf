"""A signal handler runs within whatever its thread is doing: what it asks of the store is done or refused, at once."""

from __future__ import annotations

import os
import select
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from effort import EFFORT

from vaultsession import BackendUnavailable, RawKey, SessionStore, open_store
from vaultsession.util.disk import Disk

KEY = RawKey(bytes(range(32)))
PATIENCE = 120
"""Seconds after which what does not end is taken to hang."""


class Interrupting(Disk):
    """A disk of which one call, as it returns, is interrupted by what a signal handler does."""

    def __init__(self, call: str) -> None:
        self.handler: Any = None
        real = getattr(self, call)

        def interrupted(*args: Any) -> Any:
            result = real(*args)
            handler, self.handler = self.handler, None
            if handler is not None:
                handler()
            return result

        setattr(self, call, interrupted)


def in_time(work: Any) -> None:
    """Run it in a thread; what waits for itself does so for ever."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it waits for itself"


def test_an_append_within_an_append_of_the_same_session_is_refused_at_once(tmp_path: Path) -> None:
    disk = Interrupting("pwrite")
    refused: list[str] = []
    with open_store(tmp_path / "vault", key=KEY, disk=disk, durability="os") as store:
        store.create("x")
        store.append("x", {"n": 1})

        def last_words() -> None:
            try:
                store.append("x", {"last": "words"})
            except BackendUnavailable as error:
                refused.append(str(error))

        disk.handler = last_words
        in_time(lambda: store.append("x", {"n": 2}))
        assert "signal handler" in refused[0]
        assert store.messages("x") == [{"n": 1}, {"n": 2}]
        store.append("x", {"n": 3})  # nothing is left locked


def test_an_append_within_a_flush_is_written(tmp_path: Path) -> None:
    disk = Interrupting("fdatasync")
    with open_store(tmp_path / "vault", key=KEY, disk=disk) as store:
        store.create("x")
        store.append("x", {"n": 1})
        disk.handler = lambda: store.append("x", {"last": "words"})
        in_time(lambda: store.append("x", {"n": 2}))
        assert store.messages("x") == [{"n": 1}, {"n": 2}, {"last": "words"}]


def run_under_signals(store: SessionStore, interrupts: int) -> list[int]:
    """Appends, interrupted so often by a timer whose handler appends; what was acknowledged."""
    acknowledged: list[int] = []
    number = handled = 0

    def handle(_number: int, _frame: object) -> None:
        nonlocal number, handled
        handled += 1
        number += 1
        mine = number
        try:
            store.append("x", {"n": mine})
        except BackendUnavailable:
            pass  # refused
        else:
            acknowledged.append(mine)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
    try:
        while handled < interrupts:
            number += 1
            mine = number
            store.append("x", {"n": mine})
            acknowledged.append(mine)
            store.list(limit=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return acknowledged


@pytest.mark.slow
@pytest.mark.parametrize("url", ["files", "memory://"])
def test_a_handler_that_appends_neither_hangs_nor_loses(tmp_path: Path, url: str) -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:  # the main thread of a process of its own: signals reach no other
        verdict = b"raised"
        try:
            store = open_store(tmp_path / "vault" if url == "files" else url, key=KEY, durability="os")
            store.create("x")
            acknowledged = run_under_signals(store, 1000 * EFFORT)
            there = sorted(message["n"] for message in store.messages("x"))
            store.close()
            verdict = b"ok" if there == sorted(acknowledged) and there else b"lost"
        except BaseException as error:  # noqa: BLE001 - reported to the parent
            verdict = repr(error).encode()
        finally:
            os.write(write, verdict)
            os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], PATIENCE * EFFORT)
    said = os.read(read, 4096) if ready else b"hangs"
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(read)
    assert said == b"ok"
