"""Every vector in front of every consumer: a reader of today understands, and refuses, what one of yesterday did."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from shelf import container

from vaultsession import errors
from vaultsession.engine.reader import Reader
from vaultsession.format import ids, payload
from vaultsession.format.dictionaries import SHIPPED, Dictionaries, shipped
from vaultsession.format.document import parse
from vaultsession.format.head import decode, encode
from vaultsession.format.keys import Keyring, MasterKey

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


def outcome(name: str, consumer: str) -> dict:
    expected = EXPECTED[name]
    return expected.get("all") or expected[consumer]


def as_json(head) -> dict:
    return json.loads(encode(head))


@pytest.mark.parametrize("name", EXPECTED)
def test_describe_says_what_is_expected(name):
    expected = outcome(name, "describe")
    reader = new_reading()
    if "error" in expected:
        with pytest.raises(errors.VaultError) as raised:
            reader.describe(KEYS["key"], fetch_of(name), thorough=True)
        assert type(raised.value).__name__ == expected["error"]
        return
    row = reader.describe(KEYS["key"], fetch_of(name), thorough=True)
    assert row is not None
    assert (row.generation, row.seq, row.version.hex(), row.size, row.torn) == tuple(
        expected[field] for field in ("generation", "seq", "version", "size", "torn")
    )
    header, head = reader.rows.open(row)
    assert header == fetch_of(name)(0).header
    assert as_json(head) == expected["head"]


@pytest.mark.parametrize("name", EXPECTED)
def test_load_gives_what_is_expected(name):
    expected = outcome(name, "load")
    reader = new_reading()
    if "error" in expected:
        with pytest.raises(errors.VaultError) as raised:
            parse(reader.load(KEYS["key"], fetch_of(name)).bodies)
        assert type(raised.value).__name__ == expected["error"]
        return
    loaded = reader.load(KEYS["key"], fetch_of(name))
    assert loaded is not None
    assert parse(loaded.bodies) == (expected["state"], expected["messages"])
    assert (loaded.seq, loaded.version.hex(), loaded.size) == (expected["seq"], expected["version"], expected["size"])
    assert as_json(loaded.head) == expected["head"]


@pytest.mark.parametrize("name", EXPECTED)
def test_newest_gives_what_is_expected(name):
    expected = outcome(name, "newest")
    reader = new_reading()
    if "error" in expected:
        with pytest.raises(errors.VaultError) as raised:
            payload.parse(payload.join(reader.tail(KEYS["key"], fetch_of(name), wanted=1000)[1]))
        assert type(raised.value).__name__ == expected["error"]
        return
    found = reader.tail(KEYS["key"], fetch_of(name), wanted=1000)
    assert found is not None
    assert payload.parse(payload.join(found[1])) == expected["messages"]
    assert as_json(found[0].head) == expected["head"]


def test_names_and_keys_are_those_of_the_session():
    session = ids.parse(KEYS["session"])
    assert ids.locator(KEYRING.naming_key, session) == KEYS["locator"]
    assert ids.key(KEYRING.naming_key, session, readable=True) == KEYS["key"]


def test_every_file_has_its_expectation_and_the_format_names_it():
    files = {path.stem for path in HERE.glob("*.vsf")}
    assert files == EXPECTED.keys()
    text = (Path(__file__).parents[2] / "vaultsession" / "format" / "FORMAT.md").read_text(encoding="utf-8")
    assert [name for name in files if f"`{name}`" not in text] == []
    assert sum(path.stat().st_size for path in HERE.iterdir()) < 300_000


def test_the_dictionary_of_the_package_is_the_one_that_the_format_names():
    """Records refer to it by its number for ever: were it another one, they would not open, or worse."""
    text = (Path(__file__).parents[2] / "vaultsession" / "format" / "FORMAT.md").read_text(encoding="utf-8")
    assert shipped().number == SHIPPED == 32768
    assert hashlib.sha256(shipped().content).hexdigest() in text
    assert len(shipped().content) <= 32 * 1024


def test_heads_of_vectors_are_written_as_they_are_read():
    for name in EXPECTED:
        expected = outcome(name, "describe")
        if "head" in expected:
            plain = json.dumps(expected["head"], ensure_ascii=False, separators=(",", ":")).encode()
            assert encode(decode(plain)) == plain
