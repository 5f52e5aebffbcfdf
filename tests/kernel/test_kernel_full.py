"""Media that are full, out of inodes, or that fail a flush: a typed error, nothing acknowledged lost, and on it goes."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel_lab import KEY, Image, errors_in, made, mounted, needs_mounts, opened

from vaultsession import BackendUnavailable, DurabilityUnknown, SessionStore, VaultError, open_store

pytestmark = [pytest.mark.slow, needs_mounts]

MOST = 20_000
REFUSED = (BackendUnavailable, errno.ENOSPC)


@contextlib.contextmanager
def small_tmpfs(directory: Path) -> Iterator[Path]:
    with mounted(directory / "mounted", "-t", "tmpfs", "-o", "size=4m", "none") as place:
        yield place


@contextlib.contextmanager
def tmpfs_of_few_inodes(directory: Path) -> Iterator[Path]:
    with mounted(directory / "mounted", "-t", "tmpfs", "-o", "size=32m,nr_inodes=200", "none") as place:
        yield place


@contextlib.contextmanager
def small_ext4(directory: Path) -> Iterator[Path]:
    # Blocks of a page each, as on any file system of more than 512 MB: with smaller ones SQLite's shared memory can be
    # a hole where it is written to, and a full medium is then a SIGBUS.
    with Image(directory, "ext4", size=8 << 20, make=("-m", "0", "-b", "4096")).mounted() as place:
        yield place


@contextlib.contextmanager
def ext4_of_few_inodes(directory: Path) -> Iterator[Path]:
    with Image(directory, "ext4", size=16 << 20, make=("-N", "160")).mounted() as place:
        yield place


MEDIA = {
    "a small tmpfs": small_tmpfs,
    "a tmpfs of few inodes": tmpfs_of_few_inodes,
    "a small ext4": small_ext4,
    "an ext4 of few inodes": ext4_of_few_inodes,
}


class Work:
    """Writes until it is refused, and knows what was acknowledged."""

    def __init__(self, store: SessionStore) -> None:
        self.store = store
        self.lengths: dict[str, int] = {}
        self.attempted: dict[str, int] = {}
        self.states: dict[str, int] = {}
        self._next = 0

    def until_refused(self) -> tuple[type[VaultError], object]:
        """The error and the number of what caused it. Not the error itself: its frames would keep files open."""
        for _ in range(MOST):
            try:
                self._step()
            except VaultError as error:
                return type(error), getattr(error.__cause__, "errno", None)
        raise AssertionError("the medium never filled up")

    def _step(self) -> None:
        number, self._next = self._next, self._next + 1
        pad = os.urandom(300).hex()
        name = f"s{number}"
        if number % 2:
            self.attempted[name] = 1
            self.store.create(name, user_id="u", messages=[{"n": 0, "pad": pad}])
            self.lengths[name] = 1
        elif number % 4:
            self.attempted["long"] = self.attempted.get("long", 0) + 1
            self.store.append("long", {"n": self.lengths.get("long", 0), "pad": pad}, create=True)
            self.lengths["long"] = self.lengths.get("long", 0) + 1
        else:
            self.store.save("state", state={"n": number, "pad": pad})
            self.states["state"] = number

    def check(self, store: SessionStore) -> None:
        """Everything acknowledged is there, and nothing that was not at least tried."""
        for name, length in self.lengths.items():
            found = [message["n"] for message in store.load(name).messages]
            assert found == list(range(len(found)))
            assert length <= len(found) <= max(length, self.attempted[name])
        for name, state in self.states.items():
            assert store.load(name).state["n"] >= state


def fill(path: Path) -> None:
    """Take all that is left, to the last byte."""
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


@pytest.mark.parametrize("medium", MEDIA)
def test_a_full_medium_is_a_typed_error_and_loses_nothing(tmp_path: Path, medium: str) -> None:
    with MEDIA[medium](tmp_path) as place:
        reserve = place / "reserve"
        reserve.mkdir()
        for number in range(40):
            (reserve / str(number)).write_bytes(bytes(40_000))
        vault = made(place / "vault")
        with opened(vault) as store:
            work = Work(store)
            assert work.until_refused() == REFUSED
            assert len(work.lengths) > 20
            fill(reserve / "0")
            for _ in range(5):
                assert work.until_refused()[0] is BackendUnavailable
            work.check(store)  # the same store, while there is no room
        # Another one, while there is no room: SQLite may find none for its shared memory, and without the index it is
        # unknown what was acknowledged. Then that is what is said, of each session; never anything else.
        with opened(vault) as store, contextlib.suppress(BackendUnavailable):
            work.check(store)
        for file in reserve.iterdir():
            file.unlink()
        os.sync()  # ext4 gives room back when its journal has been written
        with opened(vault) as store:
            work.check(store)
            assert {info.id for info in store.list()} >= work.lengths.keys() | work.states.keys()
            store.append("long", {"n": len(store.load("long").messages)})
            store.create("afterwards")
            assert store.delete("s1")
        assert errors_in(vault) == []
        assert [*vault.glob("sessions/.*.tmp"), *vault.glob("sessions/*.new")] == []


@pytest.mark.parametrize("medium", ["a small tmpfs", "a small ext4"])
def test_a_store_that_stays_open_goes_on_once_there_is_room_and_so_does_its_index(tmp_path: Path, medium: str) -> None:
    with MEDIA[medium](tmp_path) as place:
        with open_store(place / "vault", key=KEY) as store:
            reserve = place / "reserve"
            reserve.write_bytes(bytes(1_500_000))
            work = Work(store)
            work.until_refused()
            fill(reserve)
            with contextlib.suppress(BackendUnavailable):
                store.list()
            work.check(store)
            reserve.unlink()
            os.sync()  # as above
            work.check(store)
            store.create("afterwards", user_id="later")
            assert [info.id for info in store.list(user_id="later")] == ["afterwards"]
            assert {info.id for info in store.list()} >= work.lengths.keys() | work.states.keys()
            assert store.delete("s1")
        assert errors_in(place / "vault") == []


def test_no_vault_is_made_where_there_is_no_room_and_one_is_once_there_is(tmp_path: Path) -> None:
    with small_tmpfs(tmp_path) as place:
        fill(place / "filler")
        with pytest.raises(VaultError):
            open_store(place / "vault", key=KEY)
        (place / "filler").unlink()
        with open_store(place / "vault", key=KEY) as store:
            store.create("a")


@pytest.mark.parametrize("flushes", ["appends", "saves"])
def test_a_flush_that_really_fails_is_told_and_loses_nothing(tmp_path: Path, flushes: str) -> None:
    """An ext4 in a sparse file on a tmpfs that fills up: the kernel finds no room for what it had accepted already."""
    with mounted(tmp_path / "below", "-t", "tmpfs", "-o", "size=24m", "none") as below:
        image = Image(below, "ext4", size=64 << 20)
        acknowledged = attempted = 0
        with image.mounted() as place:
            made(place / "vault")
            with opened(place / "vault") as store:
                store.create("a", state={"n": 0})
                fill(below / "filler")
                refused = False
                while not refused and attempted < MOST:
                    pad = os.urandom(20_000).hex()
                    attempted += 1
                    try:
                        if flushes == "appends":
                            store.append("a", {"n": attempted, "pad": pad})
                        else:
                            store.save("a", state={"n": attempted, "pad": pad})
                        acknowledged = attempted
                    except (BackendUnavailable, DurabilityUnknown):
                        refused = True
                assert refused
                # What follows on a medium that went bad is reported as well, and ends in no other way.
                for _ in range(3):
                    with contextlib.suppress(BackendUnavailable, DurabilityUnknown):
                        store.append("b", {"n": 1}, create=True)
                (below / "filler").unlink()
        with image.mounted() as place:
            with opened(place / "vault") as store:
                session = store.load("a")
                numbers = (
                    [message["n"] for message in session.messages] if flushes == "appends" else [session.state["n"]]
                )
                newest = numbers[-1] if numbers else 0
                assert acknowledged <= newest <= attempted
                if flushes == "appends":
                    assert numbers == list(range(1, newest + 1))
                store.append("a", {"n": newest + 1})
                assert "a" in {info.id for info in store.list()}
            assert errors_in(place / "vault") == []
