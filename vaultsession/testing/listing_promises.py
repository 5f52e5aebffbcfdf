"""What every backend promises about listing. Part of ``BackendContract``."""

# ruff: noqa: S101, ANN401, PLR2004 - these are tests, and they take whatever claims to be a backend

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends.protocol import Backend
from ..format.ids import locator_of
from ..format.sealed import Delete, Query
from .sealer import Sealer


class ListingPromises:
    """Each method is one promise."""

    def test_a_listing_is_ordered_by_the_last_change(self, backend: Any, scribe: Sealer) -> None:
        """Either way round, ties by locator."""
        keys = fill(backend, scribe, 20, updated=lambda number: number // 3)
        ordered = sorted(keys, key=lambda key: (keys[key] // 3, locator_of(key)))
        assert [row.key for row in backend.scan(Query(newest_first=False))] == ordered
        assert [row.key for row in backend.scan(Query())] == ordered[::-1]

    def test_a_listed_row_is_the_head_that_was_sealed(self, backend: Any, scribe: Sealer) -> None:
        """A holder of the keys can open it."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key, user_id="alice", title="a title", expires=99))
        row = backend.commit(key, scribe.append(title="another", updated=7)).after
        (listed,) = backend.scan(Query())
        assert listed == row
        assert scribe.reader.rows.open(listed)[1].title == "another"

    def test_this_instance_lists_what_it_has_just_done(self, backend: Any, scribe: Sealer) -> None:
        """Never behind itself."""
        key = scribe.key("a")
        for number in range(30):
            row = backend.commit(key, scribe.append(updated=number) if number else scribe.create(key, updated=0)).after
            assert [listed.version for listed in backend.scan(Query())] == [row.version]
        backend.commit(key, scribe.remove(key))
        assert backend.count(Query()) == 0

    def test_every_tag_must_match(self, backend: Any, scribe: Sealer) -> None:
        """And a session is found under the tags that it has now."""
        a, b, c = (scribe.key(name) for name in "abc")
        backend.commit(a, scribe.create(a, user_id="alice", labels={"kind": "work"}))
        backend.commit(b, scribe.create(b, user_id="alice", labels={"kind": "play"}, updated=2))
        backend.commit(c, scribe.create(c, user_id="bob", labels={"kind": "work"}))
        alice, bob, work = scribe.user("alice"), scribe.user("bob"), scribe.label("kind", "work")
        assert _keys(backend, Query(tags=(alice,))) == [b, a]
        assert _keys(backend, Query(tags=(work, alice))) == [a]
        assert _keys(backend, Query(tags=(alice, work))) == [a]
        assert _keys(backend, Query(tags=(alice, bob))) == []
        backend.commit(a, scribe.append(user_id="bob"))
        assert _keys(backend, Query(tags=(alice,))) == [b]
        assert sorted(_keys(backend, Query(tags=(bob, work)))) == sorted([a, c])

    def test_the_expired_and_the_living_are_told_apart(self, backend: Any, scribe: Sealer) -> None:
        """A session is expired at now ≥ expires; without an expiry never."""
        for name, expires in (("a", 10), ("b", 20), ("c", None)):
            key = scribe.key(name)
            backend.commit(key, scribe.create(key, expires=expires, user_id="alice"))
        names = {scribe.key(name): name for name in "abc"}
        for now, dead in ((9, ""), (10, "a"), (19, "a"), (20, "ab")):
            living = "".join(name for name in "abc" if name not in dead)
            for tags in ((), (scribe.user("alice"),)):
                for query, expected in ((Query(tags, expired_at=now), dead), (Query(tags, alive_at=now), living)):
                    assert "".join(sorted(names[row.key] for row in backend.scan(query))) == expected
                    assert backend.count(query) == len(expected)

    def test_a_renewed_session_is_no_longer_listed_as_expired(self, backend: Any, scribe: Sealer) -> None:
        """A change of the expiry alone is a change of the row."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key, expires=10, user_id="alice"))
        backend.commit(key, scribe.append(expires=30))
        for tags in ((), (scribe.user("alice"),)):
            assert backend.count(Query(tags, expired_at=20)) == 0
            assert backend.count(Query(tags, alive_at=20)) == 1
            assert backend.count(Query(tags, expired_at=30)) == 1

    def test_pages_join_to_the_whole(self, backend: Any, scribe: Sealer) -> None:
        """By offset, and behind the last row of the page before."""
        fill(backend, scribe, 23, updated=lambda number: number // 4)
        for newest_first in (True, False):
            whole = list(backend.scan(Query(newest_first=newest_first)))
            by_offset = [
                row
                for offset in range(0, 30, 5)
                for row in backend.scan(Query(newest_first=newest_first, offset=offset, limit=5))
            ]
            after, by_cursor = None, []
            while page := list(backend.scan(Query(newest_first=newest_first, after=after, limit=5))):
                by_cursor += page
                after = (page[-1].updated, locator_of(page[-1].key))
            assert by_offset == by_cursor == whole
        assert list(backend.scan(Query(limit=0))) == []

    def test_a_cursor_stays_right_while_sessions_change(self, backend: Any, scribe: Sealer) -> None:
        """What was not changed is given once, whatever else moves."""
        keys = list(fill(backend, scribe, 30, updated=lambda number: number))
        seen: list[str] = []
        after, number = None, 0
        while page := list(backend.scan(Query(after=after, limit=4))):
            seen += [row.key for row in page]
            after = (page[-1].updated, locator_of(page[-1].key))
            moved = keys[number]
            number += 1
            if moved not in seen:
                backend.commit(moved, scribe.append(updated=1000 + number))
                keys.remove(moved)
                number -= 1
            backend.commit(fresh := scribe.key(f"new {number} {len(seen)}"), scribe.create(fresh, updated=2000))
        assert sorted(seen) == sorted(keys)

    def test_a_listing_may_be_left_half_read(self, backend: Any, scribe: Sealer) -> None:
        """A caller that stops reading, or changes what it lists, holds nothing."""
        fill(backend, scribe, 10, updated=lambda number: number)
        rows = backend.scan(Query())
        first = next(rows)
        backend.commit(first.key, scribe.append(updated=100))
        for row in rows:
            backend.commit(row.key, scribe.remove(row.key))
        assert [row.key for row in backend.scan(Query())] == [first.key]

    def test_counting_is_scanning(self, backend: Any, scribe: Sealer) -> None:
        """For every kind of query; the limit and the cursor are of a listing."""
        for number in range(20):
            key = scribe.key(str(number))
            facts: dict[str, Any] = {
                "user_id": "ab"[number % 2],
                "labels": {"mod": str(number % 3)},
                "expires": number or None,
            }
            backend.commit(key, scribe.create(key, updated=number, **facts))
        for tags in ((), (scribe.user("a"),), (scribe.user("b"), scribe.label("mod", "2"))):
            for alive_at in (None, 10):
                for expired_at in (None, 12):
                    query = Query(tags, alive_at=alive_at, expired_at=expired_at)
                    assert backend.count(query) == len(list(backend.scan(query)))
        assert backend.count(Query(limit=3, offset=2)) == 20

    def test_rebuilding_the_index_changes_nothing(self, backend: Any, scribe: Sealer) -> None:
        """It comes from the containers."""
        fill(backend, scribe, 10, updated=lambda number: number)
        before = [row.columns() for row in backend.scan(Query())]
        assert backend.reindex().unreadable == 0
        assert [row.columns() for row in backend.scan(Query())] == before

    def test_whoever_can_tell_removals_tells_each_and_no_other(self, backend: Any, scribe: Sealer) -> None:
        """The tombstones of sessions that are not there, proved; one that began again is there."""
        keys = list(fill(backend, scribe, 30, updated=lambda number: number))
        graves = {key: backend.commit(key, scribe.remove(key)).after for key in keys[:20]}
        for key in keys[:5]:
            backend.commit(key, scribe.create(key))
            del graves[key]
        assert all(map(scribe.reader.rows.is_genuine, graves.values()))
        if type(backend).tombstones is not Backend.tombstones:
            told = {tombstone.key[-32:]: tombstone[1:] for tombstone in backend.tombstones()}
            assert told == {key[-32:]: grave[1:] for key, grave in graves.items()}

    def test_a_tombstone_that_is_signed_anew_takes_the_place_of_the_old(self, backend: Any, scribe: Sealer) -> None:
        """Of the same generation, under another key: so that the key before can be deleted."""
        key = scribe.key("a")
        backend.commit(key, scribe.create(key))
        grave = backend.commit(key, scribe.remove(key)).after
        again = grave._replace(mac=bytes(16))
        assert backend.commit(key, lambda _: Delete(again)).after == again
        assert backend.commit(key, lambda _: None).after == again
        if type(backend).tombstones is not Backend.tombstones:
            assert [(each.key[-32:], each[1:]) for each in backend.tombstones()] == [(key[-32:], again[1:])]

    def test_totals_follow(self, backend: Any, scribe: Sealer) -> None:
        """Sessions and their bytes."""
        keys = list(fill(backend, scribe, 5, updated=lambda number: number))
        backend.commit(keys[0], scribe.append())
        sizes = [backend.head(key).size for key in keys]
        assert (backend.stats()["sessions"], backend.stats()["bytes"]) == (5, sum(sizes))
        assert all(problem is None for problem in backend.health().values())


def fill(backend: Any, scribe: Sealer, count: int, *, updated: Callable[[int], int]) -> dict[str, int]:
    """Make so many sessions; their keys by the order of their creation, ``updated`` says when each was changed."""
    keys = {scribe.key(f"session {number}"): number for number in range(count)}
    for key, number in keys.items():
        backend.commit(key, scribe.create(key, updated=updated(number)))
    return keys


def _keys(backend: Any, query: Query) -> list[str]:
    return [row.key for row in backend.scan(query)]
