"""``vaultsession verify``."""

from __future__ import annotations

import pytest
from cli_lab import plain
from vaults import container_in, tear


@pytest.fixture
def three(place):
    with place.open() as store:
        for name in ("good", "bad", "worse"):
            store.create(name, messages=[{"role": "user", "content": name * 20}])
            store.append(name, {"role": "assistant", "content": name * 20})
    return place


def damage(path, place=-60):
    data = bytearray(container_in(path))
    data[place] ^= 1
    path.write_bytes(data)


def contents(place):
    files = (path for path in place.path.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files}


def test_a_whole_vault_is_whole(three, spawn):
    done = spawn("verify")
    assert done.code == 0
    assert [(row["session"], row["verdict"], row["records"]) for row in done.rows] == [
        ("bad", "ok", "2"),
        ("good", "ok", "2"),
        ("worse", "ok", "2"),
    ]


def test_one_that_is_damaged_is_6_and_named(three, spawn):
    damage(three.file("bad"))
    before = contents(three)
    done = spawn("verify", "--json")
    assert done.code == 6
    assert (done.json["sessions"], done.json["ok"], done.json["damaged"]) == (3, 2, 1)
    (problem,) = done.json["problems"]
    assert problem["key"].startswith("bad~")
    assert "acknowledged" in problem["problem"]
    assert contents(three) == before


@pytest.mark.parametrize("number", range(3))
def test_an_overwritten_record_counts_as_well(number, place, run):
    with place.open() as store:
        session = store.create("s", messages=[{"role": "user", "content": "x" * 100}])
        for _ in range(3):
            session = store.save(session)
    (path,) = place.path.glob("sessions/*.vss")
    record = (len(container_in(path)) - 80) // 4
    damage(path, 80 + number * record + 40)
    done = run("verify", "--json")
    assert done.code == 6
    assert done.json["damaged"] == 1
    assert len(run("show", "s", "--jsonl").out.splitlines()) == 1


def test_a_torn_tail_that_nobody_was_promised_is_3(three, run):
    tear(three.file("good"), b"half a record")
    done = run("verify", "--json")
    assert done.code == 3
    assert (done.json["torn"], done.json["ok"]) == (1, 2)
    assert "13 bytes" in done.json["problems"][0]["problem"]


def test_one_sealed_under_a_key_that_is_not_held_is_locked_and_3(three, run):
    damage(three.file("good"), 8)
    done = run("verify", "--json")
    assert done.code == 3
    assert done.json["locked"] == 1


def test_one_whose_file_is_gone_is_6(three, run):
    three.file("worse").unlink()
    done = run("verify", "--json")
    assert done.code == 6
    assert (done.json["missing"], done.json["ok"]) == (1, 2)


def test_files_that_nobody_listed_are_verified_as_well(three, run):
    for side in ("", "-wal", "-shm"):
        (three.path / f"index.sqlite{side}").unlink(missing_ok=True)
    assert run("verify", "--json").json["ok"] == 3


def test_only_those_that_are_asked_for(three, run):
    damage(three.file("bad"))
    assert run("verify", "good").code == 0
    assert [row["session"] for row in run("verify", "good", "worse", "good").rows] == ["good", "worse"]
    assert run("verify", "nobody").code == 4


def test_people_see_the_problems_and_a_sum(three, terminal):
    damage(three.file("bad"))
    done = terminal("verify", columns=60)
    text = plain(done.out)
    assert done.code == 6
    assert "2 ok, 1 damaged; 4 records" in text
    assert "good" not in text


def test_nothing_at_all_is_fine(place, run):
    assert run("verify", "--json").json["sessions"] == 0


def test_a_file_that_came_back_after_its_removal_is_counted(three, spawn):
    """A backup put it back: it was named as a problem, and the totals knew nothing of it."""
    path, data = three.file("bad"), three.file("bad").read_bytes()
    with three.open() as store:
        store.delete("bad")
    path.write_bytes(data)
    path.chmod(0o600)
    done = spawn("verify", "--json")
    assert (done.code, done.json["sessions"], done.json["ok"], done.json["removed"]) == (3, 3, 2, 1)
