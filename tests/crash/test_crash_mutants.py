"""The crash lab, tried on stores that are known to be wrong: it must find each of them out.

Every mutant is one promise of the files backend broken; the scenario passes without it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crash_lab import Life
from test_power_cuts import a_writer_died, the_index_is_lost
from test_vault_power_cuts import explore_keys

from vaultsession.backends.files import FilesBackend, container_store
from vaultsession.backends.files.index import Index
from vaultsession.backends.files.writers import WriterMarkers
from vaultsession.errors import VaultError
from vaultsession.format.sealed import IndexRow
from vaultsession.testing.lossy_disk import LossyDisk
from vaultsession.util.disk import CREATE_NEW, PRIVATE_FILE, opened, write_all
from vaultsession.vault.directory import NEW, VaultDirectory

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("late_index")]

Patch = pytest.MonkeyPatch

TEXT = {"role": "user", "content": "z" * 700}


def scenario(life: Life) -> None:
    life.act(
        lambda store: store.create("a", messages=[TEXT]),
        lambda store: store.append("a", TEXT),
        lambda store: store.count(),
        lambda store: store.append("a", TEXT),
        lambda store: store.clear("a"),
        lambda store: store.delete("a"),
        lambda store: store.create("b", messages=[TEXT]),
    )
    life.store.close()


class NoFileFlush(LossyDisk):
    """Flushes directories and no file."""

    def _flushed(self, fd: int, *, whole: bool) -> None:
        if self._kinds[self._open[fd]].directory:
            super()._flushed(fd, whole=whole)


class NoDirectoryFlush(LossyDisk):
    """Flushes files and no directory."""

    def sync_directory(self, path: str) -> None:
        os.stat(path)


def rename_before_write(patch: Patch) -> None:
    real = container_store.replace

    def place(disk: Any, temporary: str, path: str, data: bytes, *, flush: bool, flush_name: Any) -> Any:
        del flush, flush_name
        fd = disk.open(temporary, CREATE_NEW, PRIVATE_FILE)
        disk.rename(temporary, path)
        write_all(disk, fd, data, 0)
        disk.fsync(fd)
        disk.close(fd)
        disk.sync_directory(os.path.dirname(path))
        return real(QuietlyAgain(disk), temporary, path, data, flush=False)

    patch.setattr(container_store, "replace", place)


class QuietlyAgain:
    """Does on the live image what the medium does not see: the state that the backend needs is made of it."""

    def __init__(self, disk: Any) -> None:
        self._disk = disk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._disk, name)


def no_tail_repair(patch: Patch) -> None:
    real = container_store.ContainerStore.newest

    def newest(self: Any, key: str) -> Any:
        state, row = real(self, key)
        if isinstance(row, IndexRow) and row.torn:
            row = row._replace(torn=False, size=state.size)
            state = state._replace(row=row)
        return state, row

    patch.setattr(container_store.ContainerStore, "newest", newest)


def index_before_file(patch: Patch) -> None:
    real = container_store.ContainerStore.write

    def write(self: Any, key: str, state: Any, newest: Any, change: Any) -> Any:
        if hasattr(change, "head"):
            self._index.add(change.head, flushed=True)
            self._index.flush()
            self._disk.sync_directory(self._layout.locks)  # so that there is a moment between
        return real(self, key, state, newest, change)

    patch.setattr(container_store.ContainerStore, "write", write)


def marker_not_flushed(patch: Patch) -> None:
    patch.setattr(WriterMarkers, "_flush_file", lambda *_, **__: None)


def nobody_waits_for_the_marker(patch: Patch) -> None:
    def wait(self: Any) -> None:
        self.flushed = True

    patch.setattr(WriterMarkers, "wait", wait)


def record_not_flushed(patch: Patch) -> None:
    patch.setattr(
        container_store.ContainerStore, "flush", lambda self, record: self._index.add(record.row, flushed=True)
    )


def nothing(_: Patch) -> None:
    """As it is."""


MUTANTS: list[tuple[Callable[[Patch], None], Any]] = [
    (nothing, NoFileFlush),
    (nothing, NoDirectoryFlush),
    (rename_before_write, LossyDisk),
    (no_tail_repair, LossyDisk),
    (index_before_file, LossyDisk),
    (marker_not_flushed, LossyDisk),
    (nobody_waits_for_the_marker, LossyDisk),
    (record_not_flushed, LossyDisk),
]


# -- what the lab has found in earlier versions ------------------------------------------------------------------------


def index_begun_before_the_marker(patch: Patch) -> None:
    """An index that was put in place before the marker was flushed looked whole, and was empty."""
    patch.setattr(FilesBackend, "_mark_dirty", FilesBackend._begin_writing)
    patch.setattr(FilesBackend, "_is_outdated", lambda _: False)  # the tokens of the markers find it out as well


def cleared_without_a_flush(patch: Patch) -> None:
    """The rows of a killed writer were seen, so nothing was written; and nothing flushed, before its marker went."""
    real = Index.sync
    patch.setattr(Index, "sync", lambda self, tokens, *, others=False: real(self, tokens, others=False))


def only_heads_after_a_crash(patch: Patch) -> None:
    """A record whose body was torn and whose head was not was listed, and the one before it was read."""
    real = container_store.ContainerStore.head
    patch.setattr(container_store.ContainerStore, "head", lambda self, key, **_: real(self, key))


def a_record_torn_in_its_body(life: Life) -> None:
    body = "".join(f"{number:x}" for number in range(1200))
    life.act(lambda store: store.create("a"), lambda store: store.append("a", {"text": body}))


@pytest.mark.parametrize(
    ("mutate", "scenario"),
    [
        (index_begun_before_the_marker, the_index_is_lost),
        (cleared_without_a_flush, a_writer_died),
        (only_heads_after_a_crash, a_record_torn_in_its_body),
    ],
    ids=lambda each: each.__name__,
)
@pytest.mark.parametrize("mutated", [False, True], ids=["as it is", "as it was"])
def test_what_the_lab_has_found_it_finds_again(
    where: Path, monkeypatch: Patch, mutate: Callable[[Patch], None], scenario: Callable[[Life], None], *, mutated: bool
) -> None:
    life = Life(where, "quick: found before")
    if mutated:
        mutate(monkeypatch)
    scenario(life)
    with pytest.raises((AssertionError, VaultError)) if mutated else contextlib.nullcontext():
        life.survive(bound=48 if mutated else 4)


@pytest.mark.parametrize(("mutate", "disk"), MUTANTS, ids=[f"{m.__name__}-{d.__name__}" for m, d in MUTANTS])
def test_a_store_that_is_wrong_is_found_out(
    where: Path, monkeypatch: Patch, mutate: Callable[[Patch], None], disk: Any
) -> None:
    mutate(monkeypatch)
    life = Life(where, "", disk)
    scenario(life)
    with pytest.raises((AssertionError, VaultError)):
        life.survive(bound=24)


def test_the_same_life_of_a_store_that_is_right_is_survived(where: Path) -> None:
    life = Life(where, "quick: the life of the mutants")
    scenario(life)
    assert life.survive(bound=4) >= 80


def one_copy_flushed(patch: Patch) -> None:
    def write(self: Any, _: Any, copies: Any, data: bytes) -> None:
        for number, copy in enumerate(copies):
            temporary = os.path.join(self.path, copy.place + NEW)
            with opened(self.disk, temporary, CREATE_NEW) as fd:
                write_all(self.disk, fd, data, 0)
                if number == 0:
                    self.disk.fsync(fd)
            self.disk.replace(temporary, os.path.join(self.path, copy.place))
        self.disk.sync_directory(self.path)

    patch.setattr(VaultDirectory, "_replace_copies", write)


def both_renamed_before_a_flush(patch: Patch) -> None:
    def write(self: Any, _: Any, copies: Any, data: bytes) -> None:
        names = [os.path.join(self.path, copy.place) for copy in copies]
        for name in names:
            with opened(self.disk, name + NEW, CREATE_NEW) as fd:
                write_all(self.disk, fd, data, 0)
        for name in names:
            self.disk.replace(name + NEW, name)
        for name in names:
            with opened(self.disk, name) as fd:
                self.disk.fsync(fd)
        self.disk.sync_directory(self.path)

    patch.setattr(VaultDirectory, "_replace_copies", write)


@pytest.mark.parametrize(
    ("mutate", "disk"),
    [
        (one_copy_flushed, LossyDisk),
        (both_renamed_before_a_flush, LossyDisk),
        (nothing, NoFileFlush),
        (nothing, NoDirectoryFlush),
    ],
)
def test_key_slots_that_are_written_wrongly_are_found_out(
    where: Path, monkeypatch: Patch, mutate: Callable[[Patch], None], disk: Any
) -> None:
    mutate(monkeypatch)
    with pytest.raises((AssertionError, VaultError)):
        explore_keys(where, "", disk, bound=24)
