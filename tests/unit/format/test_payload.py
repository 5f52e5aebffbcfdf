"""A body gives back what it was given, equal and of the same types, or it is refused with the path to the place."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import itertools
import math
import resource
import tracemalloc
import types
import uuid

import orjson
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from vaultsession import open_store
from vaultsession.errors import Damaged, InvalidDocument, TooLarge, UnsupportedFormat
from vaultsession.format import payload

LIMIT = 1 << 20


class Number(enum.IntEnum):
    ONE = 1


class Word(enum.StrEnum):
    ONE = "one"


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


class Listed(list):  # type: ignore[type-arg]  # a subclass is the point
    pass


class Mapped(dict):  # type: ignore[type-arg]  # as above
    pass


@dataclasses.dataclass
class Point:
    x: int = 1


def nested(levels: int, leaf: object = 0) -> object:
    for _ in range(levels):
        leaf = [leaf]
    return leaf


def circle() -> list[object]:
    round_and_round: list[object] = []
    round_and_round.append(round_and_round)
    return round_and_round


NOT_JSON = {
    "nan": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "tuple": (1, 2),
    "set": {1},
    "frozenset": frozenset({1}),
    "bytes": b"x",
    "bytearray": bytearray(b"x"),
    "memoryview": memoryview(b"x"),
    "IntEnum": Number.ONE,
    "StrEnum": Word.ONE,
    "Enum class": Number,
    "str subclass": Text("x"),
    "int subclass": Whole(1),
    "float subclass": Real(1.5),
    "list subclass": Listed([1]),
    "dict subclass": Mapped(a=1),
    "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list),
    "mapping proxy": types.MappingProxyType({"a": 1}),
    "namedtuple": collections.namedtuple("Pair", "a b")(1, 2),  # noqa: PYI024 - untyped on purpose
    "2**64": 2**64,
    "-2**63 - 1": -(2**63) - 1,
    "lone surrogate": "\ud800",
    "surrogate pair as two": "\ud83d\ude00",
    "dataclass": Point(),
    "datetime": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "date": dt.date(2026, 1, 1),
    "time": dt.time(1),
    "timedelta": dt.timedelta(1),
    "UUID": uuid.UUID(int=1),
    "Decimal": decimal.Decimal(1),
    "complex": 1j,
    "Ellipsis": ...,
    "Fragment": orjson.Fragment(b'"x",\n"y"'),
    "function": len,
    "range": range(3),
    "generator": (number for number in ()),
    "deep": nested(300),
    "deeper than the stack": nested(50_000),
    "a circle": circle(),
}


@pytest.mark.parametrize("value", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_json_cannot_give_back_is_refused_with_its_path(value):
    with pytest.raises(InvalidDocument) as raised:
        payload.body({}, [{"role": "user"}, {"content": [{"type": "text"}, {"score": value}]}])
    assert raised.value.path.startswith("messages[1].content[1].score")
    assert len(str(raised.value)) < 400
    with pytest.raises(InvalidDocument) as raised:
        payload.body({"a": {"b": [0, value]}}, [])
    assert raised.value.path.startswith("state.a.b[1]")
    with pytest.raises(InvalidDocument) as raised:  # beside what needs no second look
        payload.body({"a": "b"}, [{"role": "user", "content": "x"}, {"role": "user", "score": value, "content": "x"}])
    assert raised.value.path.startswith("messages[1].score")


@pytest.mark.parametrize(
    "name", [1, 1.5, None, True, (1,), b"x", Text("x"), Word.ONE, uuid.UUID(int=1), "\udfff"], ids=ascii
)
def test_a_key_that_is_no_plain_str_is_refused(name):
    with pytest.raises(InvalidDocument) as raised:
        payload.body({"deep": {name: 1}}, [])
    assert raised.value.path.startswith("state.deep")
    with pytest.raises(InvalidDocument) as raised:
        payload.body({}, [{"role": "user", name: "x"}])
    assert raised.value.path.startswith("messages[0]")


@pytest.mark.parametrize("top", [[], "x", None, 1, Mapped(a=1), [("a", 1)]], ids=repr)
def test_state_and_messages_are_plain_objects(top):
    with pytest.raises(InvalidDocument, match=r"^state: "):
        payload.body(top, [])
    with pytest.raises(InvalidDocument, match=r"^messages\[2\]: "):
        payload.body({}, [{}, {}, top])


def test_the_message_of_a_refusal_is_about_the_first_place():
    with pytest.raises(InvalidDocument) as raised:
        payload.body({}, [{"a": {1}}, {"b": {2}}])
    assert raised.value.path == "messages[0].a"


@pytest.mark.parametrize("levels", [payload.DEEPEST - 1, payload.DEEPEST])
def test_nesting_up_to_the_bound_comes_back(levels):
    state = {"a": nested(levels - 1)}
    assert payload.parse(payload.body(state, [state])) == [state, state]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON, max_size=4)


def same(one: object, other: object) -> bool:
    """Equal, of identical types, signs of zero and orders of keys included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(itertools.starmap(same, zip(one, other, strict=True)))
    return repr(one) == repr(other)


@pytest.mark.slow
@given(OBJECTS, st.lists(OBJECTS, max_size=4))
def test_everything_else_comes_back_equal_and_of_the_same_types(state, messages):
    text = payload.body(state, messages)
    assert same(payload.parse(text), [state, *messages])
    assert [payload.parse(element) for element in payload.split(text)] == [state, *messages]
    assert payload.join(payload.split(text)) == text
    assert payload.split(text) == text[1:-1].split(b",\n")
    for count in range(1, len(messages) + 1):
        assert payload.last_of(text, count) == payload.split(text)[-count:]
    assert payload.last_of(text, len(messages) + 1) is None


@given(st.text())
def test_no_text_can_look_like_the_border_of_two_elements(text):
    try:
        body = payload.body({text: text}, [{text: [text, text]}])
    except InvalidDocument:
        assert any("\ud800" <= character <= "\udfff" for character in text)
    else:
        assert len(payload.split(body)) == 2


@pytest.mark.parametrize("hostile", [",\n", "]", '"', "\\", "\0", "\x7f", "\u2028", "[{},\n{}]", "\r\n,\n"])
def test_separators_in_texts_stay_texts(hostile):
    text = payload.body({hostile: hostile}, [{"content": hostile}])
    assert payload.parse(text) == [{hostile: hostile}, {"content": hostile}]
    assert len(payload.split(text)) == 2


def test_authentic_bytes_that_are_no_json_are_damage():
    with pytest.raises(Damaged, match="does not hold JSON"):
        payload.parse(b"[{},\n")


@pytest.mark.parametrize("level", [1, 2, 3, None])
@given(data=st.binary(max_size=300) | st.binary(max_size=20).map(lambda part: part * 40))
def test_a_body_is_packed_and_unpacked(level, data):
    codec, packed = payload.pack(data, level=level, limit=LIMIT)
    assert payload.unpack(codec, packed, limit=LIMIT) == data
    assert len(packed) <= len(data)
    assert (codec == payload.CODEC_NONE) == (packed == data)
    if level is None:
        assert codec == payload.CODEC_NONE


def test_what_compresses_is_compressed():
    codec, packed = payload.pack(b"again and again " * 100, level=3, limit=LIMIT)
    assert codec == payload.CODEC_ZSTD
    assert len(packed) < 100


def test_a_body_beyond_the_bound_is_refused_before_it_is_packed():
    with pytest.raises(TooLarge, match="101 bytes"):
        payload.pack(bytes(101), level=3, limit=100)
    assert payload.pack(bytes(100), level=None, limit=100) == (payload.CODEC_NONE, bytes(100))


def frame(declared: int, content: bytes = bytes(1000)) -> bytes:
    """A zstd frame over ``content`` whose header says another size."""
    made = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(content)
    parameters = zstandard.get_frame_parameters(made)
    assert parameters.content_size == zstandard.CONTENTSIZE_UNKNOWN
    descriptor = 0xC0 | (made[4] & 0x3F)  # eight bytes of content size
    window = b"" if descriptor & 0x20 else made[5:6]
    return made[:4] + bytes([descriptor]) + window + declared.to_bytes(8, "little") + made[6:]


def test_the_forged_frames_of_this_file_are_frames():
    assert payload.unpack(payload.CODEC_ZSTD, frame(1000), limit=LIMIT) == bytes(1000)


@pytest.mark.parametrize("declared", [1 << 40, (1 << 64) - 2, LIMIT + 1])
def test_a_frame_that_declares_too_much_is_refused_before_it_is_inflated(declared):
    with pytest.raises(TooLarge, match=str(declared)):
        payload.unpack(payload.CODEC_ZSTD, frame(declared), limit=LIMIT)


def test_a_frame_of_unknown_size_is_refused():
    streamed = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(bytes(1000))
    with pytest.raises(TooLarge):
        payload.unpack(payload.CODEC_ZSTD, streamed, limit=LIMIT)


@pytest.mark.parametrize("declared", [10, 999, 1001, LIMIT])
def test_a_frame_that_declares_another_size_is_damage(declared):
    with pytest.raises(Damaged, match="does not inflate"):
        payload.unpack(payload.CODEC_ZSTD, frame(declared), limit=LIMIT)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no frame",
        zstandard.compress(b"x" * 100) + b"more",
        zstandard.compress(b"x" * 100)[:-1],
        zstandard.compress(b"x" * 100) * 2,
    ],
    ids=["empty", "no frame", "extra bytes", "cut", "two frames"],
)
def test_what_is_no_single_frame_is_damage(data):
    with pytest.raises(Damaged):
        payload.unpack(payload.CODEC_ZSTD, data, limit=LIMIT)


def test_a_plain_body_beyond_the_bound_is_refused():
    with pytest.raises(TooLarge, match="101 bytes"):
        payload.unpack(payload.CODEC_NONE, bytes(101), limit=100)


@pytest.mark.parametrize("codec", [3, 4, 255])
def test_a_codec_of_another_version_is_named(codec):
    with pytest.raises(UnsupportedFormat) as raised:
        payload.unpack(codec, b"", limit=LIMIT)
    assert (raised.value.found, raised.value.supported) == (codec, [0, 1, 2])


LARGE = {
    "a text": {"role": "user", "content": "x" * 101},
    "a block": {"role": "user", "content": [{"type": "text", "text": "x" * 60}, {"type": "text", "text": "x" * 60}]},
    "many numbers": {"embedding": [0] * 101},
    "many keys": {str(number): None for number in range(101)},
    "shared": {"a": [["x" * 30] * 4]},
}


@pytest.mark.parametrize("value", LARGE.values(), ids=LARGE)
def test_what_is_too_large_is_refused_by_its_length_before_any_of_it_is_copied(
    value: payload.Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "orjson", None)
    with pytest.raises(TooLarge, match="state: more than 100 bytes"):
        payload.elements(value, [], limit=100)
    with pytest.raises(TooLarge, match=r"messages\[1\]: more than 100 bytes of JSON in one record"):
        payload.elements({}, [{"n": 1}, value], limit=100)


def test_of_a_body_all_elements_together_are_within_the_limit() -> None:
    message = {"content": "x" * 60}
    assert len(payload.elements({}, [message] * 5, limit=100)) == 6
    with pytest.raises(TooLarge, match=r"messages\[1\]: more than 100 bytes of JSON together"):
        payload.body({}, [message, message], limit=100)


@given(OBJECTS)
def test_nothing_is_taken_to_be_longer_than_it_is(value: payload.Json) -> None:
    size = len(orjson.dumps(value))
    assert payload.elements(value, [], limit=size) == [orjson.dumps(value)]


@pytest.mark.parametrize("messages", [[dict.fromkeys(map(str, range(300)))] * 300, [{"a": [[0] * 300] * 300}]])
def test_what_is_shared_is_looked_at_without_being_laid_out(messages: list[payload.Json]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            payload.elements({}, messages, limit=80_000, together=True)
        assert tracemalloc.get_traced_memory()[1] < 300_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("levels", [0, 1, 2])
@settings(max_examples=10)
@given(OBJECTS)
def test_what_is_not_looked_at_together_is_looked_at_one_by_one(levels: int, value: payload.Json) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(payload, "_LEVELS", levels)
        assert payload.elements(value, [value]) == [orjson.dumps(value)] * 2


@pytest.mark.slow
def test_a_message_of_a_gigabyte_is_refused_at_once_and_takes_no_memory() -> None:
    message = {"role": "user", "content": "x" * (1 << 30)}
    with open_store("memory://") as store:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for write in (
            lambda: store.append("a", message, create=True),
            lambda: store.create("a", messages=[message]),
            lambda: store.create("a", state=message),
            lambda: store.conversation("a", agent=lambda messages: "no").send(message),
        ):
            with pytest.raises(TooLarge):
                write()
        assert not store.exists("a")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB
