"""An optimistic backend asks for the next record again when somebody was faster: each answer is as good as the first."""

from __future__ import annotations

import pytest

from vaultsession import SessionExists, open_store


@pytest.fixture
def store(monkeypatch):
    """A store whose every commit is sealed three times, of which the last counts."""
    with open_store("memory://") as opened:
        commit = opened._backend.commit

        def thrice(key, update):
            return commit(key, lambda newest: (update(newest), update(newest), update(newest))[2])

        monkeypatch.setattr(opened._backend, "commit", thrice)
        yield opened


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_every_verb_may_be_sealed_again(store, cache_bytes):
    store._cache.documents.capacity = cache_bytes
    store.create("a", max_messages=3, state={"x": 1}, ttl="1h")
    for number in range(5):
        store.append("a", {"id": str(number)}, {"id": str(number)}, dedupe=True)
    assert [message["id"] for message in store.load("a").messages] == ["2", "3", "4"]
    assert store.pop("a") == [{"id": "4"}]
    store.update("a", {"y": 2})
    store.touch("a")
    store.append("a", {"id": "5"}, {"id": "6"})
    session = store.load("a")
    assert (session.state, [message["id"] for message in session.messages]) == ({"x": 1, "y": 2}, ["3", "5", "6"])
    session.messages.append({"id": "7"})
    store.save(session)
    assert [message["id"] for message in store.messages("a")] == ["5", "6", "7"]
    with pytest.raises(SessionExists):
        store.create("a")
    store.append("b", {"id": "0"}, create=True)
    assert store.messages("b") == [{"id": "0"}]
    store.clear("a")
    assert (store.load("a").state, store.load("a").messages) == ({"x": 1, "y": 2}, [])
    assert store.delete("a")
    assert not store.delete("a")
