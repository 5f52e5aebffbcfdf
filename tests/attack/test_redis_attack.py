"""An attacker at the Redis: swaps, splices, cuts, flips, sets back, forges. Nothing is lost, nothing false believed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis_lab import Place

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.backends.redis.layout import pack, unpack
from vaultsession.errors import Damaged, RollbackDetected, SessionNotFound, Unreadable, VaultError
from vaultsession.format.sealed import Tombstone
from vaultsession.testing.clock import ManualClock

KEY = RawKey(bytes(range(32)))
HELLO = {"role": "user", "content": "hello"}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(place: Place, clock: ManualClock) -> Iterator[SessionStore]:
    with open_store(place.url, key=KEY, clock=clock) as store:
        for name, user in (("a", "alice"), ("b", "bob")):
            store.create(name, state={"of": name}, messages=[HELLO], user_id=user)
            clock.advance(1)
            store.append(name, {"role": "assistant", "content": f"to {user}"})
        yield store


def fresh(place: Place, clock: ManualClock) -> SessionStore:
    """A store of a process that has seen nothing."""
    return open_store(place.url, key=KEY, clock=clock)


def keys_of(store: SessionStore, place: Place) -> tuple[str, str]:
    """The locators of a and b, by when they were changed."""
    first, second = place.bare.zrange(f"{place.prefix}:{{0}}:all", 0, -1)
    return first.decode(), second.decode()


def test_a_swapped_container_is_damage(store: SessionStore, place: Place, clock: ManualClock) -> None:
    a, b = keys_of(store, place)
    place.bare.copy(place.of(b, "c"), place.of(a, "c"), replace=True)
    with fresh(place, clock) as other:
        for verb in (lambda: other.load("a"), lambda: other.append("a", HELLO), lambda: other.messages("a")):
            with pytest.raises(Unreadable):
                verb()
        assert other.load("b").state == {"of": "b"}


def test_a_session_in_the_place_of_another_is_damage(store: SessionStore, place: Place, clock: ManualClock) -> None:
    a, b = keys_of(store, place)
    for kind in "cn":
        place.bare.copy(place.of(b, kind), place.of(a, kind), replace=True)
    before = place.dump()
    with fresh(place, clock) as other:
        for verb in (
            lambda: other.load("a"),
            lambda: other.append("a", HELLO),
            lambda: other.delete("a"),
            lambda: other.save("a", state={}),
        ):
            with pytest.raises(Unreadable):
                verb()
    assert place.dump() == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["c", "n"])
def test_no_flipped_byte_is_believed(store: SessionStore, place: Place, clock: ManualClock, kind: str) -> None:
    a, _ = keys_of(store, place)
    good, expected = place.bare.get(place.of(a, kind)), store.load("a")
    for number in range(0, len(good), 5):
        place.bare.set(place.of(a, kind), good[:number] + bytes([good[number] ^ 0x20]) + good[number + 1 :])
        with fresh(place, clock) as other:
            try:
                found = other.load("a")
            except VaultError:
                continue
            assert (found.state, found.messages) == (expected.state, expected.messages)
            assert [info.id for info in other.list(user_id="alice")] in (["a"], [])


@pytest.mark.parametrize("size", [0, 1, 79, 80, 200, -1, -30])
def test_a_truncated_container_is_told_and_nothing_is_written_behind_it(
    store: SessionStore, place: Place, clock: ManualClock, size: int
) -> None:
    a, _ = keys_of(store, place)
    good = place.bare.get(place.of(a, "c"))
    place.bare.set(place.of(a, "c"), good[:size])
    if not size:
        place.bare.delete(place.of(a, "c"))
    before = place.dump()
    with fresh(place, clock) as other:
        for verb in (lambda: other.load("a"), lambda: other.append("a", HELLO)):
            with pytest.raises(Damaged):
                verb()
    assert place.dump() == before
    place.bare.set(place.of(a, "c"), good)
    assert len(store.load("a").messages) == 2


def test_garbage_behind_a_container_is_left_out_and_replaced_by_the_next_write(
    store: SessionStore, place: Place, clock: ManualClock
) -> None:
    a, _ = keys_of(store, place)
    place.bare.append(place.of(a, "c"), b"garbage" * 20)
    with fresh(place, clock) as other:
        assert len(other.load("a").messages) == 2
        other.append("a", HELLO)
        assert len(other.load("a").messages) == 3
    assert b"garbage" not in place.bare.get(place.of(a, "c"))


def test_a_record_that_is_repeated_or_spliced_is_not_read(
    store: SessionStore, place: Place, clock: ManualClock
) -> None:
    a, b = keys_of(store, place)
    row = unpack(place.bare.get(place.of(a, "n")), a)
    tails = [place.bare.get(place.of(key, "c"))[-150:] for key in (a, b)]
    for tail in tails:
        place.bare.append(place.of(a, "c"), tail)
        with fresh(place, clock) as other:
            assert len(other.load("a").messages) == 2
        place.bare.set(place.of(a, "c"), place.bare.getrange(place.of(a, "c"), 0, row.size - 1))


def test_a_vault_that_was_set_back_is_told_by_whoever_saw_it_later(store: SessionStore, place: Place) -> None:
    old = place.dump()
    store.append("a", HELLO)
    store.delete("b")
    place.restore(old)
    with pytest.raises(RollbackDetected):
        store.load("a")
    with pytest.raises(RollbackDetected):
        store.append("a", HELLO)
    with pytest.raises(SessionNotFound):
        store.load("b")
    assert not store.delete("b")


def test_a_row_that_was_set_back_alone_does_not_hide_what_was_written(
    store: SessionStore, place: Place, clock: ManualClock
) -> None:
    a, _ = keys_of(store, place)
    old = place.bare.get(place.of(a, "n"))
    store.append("a", HELLO)
    place.bare.set(place.of(a, "n"), old)
    with fresh(place, clock) as other:
        assert len(other.load("a").messages) == 3
        other.append("a", HELLO)
        assert len(other.load("a").messages) == 4


def test_a_forged_row_is_refused_and_healed_by_reindexing(
    store: SessionStore, place: Place, clock: ManualClock
) -> None:
    a, _ = keys_of(store, place)
    row = unpack(place.bare.get(place.of(a, "n")), a)
    for forged in (
        row._replace(generation=row.generation + 9),
        row._replace(seq=99),
        row._replace(expires=1),
        row._replace(version=b"x" * 16),
        row._replace(blob=row.blob[::-1]),
    ):
        place.bare.set(place.of(a, "n"), pack(forged))
        with fresh(place, clock) as other:
            with pytest.raises(VaultError):
                other.append("a", HELLO)
            assert other.sweep() == 0
            other.reindex()
            assert len(other.load("a").messages) == 2
            assert other.count() == 2


def test_a_row_that_claims_to_have_expired_sweeps_nothing(
    store: SessionStore, place: Place, clock: ManualClock
) -> None:
    a, _ = keys_of(store, place)
    place.bare.zadd(f"{place.prefix}:{{0}}:exp", {a: 1})
    with fresh(place, clock) as other:
        assert other.sweep() == 0
        assert other.load("a").state == {"of": "a"}
    row = unpack(place.bare.get(place.of(a, "n")), a)
    place.bare.set(place.of(a, "n"), pack(row._replace(expires=1)))
    place.bare.zadd(f"{place.prefix}:{{0}}:exp", {a: 1})
    with fresh(place, clock) as other:
        assert other.sweep() == 0
        for verb in (lambda: other.exists("a"), lambda: other.create("a"), lambda: other.append("a", create=True)):
            with pytest.raises(Damaged):
                verb()
        other.reindex()
        assert other.load("a").state == {"of": "a"}


def test_a_row_of_a_forged_generation_buries_nothing(store: SessionStore, place: Place, clock: ManualClock) -> None:
    a, _ = keys_of(store, place)
    row = unpack(place.bare.get(place.of(a, "n")), a)
    place.bare.set(place.of(a, "n"), pack(row._replace(generation=2**63 - 1)))
    with fresh(place, clock) as other:
        with pytest.raises(Damaged):
            other.delete("a")
        other.reindex()
        assert other.delete("a")
        other.create("a")


@pytest.mark.parametrize("generation", [2**63 - 1, 2**63])
def test_a_forged_tombstone_removes_nothing(
    store: SessionStore, place: Place, clock: ManualClock, generation: int
) -> None:
    a, _ = keys_of(store, place)
    place.bare.set(place.of(a, "n"), pack(Tombstone(a, generation, b"forged forged fo")))
    with fresh(place, clock) as other:
        assert len(other.load("a").messages) == 2
        other.append("a", HELLO)
        assert len(other.load("a").messages) == 3


def test_forged_index_entries_delete_and_disclose_nothing(
    store: SessionStore, place: Place, clock: ManualClock
) -> None:
    a, b = keys_of(store, place)
    shard = f"{place.prefix}:{{0}}:"
    (alice,) = [name for name in place.keys("tag") if place.bare.zscore(name, a) is not None]
    place.bare.zadd(alice, {b: 5, "0" * 32: 1, "no locator": 2, b"\xff\x00": 3})
    place.bare.zadd(f"{shard}all", {"0" * 32: 1, "": 2, f"x:{a}": 3, b: 10**18})
    place.bare.zadd(f"{shard}exp", {a: 1, b: 1, "junk": 1})
    containers = {name: place.bare.get(name) for name in place.keys("c:")}
    with fresh(place, clock) as other:
        assert [info.id for info in other.list(user_id="alice")] == ["a"]
        assert other.sweep() == 0
        other.list()
        assert sorted(info.id for info in other.list()) == ["a", "b"]
        assert (other.count(), other.count(user_id="alice")) == (2, 1)
    assert {name: place.bare.get(name) for name in place.keys("c:")} == containers
    assert place.bare.zcard(f"{shard}all") == 2
    assert place.bare.zcard(f"{shard}exp") == 0


def test_an_index_that_was_removed_is_derived_anew(store: SessionStore, place: Place, clock: ManualClock) -> None:
    for kind in ("all", "exp", "tag"):
        for name in place.keys(kind):
            place.bare.delete(name)
    with fresh(place, clock) as other:
        assert other.list() == []
        other.reindex()
        assert [info.id for info in other.list()] == ["b", "a"]
        assert [info.id for info in other.list(user_id="alice")] == ["a"]


def test_the_papers_of_another_vault_are_refused(store: SessionStore, place: Place, redis_url: str) -> None:
    elsewhere = Place(redis_url)
    try:
        open_store(elsewhere.url, key=KEY).close()
        place.bare.set(f"{place.prefix}:metadata:vault", place.bare.get(f"{elsewhere.prefix}:metadata:vault"))
        with open_store(place.url, key=KEY) as other, pytest.raises(SessionNotFound):
            other.load("a")  # another naming key: its sessions have other names
    finally:
        elsewhere.close()


def test_no_plain_word_reaches_the_server(store: SessionStore, place: Place) -> None:
    store.create("c", state={"note": "a very secret word"}, title="a very secret word", user_id="a very secret word")
    kept = b"".join(name + place.bare.dump(name) for name in sorted(place.keys()))
    for word in (b"secret", b"alice", b"hello"):
        assert word not in kept
