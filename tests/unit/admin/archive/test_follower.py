"""A follower seals what is written, and says what it did."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_lab import append, event, lines, sealed_bytes, write

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.archive import follower
from vaultsession.admin.archive.follower import ArchiveFollower, Minute
from vaultsession.admin.archive.run import ArchiveOptions
from vaultsession.errors import InvalidSetting, LeaseTimeout

watchfiles = pytest.importorskip("watchfiles", reason="pip install 'vaultsession[archive]'")

PATIENCE = 60.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=RawKey(bytes(range(32))), durability="os") as opened:
        yield opened


def options(source: Path) -> ArchiveOptions:
    return ArchiveOptions(sources=(str(source),))


def until(holds: object) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_what_is_written_is_sealed(store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("_QUIET", 50), ("_STEP", 20), ("_LOOK", 200)):
        monkeypatch.setattr(follower, name, value)
    source = tmp_path / "source"
    file, now = write(source / "s.jsonl", lines(event(1))), int(time.time())
    stop, minutes = threading.Event(), list[Minute]()
    following = threading.Thread(target=lambda: minutes.extend(ArchiveFollower(store, options(source)).run(stop)))
    following.start()
    try:
        until(lambda: store.exists("s"))
        until(lambda: minutes)
        append(file, lines(event(2)) + b'{"half', modified=now)
        until(lambda: store.info("s").message_count == 2)
        append(file, b'":1}\n', modified=now)
        write(source / "deep" / "new.jsonl", lines(event(3)), modified=now)
        until(lambda: store.info("s").message_count == 3 and store.exists("new"))
    finally:
        stop.set()
        following.join()
    assert sealed_bytes(store, "s") == file.read_bytes()
    assert minutes[0]["archived"] == 1
    assert sum(minute["bytes"] for minute in minutes) == sum(path.stat().st_size for path in source.rglob("*.jsonl"))


def test_a_follower_without_the_package_says_what_to_install(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(InvalidSetting, match=r"vaultsession\[archive\]"):
        next(ArchiveFollower(store, options(tmp_path)).run())


def test_there_has_to_be_something_to_follow(store: SessionStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="nothing to follow"):
        ArchiveFollower(store, ArchiveOptions(), environ={"HOME": str(tmp_path)})
    file = write(tmp_path / "s.jsonl", lines(event(1)))
    with pytest.raises(InvalidSetting, match="no directory"):
        ArchiveFollower(store, options(file))


def test_where_another_archiver_is_at_work_it_goes_on_and_looks_at_all_the_next_time(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended with the error of the lease, and sealed nothing more."""
    source = tmp_path / "source"
    file = write(source / "s.jsonl", lines(event(1)))
    follower = ArchiveFollower(store, options(source), environ={})
    follower._looked = 1

    def busy(*_: object, **__: object) -> None:
        raise LeaseTimeout("another archiver")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "lease", busy)
        follower._seal({str(file)})
    assert follower._looked is None
    assert not store.exists("s")


def test_what_lies_in_a_new_directory_is_sealed(store: SessionStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    follower = ArchiveFollower(store, options(source), environ={})
    write(source / "deep" / "er" / "new.jsonl", lines(event(1)))
    write(source / "deep" / "no.txt", b"no")
    write(source / "deep" / ".hidden" / "x.jsonl", lines(event(1)))
    (source / "deep" / "link.jsonl").symlink_to(source / "deep" / "no.txt")
    follower._seal({str(source / "deep"), str(source / "deep" / "er" / "new.jsonl"), str(source / "gone")})
    assert [info.id for info in store.list()] == ["new"]
