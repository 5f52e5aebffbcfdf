"""The thread that writes the index behind the sessions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from vaultsession.backends import FilesBackend
from vaultsession.backends.files import index_schema, index_thread
from vaultsession.testing.sealer import Sealer

Opening = Callable[..., FilesBackend]


def test_a_close_that_comes_while_a_batch_is_due_is_not_slept_through(
    opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread had waited for its batch, and was about to clear the wake that had started it.

    A ``close()`` in this moment set "stop" and then the wake, which the thread cleared; it went back to sleep for ever,
    and ``close()`` waited for it for ever. Two runs of the test suite hung before anyone looked. The end is the last
    wake now, and none is cleared.
    """
    monkeypatch.setattr(index_thread, "BATCH_SECONDS", 600.0)
    backend = opening()
    backend.commit(scribe.key("a"), scribe.create(scribe.key("a")))
    inner: Any = backend._index._thread
    for _ in range(3):
        inner.wake(backend._index)
    closing = threading.Thread(target=backend.close)
    closing.start()
    closing.join(timeout=60)
    assert not closing.is_alive()
    assert not inner.thread.is_alive()


def test_stores_of_one_vault_share_the_thread(opening: Opening, scribe: Sealer) -> None:
    """Fifty stores of one vault had fifty threads, each of which wrote to the same index."""

    def threads() -> int:
        return sum(thread.name == "vaultsession-index" for thread in threading.enumerate())

    before = threads()
    stores = [opening() for _ in range(5)]
    for number, store in enumerate(stores):
        key = scribe.key(str(number))
        store.commit(key, scribe.create(key))
    assert threads() == before + 1
    for store in stores[:4]:
        store.close()
    assert threads() == before + 1
    last = scribe.key("last")
    stores[4].commit(last, scribe.create(last))
    deadline = time.monotonic() + 60
    while stores[4]._index._buffer:  # it is still written behind
        assert time.monotonic() < deadline
        time.sleep(0.001)
    stores[4].close()
    assert threads() == before


def test_a_vault_that_was_just_made_owes_its_index_no_flush(opening: Opening, scribe: Sealer) -> None:
    """Its table of tags was rebuilt from no rows at all: five flushes, at the making and at the closing."""
    backend = opening()
    inner: Any = backend._index
    assert not inner._unsynced
    backend.commit(scribe.key("a"), scribe.create(scribe.key("a")))
    backend.reindex()
    assert inner._unsynced


@pytest.mark.slow
def test_an_idle_store_does_not_wake_up(opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = opening()
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    inner: Any = backend._index
    flushed = threading.Event()
    flush = inner.flush
    monkeypatch.setattr(inner, "flush", lambda: (flush(), flushed.set()))
    assert flushed.wait(60)
    flushed.clear()
    assert not flushed.wait(4 * index_thread.BATCH_SECONDS)
    assert inner._thread.thread.is_alive()


def test_an_index_that_could_not_be_opened_for_writing_once_is_opened_again(
    opening: Opening, scribe: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EACCES at one opening: SQLite opened the index for reading, and said "readonly" for as long as the process lived.

    A session that was deleted meanwhile was "gone" at the next opening: no index had its tombstone.
    """
    opening().close()
    real = index_schema._connect
    refusals = 1

    def connect(path: str, mode: str) -> Any:
        nonlocal refusals
        if mode == "mode=rw" and refusals and path.endswith("index.sqlite"):
            refusals -= 1
            return real(path, "mode=ro")
        return real(path, mode)

    backend = opening()
    key = scribe.key("a")
    backend.commit(key, scribe.create(key))
    backend._index.flush()
    backend._index._writer.close()
    monkeypatch.setattr(index_schema, "_connect", connect)
    backend.commit(key, scribe.remove(key))
    backend._index.flush()
    assert refusals == 0
    backend.close()
    again = opening()
    assert again.head(key) is None
    assert again._index.lookup(key[-32:]).tombstone is not None
