"""Sessions sealed anew for a vault with other keys: the same documents and facts, and nothing that the old key opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from vaults import KEY, OTHER

from vaultsession import Settings, open_store
from vaultsession.admin.migrate import MigrationReport, Trouble, migrate, rekey
from vaultsession.admin.migrate.reseal import _Reseal, reseal
from vaultsession.backends import MemoryBackend
from vaultsession.engine.reader import Reader
from vaultsession.engine.writer import Writer
from vaultsession.errors import Conflict, WrongKey
from vaultsession.format.sealed import Commit, Update
from vaultsession.store.store import SessionStore
from vaultsession.testing.clock import ManualClock
from vaultsession.util.disk import Disk
from vaultsession.vault.location import VaultLocation

NAMES = ("alice", "bob", "carol", "dave")


class Lab:
    def __init__(self, root: Path) -> None:
        self.first, self.second = root / "first", root / "second"
        self.clock = ManualClock()
        with self.store(self.first, KEY) as store:
            for name in NAMES:
                store.create(
                    name, user_id="u", title=f"T {name}", state={"n": 1}, ttl="7d", sliding=True, labels={"a": "b"}
                )
                self.clock.advance("1s")
                for number in range(20):
                    store.append(name, {"content": f"{name} {number}" * 40})
        site = self.site(self.second)
        site.vault.create(OTHER, readable_names=False)

    def store(self, path: Path, key: Any, **how: Any) -> SessionStore:
        return open_store(path, key=key, clock=self.clock, **how)

    def site(self, path: Path) -> VaultLocation:
        return VaultLocation.at(str(path), Disk(), durability="os")

    def rekey(self) -> MigrationReport:
        first, second = self.site(self.first), self.site(self.second)
        ours, theirs = first.vault.unlock([("key", KEY)]), second.vault.unlock([("other", OTHER)])
        return rekey(first, second, ours, theirs, self.clock, settings=Settings())

    def seen(self, path: Path, key: Any) -> dict[str, Any]:
        with self.store(path, key, cache_bytes=0) as store:
            found = {}
            for info in store.list():
                facts = info.facts()
                session = store.load(info.id)
                found[info.id] = (facts, session.state, session.messages, session.version)
            return found


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def troubles(report: MigrationReport) -> dict[str, Trouble]:
    return {problem.key: problem.trouble for problem in report.problems}


def test_documents_facts_times_and_versions_are_the_same(lab: Lab) -> None:
    before = lab.seen(lab.first, KEY)
    report = lab.rekey()
    assert (report.copied, report.verified, report.authenticated, report.problems) == (4, 4, 4, [])
    lab.clock.set(lab.clock.now())
    after = lab.seen(lab.second, OTHER)
    assert after.keys() == before.keys()
    for name, (facts, *document) in before.items():
        assert after[name][1:] == tuple(document)
        assert {**after[name][0], "expires_at": None} == {**facts, "expires_at": None}, (
            "a look may extend a sliding one"
        )


def test_nothing_of_the_new_vault_opens_with_the_old_key(lab: Lab) -> None:
    lab.rekey()
    with pytest.raises(WrongKey):
        lab.store(lab.second, KEY)
    old, new = ({file.name for file in path.glob("sessions/*.vss")} for path in (lab.first, lab.second))
    assert not old & new


def test_a_second_run_seals_nothing_and_compares_everything(lab: Lab) -> None:
    lab.rekey()
    before = {file.name: file.read_bytes() for file in lab.second.glob("sessions/*.vss")}
    report = lab.rekey()
    assert (report.copied, report.current, report.verified, report.problems) == (0, 4, 4, [])
    assert {file.name: file.read_bytes() for file in lab.second.glob("sessions/*.vss")} == before


def test_what_has_changed_and_what_is_gone_at_the_source_follows(lab: Lab) -> None:
    lab.rekey()
    lab.clock.advance("1m")
    with lab.store(lab.first, KEY) as store:
        store.append("alice", {"content": "more"})
        store.touch("carol", ttl="30d")
        store.delete("bob")
    report = lab.rekey()
    assert (report.updated, report.removed, report.current, report.problems) == (2, 1, 1, [])
    assert sorted(lab.seen(lab.second, OTHER)) == ["alice", "carol", "dave"]


def test_what_was_changed_at_the_target_is_told_and_left(lab: Lab) -> None:
    lab.rekey()
    lab.clock.advance("1m")
    with lab.store(lab.second, OTHER) as store:
        store.append("alice", {"content": "only here"})
        store.create("zoe")
    report = lab.rekey()
    assert troubles(report) == {"alice": Trouble.AHEAD, "zoe": Trouble.EXTRA}
    assert len(lab.seen(lab.second, OTHER)["alice"][2]) == 21


def test_a_damaged_session_is_left_out_and_told(lab: Lab) -> None:
    (file,) = lab.first.glob("sessions/carol~*.vss")
    data = bytearray(file.read_bytes())
    data[120] ^= 1
    file.write_bytes(data)
    report = lab.rekey()
    assert list(troubles(report).values()) == [Trouble.DAMAGED]
    assert (report.copied, report.verified) == (3, 3)


class Dropping(MemoryBackend):
    """Acknowledges what it does not keep."""

    def commit(self, key: str, update: Update) -> Commit:
        return Commit.of(None, update(None))


def test_what_the_target_did_not_keep_is_told(lab: Lab) -> None:
    first, second = lab.site(lab.first), lab.site(lab.second)
    ours = Reader(first.vault.unlock([("key", KEY)]).keyring)
    theirs = Reader(second.vault.unlock([("other", OTHER)]).keyring)
    source = first.backend(ours.describe)
    try:
        report = reseal(source, ours, Dropping(), theirs, Writer(theirs, lab.clock))
    finally:
        source.close()
    assert set(troubles(report).values()) == {Trouble.DIFFERENT}
    assert (len(report.problems), report.verified) == (4, 0)


def test_a_run_that_was_interrupted_goes_on(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    put, calls = _Reseal._put, []

    def dying(self: Any, loaded: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        put(self, loaded)

    monkeypatch.setattr(_Reseal, "_put", dying)
    with pytest.raises(KeyboardInterrupt):
        lab.rekey()
    report = lab.rekey()
    assert (report.copied, report.current, report.verified) == (2, 2, 4)


def test_the_same_vault_in_another_place_is_not_sealed_anew(lab: Lab) -> None:
    third = lab.first.parent / "third"
    ours = lab.site(lab.first).vault.unlock([("key", KEY)])
    migrate(lab.site(lab.first), lab.site(third), ours)
    with pytest.raises(Conflict, match="the same vault"):
        rekey(lab.site(lab.first), lab.site(third), ours, ours, lab.clock, settings=Settings())
