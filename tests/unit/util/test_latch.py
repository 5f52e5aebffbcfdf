"""What threads wait for until it is set: an interrupt at any moment leaves nothing locked."""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType
from typing import Any

import pytest

from vaultsession.util import latch as latches
from vaultsession.util.latch import Latch


def test_all_that_wait_are_let_go() -> None:
    latch = Latch()
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(latch.wait(60))) for _ in range(5)]
    for thread in threads:
        thread.start()
    while len(latch._waiting) < 5:
        time.sleep(0.0001)
    latch.set()
    for thread in threads:
        thread.join()
    assert answers == [True] * 5
    assert latch._waiting == []


def test_a_bounded_wait_ends() -> None:
    latch = Latch()
    assert not latch.wait(0)
    assert not latch.wait(0.001)
    latch.set()
    assert latch.is_set()
    assert latch.wait(0)
    latch.clear()
    assert not latch.wait(0)


def test_a_set_that_was_interrupted_half_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latches, "_SLICE", 0.001)
    latch = Latch()
    thread = threading.Thread(target=latch.wait, daemon=True)
    thread.start()
    latch._is_set = True  # and no waiter was woken
    thread.join(60)
    assert not thread.is_alive()


def interrupted(act: Any, at: int) -> bool:
    """Run it, and interrupt it before its line of that number; whether it has so many."""
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        if frame.f_code.co_filename not in (latches.__file__, threading.__file__):
            return None
        lines += event == "line"
        if lines == at:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("verb", ["set", "wait"])
def test_an_interrupt_before_any_line_leaves_it_usable(monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Of ``threading.Event`` an interrupt left the lock locked: ``close()`` of a store hung for ever, once in 7 000."""
    monkeypatch.setattr(latches, "_SLICE", 0.001)
    act = {"set": lambda latch: latch.set(), "wait": lambda latch: latch.wait(0.002)}[verb]
    at = 0
    while True:
        latch, at = Latch(), at + 1
        was_interrupted = interrupted(lambda latch=latch: act(latch), at)
        after = threading.Thread(target=lambda latch=latch: (latch.set(), latch.wait(60)), daemon=True)
        after.start()
        after.join(60)
        assert not after.is_alive()
        if not was_interrupted:
            return
