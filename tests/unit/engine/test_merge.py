"""What is made of a session that went on in two places: messages, state and facts of both, nothing twice."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from fallback_lab import Outage

from vaultsession import Session, SessionNotFound, SessionStore
from vaultsession.backends import MemoryBackend
from vaultsession.backends.fallback import FallbackBackend
from vaultsession.backends.leases import LocalLeases
from vaultsession.engine.merge import added_since, changes_since, three_way_merge
from vaultsession.engine.reader import Reader
from vaultsession.engine.writer import Writer
from vaultsession.format.keys import Keyring
from vaultsession.store.store import StoreInfo
from vaultsession.testing.clock import ManualClock

Message = dict[str, Any]


def said(*texts: str) -> list[Message]:
    return [{"role": "user", "content": text} for text in texts]


def texts(session: Session) -> list[str]:
    return [message["content"] for message in session.messages]


class Two:
    """Two stores on one server: ours goes on in memory while the server is away, theirs reaches it always."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shelf = MemoryBackend()
        self.server = Outage(self.shelf)
        self.seconds = 0.0
        self.keyring = Keyring.generate()
        reader, writer = self.sides()
        self.backend = FallbackBackend(
            self.server,
            reader.describe,
            functools.partial(three_way_merge, reader, writer),
            self.clock,
            tick=lambda: self.seconds,
        )
        self.ours = self.store(self.backend, reader, writer)
        self.theirs = self.store(self.shelf, *self.sides())

    def sides(self) -> tuple[Reader, Writer]:
        reader = Reader(self.keyring)
        return reader, Writer(reader, self.clock)

    def store(self, backend: Any, reader: Reader, writer: Writer) -> SessionStore:
        return SessionStore(backend, reader, writer, LocalLeases(), self.clock, origin=StoreInfo("here", "a test"))

    def part(self) -> None:
        self.server.begin()

    def meet(self) -> Session:
        """The server is back; what both then read."""
        self.server.end()
        self.seconds += 60
        self.ours.exists("a")
        assert self.ours.stats()["fallback_waiting"] == 0
        both = self.ours.load("a"), self.theirs.load("a")
        assert both[0].messages == both[1].messages
        assert both[0].state == both[1].state
        return both[0]


@pytest.fixture
def two() -> Iterator[Two]:
    two = Two()
    yield two
    two.ours.close()


def test_messages_of_both_are_there_once(two: Two) -> None:
    two.ours.create("a", messages=said("1", "2"))
    two.part()
    two.ours.append("a", *said("ours 1"))
    two.theirs.append("a", *said("theirs"))
    two.ours.append("a", *said("ours 2"))
    assert texts(two.ours.load("a")) == ["1", "2", "ours 1", "ours 2"]
    assert texts(two.meet()) == ["1", "2", "theirs", "ours 1", "ours 2"]


def test_only_the_keys_of_the_state_that_were_changed_here_are_set(two: Two) -> None:
    two.ours.create("a", state={"kept": 1, "ours": 1, "theirs": 1, "gone": 1, "typed": 1})
    two.part()

    def change(session: Session) -> None:
        session.state.update(ours=2, new=[1, {"x": None}], typed=True)
        del session.state["gone"]

    two.ours.update("a", change)
    two.theirs.update("a", {"theirs": 2, "gone": 5})
    session = two.meet()
    assert session.state == {"kept": 1, "ours": 2, "theirs": 2, "new": [1, {"x": None}], "typed": True}
    assert session.state["typed"] is True


def test_facts_that_were_changed_here_are_set(two: Two) -> None:
    two.ours.create("a", title="old", user_id="alice", labels={"x": "1"})
    two.part()
    with two.ours.edit("a") as session:
        session.title = "new"
    with two.theirs.edit("a") as session:
        session.labels = {"x": "2"}
    session = two.meet()
    assert (session.title, session.user_id, session.labels) == ("new", "alice", {"x": "2"})


def test_a_longer_life_that_was_given_here_is_kept(two: Two) -> None:
    two.ours.create("a", ttl="1h")
    two.part()
    expires = two.ours.touch("a", ttl="9h").expires_at
    two.theirs.append("a", *said("theirs"))
    assert two.meet().info().expires_at == expires


def test_a_document_that_was_saved_whole_adds_what_is_new_in_it(two: Two) -> None:
    two.ours.create("a", messages=said("1", "2", "3"))
    two.part()
    with two.ours.edit("a") as session:
        session.messages[1] = said("2, changed")[0]
        session.messages.append(said("4")[0])
    two.theirs.append("a", *said("theirs"))
    assert texts(two.meet()) == ["1", "2", "3", "theirs", "2, changed", "4"]


def test_a_bounded_history_that_dropped_its_oldest_adds_only_the_newest(two: Two) -> None:
    two.ours.create("a", messages=said("ok", "1", "2"), max_messages=4)
    two.part()
    two.ours.append("a", *said("ok", "ours"))
    two.theirs.append("a", *said("theirs"))
    assert texts(two.meet()) == ["2", "theirs", "ok", "ours"]


def test_a_write_whose_answer_was_lost_is_not_repeated_when_its_container_was_replaced(two: Two) -> None:
    """It arrived, others went on behind it, and so many records were added here that they were put together."""
    two.ours.create("a", messages=said("1"))
    two.server.lose_answers()
    two.ours.append("a", *said("lost"))
    many = [f"ours {number}" for number in range(520)]
    for text in many:
        two.ours.append("a", *said(text))
    two.theirs.append("a", *said("theirs"))
    assert texts(two.meet()) == ["1", "lost", "theirs", *many]


def test_a_history_that_was_cleared_here_stays_where_others_went_on(two: Two) -> None:
    two.ours.create("a", messages=said("1"))
    two.part()
    two.ours.clear("a")
    two.ours.append("a", *said("ours"))
    two.theirs.append("a", *said("theirs"))
    assert texts(two.meet()) == ["1", "theirs", "ours"]


def test_a_session_that_others_removed_begins_anew_with_what_was_added(two: Two) -> None:
    """What was removed is not brought back; what was written after it is not lost."""
    two.ours.create("a", state={"secret": 1}, messages=said("to be forgotten"), user_id="alice")
    two.part()
    two.ours.append("a", *said("ours"))
    two.theirs.delete("a")
    session = two.meet()
    assert (texts(session), session.state, session.user_id) == (["ours"], {}, "alice")


def test_a_session_that_others_removed_and_nobody_wrote_to_stays_removed(two: Two) -> None:
    two.ours.create("a", ttl="1h")
    two.part()
    two.ours.touch("a")
    two.theirs.delete("a")
    two.server.end()
    two.seconds += 60
    with pytest.raises(SessionNotFound):
        two.ours.load("a")


def test_two_sessions_of_one_id_become_one(two: Two) -> None:
    two.part()
    two.ours.create("a", state={"x": 1}, messages=said("ours"), title="ours")
    two.theirs.create("a", state={"x": 2, "y": 2}, messages=said("theirs"), user_id="alice")
    session = two.meet()
    assert (texts(session), session.state) == (["theirs", "ours"], {"x": 1, "y": 2})
    assert (session.title, session.user_id) == ("ours", "alice")


def test_a_session_that_others_rewrote_whole_gets_what_is_new(two: Two) -> None:
    two.ours.create("a", messages=said("1"))
    two.part()
    two.ours.append("a", *said("ours"))
    two.theirs.clear("a")
    two.theirs.append("a", *said("theirs"))
    assert texts(two.meet()) == ["theirs", "ours"]


def test_a_session_loaded_before_and_saved_after_a_carry_over_is_no_conflict(two: Two) -> None:
    two.ours.create("a", messages=said("1"))
    two.part()
    two.ours.append("a", *said("2"))
    session = two.ours.load("a")
    two.meet()
    session.messages.append(said("3")[0])
    two.ours.save(session)
    assert texts(two.theirs.load("a")) == ["1", "2", "3"]


def test_many_small_appends_of_both_sides_stay_in_order(two: Two) -> None:
    two.ours.create("a")
    for number in range(30):
        two.part()
        two.ours.append("a", *said(f"ours {number}"))
        two.theirs.append("a", *said(f"theirs {number}"))
        two.meet()
    found = texts(two.theirs.load("a"))
    assert len(found) == len(set(found)) == 60
    for side in ("ours", "theirs"):
        assert [text for text in found if text.startswith(side)] == [f"{side} {number}" for number in range(30)]


@pytest.mark.parametrize(
    ("before", "after", "added"),
    [
        ("", "", ""),
        ("", "ab", "ab"),
        ("ab", "", ""),
        ("ab", "ab", ""),
        ("ab", "abc", "c"),
        ("ab", "abab", "ab"),
        ("abc", "bcd", "d"),
        ("aaa", "aaaa", "a"),
        ("abc", "xbc", "x"),
        ("abc", "ab", ""),
        ("abc", "abd", "d"),
        ("abc", "xyz", "xyz"),
        ("ox", "xo", "o"),
    ],
)
def test_what_was_added(before: str, after: str, added: str) -> None:
    found = added_since([each.encode() for each in before], [each.encode() for each in after])
    assert b"".join(found).decode() == added


def test_numbers_of_another_type_are_other_values() -> None:
    before, after = {"a": 1, "b": 0, "c": [1], "d": 1}, {"a": 1.0, "b": False, "c": [1], "e": None}
    assert changes_since(before, after) == ({"a": 1.0, "b": False, "e": None}, ["d"])


def removed_the_first(store: SessionStore) -> None:
    with store.edit("a") as session:
        del session.messages[0]


def replaced_the_last(store: SessionStore) -> None:
    store.replace_last("a", 1, *said("another"))


def added(store: SessionStore) -> None:
    store.append("a", *said("more"))


def popped(store: SessionStore) -> None:
    store.pop("a")


APART = [removed_the_first, replaced_the_last, added, popped, lambda store: None]


@pytest.mark.parametrize("behind", [added, popped, replaced_the_last], ids=lambda act: act.__name__)
@pytest.mark.parametrize("theirs", APART, ids=lambda act: act.__name__)
@pytest.mark.parametrize("ours", APART, ids=lambda act: act.__name__)
def test_what_only_grew_is_said_of_neither_side_in_vain(two: Two, ours: Any, theirs: Any, behind: Any) -> None:
    two.theirs.create("a", messages=said("1", "2", "3"))
    two.ours.load("a")
    two.part()
    two.clock.advance(1)
    ours(two.ours)
    theirs(two.theirs)
    read = [(store.info("a"), store.load("a").messages) for store in (two.ours, two.theirs)]
    two.meet()
    for _ in range(3):
        for store in (two.ours, two.theirs):
            for earlier, then in read:
                if store.info("a").only_grew_since(earlier):
                    assert store.load("a").messages[: len(then)] == then
        behind(two.theirs)
