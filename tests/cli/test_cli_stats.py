"""``vaultsession stats``."""

from __future__ import annotations


def test_counts_and_health(place, spawn):
    with place.open() as store:
        store.create("a")
        store.create("b")
        store.delete("b")
    done = spawn("stats")
    assert done.code == 0
    facts = {row["name"]: row["value"] for row in done.rows}
    assert (facts["sessions"], facts["tombstones"], facts["ok"]) == ("1", "1", "true")
    assert facts["where"] == str(place.path)
    assert str(place.key_file) in facts["key"]


def test_json_is_one_document(place, run, terminal):
    document = run("stats", "--json").json
    assert document["sessions"] == 0
    assert document["ok"] is True
    assert "sessions" in terminal("stats").out


def test_what_is_not_well_is_1(place, run, monkeypatch):
    monkeypatch.setattr("vaultsession.store.SessionStore.health", lambda _: {"ok": False, "index": "gone"})
    done = run("stats")
    assert done.code == 1
    assert "index\tgone" in done.out
