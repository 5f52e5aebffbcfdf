"""Search: what is found, in which order, what it costs the store, and that looking at bytes first loses nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession import InvalidSetting, Match, PartialFailure, SessionStore
from vaultsession.engine.search import Probe
from vaultsession.errors import Damaged
from vaultsession.format.payload import body, split
from vaultsession.testing import strategies
from vaultsession.testing.clock import ManualClock

Opening = Callable[..., SessionStore]


def places(found: Iterator[Match]) -> list[tuple[str, str]]:
    return [(match.id, match.path) for match in found]


def test_a_text_is_found_where_it_stands_and_shown_with_what_is_around_it(store: SessionStore) -> None:
    long = "x" * 100 + " the harbour of Marrakesh? " + "y" * 100
    store.create("trip", messages=[{"role": "user", "content": "hello"}, {"role": "assistant", "content": long}])
    (match,) = store.search("Marrakesh")
    assert (match.id, match.index, match.role, match.path) == ("trip", 1, "assistant", "messages[1].content")
    assert match.excerpt[slice(*match.span)] == "Marrakesh"
    assert match.excerpt == long[100 - 40 + 16 : 100 + 16 + 9 + 40]
    assert store.messages("trip", offset=match.index, limit=1)[0]["content"] == long


def test_sessions_changed_last_come_first_and_messages_from_the_oldest_on(
    store: SessionStore, clock: ManualClock
) -> None:
    for name in ("a", "b", "c"):
        store.create(name, messages=[{"content": "word"}, {"parts": [{"text": "no"}, {"text": "a word"}]}])
        clock.advance(1)
    store.append("a", {"content": "word"})
    expected = [(name, path) for name in "acb" for path in ("messages[0].content", "messages[1].parts[1].text")]
    assert places(store.search("word")) == [*expected[:2], ("a", "messages[2].content"), *expected[2:]]
    assert places(store.search("word", limit=4)) == places(store.search("word"))[:4]


@pytest.mark.parametrize(
    "text",
    [
        'say "hi"',
        "back\\slash",
        "two\nlines",
        "tab\there",
        "a\x01b",
        "\x7f",
        "/",
        "größe",
        "🙂",
        "\u2028",
        ",\n",
        "\\n",
        "\\u0001",
    ],
)
def test_a_text_is_found_as_it_reads_whatever_json_makes_of_it(store: SessionStore, text: str) -> None:
    store.create("a", messages=[{"content": f"before {text} after"}, {"content": "other"}])
    (match,) = store.search(text)
    assert match.excerpt[slice(*match.span)] == text
    assert places(store.search(text, ignore_case=True)) == [("a", "messages[0].content")]
    assert places(store.search(re.compile(re.escape(text)))) == [("a", "messages[0].content")]


def test_what_json_writes_and_nobody_said_is_not_found(store: SessionStore) -> None:
    store.create("a", state={"key": "v"}, messages=[{"role": "user", "content": "line\nline", "n": 12345}])
    for unsaid in ("\\n", '"', "content", "role", "12345", "{", ",\n"):
        assert list(store.search(unsaid, state=True)) == []
        assert list(store.search(unsaid, state=True, ignore_case=True)) == []


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("MARRAKESH", "marrakesh"),
        ("Größe", "GRÖSSE".replace("SS", "ß")),
        ("Ärger", "ärger"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("300 \u212aelvin", "kelvin"),
        ("\u017ftill", "still"),
        ("\u0130stanbul", "istanbul"),
    ],
)
def test_case_is_ignored_as_patterns_ignore_it(store: SessionStore, text: str, needle: str) -> None:
    store.create("a", messages=[{"content": text}])
    by_pattern = places(store.search(re.compile(re.escape(needle), re.IGNORECASE)))
    assert places(store.search(needle, ignore_case=True)) == by_pattern == [("a", "messages[0].content")]
    assert list(store.search(needle)) == []


def test_a_pattern_is_found(store: SessionStore) -> None:
    store.create("a", messages=[{"content": "call +49 30 1234 now"}, {"content": "^begin"}])
    (match,) = store.search(re.compile(r"\+\d+( \d+)+"))
    assert match.excerpt[slice(*match.span)] == "+49 30 1234"
    assert places(store.search(re.compile("^call|now$"))) == [("a", "messages[0].content")]


def test_the_state_is_looked_through_when_it_is_asked_for(store: SessionStore) -> None:
    store.create("a", state={"profile": {"city": "Marrakesh"}}, messages=[{"content": "x"}])
    store.update("a", {"later": ["in Marrakesh"]})
    assert list(store.search("Marrakesh")) == []
    found = list(store.search("Marrakesh", state=True))
    assert [match.path for match in found] == ["state.profile.city", "state.later[0]"]
    assert {(match.index, match.role) for match in found} == {(None, None)}


def test_what_was_popped_trimmed_or_replaced_is_not_found(store: SessionStore) -> None:
    store.create("a", state={"s": "secret"}, messages=[{"content": "secret one"}], max_messages=2)
    store.append("a", {"content": "secret two"})
    store.append("a", {"content": "three"})
    store.pop("a")
    store.update("a", {"s": "plain"})
    assert places(store.search("secret", state=True)) == [("a", "messages[0].content")]
    assert store.messages("a")[0] == {"content": "secret two"}


def test_filters_choose_the_sessions_and_progress_counts_them(store: SessionStore) -> None:
    store.create("a", user_id="alice", messages=[{"content": "word"}])
    store.create("b", user_id="bob", labels={"k": "v"}, messages=[{"content": "word"}])
    told: list[int] = []
    assert places(store.search("word", user_id="alice", progress=told.append)) == [("a", "messages[0].content")]
    assert told == [1]
    assert places(store.search("word", labels={"k": "v"})) == [("b", "messages[0].content")]


def test_expired_sessions_are_left_out_and_a_search_extends_no_life(store: SessionStore, clock: ManualClock) -> None:
    store.create("gone", ttl=10, messages=[{"content": "word"}])
    sliding = store.create("slides", ttl=100, sliding=True, messages=[{"content": "word"}])
    clock.advance(50)
    assert places(store.search("word")) == [("slides", "messages[0].content")]
    assert store.list()[0].expires_at == sliding.expires_at


def test_a_search_takes_no_place_in_the_cache(open_files: Opening) -> None:
    with open_files() as before:
        before.create("a", messages=[{"content": "word"}])
    store = open_files()
    assert len(list(store.search("word"))) == 1
    assert store.stats()["cache_sessions"] == 0


def test_a_damaged_session_neither_ends_a_search_nor_is_passed_over_in_silence(
    open_files: Opening, tmp_path: Path
) -> None:
    with open_files() as before:
        for name in ("a", "broken", "c"):
            before.create(name, messages=[{"content": "word " + "x" * 200}])
    (file,) = (tmp_path / "vault" / "sessions").glob("broken*")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    search, found = open_files().search("word"), []
    with pytest.raises(PartialFailure, match=r"^1 session could not be searched; 'broken': ") as raised:  # noqa: PT012 - the search is read up to there
        for match in search:
            found.append(match.id)  # noqa: PERF401 - what came before the error counts
    assert sorted(found) == ["a", "c"]
    assert isinstance(raised.value.failures["broken"], Damaged)
    assert sorted(raised.value.failures) == ["broken"]


@pytest.mark.parametrize("needle", ["", b"bytes", 5, None, re.compile(b"bytes"), "\ud800"])
def test_what_cannot_be_looked_for_is_refused_at_once(store: SessionStore, needle: Any) -> None:
    with pytest.raises(InvalidSetting):
        store.search(needle)


def test_a_pattern_says_itself_whether_case_counts(store: SessionStore) -> None:
    with pytest.raises(InvalidSetting, match="IGNORECASE"):
        store.search(re.compile("x"), ignore_case=True)
    with pytest.raises(InvalidSetting, match="limit"):
        store.search("x", limit=0)


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from texts(item)


CASED = st.text(st.sampled_from('kKsSiIßẞÄä\u212a\u017f\u0130\u0131"\\n/ \n\x00é'), min_size=1, max_size=3)


@pytest.mark.slow
@given(st.lists(strategies.messages(), max_size=4), CASED | st.text(min_size=1, max_size=3), st.booleans())
def test_bytes_never_rule_out_what_a_look_at_every_text_finds(
    history: list[dict[str, Any]], needle: str, ignore_case: bool
) -> None:
    try:
        probe = Probe(needle, ignore_case=ignore_case)
    except InvalidSetting:
        return  # lone surrogates
    text = body({}, history)
    pattern = re.compile(re.escape(needle), re.IGNORECASE if ignore_case else 0)
    for message, element in zip(history, split(text)[1:], strict=True):
        if any(pattern.search(said) for said in texts(message)):
            assert probe.may_be_in(element)
            assert probe.may_be_in(text)


@given(CASED, CASED, CASED, st.booleans())
def test_a_needle_within_a_text_is_never_ruled_out(before: str, needle: str, after: str, ignore_case: bool) -> None:
    probe = Probe(needle, ignore_case=ignore_case)
    said = f"{before}{needle.swapcase() if ignore_case and needle.isascii() else needle}{after}"
    assert probe.find(said) is not None
    assert probe.may_be_in(body({"s": said}, []))


def test_text_that_another_writer_escaped_is_found_as_well() -> None:
    assert Probe("a").may_be_in(b'{"x":"\\u0061"}')
    assert Probe("/").may_be_in(b'{"x":"\\/"}')
    assert not Probe("a").may_be_in(b'{"x":"b"}')
