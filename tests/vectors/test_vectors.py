"""Every vector in front of every consumer: a reader of today understands, and refuses, what one of yesterday did."""

from __future__ import annotations

import ast
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import reader
from shelf import container

from vaultsession import errors
from vaultsession.backends.files.preallocation import without
from vaultsession.backends.redis.layout import pack, unpack
from vaultsession.engine.reader import Reader
from vaultsession.format import IndexRowCipher, ids, lossless, payload
from vaultsession.format.dictionaries import SHIPPED, Dictionaries, shipped
from vaultsession.format.document import parse
from vaultsession.format.head import decode, encode
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.format.record import parse_header
from vaultsession.format.sealed import IndexRow, Tombstone

HERE = Path(__file__).parent / "v1"
KEYS = json.loads((HERE / "keys.json").read_bytes())
EXPECTED = json.loads((HERE / "expected.json").read_bytes())
KEYRING = Keyring(
    vault_id=bytes.fromhex(KEYS["vault_id"]),
    readable_names=KEYS["readable_names"],
    created=KEYS["created"],
    naming_root=bytes.fromhex(KEYS["naming_root"]),
    masters=tuple(
        MasterKey(bytes.fromhex(one["id"]), bytes.fromhex(one["secret"]), one["retired"]) for one in KEYS["masters"]
    ),
)


class Shelf:
    """The sealed dictionaries of this directory."""

    def dictionaries(self):
        return sorted(int(path.stem) for path in HERE.glob("*.vsd"))

    def dictionary(self, number):
        path = HERE / f"{number}.vsd"
        return [path.read_bytes()] if path.exists() else []

    def add_dictionary(self, number, data):
        raise NotImplementedError


def new_reading() -> Reader:
    return Reader(KEYRING, Dictionaries(KEYRING, Shelf()))


def fetch_of(name: str):
    data = (HERE / f"{name}.vsf").read_bytes()
    return lambda start: container(data, start)


def as_json(head) -> list:
    return json.loads(encode(head))


def described(name: str) -> dict:
    reader = new_reading()
    row = reader.describe(KEYS["key"], fetch_of(name), thorough=True)
    assert row is not None
    header, head = reader.rows.open(row)
    assert header == fetch_of(name)(0).header
    told = {field: getattr(row, field) for field in ("generation", "seq", "size", "torn")}
    return {**told, "version": row.version.hex(), "head": as_json(head)}


def loaded(name: str) -> dict:
    found = new_reading().load(KEYS["key"], fetch_of(name))
    assert found is not None
    state, messages = parse(found.bodies)
    told = {"generation": parse_header(found.header).generation, "seq": found.witness.seq, "size": found.size}
    return {**told, "version": found.version.hex(), "head": as_json(found.head), "state": state, "messages": messages}


def newest(name: str) -> dict:
    found = new_reading().tail(KEYS["key"], fetch_of(name), wanted=1000)
    assert found is not None
    messages = payload.parse(payload.join(found[1]))
    return {"version": found[0].version.hex(), "head": as_json(found[0].head), "messages": messages}


CONSUMERS = {"describe": described, "load": loaded, "newest": newest}


@pytest.mark.sampled(44)
@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("name", EXPECTED)
def test_each_consumer_tells_every_field_that_is_expected_and_no_other(name, consumer):
    expected = EXPECTED[name][consumer]
    if "error" in expected:
        with pytest.raises(errors.VaultError) as raised:
            CONSUMERS[consumer](name)
        assert {"error": type(raised.value).__name__} == expected
        return
    assert CONSUMERS[consumer](name) == expected


BOXES = json.loads((HERE / "boxes.json").read_bytes())


def boxed(expected: dict[str, Any], unbox: Any, refusal: type[Exception]) -> None:
    if "error" in expected:
        with pytest.raises(refusal):
            unbox(expected["stored"])
        return
    given = ast.literal_eval(expected["given"])
    assert repr(unbox(expected["stored"])) == repr(given)


@pytest.mark.parametrize("expected", BOXES, ids=lambda each: each["name"])
def test_a_box_gives_what_is_expected_to_either_reader(expected):
    boxed(expected, lossless.unbox, errors.Damaged)
    boxed(expected, reader.unboxed, reader.Refused)


# -- beside containers -------------------------------------------------------------------------------------------------

INDEX = json.loads((HERE / "index.json").read_bytes())
ROWS = IndexRowCipher(KEYRING)


def row_of(columns: bytes, blob: bytes) -> IndexRow:
    """What a row is packed from: the columns as they stand in a Redis."""
    return unpack(struct.pack("<BH", 1, len(columns)) + columns + blob, columns[-32:].decode())


@pytest.mark.parametrize("expected", INDEX["names"], ids=lambda each: ascii(each["session"]))
def test_names_are_those_expected(expected):
    session = ids.parse(expected["session"])
    assert KEYRING.session_key(session) == expected["key"]
    assert KEYRING.session_key(session, slugs=False) == expected["private"] == expected["key"][-32:]


@pytest.mark.parametrize("expected", INDEX["tags"], ids=lambda each: f"{each['kind']} {each['name']}")
def test_tags_are_those_expected(expected):
    assert KEYRING.tag(expected["kind"], expected["name"], expected["value"]).hex() == expected["tag"]


@pytest.mark.parametrize("expected", INDEX["rows"], ids=lambda each: each["name"])
def test_a_row_opens_to_what_is_expected(expected):
    row = row_of(bytes.fromhex(expected["columns"]), bytes.fromhex(expected["blob"]))
    assert row.columns().hex() == expected["columns"]
    if "error" in expected:
        with pytest.raises(errors.VaultError) as raised:
            ROWS.open(row)
        assert type(raised.value).__name__ == expected["error"]
        return
    header, head = ROWS.open(row)
    assert header == bytes.fromhex(expected["blob"])[8:88]
    assert as_json(head) == expected["head"]


@pytest.mark.parametrize("expected", INDEX["tombstones"])
def test_a_tombstone_is_genuine_or_not_as_expected(expected):
    tombstone = Tombstone(expected["locator"], expected["generation"], bytes.fromhex(expected["mac"]))
    assert ROWS.is_genuine(tombstone) is expected["genuine"]


def test_a_redis_keeps_a_row_and_a_tombstone_as_is_said():
    row, grave = INDEX["redis"]
    stored = bytes.fromhex(row["stored"])
    found = unpack(stored, row["locator"])
    assert isinstance(found, IndexRow)
    assert (found.columns().hex(), found.blob.hex()) == (row["columns"], row["blob"])
    assert pack(found) == stored
    expected = Tombstone(grave["locator"], grave["generation"], bytes.fromhex(grave["mac"]))
    assert unpack(bytes.fromhex(grave["stored"]), grave["locator"]) == expected
    assert pack(expected).hex() == grave["stored"]


@pytest.mark.parametrize("expected", INDEX["room"])
def test_zeros_behind_a_container_are_room_up_to_a_bound(expected):
    data = (HERE / "valid_full.vsf").read_bytes()
    file = data + bytes(expected["zeros"])
    assert (without(file) != data) is expected["torn"]


def test_names_and_keys_are_those_of_the_session():
    session = ids.parse(KEYS["session"])
    assert ids.locator(KEYRING.naming_key, session) == KEYS["locator"]
    assert ids.key(KEYRING.naming_key, session, readable=True) == KEYS["key"]


def test_every_file_has_its_expectation_and_the_format_names_it():
    files = {path.stem for path in HERE.glob("*.vsf")}
    assert files == EXPECTED.keys()
    text = (Path(__file__).parents[2] / "vaultsession" / "format" / "FORMAT.md").read_text(encoding="utf-8")
    assert [name for name in files if f"`{name}`" not in text] == []
    assert sum(path.stat().st_size for path in HERE.iterdir()) < 400_000


def test_the_dictionary_of_the_package_is_the_one_that_the_format_names():
    """Records refer to it by its number for ever: were it another one, they would not open, or worse."""
    text = (Path(__file__).parents[2] / "vaultsession" / "format" / "FORMAT.md").read_text(encoding="utf-8")
    assert shipped().number == SHIPPED == 32768
    assert hashlib.sha256(shipped().content).hexdigest() in text
    assert len(shipped().content) <= 32 * 1024


def test_heads_of_vectors_are_written_as_they_are_read():
    for name, each in EXPECTED.items():
        expected = each["describe"]
        if "head" in expected and "twice" not in name:
            plain = json.dumps(expected["head"], ensure_ascii=False, separators=(",", ":")).encode()
            assert encode(decode(plain)) == plain
