"""A rotation seals side by side what one database holds, and saves of little go on over it."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaultsession import open_store


@pytest.mark.slow
def test_every_session_of_a_database_is_sealed_anew_and_a_held_one_is_saved_over_it(tmp_path: Path) -> None:
    history = [{"n": n, "text": "word " * 20} for n in range(300)]
    with open_store(f"sqlite:///{tmp_path}/sessions.db", key=bytes(range(32))) as store:
        store.save_many({"id": f"s{n}", "messages": [{"n": n}]} for n in range(60))
        held = store.create("held", messages=history)
        done = store.rotate_key()
        assert (done.sessions, done.replaced, done.left) == (61, 61, ())
        held.messages.append({"last": True})
        store.save(held)
        assert store.prune_keys() == done.retired
        assert store.load("held").messages == [*history, {"last": True}]
        assert [store.load(f"s{n}").messages for n in range(60)] == [[{"n": n}] for n in range(60)]
        assert store.verify().ok
