"""An index whose rows were forged by someone without a key: it deletes nothing, discloses nothing, and hides at worst."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from tampering import (
    IDS,
    KEY,
    ROWS,
    Scene,
    everything,
    execute,
    file_of,
    hold,
    look,
    opened,
    outcome,
    scene,
    within,
)

from vaultsession import VaultError
from vaultsession.admin.doctor import examine
from vaultsession.admin.repair import Repair

INDEX = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")

LASTS = {"a witness of the far future", "a witness beyond all"}
"""What reindexing keeps on purpose: an index remembers what was acknowledged, and nothing proves that it was not."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def vault(made: Scene, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.vault, tmp_path / "vault"))


def newest(made: Scene) -> dict[str, list[object]]:
    return {who: [made.past.newest(who).document] for who in IDS}


def without_index(vault: Path) -> None:
    for name in INDEX:
        (vault / name).unlink(missing_ok=True)


def well(vault: Path, made: Scene) -> None:
    """Everything is there, listed, and under the right names."""
    with opened(vault) as store:
        for who in IDS:
            session = store.load(who)
            assert (session.state, session.messages) == made.past.newest(who).document
            assert [info.id for info in store.list(user_id=f"user of {who}")] == [who]
        assert sorted(info.id for info in store.list()) == sorted(IDS)
        assert store.count() == len(IDS)
        assert store.sweep() == 0


@pytest.mark.sampled(8)
@pytest.mark.parametrize("forgery", ROWS)
def test_a_forged_index_deletes_nothing_discloses_nothing_and_gives_out_nothing_wrong(
    forgery: str, made: Scene, vault: Path
) -> None:
    execute(vault, ROWS[forgery])
    before = everything(vault / "sessions")
    opening = within(lambda: outcome(lambda: opened(vault)))
    if not isinstance(opening, VaultError):
        with opening as store:
            hold(within(lambda: look(store)), newest(made))
            outcome(store.reindex)
            hold(within(lambda: look(store)), newest(made))
    assert everything(vault / "sessions") == before
    without_index(vault)
    well(vault, made)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("forgery", ROWS)
def test_a_store_that_is_open_meanwhile_is_not_misled(forgery: str, made: Scene, vault: Path) -> None:
    with opened(vault) as store:
        look(store)
        execute(vault, ROWS[forgery])
        hold(within(lambda: look(store)), newest(made))


@pytest.mark.sampled(8)
@pytest.mark.parametrize(
    "forgery",
    [name for name in ROWS if name not in LASTS],
)
def test_what_a_forged_index_hides_is_found_again_by_reindexing(forgery: str, made: Scene, vault: Path) -> None:
    execute(vault, ROWS[forgery])
    with opened(vault) as store:
        store.reindex()
    well(vault, made)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("forgery", ROWS)
def test_doctor_and_repair_come_to_an_end_and_lose_nothing(forgery: str, made: Scene, vault: Path) -> None:
    execute(vault, ROWS[forgery])
    repair = Repair(str(vault), [("the key", KEY)], quarantine_damaged=True)
    within(lambda: repair.act(repair.look()))
    without_index(vault)
    well(vault, made)
    assert [finding.name for finding in examine(str(vault), [("the key", KEY)])] == ["one-slot"] or (
        {finding.name for finding in examine(str(vault), [("the key", KEY)])} == {"one-slot", "quarantine"}
    )


@pytest.mark.sampled(12)
@pytest.mark.parametrize("forgery", ROWS)
def test_what_is_written_beside_a_forged_index_is_kept(forgery: str, made: Scene, vault: Path) -> None:
    execute(vault, ROWS[forgery])
    results = {}
    opening = within(lambda: outcome(lambda: opened(vault)))
    if not isinstance(opening, VaultError):
        with opening as store:
            for who in IDS:
                results[who] = within(lambda who=who: outcome(lambda: store.append(who, {"n": "new"})))
    without_index(vault)
    with opened(vault) as store:
        for who in IDS:
            added = [] if isinstance(results.get(who, VaultError()), VaultError) else [{"n": "new"}]
            state, messages = made.past.newest(who).document
            assert (store.load(who).state, store.load(who).messages) == (state, [*messages, *added])


@pytest.mark.parametrize("source", ["foreign", "early", "garbage", "truncated", "a flipped byte"])
def test_another_index_in_its_place_gives_out_nothing_wrong(source: str, made: Scene, vault: Path) -> None:
    without_index(vault)
    index, own = vault / "index.sqlite", (made.vault / "index.sqlite").read_bytes()
    contents = {
        "foreign": (made.vault.parent / "foreign" / "index.sqlite").read_bytes,
        "early": made.early_index.read_bytes,
        "garbage": lambda: os.urandom(40_000),
        "truncated": lambda: own[: len(own) // 2],
        "a flipped byte": lambda: own[:6000] + bytes([own[6000] ^ 0xFF]) + own[6001:],
    }
    index.write_bytes(contents[source]())
    index.chmod(0o600)
    before = everything(vault / "sessions")
    opening = within(lambda: outcome(lambda: opened(vault)))
    if not isinstance(opening, VaultError):
        with opening as store:
            hold(within(lambda: look(store)), newest(made))
            store.reindex()
    assert everything(vault / "sessions") == before
    if source != "foreign":
        well(vault, made)


def test_a_forged_tombstone_is_no_reason_to_write_over_a_session(made: Scene, vault: Path) -> None:
    execute(vault, ROWS["forged tombstones"])
    data = file_of(vault, "alice").read_bytes()
    with opened(vault) as store:
        assert outcome(lambda: store.create("alice")) is not None
    assert file_of(vault, "alice").read_bytes() == data


def test_after_reindexing_the_index_follows_again_where_forged_tombstones_stood_beside_the_rows(
    made: Scene, vault: Path
) -> None:
    execute(vault, ROWS["forged tombstones"])
    with opened(vault) as store:
        store.reindex()
        for who in IDS:
            store.append(who, {"n": "new"})
        counts = {info.id: info.message_count for info in store.list()}
    assert counts == {who: len(made.past.newest(who).document[1]) + 1 for who in IDS}


def test_reindexing_keeps_a_genuine_tombstone_though_its_session_came_back_with_its_row(vault: Path) -> None:
    path = file_of(vault, "alice")
    data, name = path.read_bytes(), path.name.removesuffix(".vss")
    rows = sqlite3.connect(vault / "index.sqlite")
    row = rows.execute("SELECT * FROM sessions WHERE key = ?", (name,)).fetchone()
    rows.close()
    with opened(vault) as store:
        assert store.delete("alice")
    path.write_bytes(data)
    path.chmod(0o600)
    rows = sqlite3.connect(vault / "index.sqlite")
    with rows:
        rows.execute(f"INSERT INTO sessions VALUES ({', '.join('?' * len(row))})", row)
    rows.close()
    with opened(vault) as store:
        store.reindex()
        assert store.get("alice") is None
        assert [info.id for info in store.list()] == ["bob"]
    with opened(vault) as store:
        assert store.get("alice") is None
