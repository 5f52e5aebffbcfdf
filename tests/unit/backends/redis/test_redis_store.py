"""A whole store on a Redis, through the public face."""

from __future__ import annotations

import threading
import time

import pytest
from redis_lab import Place, with_options
from servers import redis_server

from vaultsession import (
    BackendUnavailable,
    Conflict,
    Damaged,
    LeaseTimeout,
    Passphrase,
    RawKey,
    SessionExists,
    SessionNotFound,
    VaultNotFound,
    WrongKey,
    open_store,
)
from vaultsession.backends.redis.leases import RedisLeases
from vaultsession.testing.clock import ManualClock

KEY = RawKey(bytes(range(32)))
HELLO = {"role": "user", "content": "hello"}


def test_what_was_written_is_there_for_the_next_store(place: Place) -> None:
    with open_store(place.url, key=KEY) as store:
        store.create("a", state={"x": 1}, messages=[HELLO], user_id="alice")
        store.append("a", HELLO, HELLO)
        store.create("b", user_id="bob")
        store.delete("b")
    with open_store(place.url, key=KEY, create=False) as store:
        assert len(store.load("a").messages) == 3
        assert [info.id for info in store.list(user_id="alice")] == ["a"]
        assert (store.count(), store.count(user_id="bob")) == (1, 0)
        with pytest.raises(SessionNotFound):
            store.load("b")


def test_a_session_that_two_stores_remove_was_there_for_one_of_them(place: Place) -> None:
    """Both make the same tombstone, so that the second took that of the first for its own."""
    with open_store(place.url, key=KEY) as mine, open_store(place.url, key=KEY) as yours:
        mine.create("a", messages=[HELLO])
        assert yours.delete("a")
        assert not mine.delete("a")


def test_a_key_stays_while_a_session_that_nobody_lists_cannot_be_read(place: Place) -> None:
    """A damaged container without a row is in no listing: nobody can say which key it needs."""
    with open_store(place.url, key=KEY) as store:
        store.create("a", messages=[HELLO])
        (container,) = place.keys("c:")
        place.bare.setrange(container, 90, b"damaged!")
        for name in place.keys("n:"):
            place.bare.delete(name)
        store.rotate_key()
        with pytest.raises(Conflict, match="cannot be read"):
            store.prune_keys()
        assert len(store.key_usage()) == 2


def test_a_session_whose_container_was_evicted_is_damaged_until_it_is_removed(place: Place) -> None:
    """It was damaged for ever: neither removed, nor made anew, nor swept."""
    clock = ManualClock(int(time.time() * 1_000_000))
    with open_store(place.url, key=KEY, clock=clock) as store, open_store(place.url, key=KEY, clock=clock) as other:
        for name in ("gone", "other", "shown"):
            store.create(name, messages=[HELLO])
        store.create("brief", ttl=60)
        for name in place.keys("c:"):
            place.bare.delete(name)
        for act in (
            lambda: store.load("gone"),
            lambda: store.messages("gone"),
            lambda: store.info("gone"),
            lambda: store.exists("gone"),
            lambda: store.append("gone", HELLO),
            lambda: store.append("gone", HELLO, create=True),
            lambda: store.update("gone", {"a": 1}),
            lambda: other.append("other", HELLO),
        ):
            with pytest.raises(Damaged, match="delete the session"):
                act()
        with pytest.raises(SessionExists):
            store.create("gone")
        assert [problem.verdict.value for problem in store.verify().problems] == ["missing"] * 4
        assert store.delete("gone")
        with pytest.raises(SessionNotFound):
            store.load("gone")
        store.create("gone", messages=[HELLO, HELLO])
        assert len(other.load("gone").messages) == 2
        assert other.delete_many(["other", "shown"]) == 2
        clock.advance(61)
        assert not store.exists("brief")
        assert store.sweep() == 1
        assert [info.id for info in store.list()] == ["gone"]
        assert store.verify().problems == ()


def test_an_older_row_without_a_container_says_nothing_of_what_was_removed(place: Place) -> None:
    """Whoever puts an old row back and removes the container must not choose what may follow it."""
    with open_store(place.url, key=KEY) as store:
        store.create("a", messages=[HELLO])
        (row,) = place.keys("n:")
        old = place.bare.get(row)
        store.append("a", HELLO)
        place.bare.set(row, old)
        for name in place.keys("c:"):
            place.bare.delete(name)
        with pytest.raises(Damaged):
            store.delete("a")


def test_a_vault_on_redis_opens_with_its_key_and_no_other(place: Place) -> None:
    with pytest.raises(VaultNotFound, match=place.prefix):
        open_store(place.url, key=KEY, create=False)
    assert place.keys() == []
    open_store(place.url, key=KEY).close()
    with pytest.raises(WrongKey):
        open_store(place.url, key=Passphrase("something else entirely"))


def test_sessions_expire_and_are_swept(place: Place) -> None:
    clock = ManualClock()
    with open_store(place.url, key=KEY, clock=clock, ttl="10m", sliding=True) as store:
        for name in "abc":
            store.create(name, user_id="alice")
        clock.advance(300)
        store.load("a")
        clock.advance(301)
        assert sorted(info.id for info in store.list()) == ["a"]
        assert store.sweep(dry_run=True) == 2
        assert store.sweep() == 2
        assert store.sweep() == 0
        assert store.exists("a")


def test_redis_forgets_an_expired_session_a_day_later_and_never_one_that_was_touched(place: Place) -> None:
    clock = ManualClock(int(time.time() * 1_000_000))
    with open_store(place.url, key=KEY, clock=clock) as store:
        store.create("brief", ttl=60)
        store.create("lasting")
        for kind in "cn":
            brief, lasting = sorted(place.bare.pttl(name) for name in place.keys(f"{kind}:"))[::-1]
            assert lasting == -1
            assert 86_400_000 < brief <= 86_460_000
        store.touch("brief", ttl=3600)
        assert max(place.bare.pttl(name) for name in place.keys("c:")) > 86_400_000 + 3_500_000
        clock.advance(100_000)  # a store whose clock runs ahead
        store.save("brief", state={}, ttl=1)
        assert max(place.bare.pttl(name) for name in place.keys("c:")) > 86_390_000


def test_a_clock_that_is_years_late_makes_redis_forget_nothing(place: Place) -> None:
    with open_store(place.url, key=KEY, clock=ManualClock(1_000_000), ttl=60) as store:
        store.create("a")
        store.append("a", HELLO)
        assert min(place.bare.pttl(name) for name in (*place.keys("c:"), *place.keys("n:"))) > 86_000_000


def test_what_redis_has_forgotten_leaves_the_listing(place: Place) -> None:
    with open_store(place.url, key=KEY) as store:
        store.create("gone", ttl=1, user_id="alice")
        store.create("there", user_id="alice")
        for kind in "cn":
            for name in place.keys(f"{kind}:"):
                if place.bare.pttl(name) > 0:
                    place.bare.delete(name)
        assert [info.id for info in store.list(user_id="alice")] == ["there"]
        assert [info.id for info in store.list()] == ["there"]
        assert place.bare.zcard(f"{place.prefix}:{{0}}:all") == 1
        assert store.sweep() == 0
        assert not store.exists("gone")


def test_a_swept_session_leaves_no_tombstone_for_ever(place: Place) -> None:
    clock = ManualClock()
    with open_store(place.url, key=KEY, clock=clock) as store:
        store.create("a", ttl=1)
        store.create("b")
        store.delete("b")
        clock.advance(2)
        store.sweep()
        assert place.keys("c:") == place.keys("all") == place.keys("exp") == []
        assert sorted(place.bare.pttl(name) > 0 for name in place.keys("n:")) == [False, True]


def test_a_lease_is_held_by_one_and_freed_when_it_is_done(place: Place) -> None:
    with open_store(place.url, key=KEY) as one, open_store(place.url, key=KEY) as two:
        one.create("a")
        with one.lease("a"):
            for timeout in (0, 0.05):
                with pytest.raises(LeaseTimeout), two.lease("a", timeout=timeout):
                    pass
            with two.lease("b", timeout=0):
                pass
        with two.lease("a", timeout=0):
            pass


@pytest.mark.slow
def test_a_living_holder_keeps_its_lease_and_a_dead_one_loses_it(place: Place, scribe) -> None:
    engine, key = place.engine(), scribe.key("a")
    leases = engine.leases()
    brief = RedisLeases(leases._server, leases._layout, life=2.0)
    with brief.lease(key, 0):
        time.sleep(2.2)
        with pytest.raises(LeaseTimeout), brief.lease(key, 0):
            pass
    place.bare.set(leases._layout.lease(key), b"a holder that died", px=300)
    with brief.lease(key, 10):
        pass


def test_a_lease_that_is_lost_is_told_and_fails_nothing(place: Place, scribe, caplog) -> None:
    leases, key = place.engine().leases(), scribe.key("a")
    with leases.lease(key, 0):
        place.bare.delete(leases._layout.lease(key))
    assert "ended before its holder" in caplog.text


def test_a_lease_waits_for_its_turn(place: Place, scribe) -> None:
    leases, key = place.engine().leases(), scribe.key("a")
    order: list[str] = []

    def second() -> None:
        with leases.lease(key, None):
            order.append("second")

    thread = threading.Thread(target=second)
    with leases.lease(key, 0):
        thread.start()
        time.sleep(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


@pytest.mark.slow
def test_a_passphrase_and_tls_and_a_password_with_strange_letters() -> None:
    with redis_server(password="p@ss/w:rd #1", tls=True) as server:
        trusted = with_options(server.url, ssl_ca_certs=server.certificates.authority)
        with open_store(trusted, key=Passphrase("a long enough passphrase")) as store:
            store.create("a", messages=[HELLO])
            assert store.health()["redis"] == "ok"
            assert "p@ss" not in repr(store.health())
        with pytest.raises(BackendUnavailable) as caught:
            open_store(server.url, key=KEY)  # an authority that the client does not trust
        assert "p@ss" not in str(caught.value)


def test_an_acl_user_reaches_its_prefix_alone() -> None:
    with redis_server() as server:
        server.say("ACL", "SETUSER", "app", "on", ">secret", "~app:*", "+@all", "-@dangerous", "-@admin")
        url = f"redis://app:secret@127.0.0.1:{server.port}/0"
        with open_store(with_options(url, prefix="app"), key=KEY) as store:
            store.create("a", user_id="alice")
            assert store.count(user_id="alice") == 1
            assert store.health()["redis"] == "ok"
        with pytest.raises(BackendUnavailable, match="refuses") as caught:
            open_store(with_options(url, prefix="other"), key=KEY)
        assert "secret" not in str(caught.value)


def test_two_applications_do_not_see_each_other(redis_url: str) -> None:
    one, two = Place(redis_url), Place(redis_url)
    try:
        with open_store(one.url, key=KEY) as first, open_store(two.url, key=KEY) as second:
            first.create("a")
            assert second.list() == []
            second.create("a", state={"mine": True})
            assert first.load("a").state == {}
    finally:
        one.close()
        two.close()
