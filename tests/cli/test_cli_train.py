"""``vaultsession train``."""

from __future__ import annotations

import random

import pytest

TEXT = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore"
WORDS = TEXT.split()


@pytest.fixture
def filled(place):
    chance = random.Random(1)
    with place.open(durability="os") as store:
        for number in range(40):
            texts = [" ".join(chance.choices(WORDS, k=60)) for _ in range(8)]
            user = "alice" if number % 2 else "bob"
            store.create(f"{number}", user_id=user, messages=[{"role": "user", "content": text} for text in texts])
    return place


def test_it_says_what_it_is_worth_and_is_kept(filled, spawn, run):
    done = spawn("train", "--json")
    assert done.code == 0
    trained = done.json
    assert trained["after"] < trained["before"] <= trained["plain"]
    assert trained["ratio"] == round(trained["after"] / trained["plain"], 3)
    files = sorted(file.name for file in filled.path.glob("dictionaries/*"))
    assert files == [f"{trained['number']}.bak", f"{trained['number']}.vsd"]
    with filled.open() as store:
        store.append("1", {"role": "user", "content": "lorem ipsum dolor sit amet, elit sed do"})
    assert run("verify").code == 0


@pytest.mark.slow
def test_a_dry_run_keeps_nothing(filled, run, terminal):
    done = run("train", "--dry-run")
    assert done.code == 0
    (row,) = done.rows
    assert row["number"] == ""
    assert int(row["sessions"]) == 40
    told = terminal("train", "-n").out
    assert "would be kept" in told
    assert "of zstd alone" in told
    assert not (filled.path / "dictionaries").exists()


@pytest.mark.slow
def test_people_are_told_in_words(filled, terminal):
    told = terminal("train").out
    assert "is kept as number" in told
    assert "that it has not seen" in told
    assert "would not be kept, since nothing is gained" in terminal("train", "-n").out


def test_one_learns_from_one_user_only(filled, run):
    assert run("train", "--user", "alice", "--dry-run", "--json").json["sessions"] == 20


def test_too_little_is_refused_in_one_sentence(place, run):
    done = run("train")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("vaultsession: there are 0 sessions with 0 bytes to learn from, which is too little")
    assert done.err.count("\n") == 1


def test_nothing_to_gain_is_refused(filled, run):
    assert run("train").code == 0
    done = run("train")
    assert done.code == 1
    assert "nothing would be gained" in done.err


@pytest.mark.parametrize("size", ["3", "257", "x"])
def test_a_size_that_cannot_be_is_a_usage_error(place, run, size):
    assert run("train", "--size", size).code == 2


def test_without_a_vault_it_is_10(tmp_path, run):
    assert run("train", "--vault", tmp_path / "nowhere").code == 10


def test_verify_names_the_sessions_that_a_lost_dictionary_locks(filled, run):
    assert run("train").code == 0
    with filled.open() as store:
        store.create("late", messages=[{"role": "user", "content": "lorem ipsum dolor sit amet " * 4}])
    for path in filled.path.glob("dictionaries/*"):
        path.unlink()
    done = run("verify")
    assert done.code == 3
    assert [row["verdict"] for row in done.rows if row["verdict"] != "ok"] == ["locked"]
    assert run("show", "late").code == 6
    (container,) = filled.path.glob("sessions/late~*")
    where = ("--vault", filled.path, "--key-file", filled.key_file)
    assert "which cannot be read" in run("inspect", container, *where, "--json").json["problem"]
