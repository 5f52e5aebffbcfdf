"""What a user holds: facts, a document that is theirs, and no type that a head could not hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from vaultsession.engine.reader import Document
from vaultsession.errors import InvalidDocument, InvalidSetting
from vaultsession.format import payload
from vaultsession.format.head import Head, check_head
from vaultsession.format.sealed import Witness
from vaultsession.store.session import Session, SessionInfo

HEAD = Head(
    id="a",
    created=1_700_000_000_000_000,
    updated=1_700_000_001_000_000,
    messages=2,
    user_id="u",
    title="T",
    labels={"x": "1"},
    expires=1_700_000_061_000_000,
    ttl=60_000_000,
    sliding=True,
    max_messages=5,
)
BODIES = (payload.body({"n": {"deep": [1]}}, [{"i": 0}]), payload.body({}, [{"i": 1}]))


@pytest.fixture
def session():
    return Session(HEAD, "ab" * 16, BODIES)


def test_facts_are_shown_in_the_terms_of_their_user(session):
    for shown in (session, session.info(), SessionInfo(HEAD, bytes(16))):
        assert (shown.id, shown.title, shown.user_id, shown.tenant_id, shown.assistant_id) == (
            "a",
            "T",
            "u",
            None,
            None,
        )
        assert shown.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
        assert shown.updated_at - shown.created_at == timedelta(seconds=1)
        assert shown.expires_at == shown.updated_at + timedelta(minutes=1)
        assert (shown.ttl, shown.sliding, shown.max_messages) == (timedelta(minutes=1), True, 5)
        assert (shown.labels, shown.message_count) == ({"x": "1"}, 2)


def test_facts_are_ready_for_json(session):
    facts = session.info().facts()
    assert payload.parse(payload.body(facts, [])) == [facts]
    assert (facts["ttl"], facts["expires_at"]) == (60.0, "2023-11-14T22:14:21+00:00")
    bare = SessionInfo(Head("a", 0, 0), bytes(16)).facts()
    assert (bare["ttl"], bare["expires_at"], bare["labels"]) == (None, None, {})


def test_a_session_without_expiry_has_none():
    info = SessionInfo(Head("a", 0, 0), bytes(16))
    assert (info.expires_at, info.ttl) == (None, None)


def test_the_document_is_parsed_once_and_belongs_to_its_holder(session):
    session.state["n"]["deep"].append(2)
    assert session.state is session.state
    assert session.state == {"n": {"deep": [1, 2]}}
    session.messages.append({"i": 2})
    assert session.message_count == 3
    assert session.state == {"n": {"deep": [1, 2]}}
    assert Session(HEAD, "", BODIES).state == {"n": {"deep": [1]}}
    assert Session(HEAD, "", BODIES).messages == [{"i": 0}, {"i": 1}]


def test_messages_are_counted_without_parsing_them():
    assert Session(HEAD, "", (b"not even JSON",)).message_count == 2


def test_state_and_messages_can_be_assigned_before_they_are_read(session):
    session.state = {"new": 1}
    assert session.messages == [{"i": 0}, {"i": 1}]
    assert session.state == {"new": 1}
    session.messages = []
    assert session.message_count == 0


def pending(session: Session) -> tuple[Head, bool]:
    """What a save would write beside the document, and whether the ttl was assigned."""
    edit = session._edit()
    return edit.head, edit.new_ttl


def test_nothing_that_is_for_the_store_is_shown(session):
    shown = {name for name in dir(session) if not name.startswith("_")}
    assert shown == {
        *("id", "version", "created_at", "updated_at", "expires_at", "title", "user_id", "tenant_id", "assistant_id"),
        *("labels", "message_count", "ttl", "sliding", "max_messages", "state", "messages", "info", "facts"),
    }


def test_an_assigned_ttl_lets_the_life_begin_anew(session):
    assert pending(session) == (HEAD, False)
    session.ttl = "2h"
    head, anew = pending(session)
    assert (head.ttl, anew, session.ttl) == (7_200_000_000, True, timedelta(hours=2))
    session.ttl = None
    assert pending(session) == (HEAD._replace(ttl=None), True)
    with pytest.raises(InvalidSetting):
        session.ttl = -1


def test_what_was_saved_is_followed(session):
    session.ttl = 5
    saved = Document("k", b"", Witness(1, 0, b""), 0, HEAD._replace(updated=9), b"\xcd" * 16, BODIES, 0)
    session._follow(saved)
    assert (session.version, session.updated_at.year, pending(session)[1]) == ("cd" * 16, 1970, False)
    assert session.messages == [{"i": 0}, {"i": 1}]


def test_labels_are_assigned_as_a_whole(session):
    session.labels["y"] = "lost"
    assert session.labels == {"x": "1"}
    given = {"y": "2"}
    session.labels = given
    given["z"] = "3"
    assert session.labels == {"y": "2"}
    assert HEAD.labels == {"x": "1"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", 7),
        ("title", b"x"),
        ("user_id", ""),
        ("tenant_id", ["t"]),
        ("assistant_id", 0),
        ("sliding", 1),
        ("sliding", None),
        ("max_messages", 0),
        ("max_messages", True),
        ("max_messages", 1.5),
        ("labels", {"": "x"}),
        ("labels", {"x": 1}),
        ("labels", {1: "x"}),
    ],
    ids=repr,
)
def test_what_a_head_cannot_hold_is_refused_and_named(session, name, value):
    with pytest.raises(InvalidDocument) as raised:
        setattr(session, name, value)
    assert raised.value.path == name
    assert pending(session) == (HEAD, False)
    with pytest.raises(InvalidDocument):
        check_head(HEAD._replace(**{name: value}))


@pytest.mark.parametrize("name", ["title", "user_id", "tenant_id", "assistant_id", "max_messages"])
def test_owners_title_and_limit_can_be_taken_away(session, name):
    setattr(session, name, None)
    assert getattr(session, name) is None
    assert getattr(session.info(), name) is None


def test_an_empty_title_is_a_title(session):
    session.title = ""
    assert session.title == ""


def test_info_cannot_be_changed(session):
    with pytest.raises(AttributeError):
        session.info().title = "other"


def test_no_repr_shows_content(session):
    assert "deep" not in repr(session)
    assert repr(session) == "<Session 'a', 2 messages, version abababab>"
    assert repr(session.info()) == "<SessionInfo 'a', 2 messages, updated 2023-11-14 22:13:21Z>"
    assert Session.title is not None


def test_the_size_of_a_listed_session_is_what_a_load_reads() -> None:
    assert SessionInfo(HEAD._replace(raw=1234), bytes(16)).size == 1234
