"""Heads: what is written comes back, defaults take no room, and bounds and versions are distinguished."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.errors import Damaged, InvalidDocument, TooLarge, UnsupportedFormat
from vaultsession.format.head import LARGEST_HEAD, Head, decode, encode

BARE = Head(id="a", created=1, updated=2)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNT = st.integers(0, 2**53)
HEADS = st.builds(
    Head,
    id=TEXT.filter(bool),
    created=COUNT,
    updated=COUNT,
    messages=COUNT,
    raw=COUNT,
    records=COUNT,
    dead=COUNT,
    appended=COUNT,
    full=COUNT,
    user_id=st.none() | TEXT,
    tenant_id=st.none() | TEXT,
    assistant_id=st.none() | TEXT,
    title=st.none() | TEXT,
    labels=st.dictionaries(TEXT, TEXT, max_size=3),
    expires=st.none() | COUNT,
    ttl=st.none() | COUNT,
    sliding=st.booleans(),
    max_messages=st.none() | COUNT,
    rewrites=COUNT,
    document=st.none() | st.binary(min_size=16, max_size=16),
)


@given(HEADS)
def test_a_head_comes_back(head):
    assert decode(encode(head)) == head


def test_fields_at_their_default_take_no_room():
    assert orjson.loads(encode(BARE)) == ["a", 1, 2, 0, 0, 0, 0, 0, 0]
    assert orjson.loads(encode(BARE._replace(full=80, ttl=5))) == ["a", 1, 2, 0, 0, 0, 0, 0, 80, {"ttl": 5}]


def test_a_version_is_written_in_hex():
    assert orjson.loads(encode(BARE._replace(document=bytes(range(16)))))[-1] == {"document": bytes(range(16)).hex()}


def test_a_head_fits_its_bound_with_the_tag():
    room = LARGEST_HEAD - 16 - len(encode(BARE._replace(title="")))
    assert len(encode(BARE._replace(title="x" * room))) == LARGEST_HEAD - 16
    with pytest.raises(TooLarge, match=str(LARGEST_HEAD - 16)):
        encode(BARE._replace(title="x" * (room + 1)))


@pytest.mark.parametrize(
    "changed", [{"title": "\ud800"}, {"labels": {"\udfff": "x"}}, {"labels": {"x": "\udfff"}}, {"user_id": "\ud800"}]
)
def test_a_head_holds_valid_unicode(changed):
    with pytest.raises(InvalidDocument, match="Unicode"):
        encode(BARE._replace(**changed))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b"{}",
        b'"123456789"',
        b'{"id":"a","created":1,"updated":2}',
        b'["a",1,2,0,0,0,0,0]',
        b'["a",1,2,0,0,0,0,0,80,7]',
        b'["a",1,2,0,0,0,0,0,80,"other"]',
        b'["a",1,2,0,0,0,0,0,80,{"document":"zz"}]',
        b'["a",1,2,0,0,0,0,0,80,{"document":7}]',
        b"\xff\xfe",
        b'["",1,2,0,0,0,0,0,80]',
        b"[7,1,2,0,0,0,0,0,80]",
        b"[null,1,2,0,0,0,0,0,80]",
        *(
            json.dumps(["a", *numbers]).encode()
            for place in range(8)
            for odd in ("1", None, True, 1.5, [], -(2**63) - 1, 2**63, 2**64)
            for numbers in [[*([1] * place), odd, *([1] * (7 - place))]]
        ),
        *(json.dumps(["a", 1, 1, *numbers]).encode() for numbers in ([-1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, -1])),
        *(
            json.dumps(["a", 1, 2, 0, 0, 0, 0, 0, 80, {name: odd}]).encode()
            for name in ("user_id", "title", "labels", "expires", "ttl", "sliding", "max_messages", "document")
            for odd in (None, [], {}, 0.5, False, {"a": 7}, {"a": None}, -1, 2**63, 2**70)
        ),
        b'["a",1,2,0,0,0,0,0,80,{"sliding":1}]',
        b'["a",1,2,0,0,0,0,0,80,{"document":"%s"}]' % (b"AB" * 16),
        b'["a",1,2,0,0,0,0,0,80,{"document":"%s"}]' % (b"ab " * 16),
    ],
)
def test_what_is_no_head_is_damage(data):
    with pytest.raises(Damaged):
        decode(data)


def test_a_field_of_another_version_is_named():
    data = b'["a",1,2,0,0,0,0,0,80,{"mood":"good","colour":7}]'
    with pytest.raises(UnsupportedFormat) as raised:
        decode(data)
    assert raised.value.found == ["colour", "mood"]
    assert "expires" in raised.value.supported


def test_an_element_of_another_version_is_named():
    with pytest.raises(UnsupportedFormat) as raised:
        decode(b'["a",1,2,0,0,0,0,0,80,{},7]')
    assert raised.value.found == ["element 10"]


def test_a_field_is_said_once_in_its_place():
    with pytest.raises(UnsupportedFormat):
        decode(b'["a",1,2,0,0,0,0,0,80,{"id":"b"}]')


def test_a_session_expires_at_the_very_moment():
    head = BARE._replace(expires=10)
    assert [head.is_expired(now) for now in (9, 10, 11)] == [False, True, True]
    assert not BARE.is_expired(2**62)


def test_owners_are_those_that_are_set_by_kind():
    head = BARE._replace(user_id="u", assistant_id="a", labels={"x": "1"})
    assert head.owners() == [("user", "u"), ("assistant", "a")]
    assert BARE.owners() == []


@given(HEADS, HEADS)
def test_the_head_of_the_next_record_keeps_all_that_the_session_was_given(head, other):
    changes = {name: getattr(other, name) for name in ("messages", "raw", "dead", "appended", "updated", "expires")}
    after = head.followed(**changes)
    assert after == head._replace(**changes, records=head.records + 1, document=None)
    assert type(after) is Head
