"""A vault copied to another place: the same bytes, or a problem by name; and nothing lost on either side."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vaults import KEY, OTHER, container_in, tear

from vaultsession import open_store
from vaultsession.admin.migrate import MigrationReport, Trouble, copy, migrate, plan
from vaultsession.admin.migrate.describer import Describer
from vaultsession.backends import MemoryBackend
from vaultsession.engine.reader import Reader
from vaultsession.errors import BackendUnavailable, Conflict, InvalidSetting, VaultNotFound
from vaultsession.format.ids import parse
from vaultsession.format.sealed import Commit, Container, Current, Query, Update, Write
from vaultsession.store.store import SessionStore
from vaultsession.testing.clock import ManualClock
from vaultsession.util.disk import Disk
from vaultsession.vault.location import VaultLocation

NAMES = ("alice", "bob", "carol", "dave", "eve")


class Lab:
    """Two places, and a vault in the first of them."""

    def __init__(self, root: Path) -> None:
        self.first, self.second = root / "first", root / "second"
        self.clock = ManualClock()
        with self.store(self.first) as store:
            for name in NAMES:
                store.create(name, user_id="u", messages=[{"content": name * 50}])
                self.clock.advance("1s")
                store.append(name, {"content": "more"})

    def store(self, path: Path, **how: Any) -> SessionStore:
        return open_store(path, key=KEY, clock=self.clock, **how)

    def site(self, path: Path) -> VaultLocation:
        return VaultLocation.at(str(path), Disk(), durability="os")

    def migrate(self, *, key: bool = True, to: VaultLocation | None = None) -> MigrationReport:
        source = self.site(self.first)
        vault = source.vault.unlock([("key", KEY)]) if key else None
        return migrate(source, to or self.site(self.second), vault)

    def file(self, path: Path, name: str) -> Path:
        (found,) = path.glob(f"sessions/{name}~*.vss")
        return found

    def bytes(self, path: Path) -> dict[str, bytes]:
        return {file.name: container_in(file) for file in path.glob("sessions/*.vss")}

    def texts(self, path: Path) -> dict[str, list[Any]]:
        with self.store(path, create=False, cache_bytes=0) as store:
            return {info.id: store.load(info.id).messages for info in store.list()}


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def troubles(report: MigrationReport) -> dict[str, Trouble]:
    return {problem.key.partition("~")[0]: problem.trouble for problem in report.problems}


# -- files to files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [True, False])
def test_the_second_vault_holds_the_same_bytes_and_opens_with_the_same_key(lab: Lab, *, key: bool) -> None:
    before = lab.bytes(lab.first)
    report = lab.migrate(key=key)
    assert (report.sessions, report.copied, report.verified, report.problems) == (5, 5, 5, [])
    assert report.authenticated == (5 if key else 0)
    assert report.metadata == "copied"
    assert lab.bytes(lab.second) == before == lab.bytes(lab.first)
    assert lab.texts(lab.second) == lab.texts(lab.first)


@pytest.mark.parametrize("key", [True, False])
def test_a_second_run_copies_nothing_and_compares_everything(lab: Lab, *, key: bool) -> None:
    lab.migrate()
    report = lab.migrate(key=key)
    assert (report.copied, report.current, report.updated, report.verified) == (0, 5, 0, 5)
    assert report.problems == []


def test_what_has_changed_since_travels_in_the_next_run(lab: Lab) -> None:
    lab.migrate()
    with lab.store(lab.first) as store:
        store.append("bob", {"content": "and more"})
        store.save("carol", messages=[{"content": "anew"}])
        store.delete("dave")
        store.create("frank")
    report = lab.migrate()
    assert (report.copied, report.updated, report.removed, report.current) == (1, 2, 0, 2)
    assert report.tombstones == 1
    assert lab.texts(lab.second) == lab.texts(lab.first)
    assert lab.bytes(lab.second) == lab.bytes(lab.first)


def test_what_has_changed_takes_a_key_and_what_has_not_takes_none(lab: Lab) -> None:
    lab.migrate()
    with lab.store(lab.first) as store:
        store.save("carol", messages=[{"content": "x" * 100_000}])
        store.clear("carol")
        store.create("frank")
    report = lab.migrate(key=False)
    assert troubles(report) == {"carol": Trouble.LOCKED}
    assert "takes the key of the vault" in report.problems[0].reason
    assert (report.copied, report.verified) == (1, 5)
    assert lab.migrate().problems == []
    assert lab.bytes(lab.second) == lab.bytes(lab.first)


def test_a_removal_travels_and_what_comes_back_reads_as_absent(lab: Lab) -> None:
    old = lab.file(lab.first, "alice")
    kept = old.read_bytes()
    with lab.store(lab.first) as store:
        store.delete("alice")
    report = lab.migrate()
    assert (report.sessions, report.tombstones) == (4, 1)
    (lab.second / "sessions" / old.name).write_bytes(kept)
    (lab.second / "sessions" / old.name).chmod(0o600)
    with lab.store(lab.second) as store:
        assert not store.exists("alice")


def test_a_session_that_was_created_again_outlives_its_tombstone(lab: Lab) -> None:
    with lab.store(lab.first) as store:
        store.delete("alice")
        store.create("alice", messages=[{"content": "again"}])
    report = lab.migrate()
    assert (report.copied, report.tombstones, report.problems) == (5, 0, [])
    assert lab.texts(lab.second)["alice"] == [{"content": "again"}]


def test_a_torn_tail_stays_behind(lab: Lab) -> None:
    whole = container_in(lab.file(lab.first, "bob"))
    tear(lab.file(lab.first, "bob"), b"\1" * 100)
    report = lab.migrate()
    assert report.problems == []
    assert lab.file(lab.second, "bob").read_bytes() == whole


@pytest.mark.parametrize("unlisted", [False, True])
def test_a_damaged_session_is_left_out_and_told_and_the_others_go_on(lab: Lab, *, unlisted: bool) -> None:
    file = lab.file(lab.first, "carol")
    data = bytearray(file.read_bytes())
    data[0 if unlisted else 120] ^= 1
    file.write_bytes(data)
    if unlisted:  # a store that derives the index cannot describe it
        for index in lab.first.glob("index.sqlite*"):
            index.unlink()
    report = lab.migrate()
    assert troubles(report) == {"carol": Trouble.DAMAGED}
    assert (report.sessions, report.verified) == (5, 4)
    assert sorted(lab.texts(lab.second)) == ["alice", "bob", "dave", "eve"]
    assert file.read_bytes() == data


def test_without_a_key_a_session_that_is_not_listed_is_told(lab: Lab) -> None:
    for index in lab.first.glob("index.sqlite*"):
        index.unlink()
    report = lab.migrate(key=False)
    assert set(troubles(report).values()) == {Trouble.LOCKED}
    assert len(report.problems) == 5


# -- interrupted -------------------------------------------------------------------------------------------------------


class Dying(MemoryBackend):
    """Fails from the ``after``-th commit on."""

    after = 1 << 30

    def commit(self, key: str, update: Update) -> Commit:
        self.after -= 1
        if self.after < 0:
            raise BackendUnavailable("the server is gone")
        return super().commit(key, update)


def test_a_run_that_was_interrupted_goes_on_where_it_stopped(lab: Lab) -> None:
    source = lab.site(lab.first)
    reader = Reader(source.vault.unlock([("key", KEY)]).keyring)
    backend, target = source.backend(reader.describe), Dying()
    try:
        target.after = 3
        with pytest.raises(BackendUnavailable):
            copy(backend, target, Describer(reader.describe))
        assert target.count(Query()) == 3
        target.after = 1 << 30
        report = copy(backend, target, Describer(reader.describe))
        assert (report.copied, report.current, report.verified, report.problems) == (2, 3, 5, [])
    finally:
        backend.close()


HARMS: dict[str, Any] = {
    "empty": lambda data: b"",
    "half a header": lambda data: data[:40],
    "torn": lambda data: data[:-30],
    "one record less": lambda data: data[: data.rindex(b"")][:-1],
    "zeros": lambda data: bytes(len(data)),
    "zeros at the end": lambda data: data[:200] + bytes(len(data) - 200),
    "a flipped bit": lambda data: data[:130] + bytes([data[130] ^ 1]) + data[131:],
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("index", ["kept", "lost"])
def test_what_a_power_cut_left_of_a_copy_is_written_anew(lab: Lab, harm: str, index: str) -> None:
    """The copy is not flushed before its end: until then a power cut may leave anything of it."""
    lab.migrate()
    file = lab.file(lab.second, "dave")
    whole = file.read_bytes()
    file.write_bytes(HARMS[harm](whole))
    if index == "lost":
        for each in lab.second.glob("index.sqlite*"):
            each.unlink()
    report = lab.migrate()
    assert report.problems == []
    assert report.verified == 5
    assert file.read_bytes() == whole
    assert lab.texts(lab.second) == lab.texts(lab.first)


@pytest.mark.parametrize("harm", ["empty", "torn", "zeros"])
def test_without_a_key_the_beginning_of_a_copy_is_written_anew_as_well(lab: Lab, harm: str) -> None:
    lab.migrate()
    file = lab.file(lab.second, "dave")
    whole = file.read_bytes()
    file.write_bytes(HARMS[harm](whole))
    assert lab.migrate(key=False).problems == []
    assert file.read_bytes() == whole


def test_a_damaged_session_of_the_target_that_was_newer_is_never_replaced(lab: Lab) -> None:
    lab.migrate()
    with lab.store(lab.second) as store:
        store.append("dave", {"content": "only here"})
    file = lab.file(lab.second, "dave")
    harmed = HARMS["torn"](file.read_bytes())
    file.write_bytes(harmed)
    with pytest.raises(Conflict, match=r"went on by themselves.*dave~"):
        lab.migrate()
    assert file.read_bytes() == harmed


# -- a target that went on by itself -----------------------------------------------------------------------------------


def test_a_target_with_newer_sessions_is_refused_before_anything_is_changed(lab: Lab) -> None:
    lab.migrate()
    with lab.store(lab.second) as store:
        store.append("eve", {"content": "only here"})
    with lab.store(lab.first) as store:
        store.append("alice", {"content": "only there"})
    before = lab.bytes(lab.second)
    with pytest.raises(Conflict, match=r"1 sessions of the target went on by themselves.*eve~"):
        lab.migrate()
    assert lab.bytes(lab.second) == before


def test_a_target_whose_session_forked_is_refused_though_it_is_the_shorter_one(lab: Lab) -> None:
    lab.migrate()
    with lab.store(lab.second) as store:
        store.append("eve", {"content": "only here"})
    with lab.store(lab.first) as store:
        store.append("eve", {"content": "other"})
        store.append("eve", {"content": "words"})
    before = lab.bytes(lab.second)
    with pytest.raises(Conflict, match="went on by themselves"):
        lab.migrate()
    assert lab.bytes(lab.second) == before


def test_what_only_the_target_has_is_told_and_left(lab: Lab) -> None:
    lab.migrate()
    with lab.store(lab.second) as store:
        store.create("zoe", messages=[{"content": "z"}])
    report = lab.migrate()
    assert troubles(report) == {"zoe": Trouble.EXTRA}
    assert "zoe" in lab.texts(lab.second)


def test_what_the_target_removed_is_not_brought_back(lab: Lab) -> None:
    lab.migrate()
    with lab.store(lab.second) as store:
        store.delete("bob")
    report = lab.migrate()
    assert troubles(report) == {"bob": Trouble.AHEAD}
    assert "bob" not in lab.texts(lab.second)


def test_a_target_that_holds_another_vault_is_refused(lab: Lab) -> None:
    with open_store(lab.second, key=OTHER) as store:
        store.create("mine")
    before = lab.bytes(lab.second)
    for act in (lab.migrate, lambda: lab.migrate(key=False)):
        with pytest.raises(Conflict, match="another vault"):
            act()
    assert lab.bytes(lab.second) == before


def test_a_directory_with_other_things_is_no_place_for_a_vault(lab: Lab) -> None:
    lab.second.mkdir()
    (lab.second / "letters.txt").write_text("dear")
    with pytest.raises(VaultNotFound, match=r"not empty"):
        lab.migrate()
    assert [entry.name for entry in lab.second.iterdir()] == ["letters.txt"]


def test_the_place_of_the_vault_itself_is_refused(lab: Lab) -> None:
    with pytest.raises(InvalidSetting, match="name another place"):
        lab.migrate(to=lab.site(lab.first))
    with pytest.raises(InvalidSetting, match="within one another"):
        lab.migrate(to=lab.site(lab.first / "inner"))


def test_newer_key_slots_travel_and_those_of_the_target_stay_where_they_are_newer(lab: Lab) -> None:
    lab.migrate()
    vault = lab.site(lab.first).vault
    vault.add_slot(vault.unlock([("key", KEY)]), OTHER)
    assert lab.migrate().metadata == "copied"
    second = lab.site(lab.second).vault
    opened = second.unlock([("other", OTHER)])
    second.remove_slot(opened, second.unlock([("key", KEY)]).slots[0].id)
    assert lab.migrate().metadata.startswith("left")
    assert len(second.slots()) == 1


# -- reading back ------------------------------------------------------------------------------------------------------


class Lying(MemoryBackend):
    """Spoils what it is given, so many times."""

    lies = 0

    def commit(self, key: str, update: Update) -> Commit:
        def spoiled(newest: Current) -> Any:
            result = update(newest)
            if isinstance(result, Write) and self.lies:
                self.lies -= 1
                return result._replace(data=result.data[:100] + b"\xff" + result.data[101:])
            return result

        return super().commit(key, spoiled)


@pytest.mark.parametrize(("lies", "problems"), [(1, {}), (2, {"alice": Trouble.DIFFERENT})])
def test_what_is_read_back_is_compared_and_written_once_more(lab: Lab, lies: int, problems: dict[str, Trouble]) -> None:
    source = lab.site(lab.first)
    reader = Reader(source.vault.unlock([("key", KEY)]).keyring)
    backend, target = source.backend(reader.describe), Lying()
    target.lies = lies
    try:
        report = copy(backend, target, Describer(reader.describe))
    finally:
        backend.close()
    assert troubles(report) == problems
    assert report.verified == 5 - len(problems)


class Busy(MemoryBackend):
    """A source in which something happens when a session is read for the first time."""

    act: Any = None

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        if self.act is not None:
            act, self.act = self.act, None
            act()
        return super().read(key, start, settled=settled)


@pytest.mark.parametrize("key", [True, False])
def test_what_changes_at_the_source_meanwhile_arrives_too(lab: Lab, *, key: bool) -> None:
    source = lab.site(lab.first)
    reader = Reader(source.vault.unlock([("key", KEY)]).keyring)
    backend, busy, target = source.backend(reader.describe), Busy(), MemoryBackend()
    copy(backend, busy, Describer(reader.describe))

    def act() -> None:
        with lab.store(lab.first) as store:
            store.append("alice", {"content": "meanwhile"})
            store.append("eve", {"content": "meanwhile"})
            store.clear("dave")
            store.delete("bob")
            store.create("frank")
        copy(backend, busy, Describer(reader.describe))

    busy.act = act
    try:
        if not key:
            report = copy(busy, target, Describer(None))
            assert {problem.trouble for problem in report.problems} == {Trouble.LOCKED}
            assert reader.keyring.session_key(parse("dave"), slugs=False) in {each.key for each in report.problems}
        report = copy(busy, target, Describer(reader.describe))
        assert report.problems == []
        there = {row.key: target.read(row.key).data for row in target.scan(Query())}
        here = {row.key: busy.read(row.key).data for row in busy.scan(Query())}
        assert there == here
        names = ("alice", "carol", "dave", "eve", "frank")
        assert set(there) == {reader.keyring.session_key(parse(name), slugs=False) for name in names}
    finally:
        backend.close()


# -- looking first -----------------------------------------------------------------------------------------------------


def snapshot(path: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.name.startswith(("index.sqlite", "writer-", "stripe-")):
            yield str(file), file.read_bytes()


def test_a_plan_tells_what_would_be_done_and_changes_nothing(lab: Lab) -> None:
    vault = lab.site(lab.first).vault.unlock([("key", KEY)])
    report = plan(lab.site(lab.first), lab.site(lab.second), vault)
    assert (report.sessions, report.copied) == (5, 5)
    assert not lab.second.exists()
    lab.migrate()
    with lab.store(lab.first) as store:
        store.append("bob", {"content": "more"})
        store.delete("dave")
        store.create("frank")
    before = list(snapshot(lab.second))
    report = plan(lab.site(lab.first), lab.site(lab.second), vault)
    assert (report.copied, report.updated, report.removed, report.current) == (1, 1, 1, 3)
    assert list(snapshot(lab.second)) == before
    shutil.rmtree(lab.second)
    open_store(lab.second, key=OTHER).close()
    with pytest.raises(Conflict, match="another vault"):
        plan(lab.site(lab.first), lab.site(lab.second), vault)
