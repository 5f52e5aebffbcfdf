"""BackendContract: what every backend is held to. A new backend's test file is a subclass with one fixture.

::

    class TestMyBackend(BackendContract):
        @pytest.fixture
        def backend(self, scribe):
            backend = MyBackend(describe=scribe.describe)
            yield backend
            backend.close()

A backend that several instances can share also overrides ``reopen``, with a function that opens another instance on the
same sessions.
"""

# ruff: noqa: S101, ANN401, PLR2004 - these are tests, and they take whatever claims to be a backend

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest

from ..errors import Conflict
from ..format.sealed import Current, Decision, IndexRow, Query
from .listing_promises import ListingPromises, fill
from .sealer import Sealer
from .session_promises import SessionPromises

Reopen = Callable[[], Any]


class BackendContract(SessionPromises, ListingPromises):
    """Subclass it, and give it the fixture ``backend``. Each method, here and in its bases, is one promise."""

    @pytest.fixture
    def scribe(self) -> Sealer:
        """Someone with keys."""
        return Sealer()

    @pytest.fixture
    def backend(self, scribe: Sealer) -> Any:
        """A backend without sessions, closed at the end of the test."""
        raise NotImplementedError("give this class a fixture named backend")

    @pytest.fixture
    def reopen(self) -> Reopen:
        """A function that opens another instance on the same sessions."""
        pytest.skip("two instances of this backend share nothing")

    # -- threads and instances -----------------------------------------------------------------------------------------

    def test_commits_of_several_threads_lose_nothing(self, backend: Any, scribe: Sealer) -> None:
        """Every record is there once, those of one thread in its order, while others read and list."""
        keys = [scribe.key(name) for name in "ab"]
        for key in keys:
            backend.commit(key, scribe.create(key))
        done = threading.Event()

        def write(name: int) -> None:
            for number in range(25):
                backend.commit(keys[number % 2], scribe.append(f"{name} {number}"))

        def look() -> None:
            last = dict.fromkeys(keys, 0)
            while not done.is_set():
                for key in keys:
                    row = backend.head(key)
                    assert row.seq >= last[key]
                    last[key] = row.seq
                    assert scribe.reader.load(key, partial(backend.read, key)) is not None
                assert backend.count(Query()) == 2

        _run([partial(write, name) for name in range(4)], [look], done)
        for parity, key in enumerate(keys):
            _, *texts = scribe.texts(backend, key) or []
            for name in range(4):
                own = [text for text in texts if text.startswith(f"{name} ")]
                assert own == [f"{name} {number}" for number in range(parity, 25, 2)]
            assert backend.head(key).seq == len(texts)

    def test_one_of_several_creators_wins(self, backend: Any, scribe: Sealer) -> None:
        """Compare-and-swap is an update that raises."""
        key = scribe.key("a")
        won: list[str] = []

        def create(name: int) -> None:
            def update(newest: Current) -> Decision:
                if isinstance(newest, IndexRow):
                    raise Conflict("there already")
                return scribe.create(key, str(name))(newest)

            try:
                backend.commit(key, update)
            except Conflict:
                return
            won.append(str(name))

        _run([partial(create, name) for name in range(8)])
        assert len(won) == 1
        assert scribe.texts(backend, key) == won

    def test_another_instance_sees_what_this_one_did(self, backend: Any, scribe: Sealer, reopen: Reopen) -> None:
        """At once, and its commits go on from there."""
        key, seen = scribe.key("a"), list[Current]()
        backend.commit(key, scribe.create(key))
        other = reopen()
        assert other.head(key).version == backend.head(key).version
        for number in range(5):
            backend.commit(key, scribe.append(f"this {number}"))
            assert other.head(key).version == backend.head(key).version
            other.commit(key, scribe.append(f"other {number}"))
            assert backend.head(key).version == other.head(key).version
        assert scribe.texts(backend, key) == scribe.texts(other, key)
        assert len(scribe.texts(backend, key) or []) == 11
        other.commit(key, scribe.create(key, "replaced"))
        assert scribe.texts(backend, key) == ["replaced"]
        grave = other.commit(key, scribe.remove(key)).after
        assert backend.head(key) is None
        backend.commit(key, seen.append)
        assert seen in ([grave], [None])  # what another instance has removed may be reported a moment later

    def test_what_was_done_outlives_the_instance(self, backend: Any, scribe: Sealer, reopen: Reopen) -> None:
        """Sessions, listing and tombstones."""
        keys = list(fill(backend, scribe, 5, updated=lambda number: number))
        grave = backend.commit(keys[0], scribe.remove(keys[0])).after
        rows, seen = list(backend.scan(Query())), list[Current]()
        backend.close()
        other = reopen()
        assert list(other.scan(Query())) == rows
        other.commit(keys[0], seen.append)
        assert seen == [grave]
        assert scribe.texts(other, keys[1]) == ["first"]

    def test_a_closed_backend_says_so(self, backend: Any, scribe: Sealer) -> None:
        """Closing twice is closing once."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key))
        rows = backend.scan(Query())
        backend.close()
        backend.close()
        verbs: tuple[Callable[[], object], ...] = (
            lambda: backend.head(key),
            lambda: backend.read(key),
            lambda: backend.commit(key, scribe.append()),
            lambda: backend.scan(Query()),
            lambda: backend.count(Query()),
        )
        for verb in verbs:
            with pytest.raises(RuntimeError, match="closed"):
                verb()
        del rows


def _run(
    writers: Sequence[Callable[[], None]],
    readers: Sequence[Callable[[], None]] = (),
    done: threading.Event | None = None,
) -> None:
    """Each in a thread of its own, readers until the writers are ``done``; what one raises."""
    with ThreadPoolExecutor(len(writers) + len(readers)) as threads:
        running = [threads.submit(work) for work in (*readers, *writers)]
        wait(running[len(readers) :])
        if done is not None:
            done.set()
    for each in running:
        each.result()
