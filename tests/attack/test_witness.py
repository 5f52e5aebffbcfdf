"""The index remembers what was acknowledged, whatever is taken away and put back around it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from files_lab import AfterTheNextStart
from sql_servers import sqlite_file

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.doctor import Severity, examine, known_keys, opened_read_only
from vaultsession.admin.migrate import migrate
from vaultsession.engine.verify import Verdict, check
from vaultsession.errors import Damaged, RollbackDetected, SessionNotFound
from vaultsession.testing.clock import ManualClock
from vaultsession.util.disk import Disk
from vaultsession.vault.location import VaultLocation

KEY = RawKey(bytes(range(100, 132)))
NEW = {"role": "user", "content": "said later"}

Opened = Callable[..., SessionStore]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def opened(vault: Path) -> Opened:
    def opened(**how: Any) -> SessionStore:
        return open_store(vault, key=KEY, **how)

    return opened


def container(vault: Path, id: str) -> Path:
    return next((vault / "sessions").glob(f"{id}~*"))


def set_back(vault: Path, opened: Opened, **how: Any) -> tuple[Path, bytes]:
    """A session with an older state of its file, and the file."""
    with opened(**how) as store:
        store.create("alice", messages=[NEW])
        file = container(vault, "alice")
        old = file.read_bytes()
        store.append("alice", NEW)
    return file, old


def mark_dead_writer(vault: Path) -> None:
    (vault / "locks" / "writer-00").write_bytes(b"1")


def drop_index(vault: Path) -> None:
    for name in vault.glob("index.sqlite*"):
        name.unlink()


def backed_up_index(vault: Path, aside: Path) -> None:
    with sqlite_file(vault / "index.sqlite") as index:
        index.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    index.close()
    shutil.copy(vault / "index.sqlite", aside)


def test_a_file_that_was_away_while_the_index_was_rebuilt_is_not_believed_when_an_older_one_comes(
    vault: Path, opened: Opened
) -> None:
    file, old = set_back(vault, opened)
    file.unlink()
    mark_dead_writer(vault)
    opened().close()
    file.write_bytes(old)
    file.chmod(0o600)
    with opened() as store:
        with pytest.raises(RollbackDetected):
            store.load("alice")
        store.reindex()
        with pytest.raises(RollbackDetected):
            store.load("alice")


@pytest.mark.parametrize("noticed", [False, True], ids=["before a rebuild", "after it"])
def test_a_session_whose_file_is_gone_is_damaged_for_every_verb_and_reported(
    noticed: bool, vault: Path, opened: Opened
) -> None:
    with opened() as store:
        store.create("alice")
        store.create("bob")
    container(vault, "alice").unlink()
    with opened() as store:
        if noticed:
            store.reindex()
        for verb in (
            lambda: store.load("alice"),
            lambda: store.get("alice"),
            lambda: store.exists("alice"),
            lambda: store.messages("alice"),
            lambda: store.append("alice", NEW),
            lambda: store.append("alice", NEW, create=True),
            lambda: store.update("alice", {"a": 1}),
        ):
            with pytest.raises(Damaged, match="its file is gone"):
                verb()
        (problem,) = store.verify().problems
        assert problem.verdict == "missing"
        health = store.health()
        assert not health["ok"]
        assert "alice" in str(health)
        assert store.load("bob").message_count == 0
        assert store.delete("alice")
        assert store.verify().ok
        assert store.health()["ok"]
        assert store.get("alice") is None
        assert store.append("alice", NEW, create=True).message_count == 1


def test_a_rollback_to_what_a_reader_has_in_memory_is_refused_each_time(
    vault: Path, opened: Opened, tmp_path: Path
) -> None:
    with opened() as reader, opened() as writer:
        writer.create("s", messages=[{"n": 0}])
        shutil.copy(container(vault, "s"), tmp_path / "before")
        assert reader.load("s").messages == [{"n": 0}]
        writer.append("s", NEW)
        writer.list()  # the index is told
        path = container(vault, "s")
        path.unlink()
        shutil.copy(tmp_path / "before", path)
        for _ in range(3):
            with pytest.raises(RollbackDetected):
                reader.load("s")


def test_a_file_that_comes_back_as_it_was_is_read(vault: Path, opened: Opened, tmp_path: Path) -> None:
    with opened() as store:
        store.create("alice", messages=[NEW])
    file = container(vault, "alice")
    file.rename(tmp_path / "away")
    with opened() as store:
        store.reindex()
        (tmp_path / "away").rename(file)
        assert store.load("alice").message_count == 1
        store.reindex()
        assert store.count() == 1
        assert store.verify().ok


def test_what_has_expired_cannot_be_lost(vault: Path, opened: Opened) -> None:
    clock = ManualClock()
    with opened(clock=clock) as store:
        store.create("alice", ttl=10)
        container(vault, "alice").unlink()
        clock.advance(11)
        assert store.get("alice") is None
        assert not store.exists("alice")
        store.reindex()
        assert store.get("alice") is None
        assert store.sweep() == 1
        assert store.verify().ok
        assert store.health()["ok"]


def test_an_index_that_was_derived_is_a_witness(vault: Path, opened: Opened) -> None:
    file, old = set_back(vault, opened)
    drop_index(vault)
    opened().close()
    file.write_bytes(old)
    with opened() as store, pytest.raises(RollbackDetected):
        store.load("alice")


def test_a_copy_that_migrate_made_is_a_witness(vault: Path, opened: Opened, tmp_path: Path) -> None:
    file, old = set_back(vault, opened)
    places = [VaultLocation.at(str(each), Disk(), durability="os") for each in (vault, tmp_path / "copy")]
    migrate(places[0], places[1], places[0].vault.unlock([("key", KEY)]))
    copied = tmp_path / "copy" / "sessions" / file.name
    copied.write_bytes(old)
    with open_store(tmp_path / "copy", key=KEY, disk=AfterTheNextStart()) as store, pytest.raises(RollbackDetected):
        store.load("alice")


def test_what_was_not_flushed_is_known_until_the_system_starts_again(vault: Path, opened: Opened) -> None:
    file, old = set_back(vault, opened, durability="os")
    file.write_bytes(old)
    with opened(durability="os") as store, pytest.raises(RollbackDetected):
        store.load("alice")
    # A power cut may have taken what was never flushed.
    with opened(durability="os", disk=AfterTheNextStart()) as store:
        assert store.load("alice").message_count == 1


def test_an_index_that_was_put_back_lists_what_is_there(vault: Path, opened: Opened, tmp_path: Path) -> None:
    with opened() as store:
        store.create("kept")
        store.create("removed")
        store.create("changed")
    backed_up_index(vault, tmp_path / "index")
    with opened() as store:
        store.create("made")
        store.delete("removed")
        store.append("changed", NEW)
    drop_index(vault)
    shutil.copy(tmp_path / "index", vault / "index.sqlite")
    with opened() as store:
        assert {info.id: info.message_count for info in store.list()} == {"kept": 0, "made": 0, "changed": 1}
        assert store.get("removed") is None
        assert store.verify().ok
        assert store.health()["ok"]


def test_an_index_that_was_put_back_under_an_open_store_is_noticed_at_the_next_opening(
    vault: Path, opened: Opened, tmp_path: Path
) -> None:
    with opened() as store:
        store.create("kept")
    backed_up_index(vault, tmp_path / "index")
    with opened() as store:
        store.create("made")
        store.count()
        drop_index(vault)
        shutil.copy(tmp_path / "index", vault / "index.sqlite")
        store.create("later")
        store.count()
    with opened() as store:
        assert sorted(info.id for info in store.list()) == ["kept", "later", "made"]


def test_a_healthy_vault_is_not_read_when_it_is_opened(vault: Path, opened: Opened) -> None:
    with opened() as store:
        for number in range(5):
            store.create(str(number))
    looked: list[str] = []

    class Watched(Disk):
        def names(self, path: str) -> Any:
            looked.append(path)
            return super().names(path)

        @staticmethod
        def open(path: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
            looked.append(path)
            return Disk.open(path, flags, mode)

    with opened(disk=Watched()) as store:
        assert not [path for path in looked if "sessions" in path]
        assert store.count() == 5


def test_a_removal_that_was_killed_is_completed_and_no_session_is_lost_by_it(vault: Path, opened: Opened) -> None:
    class Killed(Disk):
        def index_flushed(self) -> None:
            raise KeyboardInterrupt

    store = opened()
    store.create("alice")
    store.close()
    store = opened(disk=Killed())
    with pytest.raises(KeyboardInterrupt):
        store.delete("alice")
    left = [name for name in os.listdir(vault / "sessions") if name.endswith(".gone")]
    assert len(left) == 1
    with opened() as other:
        assert other.get("alice") is None
        assert other.append("alice", NEW, create=True).message_count == 1
    store._backend._markers.release(clean=False)
    with opened() as other:
        assert os.listdir(vault / "sessions") == [container(vault, "alice").name]
        assert other.verify().ok


def test_a_container_that_somebody_names_removed_is_lost_and_not_removed(vault: Path, opened: Opened) -> None:
    with opened() as store:
        store.create("alice")
    file = container(vault, "alice")
    forged = file.with_name(f".{file.stem[-32:]}.{2**60:016x}.{'ab' * 16}.gone")
    file.rename(forged)
    mark_dead_writer(vault)
    with opened() as store:
        with pytest.raises(Damaged, match="its file is gone"):
            store.load("alice")
        assert forged.exists()
        forged.rename(file)
        assert store.load("alice").message_count == 0


def test_a_session_that_is_not_there_costs_no_more_than_before(vault: Path, opened: Opened) -> None:
    looked: list[str] = []

    class Watched(Disk):
        @staticmethod
        def stat(path: str) -> os.stat_result:
            looked.append(path)
            return os.lstat(path)

        def names(self, path: str) -> Any:
            raise AssertionError(path)

    opened().close()
    with opened(disk=Watched()) as store:
        store.get("nobody")
        looked.clear()
        with pytest.raises(SessionNotFound):
            store.load("nobody")
        assert len(looked) <= 2


def test_what_is_lost_comes_back_from_a_copy(vault: Path, opened: Opened, tmp_path: Path) -> None:
    with opened() as store:
        store.create("alice", messages=[NEW])
    places = [VaultLocation.at(str(each), Disk(), durability="os") for each in (vault, tmp_path / "copy")]
    unlocked = places[0].vault.unlock([("key", KEY)])
    migrate(places[0], places[1], unlocked)
    container(vault, "alice").unlink()
    with opened() as store, pytest.raises(Damaged):
        store.load("alice")
    migrate(places[1], places[0], unlocked)
    with opened() as store:
        assert store.load("alice").message_count == 1
        assert store.verify().ok


class Killed(BaseException):
    """What a SIGKILL leaves undone."""


@pytest.mark.parametrize("at", ["after the rename", "before the noise", "within the noise", "after the noise"])
def test_a_shredding_that_was_killed_leaves_nothing_that_was_not_overwritten(
    at: str, vault: Path, opened: Opened
) -> None:
    unlinked: list[bytes] = []

    class Dying(Disk):
        armed = False

        def sync_directory(self, path: str) -> None:
            if self.armed and at == "after the rename":
                raise Killed
            super().sync_directory(path)

        @staticmethod
        def pwrite(fd: int, data: bytes, offset: int) -> int:
            if dying.armed and len(data) > 4000:
                if at == "within the noise":
                    os.pwrite(fd, data[: len(data) // 2], offset)
                if at != "after the noise":
                    raise Killed
            return os.pwrite(fd, data, offset)

        def unlink(self, path: str) -> None:  # type: ignore[override]  # a function in the base
            if self.armed and path.endswith(".shred"):
                raise Killed
            if path.endswith((".shred", ".gone", ".vss", ".tmp")) and any(Path(path).read_bytes()):
                unlinked.append(Path(path).read_bytes())
            os.unlink(path)

    dying = Dying()
    store = opened(disk=dying, compression="none")
    store.create("alice", messages=[{"text": "x" * 5000}])
    written = container(vault, "alice").read_bytes()
    dying.armed = True
    with pytest.raises(Killed):
        store.delete("alice", shred=True)
    dying.armed = False
    store._backend._markers.release(clean=False)
    with opened(disk=dying) as other:
        assert other.get("alice") is None
        assert other.verify().ok
        assert other.health()["ok"]
    assert os.listdir(vault / "sessions") == []
    (data,) = unlinked
    assert len(data) == len(written)
    assert all(data[start : start + 64] != written[start : start + 64] for start in range(0, len(data) - 64, 64))
    store.close()


def test_the_command_line_reports_what_is_lost_also_after_the_index_was_rebuilt(vault: Path, opened: Opened) -> None:
    with opened() as store:
        store.create("alice")
    container(vault, "alice").unlink()
    with opened() as store:
        store.reindex()
    with opened_read_only(str(vault), [("key", KEY)]) as looked:
        (key,) = known_keys(looked.backend)
        assert check(looked.backend, looked.reader, key).verdict is Verdict.MISSING
    findings = list(examine(str(vault), [("key", KEY)]))
    assert [each.name for each in findings if each.severity is Severity.ERROR] == ["session-lost"]
