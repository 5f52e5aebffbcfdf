"""Ids are accepted or refused, never cleaned, and mapped injectively to names that are safe everywhere."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.errors import InvalidSessionId
from vaultsession.format import ids

NAMING = bytes(range(32))
LEGAL = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)

HOSTILE = [
    "../..",
    "../../etc/passwd",
    "/",
    ".",
    "..",
    "\0",
    "a\0b",
    "a\nb",
    "CON",
    "nul.txt",
    "C:\\x",
    "~",
    "-rf",
    "a~" + "0" * 32,
    " ",
    "\u202egnp.exe",
    "e\u0301",
    "é",
    "🙂" * 256,
    "x" * 1024,
    "é" * 512,
    "%2e%2e%2f",
    "\u017f",
    "\u212a",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_a_hostile_id_is_legal_and_its_name_is_harmless(hostile):
    parsed = ids.parse(hostile)
    assert parsed == hostile
    for readable in (True, False):
        name = ids.key(NAMING, parsed, readable=readable)
        assert re.fullmatch(r"(?:[a-z0-9_-]{1,40}~)?[0-9a-v]{32}", name)
        assert ids.is_key(name)
        assert ids.locator_of(name) == ids.locator(NAMING, parsed)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        ("", "empty"),
        ("x" * 1025, "1025"),
        ("é" * 513, "1026"),
        ("🙂" * 257, "1028"),
        ("\ud800", "surrogate"),
        ("a\udfff", "surrogate"),
        (b"bytes", "bytes"),
        (None, "NoneType"),
        (7, "int"),
    ],
    ids=ascii,
)
def test_what_is_no_id_is_refused_with_the_reason(refused, reason):
    with pytest.raises(InvalidSessionId, match=reason):
        ids.parse(refused)


@given(LEGAL, LEGAL)
def test_different_ids_have_different_locators_and_equal_ones_the_same(one, other):
    names = {ids.locator(NAMING, ids.parse(one)), ids.locator(NAMING, ids.parse(other))}
    assert len(names) == len({one, other})


@pytest.mark.parametrize(("one", "other"), [("a/b", "a_b"), ("A", "a"), ("é", "e\u0301"), ("a", "a "), ("a", "a\0")])
def test_ids_that_cleaning_would_confuse_stay_apart(one, other):
    assert ids.locator(NAMING, ids.parse(one)) != ids.locator(NAMING, ids.parse(other))


@given(LEGAL)
def test_every_legal_id_has_a_name_of_the_right_shape(text):
    assert ids.is_key(ids.key(NAMING, ids.parse(text), readable=True))


@given(st.text(max_size=20))
def test_parse_gives_the_text_back_unchanged_or_refuses_it(text):
    try:
        assert ids.parse(text) == text
    except InvalidSessionId:
        assert not text or any("\ud800" <= character <= "\udfff" for character in text)


def test_a_locator_is_keyed_by_the_vault():
    assert ids.locator(NAMING, ids.parse("a")) != ids.locator(bytes(32), ids.parse("a"))


@pytest.mark.parametrize(
    ("text", "slug"),
    [
        ("User 123", "user-123~"),
        ("../..", ""),
        ("🙂", ""),
        ("--a--", "a~"),
        ("x" * 100, "x" * 40 + "~"),
        ("a/b\\c:d", "a-b-c-d~"),
        ("_", "_~"),
        ("\u212aelvin", "elvin~"),  # its lower case is a k
        ("\u0130d", "d~"),  # its lower case are two
        ("Ünder ÄÖ-Z", "nder--z~"),
        ("a" * 39 + "é" + "b", "a" * 39 + "~"),
    ],
)
def test_the_slug_is_decoration_made_from_the_id(text, slug):
    name = ids.key(NAMING, ids.parse(text), readable=True)
    assert name[: -ids.LOCATOR_LENGTH] == slug
    assert ids.key(NAMING, ids.parse(text), readable=False) == ids.locator_of(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "0" * 31,
        "0" * 33,
        "w" * 32,
        "V" * 32,
        "~" + "0" * 32,
        "a/b~" + "0" * 32,
        "x" * 41 + "~" + "0" * 32,
        "0" * 32 + "\n",
        "A~" + "0" * 32,
    ],
)
def test_what_has_not_the_shape_of_a_key_is_none(name):
    assert not ids.is_key(name)


def test_new_ids_are_uuids_of_version_7_that_sort_by_time():
    moment = 1_700_000_000_000_000
    made = [ids.new(moment + number * 1000) for number in range(50)]
    assert made == sorted(made)
    assert len(set(made)) == 50
    for number, text in enumerate(made):
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
        assert parsed.int >> 80 == moment // 1000 + number


def test_ids_made_in_one_moment_differ():
    assert len({ids.new(0) for _ in range(200)}) == 200
