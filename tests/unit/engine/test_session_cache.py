"""The cache in front: what it saves, and that it never shows what is no longer so."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from vaultsession import SessionNotFound, SessionStore
from vaultsession.backends.files.backend import FilesBackend
from vaultsession.format.cipher import ContainerCipher
from vaultsession.testing.clock import ManualClock


def hits(store: SessionStore) -> tuple[int, int]:
    stats = store.stats()
    return stats["cache_hits"], stats["cache_misses"]


def test_a_second_load_is_a_hit(open_files: Any) -> None:
    open_files().create("a", state={"x": 1})
    store = open_files()
    store.load("a")
    assert hits(store) == (0, 1)
    store.load("a")
    store.messages("a")
    assert hits(store) == (2, 1)


def test_what_was_written_is_warm(store: SessionStore) -> None:
    session = store.create("a")
    store.load("a")
    store.append("a", {"n": 1})
    assert store.load("a").messages == [{"n": 1}]
    store.save(session, overwrite=True)
    assert store.load("a").messages == []
    store.touch("a")
    store.load("a")
    assert hits(store) == (4, 0)


@pytest.mark.parametrize("ahead", [1, 5, 600])
def test_appends_of_another_store_are_seen_at_once(open_files: Any, ahead: int) -> None:
    reader, writer = open_files(), open_files()
    writer.create("a", state={"x": 1}, messages=[{"n": -1}])
    assert reader.load("a").messages == [{"n": -1}]
    for number in range(ahead):
        writer.append("a", {"n": number})
    assert reader.load("a").messages == [{"n": number} for number in range(-1, ahead)]
    assert reader.messages("a", last=1) == [{"n": ahead - 1}]


def test_of_what_another_store_appended_only_that_is_read_and_opened_once(
    open_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = open_files(), open_files()
    writer.create("a", messages=[{"n": number, "text": "x" * 50} for number in range(100)])
    reader.load("a")
    opened, read = [], []
    open_head, backend_read = ContainerCipher.open_head, FilesBackend.read
    monkeypatch.setattr(ContainerCipher, "open_head", lambda *a: opened.append(a) or open_head(*a))

    def reading(self: FilesBackend, *args: Any, **how: Any) -> Any:
        read.append(backend_read(self, *args, **how))
        return read[-1]

    monkeypatch.setattr(FilesBackend, "read", reading)
    info = writer.append("a", {"n": 100})
    opened.clear()
    assert len(reader.load("a").messages) == 101
    assert (len(opened), len(read)) == (1, 1)
    assert len(read[0].data) < info.size
    assert reader.load("a").version == info.version
    assert (len(opened), len(read)) == (1, 1)


def test_every_change_of_another_store_is_seen_at_once(open_files: Any, clock: ManualClock) -> None:
    reader, writer = open_files(), open_files()
    writer.create("a", messages=[{"n": 0}], ttl="1h")
    reader.load("a")
    writer.update("a", {"x": 1})
    assert reader.load("a").state == {"x": 1}
    writer.pop("a")
    assert reader.load("a").messages == []
    writer.save("a", state={"y": 1}, ttl="1h")
    assert reader.load("a").state == {"y": 1}
    writer.touch("a", "2h")
    assert reader.load("a").ttl == writer.load("a").ttl
    writer.clear("a")
    assert reader.load("a").version == writer.load("a").version
    writer.delete("a")
    with pytest.raises(SessionNotFound):
        reader.load("a")
    assert not reader.exists("a")
    writer.create("a", state={"life": 2})
    assert reader.load("a").state == {"life": 2}


def test_two_stores_writing_in_turn_never_lose_each_other(open_files: Any) -> None:
    stores = [open_files(), open_files(cache_bytes=0), open_files()]
    stores[0].create("a")
    for number in range(60):
        writer = stores[number % 3]
        writer.append("a", {"n": number})
        assert stores[(number + 1) % 3].load("a").message_count == number + 1
    for store in stores:
        assert store.load("a").messages == [{"n": number} for number in range(60)]


def test_the_cache_is_bounded_and_may_be_nothing(open_one: Any) -> None:
    store = open_one(cache_bytes=20_000)
    for number in range(20):
        store.create(f"s{number}", state={"x": "y" * 3000})
    stats = store.stats()
    assert 0 < stats["cache_sessions"] < 7
    assert 0 < stats["cache_bytes"] <= 20_000
    for number in range(20):
        assert store.load(f"s{number}").state == {"x": "y" * 3000}


def test_without_a_cache_everything_is_read_anew(open_one: Any) -> None:
    store = open_one(cache_bytes=0)
    store.create("a", state={"x": 1}, messages=[{"n": 0}])
    store.append("a", {"n": 1})
    assert store.load("a").messages == [{"n": 0}, {"n": 1}]
    assert store.load_if_warm("a") is None
    assert store.stats()["cache_sessions"] == 0


def test_a_warm_load_never_waits_and_says_nothing_of_what_is_cold(open_files: Any, clock: ManualClock) -> None:
    writer, reader = open_files(), open_files()
    assert reader.load_if_warm("a") is None
    writer.create("a", state={"x": 1}, ttl="1h")
    assert reader.load_if_warm("a") is None
    reader.load("a")
    warm = reader.load_if_warm("a")
    assert warm is not None
    assert warm.state == {"x": 1}
    writer.update("a", {"x": 2})
    assert reader.load_if_warm("a") is None
    reader.load("a")
    clock.advance("1h")
    assert reader.load_if_warm("a") is None


def test_what_slides_is_not_read_warm_since_reading_extends_it(store: SessionStore) -> None:
    store.create("a", ttl="1h", sliding=True)
    store.load("a")
    assert store.load_if_warm("a") is None


def test_a_failed_save_leaves_no_lie_in_the_cache(store: SessionStore) -> None:
    store.create("a", state={"x": 1})
    session = store.load("a")
    store.update("a", {"x": 2})
    session.state["x"] = 3
    with pytest.raises(Exception, match="someone else"):
        store.save(session)
    assert store.load("a").state == {"x": 2}


def test_an_append_that_raises_in_the_critical_section_changes_no_cache(
    store: SessionStore, clock: ManualClock
) -> None:
    store.create("a", ttl="1h", messages=[{"n": 0}])
    store.load("a")
    clock.advance("1h")
    with pytest.raises(SessionNotFound):
        store.append("a", {"n": 1})
    clock.set(clock.now() - 10**6)
    assert store.load("a").messages == [{"n": 0}]


# -- the end of a history that no caller loads as a whole --------------------------------------------------------------


def test_the_newest_messages_are_read_once_and_follow_what_is_appended(open_files: Any) -> None:
    open_files().create("a", messages=[{"n": n} for n in range(500)])
    store = open_files()
    assert store.messages("a", last=3) == [{"n": n} for n in (497, 498, 499)]
    assert hits(store) == (0, 1)
    store.append("a", {"n": 500})
    store.touch("a", "1h")
    assert store.messages("a", last=3) == [{"n": n} for n in (498, 499, 500)]
    assert store.messages("a", offset=499, limit=1) == [{"n": 499}]
    assert hits(store) == (2, 1)


def test_what_was_cleared_is_kept_in_no_memory(open_files: Any) -> None:
    open_files().create("a", messages=[{"n": n} for n in range(500)])
    store = open_files()
    store.messages("a", last=1)
    assert store.stats()["cache_bytes"] > 0
    store.clear("a")
    assert store.stats()["cache_bytes"] == 0


@pytest.mark.sampled(3)
@pytest.mark.parametrize("most", [None, 7])
@pytest.mark.parametrize("seed", range(12))
def test_any_page_is_of_the_newest_history_whoever_wrote_it(open_files: Any, seed: int, most: int | None) -> None:
    chance, numbers = random.Random(seed), itertools.count()
    stores = [open_files(), open_files()]
    stores[0].create("a", max_messages=most)
    history: list[dict[str, int]] = []
    for _ in range(120):
        one = chance.choice(stores)
        what = chance.randrange(12)
        fresh = [{"n": next(numbers)} for _ in range(chance.randrange(1, 4))]
        if what < 6:
            one.append("a", *fresh)
            history += fresh
        elif what == 6:
            count = chance.randrange(1, 4)
            assert one.pop("a", count) == history[-count:]
            del history[-count:]
        elif what == 7:
            one.update("a", {"x": fresh[0]["n"]})
        elif what == 8:
            one.touch("a", "1h")
        elif what == 9:
            session = one.load("a")
            session.messages += fresh
            one.save(session)
            history += fresh
        elif what == 10 and chance.random() < 0.3:
            one.clear("a")
            history = []
        history = history[-most:] if most else history
        reader, last = chance.choice(stores), chance.randrange(0, 6)
        assert reader.messages("a", last=last) == (history[-last:] if last else [])
        first = chance.randrange(0, len(history) + 2)
        assert reader.messages("a", offset=first, limit=3) == history[first : first + 3]


def test_names_that_grow_weigh_what_they_have_become(open_one: Any) -> None:
    store = open_one()
    store.create("a")
    before = store.stats()["cache_bytes"]
    for number in range(5):
        store.append("a", {"id": str(number) * 1000}, dedupe=True)
    assert store._cache._names.weight > 5000
    store.delete("a")
    assert store._cache._names.weight == 0
    assert store.stats()["cache_bytes"] < before
