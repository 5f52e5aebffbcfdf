"""``vaultsession reindex``."""

from __future__ import annotations


def test_the_index_is_derived_from_the_sessions(place, spawn, run):
    with place.open() as store:
        store.create("a")
        store.create("b")
    for side in ("", "-wal", "-shm"):
        (place.path / f"index.sqlite{side}").unlink(missing_ok=True)
    done = spawn("reindex")
    assert (done.code, done.out) == (0, "sessions\n2\n")
    assert len(run("ls").rows) == 2
    assert run("reindex", "--json").json == {"sessions": 2}


def test_on_a_terminal_it_is_a_sentence(place, terminal):
    assert "the index lists 0 sessions" in terminal("reindex").out
