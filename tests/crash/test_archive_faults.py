"""The disk says no to an archiver that removes what it sealed, at each of its calls and ever after; nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from archive_lab import LaterClock, append, event, lines, run, sealed_bytes, write

from vaultsession import RawKey, SessionStore, VaultError, open_store
from vaultsession.admin.archive.discovery import LEFTOVER
from vaultsession.admin.archive.run import ArchiveOptions, archive
from vaultsession.testing.faulty_disk import FaultyDisk

KEY = RawKey(bytes(range(32)))
EVER = 1 << 30
NAMES = ("grown", "new")


def opened(root: Path, disk: Any = None, durability: Any = "os") -> SessionStore:
    return open_store(root / "vault", key=KEY, disk=disk, durability=durability, cache_bytes=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    grown = write(root / "source" / "grown.jsonl", lines(*map(event, range(3))))
    with opened(root) as store:
        run(store, root / "source")
    append(grown, lines(event(4)))
    write(root / "source" / "new.jsonl", lines(*map(event, range(3))))
    shutil.copytree(root, tmp_path / "saved")
    return root


def attempted(root: Path, disk: FaultyDisk) -> None:
    options = ArchiveOptions(sources=(str(root / "source"),), remove=True)
    try:
        with opened(root, disk, "sync") as store:
            for _ in archive(store, options, environ={}, disk=disk, threads=1, clock=LaterClock()):
                pass
    except (VaultError, OSError):
        pass


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.slow), 40])
@pytest.mark.parametrize(("code", "times"), [(errno.ENOSPC, EVER), (errno.EIO, 1)])
def test_a_disk_that_fails_at_any_call_loses_nothing(root: Path, code: int, times: int, every: int) -> None:
    before = {path.name: path.read_bytes() for path in (root / "source").iterdir()}
    counting = FaultyDisk()
    attempted(root, counting)
    assert os.listdir(root / "source") == []
    for number in range(1, len(counting.calls) + 1, every):
        shutil.rmtree(root)
        shutil.copytree(root.with_name("saved"), root)
        attempted(root, FaultyDisk(number, errno=code, times=times))
        there = os.listdir(root / "source")
        with opened(root) as store:
            for name in NAMES:
                left = [each for each in there if each.startswith(name)]
                assert set(left) <= {f"{name}.jsonl", f"{name}.jsonl{LEFTOVER}"}
                for each in left:
                    assert (root / "source" / each).read_bytes() == before[f"{name}.jsonl"]
                if not left:
                    assert sealed_bytes(store, name) == before[f"{name}.jsonl"], (number, name)
            assert all(done.removed for done in run(store, root / "source", remove=True)), number
            for name in NAMES:
                assert sealed_bytes(store, name) == before[f"{name}.jsonl"], (number, name)
        assert os.listdir(root / "source") == [], number
