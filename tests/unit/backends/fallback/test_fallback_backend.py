"""Fallback over a server that is away when a test says so: what goes on, what waits, and what comes back."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from fallback_lab import Breaking, Outage, Ticks, refuse

from vaultsession.backends import MemoryBackend
from vaultsession.backends.fallback import FallbackBackend, Fork
from vaultsession.errors import BackendUnavailable, Conflict, Damaged, DurabilityUnknown
from vaultsession.format.record import part
from vaultsession.format.sealed import IndexRow, Query, Tombstone, Write
from vaultsession.testing.clock import ManualClock
from vaultsession.testing.sealer import Sealer


class Lab:
    """A server, one process in front of it, and another that is not."""

    def __init__(self, server: Outage | None = None, **bounds: Any) -> None:
        self.scribe = Sealer()
        self.key = self.scribe.key("a")
        self.clock = ManualClock(0)
        self.ticks = Ticks()
        self.server = server or Outage(MemoryBackend())
        self.merge: Callable[[Fork], Any] = refuse
        self.bounds = bounds
        self.backend = self.process()

    def process(self) -> FallbackBackend:
        return FallbackBackend(
            self.server,
            self.scribe.describe,
            self._merged,
            self.clock,
            tick=self.ticks,
            **self.bounds,
        )

    def _merged(self, fork: Fork) -> Any:
        return self.merge(fork)  # the one of that moment

    def here(self) -> list[str] | None:
        return self.scribe.texts(self.backend, self.key)

    def there(self, key: str | None = None) -> list[str] | None:
        """What the server has, however it is reached."""
        return self.scribe.texts(self.server.under, key or self.key)

    def come_back(self) -> None:
        self.server.end()
        self.ticks.wait()
        self.backend.head(self.key)

    def waiting(self) -> int:
        return self.backend.stats()["fallback_waiting"]


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.backend.close()


# -- while the server answers ------------------------------------------------------------------------------------------


def test_nothing_is_noticed_of_it_while_the_server_answers(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.backend.commit(lab.key, lab.scribe.append("x"))
    assert lab.there() == lab.here() == ["first", "x"]
    assert lab.backend.health() == {"redis": None, "fallback": None}
    assert lab.backend.traits == lab.server.traits._replace(postpones=True)
    assert (lab.waiting(), lab.backend.stats()["fallback_outages"]) == (0, 0)


def test_appending_to_what_is_remembered_asks_the_server_once(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    before = lab.server.calls
    for number in range(10):
        lab.backend.commit(lab.key, lab.scribe.append(str(number)))
    assert lab.server.calls == before + 10


def test_a_session_that_is_met_in_part_is_remembered_whole(lab: Lab) -> None:
    lab.server.commit(lab.key, lab.scribe.create(lab.key, "first" * 100))
    lab.server.commit(lab.key, lab.scribe.append("second"))
    lab.backend.read(lab.key, -100)
    lab.server.begin()
    assert lab.here() == ["first" * 100, "second"]


def test_what_others_append_is_followed_from_a_part(lab: Lab) -> None:
    known = lab.backend.commit(lab.key, lab.scribe.create(lab.key)).after.size  # type: ignore[union-attr] - it lives
    size = lab.server.commit(lab.key, lab.scribe.append("of another")).after.size  # type: ignore[union-attr] - as above
    before = lab.server.calls
    lab.backend.read(lab.key, known - size - 40)
    assert lab.server.calls == before + 1
    lab.server.begin()
    assert lab.here() == ["first", "of another"]


def test_what_was_seen_to_be_removed_is_not_remembered(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.commit(lab.key, lab.scribe.remove(lab.key))
    assert lab.backend.head(lab.key) is None
    lab.server.begin()
    assert lab.backend.head(lab.key) is lab.backend.read(lab.key) is None


# -- while it is away --------------------------------------------------------------------------------------------------


def test_a_session_goes_on_with_its_chain_and_everything_is_there_once_in_order_afterwards(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.backend.commit(lab.key, lab.scribe.append("before"))
    lab.server.begin()
    for number in range(5):
        lab.backend.commit(lab.key, lab.scribe.append(str(number)))
    expected = ["first", "before", "0", "1", "2", "3", "4"]
    assert lab.here() == expected
    assert lab.there() == ["first", "before"]
    lab.come_back()
    assert lab.there() == lab.here() == expected
    assert lab.waiting() == 0
    lab.backend.commit(lab.key, lab.scribe.append("after"))
    assert lab.there() == [*expected, "after"]
    assert lab.backend.health()["fallback"] is None


def test_what_was_not_met_lately_reads_as_absent_and_can_be_created(lab: Lab) -> None:
    other = lab.scribe.key("other")
    lab.server.commit(lab.key, lab.scribe.create(lab.key, "not met"))
    lab.server.begin()
    assert lab.backend.head(lab.key) is None
    with pytest.raises(Conflict):
        lab.backend.commit(lab.key, lab.scribe.append())
    assert lab.waiting() == 0
    lab.backend.commit(other, lab.scribe.create(other, "anew"))
    lab.come_back()
    assert lab.there(other) == ["anew"]
    assert lab.here() == ["not met"]


def test_it_is_told_once_and_seen_in_health(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    with caplog.at_level(logging.WARNING, "vaultsession"):
        for _ in range(3):
            lab.backend.commit(lab.key, lab.scribe.append())
            lab.ticks.wait()
    assert [record.message for record in caplog.records] == [
        "going on in memory, where what is written waits until the server is back: redis://127.0.0.1 is not reached"
    ]
    told = lab.backend.health()["fallback"] or ""
    assert told.startswith("going on in memory since 1970-01-01T00:00:00+00:00: 1 sessions wait in memory")
    assert lab.backend.stats()["fallback_outages"] == 1


def test_the_server_is_looked_for_at_most_every_second_and_ever_more_seldom(lab: Lab) -> None:
    lab.server.begin()
    lab.backend.head(lab.key)
    asked = lab.server.calls
    for _ in range(100):
        lab.backend.head(lab.key)
    assert lab.server.calls == asked
    looks = 0
    for _ in range(60):
        lab.ticks.wait(1)
        for _ in range(3):
            lab.backend.head(lab.key)
    looks = lab.server.calls - asked
    assert 5 <= looks <= 10


def test_listings_know_what_memory_has_and_the_rest_is_back_with_the_server(lab: Lab) -> None:
    keys = [lab.scribe.key(name) for name in "abc"]
    for number, key in enumerate(keys[:2]):
        lab.backend.commit(key, lab.scribe.create(key, updated=number))
    lab.server.commit(keys[2], lab.scribe.create(keys[2], updated=9))
    lab.server.begin()
    assert [row.key for row in lab.backend.scan(Query())] == [keys[1], keys[0]]
    assert lab.backend.count(Query()) == 2
    lab.come_back()
    assert [row.key for row in lab.backend.scan(Query())] == [keys[2], keys[1], keys[0]]
    assert lab.backend.count(Query()) == 3


def test_a_listing_that_is_cut_off_goes_on_from_there() -> None:
    lab = Lab(Breaking(MemoryBackend(), 3))
    keys = [lab.scribe.key(str(number)) for number in range(8)]
    for number, key in enumerate(keys):
        lab.backend.commit(key, lab.scribe.create(key, updated=number))
    assert [row.key for row in lab.backend.scan(Query(newest_first=False, limit=6))] == keys[:6]
    lab.server.end()
    lab.backend.close()


def test_what_waits_stands_in_its_place_in_a_listing_of_the_server(lab: Lab) -> None:
    keys = [lab.scribe.key(str(number)) for number in range(6)]
    for number, key in enumerate(keys):
        lab.backend.commit(key, lab.scribe.create(key, updated=number))
    lab.server.begin()
    lab.backend.commit(keys[1], lab.scribe.append(updated=10))
    lab.backend.commit(keys[2], lab.scribe.remove(keys[2]))
    lab.server.commit_fails = Damaged("unreadable at the server")
    lab.come_back()
    expected = [keys[1], keys[5], keys[4], keys[3], keys[0]]
    assert [row.key for row in lab.backend.scan(Query())] == expected
    assert [row.key for row in lab.backend.scan(Query(offset=1, limit=2))] == expected[1:3]
    assert lab.backend.count(Query()) == 5
    lab.server.commit_fails = None


def test_what_memory_had_in_an_earlier_outage_is_forgotten(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    assert lab.here() == ["first"]
    lab.come_back()
    lab.backend.commit(lab.key, lab.scribe.append("between"))
    lab.server.begin()
    assert lab.here() == ["first", "between"]
    lab.come_back()


# -- what is bounded ---------------------------------------------------------------------------------------------------


def test_more_sessions_than_fit_are_refused_and_those_that_wait_go_on() -> None:
    lab = Lab(sessions=2)
    keys = [lab.scribe.key(str(number)) for number in range(3)]
    lab.server.begin()
    for key in keys[:2]:
        lab.backend.commit(key, lab.scribe.create(key))
    with pytest.raises(BackendUnavailable, match=r"2 sessions wait in memory .* no more fits"):
        lab.backend.commit(keys[2], lab.scribe.create(keys[2]))
    assert lab.backend.head(keys[2]) is None
    lab.backend.commit(keys[0], lab.scribe.append())
    lab.come_back()
    assert (lab.there(keys[0]), lab.there(keys[1]), lab.there(keys[2])) == (["first", "more"], ["first"], None)
    lab.backend.close()


def test_more_bytes_than_fit_are_refused_and_nothing_is_changed() -> None:
    lab = Lab(capacity=3000)
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.create(lab.key, "x" * 1000))
    with pytest.raises(BackendUnavailable, match="no more fits"):
        lab.backend.commit(lab.key, lab.scribe.append("y" * 2000))
    lab.backend.commit(lab.key, lab.scribe.append("small"))
    lab.come_back()
    assert lab.there() == ["x" * 1000, "small"]
    lab.backend.close()


def test_only_the_recently_used_are_remembered() -> None:
    lab = Lab(sessions=2)
    keys = [lab.scribe.key(str(number)) for number in range(3)]
    for key in keys[:2]:
        lab.backend.commit(key, lab.scribe.create(key))
    lab.backend.head(keys[0])
    lab.backend.commit(keys[2], lab.scribe.create(keys[2]))
    lab.server.begin()
    assert [lab.backend.head(key) is not None for key in keys] == [True, False, True]
    lab.come_back()
    lab.backend.close()


def test_a_session_too_large_to_be_remembered_is_not_read_for_it() -> None:
    lab = Lab(capacity=2000)
    lab.server.commit(lab.key, lab.scribe.create(lab.key, "x" * 5000))
    before = lab.server.calls
    lab.backend.read(lab.key, -100)
    assert lab.server.calls == before + 1
    lab.backend.close()


# -- writes whose answer was lost --------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("more", [0, 2])
def test_a_write_whose_answer_was_lost_is_there_once(lab: Lab, arrives: bool, more: int) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.lose_answers(arrives=arrives)
    lab.backend.commit(lab.key, lab.scribe.append("lost"))
    for number in range(more):
        lab.backend.commit(lab.key, lab.scribe.append(str(number)))
    expected = ["first", "lost", *map(str, range(more))]
    assert lab.here() == expected
    lab.come_back()
    assert lab.there() == lab.here() == expected


def test_a_removal_whose_answer_was_lost_is_a_removal(lab: Lab) -> None:
    for arrives in (True, False):
        lab.backend.commit(lab.key, lab.scribe.create(lab.key))
        lab.server.lose_answers(arrives=arrives)
        lab.backend.commit(lab.key, lab.scribe.remove(lab.key))
        assert lab.backend.head(lab.key) is None
        lab.come_back()
        assert lab.there() is None
        assert lab.waiting() == 0


def test_where_the_server_answers_the_doubt_is_the_callers(lab: Lab) -> None:
    """As where it has the write, and its replicas do not."""
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.commit_fails = DurabilityUnknown("0 of 1 replicas have it")
    with pytest.raises(DurabilityUnknown, match="replicas"):
        lab.backend.commit(lab.key, lab.scribe.append())
    assert lab.backend.stats()["fallback_outages"] == 0
    lab.server.commit_fails = None


def test_a_lost_answer_about_a_session_that_is_not_remembered_is_the_callers_too() -> None:
    lab = Lab(capacity=2000)
    lab.server.commit(lab.key, lab.scribe.create(lab.key, "x" * 5000))
    lab.server.lose_answers()
    with pytest.raises(DurabilityUnknown):
        lab.backend.commit(lab.key, lab.scribe.append())
    assert lab.waiting() == 0
    lab.backend.close()


def test_a_lost_write_that_others_went_on_from_is_not_repeated(lab: Lab) -> None:
    """Our record arrived, its answer did not, and another process appended behind it."""
    lab.merge = merging(lab)
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.lose_answers()
    lab.backend.commit(lab.key, lab.scribe.append("lost"))
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))
    lab.come_back()
    assert lab.there() == ["first", "lost", "theirs", "merged: ours"]


# -- inside an update -----------------------------------------------------------------------------------------------------


def test_a_server_that_goes_away_while_something_is_sealed_is_not_mixed_with_memory(lab: Lab) -> None:
    """What an update reads is of the same place that its commit goes to: else it would seal from two states."""
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))  # what is remembered here is older
    shown: list[tuple[int, int]] = []

    def update(newest: Any) -> Any:
        if not shown:
            lab.server.begin()
            shown.append((newest.size, 0))
        container = lab.backend.read(lab.key)
        assert container is not None
        shown.append((newest.size, container.size))
        return lab.scribe.append("ours")(newest)

    lab.merge = merging(lab)
    lab.backend.commit(lab.key, update)
    assert [row == read for row, read in shown] == [False, True]
    lab.come_back()
    assert lab.there() == ["first", "theirs", "merged: ours"]


# -- removed and replaced ----------------------------------------------------------------------------------------------


def test_what_was_removed_here_is_removed_there(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.remove(lab.key))
    lab.come_back()
    seen: list[Any] = []
    lab.server.under.commit(lab.key, seen.append)
    assert isinstance(seen[0], Tombstone)
    assert lab.backend.head(lab.key) is None


def test_what_was_removed_here_behind_a_lost_answer_is_removed_there(lab: Lab) -> None:
    """The record arrived: what is there then is still ours alone."""
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.lose_answers()
    lab.backend.commit(lab.key, lab.scribe.append("lost"))
    lab.backend.commit(lab.key, lab.scribe.remove(lab.key))
    lab.come_back()
    assert lab.there() is None


def test_what_is_removed_here_during_a_merge_is_removed_there(lab: Lab) -> None:
    merge, seen = merging(lab), []

    def slow(fork: Fork) -> Any:
        if not seen:
            seen.append(fork)
            lab.backend._memory.commit(lab.key, lab.scribe.remove(lab.key), None)
        return merge(fork)

    lab.merge = slow
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))
    lab.come_back()
    assert lab.there() is None


def test_what_was_removed_here_and_changed_there_stays_and_is_told(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.remove(lab.key))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))
    lab.come_back()
    assert lab.there() == ["first", "theirs"]
    assert "was removed here" in caplog.text


def test_what_was_replaced_here_replaces_what_was_known(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key, "old"))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.create(lab.key, "new"))
    lab.backend.commit(lab.key, lab.scribe.append("newer"))
    lab.come_back()
    assert lab.there() == ["new", "newer"]


def test_what_was_removed_and_made_again_here_is_the_new_one_there(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key, "old"))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.remove(lab.key))
    lab.backend.commit(lab.key, lab.scribe.create(lab.key, "new"))
    lab.come_back()
    assert lab.there() == ["new"]


def test_a_server_that_comes_back_empty_is_given_what_waits_whole(lab: Lab) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under = MemoryBackend()
    lab.come_back()
    assert lab.there() == ["first", "ours"]


def test_what_expired_meanwhile_is_not_carried_over(lab: Lab) -> None:
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.create(lab.key, expires=1_000_000))
    lab.clock.advance(2)
    lab.come_back()
    assert lab.there() is None
    assert lab.waiting() == 0


def test_a_session_that_was_let_expire_here_is_expired_there(lab: Lab) -> None:
    """Else it would live on, as if it had no expiry."""
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append(expires=1_000_000))
    lab.clock.advance(2)
    lab.come_back()
    row = lab.server.under.head(lab.key)
    assert row is not None
    assert row.expires == 1_000_000


# -- both went on ------------------------------------------------------------------------------------------------------


def merging(lab: Lab) -> Callable[[Fork], Any]:
    """Puts our texts since both were the same behind theirs, in one record."""

    def merge(fork: Fork) -> Any:
        ours, before = _texts(lab, fork.key, fork.ours), _texts(lab, fork.key, fork.base or b"")
        new = ours[len(before) :] if ours[: len(before)] == before else ours
        if not new:
            return None
        text = f"merged: {' '.join(new)}"
        if isinstance(fork.theirs, Tombstone):
            return lab.scribe.create(fork.key, text)(fork.theirs)
        return lab.scribe.append(text)(fork.theirs)

    return merge


def _texts(lab: Lab, key: str, data: bytes) -> list[str]:
    if not data:
        return []
    row = lab.scribe.describe(key, partial(part, data), thorough=False)
    assert isinstance(row, IndexRow)
    shelf = MemoryBackend()
    shelf.commit(key, lambda _: Write(row, 0, data))
    return lab.scribe.texts(shelf, key) or []


def test_where_both_went_on_what_is_new_here_goes_behind(lab: Lab) -> None:
    lab.merge = merging(lab)
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))
    lab.come_back()
    assert lab.there() == lab.here() == ["first", "theirs", "merged: ours"]


def test_where_both_made_it_anew_all_of_ours_goes_behind(lab: Lab) -> None:
    lab.merge = merging(lab)
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.create(lab.key, "ours"))
    lab.server.under.commit(lab.key, lab.scribe.create(lab.key, "theirs"))
    lab.come_back()
    assert lab.there() == ["theirs", "merged: ours"]


def test_where_it_was_removed_there_only_what_is_new_here_lives_on(lab: Lab) -> None:
    lab.merge = merging(lab)
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under.commit(lab.key, lab.scribe.remove(lab.key))
    lab.come_back()
    assert lab.there() == ["merged: ours"]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_merge_whose_answer_was_lost_is_there_once(lab: Lab, arrives: bool) -> None:
    lab.merge = merging(lab)
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))
    lab.server.end()
    lab.ticks.wait()
    lab.server.loses_one = "arrived" if arrives else "lost"
    lab.backend.head(lab.key)
    assert lab.waiting() == 1
    assert "is not known" in (lab.backend.health()["fallback"] or "")
    lab.backend.commit(lab.key, lab.scribe.append("more of ours"))
    lab.server.under.commit(lab.key, lab.scribe.append("more of theirs"))
    lab.come_back()
    merged = ["merged: ours"] if arrives else []
    rest = "merged: more of ours" if arrives else "merged: ours more of ours"
    assert lab.there() == ["first", "theirs", *merged, "more of theirs", rest]


@pytest.mark.parametrize("adds", [True, False])
def test_a_session_that_was_merged_is_there_in_the_next_outage_too(lab: Lab, adds: bool) -> None:
    """It read as absent, and a writer was told that there is nothing to append to."""
    lab.merge = merging(lab) if adds else lambda fork: fork.fetch(0) and None
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))
    lab.come_back()
    assert lab.waiting() == 0
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("once more"))
    expected = ["first", "theirs", "merged: ours", "once more"] if adds else ["first", "theirs", "once more"]
    assert lab.here() == expected
    lab.come_back()
    assert lab.there() == expected


def test_what_is_written_here_during_a_merge_follows_and_nothing_of_the_others_is_lost(lab: Lab) -> None:
    """The chains differ from the merge on: what is here must never take the place of what is there."""
    merge, seen = merging(lab), []

    def slow(fork: Fork) -> Any:
        if not seen:
            seen.append(fork)
            lab.backend._memory.commit(lab.key, lab.scribe.append("meanwhile"), None)
        return merge(fork)

    lab.merge = slow
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.under.commit(lab.key, lab.scribe.append("theirs"))
    lab.come_back()
    assert lab.there() == ["first", "theirs", "merged: ours", "merged: meanwhile"]
    assert lab.waiting() == 0


def test_what_cannot_be_carried_over_stays_in_memory_and_in_health(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.append("ours"))
    lab.server.commit_fails = Damaged("what is there is not what was written")
    lab.come_back()
    for _ in range(3):
        lab.ticks.wait()
        assert lab.here() == ["first", "ours"]
    told = lab.backend.health()["fallback"] or ""
    assert told.startswith("1 sessions wait in memory to be carried over")
    assert "not what was written" in told
    assert caplog.text.count("not carried over, and kept in memory") == 1
    lab.server.commit_fails = None
    lab.come_back()
    assert lab.there() == ["first", "ours"]


def test_a_server_that_answers_and_takes_no_writes_is_away(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    """As one that became a read-only replica: reads alone do not end the outage, and it is reported once."""
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.server.commit_fails = BackendUnavailable("is a read-only replica")
    for number in range(4):
        lab.backend.commit(lab.key, lab.scribe.append(str(number)))
        lab.ticks.wait()
    assert lab.here() == ["first", "0", "1", "2", "3"]
    assert caplog.text.count("going on in memory") == 1
    lab.server.commit_fails = None
    lab.come_back()
    assert lab.there() == ["first", "0", "1", "2", "3"]


# -- the end -----------------------------------------------------------------------------------------------------------


def test_close_carries_over_what_it_can(lab: Lab) -> None:
    keys = [lab.scribe.key(str(number)) for number in range(40)]
    lab.server.begin()
    for key in keys:
        lab.backend.commit(key, lab.scribe.create(key))
    under = lab.server.under
    lab.server.end()
    lab.server.close = lambda: None  # type: ignore[method-assign] - to look at it afterwards
    lab.backend.close()
    assert under.count(Query()) == 40


def test_close_says_what_is_lost(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    lab.server.begin()
    lab.backend.commit(lab.key, lab.scribe.create(lab.key))
    lab.backend.close()
    lab.backend.close()
    assert "1 sessions waited for their server, and are lost with this process" in caplog.text
    with pytest.raises(RuntimeError, match="closed"):
        lab.backend.head(lab.key)


# -- threads -----------------------------------------------------------------------------------------------------------


def test_threads_lose_nothing_over_many_outages(lab: Lab) -> None:
    """Each text is there once, and those of one thread in their order."""
    lab.merge = merging(lab)  # a commit that was under way when another thread found the server away
    keys = [lab.scribe.key(name) for name in "abcd"]
    for key in keys:
        lab.backend.commit(key, lab.scribe.create(key))
    write_through_outages(lab, keys)
    lab.server.end()
    while lab.waiting():
        lab.ticks.wait()
    for parity, key in enumerate(keys):
        words = " ".join((lab.there(key) or [])[1:]).replace("merged: ", "").split()
        expected = [f"{name}-{number}" for name in range(4) for number in range(60) if number % 4 == parity]
        assert sorted(words) == sorted(expected)
        for name in range(4):
            mine = [word for word in words if word.startswith(f"{name}-")]
            assert mine == [word for word in expected if word in mine]


def write_through_outages(lab: Lab, keys: list[str]) -> None:
    """Four threads append in turn to every key, while the server goes and comes."""
    failures: list[BaseException] = []
    done = threading.Event()

    def write(name: int) -> None:
        try:
            for number in range(60):
                lab.backend.commit(keys[number % 4], lab.scribe.append(f"{name}-{number}"))
                lab.backend.head(keys[number % 4])
        except BaseException as error:  # noqa: BLE001 - reported below
            failures.append(error)

    def harm() -> None:
        while not done.is_set():
            lab.server.begin()
            done.wait(0.005)
            lab.server.end()
            lab.ticks.wait(20)
            done.wait(0.005)

    writers = [threading.Thread(target=partial(write, name)) for name in range(4)]
    harmer = threading.Thread(target=harm)
    for thread in (harmer, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    harmer.join()
    assert failures == []
