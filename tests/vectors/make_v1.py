"""Adds test vectors of format 1: ``python tests/vectors/make_v1.py``, from the root of the repository.

A vector is made once and never again: files that are there are left alone, and so are their expectations. Each holds one
failure, and its name says which. What is expected is written here by hand, from FORMAT.md, and not taken from a reader.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from typing import Any

import orjson
import zstandard

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from vaultsession.backends.redis.layout import pack
from vaultsession.format import ContainerCipher, IndexRowCipher, ids, payload
from vaultsession.format import record as v1
from vaultsession.format.dictionaries import Dictionaries, numbered, shipped
from vaultsession.format.head import Head, encode
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.format.sealed import IndexRow

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "v1")

KEYRING = Keyring(
    vault_id=bytes(range(16)),
    readable_names=True,
    created=1_700_000_000_000_000,
    naming_root=bytes(range(32, 64)),
    masters=(
        MasterKey(b"vsf1-new", bytes(range(64, 96))),
        MasterKey(b"vsf1-old", bytes(range(96, 128)), retired=True),
    ),
)
SESSION = "test vector"
MOMENT = 1_700_000_000_000_000
GENERATION = MOMENT


class Building:
    """A container in the making, and what is expected of it."""

    def __init__(
        self, keyring: Keyring = KEYRING, session: str = SESSION, generation: int = GENERATION, **how: Any
    ) -> None:
        self.session = session
        self.locator = ids.locator(keyring.naming_key, ids.parse(session))
        self.cipher = ContainerCipher.create(keyring, self.locator, generation=generation, **how)
        self.parts: list[bytes] = []
        self.heads: list[Head] = []
        self.states: list[tuple[Any, list[Any]]] = []

    @property
    def link(self) -> bytes:
        return self.parts[-1][-24:-8] if self.parts else v1.first_link(self.cipher.header)

    def data(self, parts: list[bytes] | None = None) -> bytes:
        return self.cipher.header + b"".join(self.parts if parts is None else parts)

    def record(
        self,
        kind: int,
        head: Head | bytes,
        body: bytes | None = None,
        *,
        codec: int | None = None,
        seq: int | None = None,
        state: Any = None,
        messages: Any = (),
    ) -> Building:
        """One more record. ``codec`` None compresses where that is smaller; given, the body is sealed as it is."""
        if body is not None and codec is None:
            codec, body = payload.pack(body, level=3, limit=1 << 20)
        plain = head if isinstance(head, bytes) else encode(head)
        number = len(self.parts) if seq is None else seq
        self.parts.append(
            self.cipher.seal(kind, number, len(self.data()), self.link, plain, codec=codec or 0, body=body)
        )
        self.heads.append(head if isinstance(head, Head) else Head(SESSION, 0, 0))
        self.states.append((state, list(messages)))
        return self

    def full(self, state: Any, messages: Any, **facts: Any) -> Building:
        at = len(self.data())
        text = payload.body(state, messages)
        head = Head(
            self.session, MOMENT, MOMENT + len(self.parts), messages=len(messages), raw=len(text), records=1, full=at
        )
        return self.record(v1.FULL, head._replace(**facts), text, state=state, messages=messages)

    def delta(self, body: bytes, state: Any, messages: Any, **facts: Any) -> Building:
        before = self.heads[-1]
        head = before._replace(
            updated=before.updated + 1,
            messages=len(messages),
            raw=before.raw + len(body),
            records=before.records + 1,
            appended=before.appended + 300,
            document=None,
        )
        return self.record(v1.DELTA, head._replace(**facts), body, state=state, messages=messages)

    def touch(self, expires: int) -> Building:
        before = self.heads[-1]
        head = before._replace(records=before.records + 1, expires=expires, document=before.document or self.link)
        state, messages = self.states[-1]
        return self.record(v1.HEAD, head, state=state, messages=messages)

    def seen(self, count: int | None = None, *, torn: bool = False) -> dict[str, Any]:
        """What a reader sees whose last authentic record is the ``count``-th."""
        count = len(self.parts) if count is None else count
        state, messages = self.states[count - 1]
        return {
            "generation": self.cipher.generation,
            "seq": count - 1,
            "version": self.parts[count - 1][-24:-8].hex(),
            "size": 80 + sum(map(len, self.parts[:count])),
            "torn": torn,
            "head": orjson.loads(encode(self.heads[count - 1])),
            "state": state,
            "messages": messages,
        }


def three(**how: Any) -> Building:
    """FULL, DELTA, DELTA: what most failures are made in."""
    made = Building(**how).full({"language": "en"}, [{"role": "user", "content": "Remember: my name is Alice"}])
    state, messages = made.states[-1]
    for text in ("Noted.", "What is my name?"):
        messages = [*messages, {"role": "assistant", "content": text}]
        made.delta(payload.body({}, messages[-1:]), state, messages)
    return made


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def put(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


VECTORS: dict[str, tuple[bytes, dict[str, Any]]] = {}
FIELDS = {
    "describe": ("generation", "seq", "version", "size", "torn", "head"),
    "load": ("generation", "seq", "version", "size", "head", "state", "messages"),
    "newest": ("version", "head", "messages"),
}
"""What each consumer tells: every field that is stated is compared."""


def vector(name: str, data: bytes, expected: dict[str, Any] | str, **consumers: dict[str, Any] | str) -> None:
    """``expected`` holds for describe, load and newest alike, unless one of them is given: what is seen, or an error."""

    def outcome(consumer: str) -> dict[str, Any]:
        of = consumers.get(consumer, expected)
        return {"error": of} if isinstance(of, str) else {field: of[field] for field in FIELDS[consumer]}

    VECTORS[name] = (data, {consumer: outcome(consumer) for consumer in FIELDS})


def valid() -> None:
    made = Building().full({"a": 1}, [{"role": "user", "content": "Hello"}])
    vector("valid_full", made.data(), made.seen())
    made = three()
    vector("valid_full_delta", made.data(), made.seen())
    made = three().touch(MOMENT + 10**12)
    vector("valid_full_delta_head", made.data(), made.seen())
    made = (
        three()
        .touch(MOMENT + 10**12)
        .full({"b": None}, [{"n": 1}])
        .delta(payload.body({}, [{"n": 2}]), {"b": None}, [{"n": 1}, {"n": 2}])
    )
    vector("valid_full_again", made.data(), made.seen())
    made = three()
    operations = b'[{"pop":2,"set":{"language":"fr","new":[1,2.5,true]},"unset":["gone"],"trim":1},\n{"n":1},\n{"n":2}]'
    made.delta(operations, {"language": "fr", "new": [1, 2.5, True]}, [{"n": 1}, {"n": 2}])
    vector("valid_operations", made.data(), made.seen())
    vector("valid_chacha", (made := three(suite=v1.SUITE_CHACHA)).data(), made.seen())
    vector("valid_gcm_siv", (made := three(suite=v1.SUITE_AES_GCM_SIV)).data(), made.seen())
    vector("valid_padded", (made := three(padded=True)).data(), made.seen())
    long = {"text": "again and again " * 64}
    for name, codec in (("none", 0), ("zstd", 1)):
        text = payload.body(long, [])
        body = text if codec == 0 else zstandard.ZstdCompressor(level=3).compress(text)
        head = Head(SESSION, MOMENT, MOMENT, raw=len(text), records=1, full=80)
        made = Building().record(v1.FULL, head, body, codec=codec, state=long)
        vector(f"valid_codec_{name}", made.data(), made.seen())
    vector("valid_empty_document", (made := Building().full({}, [])).data(), made.seen())
    texts = {"emoji": "🙂", "nul": "\0", "separator": ',\n{"', "line": "\u2028", "é": "e\u0301", "": ""}
    vector("valid_unicode", (made := Building().full(texts, [texts, {"deep": [[[texts]]]}])).data(), made.seen())
    numbers = {
        "int64": -(2**63),
        "uint64": 2**64 - 1,
        "float": 1e300,
        "small": 5e-324,
        "minus zero": -0.0,
        "third": 1 / 3,
    }
    vector("valid_numbers", (made := Building().full(numbers, [])).data(), made.seen())
    facts = {
        "user_id": "alice",
        "tenant_id": "acme",
        "assistant_id": "helper",
        "title": "A title",
        "labels": {"client": "desktop", "é": ""},
        "expires": MOMENT + 10**12,
        "ttl": 10**12,
        "sliding": True,
        "max_messages": 7,
    }
    vector("valid_every_head_field", (made := Building().full({}, [], **facts)).data(), made.seen())
    vector("valid_rewritten", (made := Building().full({}, [{}], rewrites=MOMENT)).data(), made.seen())
    retired = KEYRING._replace(masters=KEYRING.masters[::-1])
    vector("valid_under_a_retired_key", (made := three(keyring=retired)).data(), made.seen())
    vector("valid_highest_generation", (made := three(generation=2**63 - 1)).data(), made.seen())


def torn() -> None:
    made = three()
    vector("torn_tail_one_byte", made.data() + b"\0", made.seen(torn=True))
    vector("torn_tail_zeros", made.data() + bytes(512), made.seen(torn=True))
    vector("torn_tail_noise", made.data() + bytes(range(1, 200)), made.seen(torn=True))
    made = three()
    vector("torn_tail_half_a_record", made.data()[: -len(made.parts[-1]) // 2], made.seen(2, torn=True))
    made = three()
    vector("torn_tail_without_footer", made.data()[:-8], made.seen(2, torn=True))
    made = three()
    vector("torn_tail_frame_only", made.data([*made.parts[:2], made.parts[2][:32]]), made.seen(2, torn=True))
    vector("torn_first_record", made.data()[:200], "Damaged")


def headers() -> None:
    data = three().data()
    vector("header_empty_file", b"", "Damaged")
    vector("header_cut", data[:79], "Damaged")
    vector("header_without_records", data[:80], "Damaged")
    vector("header_bad_magic", put(data, 0, b"VSF2"), "Damaged")
    vector("header_version_2", put(data, 4, b"\x02"), "UnsupportedFormat")
    vector("header_unknown_suite", put(data, 5, b"\x04"), "UnsupportedFormat")
    vector("header_other_suite", put(data, 5, b"\x02"), "Damaged")
    vector("header_unknown_flag", put(data, 6, b"\x02"), "UnsupportedFormat")
    vector("header_padded_flag_set", put(data, 6, b"\x01"), "Damaged")
    vector("header_unknown_key", put(data, 8, b"vsf1-???"), "UnknownKey")
    vector("header_other_key", put(data, 8, b"vsf1-old"), "Damaged")
    vector("header_generation_edited", flipped(data, 16), "Damaged")
    vector("header_salt_flipped", flipped(data, 24), "Damaged")
    vector("header_commitment_flipped", flipped(data, 79, 7), "Damaged")
    vector("header_other_vault", three(keyring=KEYRING._replace(vault_id=bytes(16))).data(), "Damaged")
    vector("header_other_session", three(session="another session").data(), "Damaged")
    wrong = KEYRING._replace(masters=(MasterKey(b"vsf1-new", bytes(32)),))
    vector("header_key_of_the_same_id", three(keyring=wrong).data(), "Damaged")
    vector("header_of_another_generation", three().data()[:80] + data[80:], "Damaged")


def records() -> None:  # noqa: PLR0915 - a list of failures, one line each
    made = three()
    one, two, last = made.parts
    second = 80 + len(one)
    body_size = struct.unpack_from("<I", two, 4)[0]

    def broken(name: str, parts: list[bytes], count: int) -> None:
        vector(f"record_{name}", made.data(parts), made.seen(count, torn=True) if count else "Damaged")

    broken("head_flipped", [one, flipped(two, 32 + body_size), last], 1)
    broken("head_tag_flipped", [one, flipped(two, len(two) - 9), last], 1)
    broken("body_flipped", [one, flipped(two, 32), last], 1)
    broken("body_tag_flipped", [one, flipped(two, 32 + body_size - 1), last], 1)
    broken("nonce_flipped", [one, flipped(two, 20), last], 1)
    broken("kind_edited", [one, put(two, 8, b"\x01"), last], 1)
    broken("codec_edited", [one, put(two, 9, b"\x01"), last], 1)
    broken("reserved_not_zero", [one, put(two, 10, b"\x01"), last], 1)
    broken("seq_edited", [one, put(two, 12, b"\x05"), last], 1)
    broken("footer_wrong", [one, flipped(two, len(two) - 8), last], 1)
    broken("footer_inverse_wrong", [one, flipped(two, len(two) - 1), last], 1)
    broken(
        "footer_of_the_last_points_far_back", [one, two, last[:-8] + struct.pack("<II", second, second ^ 0xFFFFFFFF)], 2
    )
    broken("head_length_huge", [one, put(two, 0, b"\xff\xff\xff\xff"), last], 1)
    broken("body_length_huge", [one, put(two, 4, b"\xff\xff\xff\xff"), last], 1)
    broken("body_shorter_than_a_tag", [one, put(two, 4, b"\x0f\0\0\0"), last], 1)
    broken("first_flipped", [flipped(one, 40), two, last], 0)
    broken("first_dropped", [two, last], 0)
    broken("dropped", [one, last], 1)
    broken("doubled_in_front", [one, one, two, last], 1)
    broken("duplicated", [one, two, two, last], 2)
    broken("swapped", [one, last, two], 1)
    broken("spliced_other_generation", [one, three().parts[1], last], 1)
    again = Building().full({"n": 1}, [{}]).delta(payload.body({}, [{}]), {"n": 1}, [{}, {}]).full({"n": 2}, [{"n": 2}])
    first, dead, alive = again.parts
    vector("record_moved_by_a_dead_one", again.data([dead, first, dead, alive]), "Damaged")
    branch = three()
    branch.cipher, branch.parts = made.cipher, [one]
    state, messages = made.states[0]
    branch.heads, branch.states = made.heads[:1], [(state, messages)]
    other = {"role": "assistant", "content": "Noted!"}
    branch.delta(payload.body({}, [other]), state, [*messages, other])
    vector("record_spliced_abandoned_fork", made.data([one, branch.parts[1], last]), branch.seen(2, torn=True))
    frame, theirs = two[:32], branch.parts[1]
    broken("body_of_an_abandoned_fork", [one, frame + theirs[32 : 32 + body_size] + two[32 + body_size :], last], 1)
    made = three()
    state, messages = made.states[-1]
    made.record(v1.DELTA, made.heads[-1], payload.body({}, [{}]), seq=4)
    vector("record_seq_gap", made.data(), made.seen(3, torn=True))
    first = Building().record(v1.FULL, Head(SESSION, 1, 2, full=80, records=1, raw=8, messages=1), b"[{},\n{}]", seq=1)
    vector("record_seq_starts_at_one", first.data(), "Damaged")
    made = three()
    made.record(4, made.heads[-1], payload.body({}, [{}]))
    vector("record_unknown_kind", made.data(), "UnsupportedFormat")
    made = Building()
    made.record(v1.FULL, Head(SESSION, 1, 2, full=80, records=1, raw=4, messages=1), b"[{},\n{}]", codec=2)
    vector("record_unknown_codec", made.data(), "UnsupportedFormat", describe=made.seen())
    made = three()
    made.record(v1.DELTA, b'["' + b"x" * (16 * 1024) + b'",1,2,0,0,0,0,0,80]', payload.body({}, [{}]))
    vector("record_head_too_large", made.data(), made.seen(3, torn=True))


def bodies() -> None:
    head = Head(SESSION, 1, 2, messages=1, raw=10, records=1, full=80)

    def body(name: str, sealed: bytes | None, error: str, codec: int = 0) -> None:
        made = Building().record(v1.FULL, head, sealed, codec=codec)
        vector(f"body_{name}", made.data(), error, describe=made.seen())

    text = b"[{},\n" + b"0" * 4096 + b"]"
    unknown = zstandard.ZstdCompressor(level=1, write_content_size=False).compress(text)
    descriptor = 0xC0 | (unknown[4] & 0x3F)
    window = b"" if descriptor & 0x20 else unknown[5:6]
    rest = window + (1 << 40).to_bytes(8, "little") + unknown[6:]
    body("bomb_declares_a_terabyte", unknown[:4] + bytes([descriptor]) + rest, "TooLarge", 1)
    body("bomb_of_unknown_size", unknown, "TooLarge", 1)
    known = zstandard.ZstdCompressor(level=1).compress(text)
    body("zstd_cut", known[:-3], "Damaged", 1)
    body("zstd_with_extra_bytes", known + b"extra", "Damaged", 1)
    body("zstd_not_a_frame", b"[{},\n{}]", "Damaged", 1)
    body("not_json", b"[{},\nnot json]", "Damaged")
    body("without_state", b"[7,\n{}]", "Damaged")
    body("missing", None, "Damaged")
    body("empty_array", b"[]", "Damaged")
    body("no_array", b'{"a":1}', "Damaged")
    made = three()
    state, messages = made.states[-1]
    made.record(v1.DELTA, made.heads[-1]._replace(records=4), b'[{"push":1}]', codec=0, state=state, messages=messages)
    vector("body_unknown_operation", made.data(), "UnsupportedFormat", describe=made.seen())
    for name, operations in (
        ("negative_pop", b'[{"pop":-1}]'),
        ("operation_of_another_type", b'[{"trim":"all"}]'),
        ("operations_no_object", b"[7]"),
    ):
        made = three()
        made.record(v1.DELTA, made.heads[-1]._replace(records=4), operations, codec=0)
        vector(f"body_{name}", made.data(), "Damaged", describe=made.seen())
    made = three()
    made.record(v1.DELTA, made.heads[-1]._replace(records=4, messages=0), b'[{"pop":99}]', codec=0, state=state)
    vector("valid_pop_of_more_than_there_are", made.data(), made.seen())
    made = Building(padded=True)
    made.cipher.padded = False
    made.record(v1.FULL, head, (8).to_bytes(4, "little") + b"[{},\n{}]" + bytes(9), codec=0)
    vector("body_padding_of_another_length", made.data(), "Damaged")


def heads() -> None:
    always = b'["test vector",1,2,0,4,1,0,0,80'
    for name, plain, error in (
        ("not_json", b"not json", "Damaged"),
        ("not_an_array", b'{"id":"test vector","created":1,"updated":2,"full":80}', "Damaged"),
        ("element_missing", b'["test vector",1,2,0,4,1,0,0]', "Damaged"),
        ("fields_not_an_object", always + b",7]", "Damaged"),
        ("unknown_field", always + b',{"mood":"good"}]', "UnsupportedFormat"),
        ("unknown_element", always + b',{},"good"]', "UnsupportedFormat"),
        ("element_of_another_type", b'["test vector",1,2,0,"4",1,0,0,80]', "Damaged"),
        ("element_true", b'["test vector",1,2,0,4,true,0,0,80]', "Damaged"),
        ("element_null", b'["test vector",1,null,0,4,1,0,0,80]', "Damaged"),
        ("element_fraction", b'["test vector",1,2,0.0,4,1,0,0,80]', "Damaged"),
        ("element_negative", b'["test vector",1,2,-1,4,1,0,0,80]', "Damaged"),
        ("element_too_large", b'["test vector",1,9223372036854775808,0,4,1,0,0,80]', "Damaged"),
        ("id_no_text", b"[7,1,2,0,4,1,0,0,80]", "Damaged"),
        ("id_empty", b'["",1,2,0,4,1,0,0,80]', "Damaged"),
        ("field_of_another_type", always + b',{"user_id":7}]', "Damaged"),
        ("field_null", always + b',{"title":null}]', "Damaged"),
        ("field_at_its_default", always + b',{"sliding":false}]', "Damaged"),
        ("rewrites_of_none", always + b',{"rewrites":0}]', "Damaged"),
        ("label_no_text", always + b',{"labels":{"a":1}}]', "Damaged"),
        ("document_in_upper_case", always + b',{"document":"' + b"AB" * 16 + b'"}]', "Damaged"),
        ("document_too_short", always + b',{"document":"abcd"}]', "Damaged"),
    ):
        vector(f"head_{name}", Building().record(v1.FULL, plain, b"[{}]", codec=0).data(), error)
    made = Building()
    made.record(v1.FULL, Head(SESSION, 1, 2, messages=1, raw=10, records=1, full=100), b"[{},\n{}]", codec=0)
    vector("head_full_points_into_a_record", made.data(), "Damaged", describe=made.seen())
    made = Building()
    twice = always[:-2] + b'80,{"title":"one","title":"two"}]'
    made.record(v1.FULL, twice, b"[{}]", codec=0, state={})
    made.heads = [Head(SESSION, 1, 2, raw=4, records=1, full=80, title="two")]
    vector("valid_name_that_stands_twice", made.data(), made.seen())


TRAINED = 70_000
"""A number that no vault made after 2026-01-01 gives by chance: it stands for the first hours of that day."""


def dictionaries() -> None:
    messages = [{"role": "user", "content": f"Remember: my name is Alice {number}"} for number in range(3)]
    text = payload.body({"language": "en"}, messages)
    head = Head(SESSION, MOMENT, MOMENT, messages=3, raw=len(text), records=1, full=80)

    def full(body: bytes, codec: int = 2) -> Building:
        return Building().record(v1.FULL, head, body, codec=codec, state={"language": "en"}, messages=messages)

    named = shipped().compress(text, 3)
    made = full(named)
    vector("valid_codec_dictionary", made.data(), made.seen())
    made = full(_trained().compress(text, 3))
    vector("valid_trained_dictionary", made.data(), made.seen())
    for name, body, error in (
        ("dictionary_unknown", _numbered(named, TRAINED + 1), "UnknownDictionary"),
        ("dictionary_below_the_numbers", _numbered(named, 40_000), "UnknownDictionary"),
        ("dictionary_damaged", _numbered(named, TRAINED + 2), "UnknownDictionary"),
        ("dictionary_of_another_number", _numbered(named, TRAINED + 3), "UnknownDictionary"),
        ("dictionary_not_named", zstandard.ZstdCompressor(level=3).compress(text), "UnsupportedFormat"),
        ("dictionary_frame_cut", named[:-2], "Damaged"),
        ("dictionary_named_in_codec_1", named, "Damaged"),
    ):
        made = full(body, 1 if name.endswith("codec_1") else 2)
        vector(f"body_{name}", made.data(), error, describe=made.seen())


def _numbered(frame: bytes, number: int) -> bytes:
    """The same frame, naming another dictionary."""
    parameters = zstandard.get_frame_parameters(frame)
    width = (0, 1, 2, 4)[frame[4] & 3]
    if parameters.dict_id >= 1 << 8 * width or not frame[4] & 0x20:
        raise ValueError("a frame of another layout")
    return frame[:4] + bytes([frame[4] | 3]) + number.to_bytes(4, "little") + frame[5 + width :]


def _trained() -> payload.Dictionary:
    """The dictionary that was learned when its file was made; learned now if there is none."""
    keys = Dictionaries(KEYRING)
    path = os.path.join(HERE, f"{TRAINED}.vsd")
    if os.path.exists(path):
        with open(path, "rb") as file:
            return keys.open(TRAINED, file.read())
    said = ("Remember: my name is Alice", "What is my name?", "Noted.", "Your name is Alice, as you told me.")
    bodies = [
        payload.body({}, [{"role": "user", "content": f"{said[number % 4]} {number * 7919 % 104729}"}])
        for number in range(600)
    ]
    made = payload.Dictionary(zstandard.train_dictionary(1024, bodies, k=64, d=8, level=3, dict_id=TRAINED).as_bytes())
    os.makedirs(HERE, exist_ok=True)
    sealed = keys.seal(made)
    _write_once(f"{TRAINED}.vsd", sealed)
    _write_once(f"{TRAINED + 2}.vsd", flipped(keys.seal(numbered(made.content, TRAINED + 2)), 200))
    _write_once(f"{TRAINED + 3}.vsd", sealed)
    return made


def rows() -> dict[str, Any]:
    """What lies beside containers: names, tags, rows and tombstones, room, and how a Redis keeps a row."""
    sealer = IndexRowCipher(KEYRING)
    names = ["test vector", "../..", "User 123", "\u212aelvin", "\u0130d", "a" * 50, "é", "_", "\0", "🙂 A--B 🙂"]
    facts = {"user_id": "alice", "labels": {"client": "desktop", "é": ""}, "expires": MOMENT + 10**12}
    found: list[dict[str, Any]] = []

    def add(name: str, row: IndexRow, expected: Head | str) -> None:
        opens = {"error": expected} if isinstance(expected, str) else {"head": orjson.loads(encode(expected))}
        found.append({"name": name, "columns": row.columns().hex(), "blob": row.blob.hex(), **opens})

    def sealed(made: Building) -> IndexRow:
        seen, head = made.seen(), made.heads[-1]
        key = KEYRING.session_key(ids.parse(SESSION))
        place = (key, made.cipher.header, seen["generation"], seen["seq"], bytes.fromhex(seen["version"]), seen["size"])
        return sealer.seal(*place, head, encode(head))

    for name, suite in v1.SUITES.items():
        made = three(suite=suite)
        add(f"valid_{name}", sealed(made), made.heads[-1])
    made = Building().full({}, [], **facts)
    row, head = sealed(made), made.heads[-1]
    add("valid_with_tags", row, head)
    add("valid_with_another_slug", row._replace(key="other~" + row.key[-32:]), head)
    for name, value in (("generation", 1), ("seq", 9), ("version", bytes(16)), ("updated", 1), ("expires", None)):
        add(f"other_{name}", row._replace(**{name: value}), "Damaged")
    add("other_size", row._replace(size=81), "Damaged")
    add("without_tags", row._replace(tags=()), "Damaged")
    add("tags_descending", row._replace(tags=row.tags[::-1]), "Damaged")
    add("other_session", row._replace(key="0" * 32), "Damaged")
    for name, at in (("master_flipped", 0), ("suite_flipped", 13), ("header_flipped", 40), ("nonce_flipped", 90)):
        add(name, row._replace(blob=flipped(row.blob, at)), "Damaged")
    add("head_flipped", row._replace(blob=flipped(row.blob, 110)), "Damaged")
    add("cut", row._replace(blob=row.blob[:-1]), "Damaged")
    add("header_alone", row._replace(blob=row.blob[:88]), "Damaged")
    add("empty", row._replace(blob=b""), "Damaged")
    place, grave = row.key[-32:], sealer.tombstone(row.key, GENERATION)
    graves = [
        (place, GENERATION, grave.mac, True),
        ("0" * 32, GENERATION, grave.mac, False),
        (place, GENERATION + 1, grave.mac, False),
        (place, GENERATION, bytes(16), False),
        (place, 1 << 63, sealer.tombstone(row.key, 1 << 63).mac, False),
        (place, (1 << 63) - 1, sealer.tombstone(row.key, (1 << 63) - 1).mac, True),
        (place, 5, IndexRowCipher(KEYRING._replace(masters=KEYRING.masters[1:])).tombstone(row.key, 5).mac, True),
    ]
    tags = [("user", "", "alice"), ("tenant", "", "alice"), ("label", "client", "desktop"), ("label", "é", ""),
            ("label", "", "édesktop"), ("tenant key", "", "acme")]  # fmt: skip
    return {
        "names": [
            {
                "session": name,
                "key": KEYRING.session_key(ids.parse(name)),
                "private": KEYRING.session_key(ids.parse(name), slugs=False),
            }
            for name in names
        ],
        "tags": [
            {"kind": kind, "name": name, "value": value, "tag": KEYRING.tag(kind, name, value).hex()}
            for kind, name, value in tags
        ],
        "rows": found,
        "tombstones": [
            {"locator": where, "generation": generation, "mac": mac.hex(), "genuine": genuine}
            for where, generation, mac, genuine in graves
        ],
        "redis": [
            {"locator": place, "stored": pack(row).hex(), "columns": row.columns().hex(), "blob": row.blob.hex()},
            {"locator": place, "stored": pack(grave).hex(), "generation": GENERATION, "mac": grave.mac.hex()},
        ],
        "room": [{"zeros": zeros, "torn": zeros > 65536} for zeros in (0, 1, 4096, 65536, 65537)],
    }


def main() -> None:
    for make in (valid, torn, headers, records, bodies, heads, dictionaries):
        make()
    os.makedirs(HERE, exist_ok=True)
    keys = {
        "vault_id": KEYRING.vault_id.hex(),
        "naming_root": KEYRING.naming_root.hex(),
        "readable_names": KEYRING.readable_names,
        "created": KEYRING.created,
        "masters": [{"id": m.id.hex(), "secret": m.secret.hex(), "retired": m.retired} for m in KEYRING.masters],
        "session": SESSION,
        "key": ids.key(KEYRING.naming_key, ids.parse(SESSION), readable=True),
        "locator": ids.locator(KEYRING.naming_key, ids.parse(SESSION)),
    }
    _write_once("keys.json", _text(keys))
    if not os.path.exists(os.path.join(HERE, "index.json")):
        _write_once("index.json", _text(rows()))
    expectations = os.path.join(HERE, "expected.json")
    expected: dict[str, Any] = {}
    if os.path.exists(expectations):
        with open(expectations, encoding="utf-8") as file:
            expected = json.load(file)
    added = [name for name in VECTORS if name not in expected and _write_once(f"{name}.vsf", VECTORS[name][0])]
    expected.update({name: VECTORS[name][1] for name in added})
    if added:
        with open(expectations, "wb") as file:
            file.write(_text(expected))
    print(f"added {len(added)} of {len(VECTORS)} vectors: {', '.join(added) or 'none is new'}")  # noqa: T201 - a script


def _text(value: Any) -> bytes:
    return json.dumps(value, indent=1, ensure_ascii=True).encode() + b"\n"


def _write_once(name: str, data: bytes) -> bool:
    """Write a file that must not be there; False where it is, which leaves it as it is."""
    try:
        with open(os.path.join(HERE, name), "xb") as file:
            file.write(data)
    except FileExistsError:
        return False
    return True


if __name__ == "__main__":
    main()
