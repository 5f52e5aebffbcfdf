"""An archiver that removes what it sealed is killed before and after each of its system calls; nothing is ever lost.

Sources: a file that is new, one that grew, one that was written anew, a document, a text, one of several parts.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from archive_lab import LONG_AGO, LaterClock, append, event, lines, run, sealed_bytes, write
from effort import EFFORT, some

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.archive import original, part_writer, removal
from vaultsession.admin.archive.discovery import LEFTOVER
from vaultsession.admin.archive.restorer import Restorer
from vaultsession.admin.archive.run import ArchiveOptions, archive
from vaultsession.store.elements import Elements
from vaultsession.util.disk import Disk

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")

KEY = RawKey(bytes(range(32)))
PART = 1_500
CHANGES = ("pwrite", "link", "unlink", "rename", "fsync", "fdatasync", "open", "mkdir", "replace")


class CountingDisk(Disk):
    """Calls what it is given with the name of each call that changes something, before it and after it."""

    def __init__(self, meet: Any) -> None:
        for name in CHANGES:
            setattr(self, name, self._met(name, getattr(super(), name), meet))

    @staticmethod
    def _met(name: str, call: Any, meet: Any) -> Any:
        def met(*arguments: Any) -> Any:
            meet(name, arguments)
            done = call(*arguments)
            meet(name + " done", arguments)
            return done

        return met


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (original, part_writer):
        monkeypatch.setattr(module, "PART", PART)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vault and a source, before the run that is killed."""
    root = tmp_path_factory.mktemp("kills")
    source = root / "source"
    write(source / "grown.jsonl", lines(*map(event, range(3))))
    write(source / "anew.jsonl", lines(*map(event, range(3))))
    with opened(root) as store:
        run(store, source)
    append(source / "grown.jsonl", lines(*map(event, range(3, 5))) + b'{"type":"user","odd": 1.00}\n')
    write(source / "anew.jsonl", lines(event(7)), modified=LONG_AGO + 99)
    write(source / "new.jsonl", lines(*map(event, range(3))))
    write(source / "parts.jsonl", lines(*[event(number, text="x" * 300) for number in range(9)]))
    write(source / "chat.json", json.dumps({"messages": [{"role": "user", "content": "é"}]}, indent=2).encode())
    write(source / "text.json", b"no json at all \xff")
    write(source / "empty.jsonl", b"")
    shutil.copytree(root, root.with_name("saved"))
    return root


@pytest.fixture
def root(template: Path) -> Path:
    """The same once more, where it was: a session is known by the path of its file."""
    return afresh(template)


def afresh(root: Path) -> Path:
    shutil.rmtree(root)
    shutil.copytree(root.with_name("saved"), root)
    return root


def opened(root: Path, disk: Disk | None = None, durability: Any = "os") -> SessionStore:
    return open_store(root / "vault", key=KEY, disk=disk, durability=durability, cache_bytes=0)


def files(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((root / "source").iterdir())}


def archived(root: Path, meet: Any, *, durability: Any = "sync", shred: bool = False) -> None:
    disk = CountingDisk(meet)
    with opened(root, disk, durability) as store:
        wanted = ArchiveOptions(sources=(str(root / "source"),), remove=True, shred=shred)
        for _ in archive(store, wanted, environ={}, disk=disk, threads=1, clock=LaterClock()):
            pass


def killed(root: Path, number: int, *, shred: bool) -> bool:
    """Run the archiver in a process that is killed at a call; whether it came so far."""
    child = os.fork()
    if child == 0:
        count = 0

        def meet(_name: str, _arguments: Any) -> None:
            nonlocal count
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1

        try:
            archived(root, meet, shred=shred)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def check(root: Path, before: dict[str, bytes]) -> None:
    """Everything is there: as a file, under its own name or the other, or in the vault."""
    now = files(root)
    with opened(root) as store:
        for name, data in before.items():
            if now.get(name, now.get(name + LEFTOVER)) != data:
                assert name not in now
                assert name + LEFTOVER not in now
                kept = name if name == "text.json" else name.rpartition(".")[0]
                assert sealed_bytes(store, kept) == data, name


def calls(root: Path, *, shred: bool) -> int:
    """How many moments there are to be killed in."""
    met: list[str] = []
    archived(root, lambda name, _: met.append(name), shred=shred)
    assert files(root) == {}
    return len(met)


@pytest.mark.parametrize(
    ("every", "shred"),
    [
        (150, False),
        pytest.param(4, False, marks=pytest.mark.slow),
        pytest.param(4, True, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_moment_loses_nothing_and_the_next_run_goes_on(root: Path, every: int, *, shred: bool) -> None:
    """With more effort over 500 moments together, before and after each call; else other ones of them in each run."""
    before, kills = files(root), 0
    for number in some(range(calls(root, shred=shred)), every):
        afresh(root)
        kills += killed(root, number, shred=shred)
        check(root, before)
        with opened(root) as store:
            done = run(store, root / "source", remove=True)
            assert all(each.removed for each in done), (number, done)
            assert files(root) == {}, number
            # What was sealed before the file was written anew is there as well, at least once.
            kept = [info.id for info in store.list() if info.id.startswith("anew~before")]
            assert sealed_bytes(store, kept[0]) == lines(*map(event, range(3)))
            restorer = Restorer(store, sources=[str(root / "source")])
            for info in store.list():
                if not info.id.startswith("anew~before"):
                    restorer.restore(info.id)
        assert files(root) == before, number
    assert kills >= 250 // max(1, every // EFFORT), kills


@pytest.mark.parametrize("durability", ["sync", "os"])
def test_a_file_loses_its_name_only_after_its_session_was_flushed(root: Path, durability: str) -> None:
    """The second is the planted fault: a store that does not flush."""
    dirty: set[Any] = set()
    removed, unflushed = [], 0

    def meet(name: str, arguments: Any) -> None:
        nonlocal unflushed
        if name == "pwrite":
            dirty.add(arguments[0])
        elif name in ("fsync done", "fdatasync done"):
            dirty.discard(arguments[0])
        elif name in ("rename", "unlink") and str(arguments[0]).startswith(str(root / "source")):
            unflushed += bool(dirty)
            removed.append(arguments[0])

    archived(root, meet, durability=durability)
    assert len(removed) == 2 * 7  # its own name, then the other one
    assert (unflushed > 0) == (durability == "os")


def test_a_removal_that_does_not_compare_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted fault: what is sealed lacks a message, and nobody looks."""
    before, put = files(root), Elements.put
    monkeypatch.setattr(
        Elements,
        "put",
        lambda self, name, state, elements, *rest, **how: put(self, name, state, elements[:-1], *rest, **how),
    )
    monkeypatch.setattr(removal, "compare", lambda *_: None)
    archived(root, lambda *_: None)
    with pytest.raises(AssertionError):
        check(root, before)
