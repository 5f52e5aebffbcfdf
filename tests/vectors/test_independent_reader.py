"""The second reader, written from FORMAT.md alone, agrees with every vector and with whole vaults that a store made."""

from __future__ import annotations

import ast
import io
import itertools
import json
import os
import random
import sqlite3
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import reader
import zstandard

from vaultsession import Passphrase, RawKey, open_store
from vaultsession.format.dictionaries import shipped

HERE = Path(__file__).parent / "v1"
KEYS = json.loads((HERE / "keys.json").read_bytes())
EXPECTED = json.loads((HERE / "expected.json").read_bytes())
INDEX = json.loads((HERE / "index.json").read_bytes())
SHIPPED = (Path(__file__).parents[2] / "vaultsession" / "format" / "32768.zdict").read_bytes()
KEYRING = reader.Keyring(
    bytes.fromhex(KEYS["vault_id"]),
    bytes.fromhex(KEYS["naming_root"]),
    {bytes.fromhex(one["id"]): bytes.fromhex(one["secret"]) for one in KEYS["masters"]},
)


def test_it_imports_nothing_of_the_package() -> None:
    tree = ast.parse(Path(reader.__file__).read_text(encoding="utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    tops = {name.split(".")[0] for name in named} - set(sys.stdlib_module_names)
    assert tops == {"cryptography", "zstandard"}


def dictionaries() -> dict[int, bytes]:
    found = {32768: SHIPPED}
    for file in HERE.glob("*.vsd"):
        try:
            found[int(file.stem)] = reader.dictionary(KEYRING, int(file.stem), file.read_bytes())
        except reader.Refused:
            continue
    return found


DICTIONARIES = dictionaries()


def told(name: str, consumer: str) -> dict[str, Any]:
    try:
        made = reader.Container((HERE / f"{name}.vsf").read_bytes(), KEYRING, KEYS["locator"], DICTIONARIES)
        last = made.records[-1]
        found = {"version": last.version.hex(), "head": last.head}
        if consumer != "newest":
            found |= {"generation": made.generation, "seq": len(made.records) - 1, "size": last.end}
        if consumer == "describe":
            return {**found, "torn": made.torn}
        if consumer == "load":
            state, messages = made.document()
            return {**found, "state": state, "messages": messages}
        return {**found, "messages": made.messages()}
    except reader.Refused as refused:
        return {"error": str(refused)}


@pytest.mark.parametrize("name", EXPECTED)
def test_it_agrees_with_every_container(name: str) -> None:
    for consumer, expected in EXPECTED[name].items():
        found = told(name, consumer)
        assert found.keys() == expected.keys(), consumer
        if "head" in expected and len(expected["head"]) < len(found["head"]):
            found["head"] = found["head"][: len(expected["head"])]
        assert found == expected, consumer


def test_it_agrees_with_names_and_tags() -> None:
    for each in INDEX["names"]:
        assert reader.key(KEYRING, each["session"]) == each["key"]
        assert reader.locator(KEYRING, each["session"]) == each["private"]
    for each in INDEX["tags"]:
        assert reader.tag(KEYRING, each["kind"], each["name"], each["value"]).hex() == each["tag"]


@pytest.mark.parametrize("expected", INDEX["rows"], ids=lambda each: each["name"])
def test_it_agrees_with_every_row(expected: dict[str, Any]) -> None:
    columns, blob = bytes.fromhex(expected["columns"]), bytes.fromhex(expected["blob"])
    if "error" in expected:
        with pytest.raises(reader.Refused, match=expected["error"]):
            reader.row(KEYRING, columns, blob)
        return
    assert reader.row(KEYRING, columns, blob) == (blob[8:88], expected["head"])


def test_it_agrees_with_tombstones_and_room() -> None:
    for each in INDEX["tombstones"]:
        told = reader.is_genuine(KEYRING, each["locator"], each["generation"], bytes.fromhex(each["mac"]))
        assert told is each["genuine"]
    data = (HERE / "valid_full.vsf").read_bytes()
    for each in INDEX["room"]:
        assert (reader.without_room(data + bytes(each["zeros"])) != data) is each["torn"]
    row, grave = INDEX["redis"]
    assert row["stored"] == "01" + struct.pack("<H", len(row["columns"]) // 2).hex() + row["columns"] + row["blob"]
    assert grave["stored"] == "02" + struct.pack("<Q", grave["generation"]).hex() + grave["mac"]


# -- whole vaults ------------------------------------------------------------------------------------------------------


def filled(store: Any, seed: int) -> dict[str, tuple[Any, Any]]:
    """Sessions through several verbs, and what they are."""
    choose = random.Random(seed)
    ids = ["plain", "../.. Ünïcode\0", "🙂", "User 123", "x" * 300, "tenant", "long"]
    for name in ids:
        facts = {"user_id": "alice", "labels": {"a": "b"}, "ttl": "30d"} if choose.random() < 0.5 else {}
        store.create(
            name, state={"n": choose.random(), "of": name}, tenant_id="acme" if name == "tenant" else None, **facts
        )
        for number in range(choose.randrange(1, 40)):
            store.append(name, {"role": "user", "content": f"{name} says {number} " * choose.randrange(1, 30)})
            if choose.random() < 0.2:
                store.pop(name)
        store.touch(name)
    store.append("long", *[{"role": "user", "content": choose.randbytes(700).hex()} for _ in range(400)])
    session = store.load("plain")
    session.state["more"] = {"deep": [1, 2.5, None, True]}
    store.save(session)
    store.create("gone")
    store.delete("gone")
    return {name: (dict(store.load(name).state), list(store.load(name).messages)) for name in ids}


SECRETS: dict[str, tuple[Callable[[], Any], str | bytes]] = {
    "raw key": (lambda: RawKey(bytes(range(32))), bytes(range(32))),
    "passphrase": (lambda: Passphrase("corréct horse battery"), "corréct horse battery"),
}


@pytest.mark.parametrize(
    ("secret", "settings"),
    [
        ("raw key", {}),
        pytest.param("raw key", {"names": "private", "suite": "chacha20-poly1305"}, marks=pytest.mark.slow),
        pytest.param("raw key", {"tenant_keys": True, "padding": True}, marks=pytest.mark.slow),
        pytest.param("raw key", {"compression": "none", "suite": "aes-256-gcm-siv"}, marks=pytest.mark.slow),
        pytest.param("passphrase", {}, marks=pytest.mark.slow),
    ],
)
def test_it_reads_a_vault_that_a_store_made(secret: str, settings: dict[str, Any], tmp_path: Path) -> None:
    key, plain = SECRETS[secret]
    with open_store(tmp_path / "vault", key=key(), durability="os", **settings) as store:
        expected = filled(store, seed=7)
    vault = reader.Vault(tmp_path / "vault", plain, shipped().content)
    assert {name: each.document() for name, each in vault.sessions.items()} == expected
    assert not any(each.torn for each in vault.sessions.values())
    with pytest.raises(reader.Refused, match="WrongKey"):
        reader.Vault(tmp_path / "vault", bytes(32))


CONVERSATIONS = sorted(Path(os.environ.get("VAULTSESSION_TEST_CONVERSATIONS", "/nowhere")).glob("*.jsonl.zst"))


@pytest.mark.slow
@pytest.mark.skipif(not CONVERSATIONS, reason="set VAULTSESSION_TEST_CONVERSATIONS: see tests/real")
def test_it_reads_real_conversations(tmp_path: Path) -> None:
    """Every seventh of the first five hundred of each source, half of them whole and half in pieces."""
    expected = {}
    with open_store(tmp_path / "vault", key=SECRETS["raw key"][0](), durability="os") as store:
        for path in CONVERSATIONS:
            with zstandard.ZstdDecompressor(max_window_size=64 << 20).stream_reader(path.open("rb")) as stream:
                lines = itertools.islice(io.TextIOWrapper(stream, encoding="utf-8", newline="\n"), 0, 500, 7)
                for number, line in enumerate(lines):
                    said = json.loads(line)
                    name, messages = f"{path.name} {number} {said['id']}", said["messages"]
                    expected[name] = ({"number": number}, messages)
                    store.create(name, state={"number": number}, messages=messages if number % 2 else ())
                    for start in range(0, 0 if number % 2 else len(messages), 7):
                        store.append(name, *messages[start : start + 7])
    vault = reader.Vault(tmp_path / "vault", SECRETS["raw key"][1], shipped().content)
    assert vault.sessions.keys() == expected.keys()
    for name, document in expected.items():
        assert vault.sessions[name].document() == document


@pytest.mark.slow
def test_it_reads_a_vault_that_was_rotated_and_trained(tmp_path: Path) -> None:
    with open_store(tmp_path / "vault", key=SECRETS["raw key"][0](), durability="os") as store:
        expected = filled(store, seed=8)
        for number in range(60):
            store.create(f"more {number}", messages=[{"role": "user", "content": f"the same words {number} " * 40}])
        store.train()
        store.rotate_key()
        store.append("plain", {"role": "user", "content": "the same words again"})
        expected["plain"][1].append({"role": "user", "content": "the same words again"})
    vault = reader.Vault(tmp_path / "vault", SECRETS["raw key"][1], shipped().content)
    assert vault.dictionaries.keys() > {32768}
    assert {name: vault.sessions[name].document() for name in expected} == expected


def test_it_reads_a_database_that_a_store_made(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/vault.db", key=SECRETS["raw key"][0]()) as store:
        store.create("a", state={"n": 1}, messages=[{"role": "user", "content": "hello"}], user_id="alice")
        store.append("a", {"role": "user", "content": bytes(range(32, 127)).decode() * 200})
        store.create("gone")
        store.delete("gone")
        expected = store.load("a")
        state, messages = dict(expected.state), list(expected.messages)
    connection = sqlite3.connect(tmp_path / "vault.db")
    (value,) = connection.execute("SELECT data FROM vaultsession_metadata WHERE name = ?", (b"vault",)).fetchone()
    keyring = reader.unlock(value.partition(b"\n")[2], SECRETS["raw key"][1])
    names = "locator, generation, version, seq, updated, expires, size, tags, head, header, begin, tail, grave, mac"
    rows = connection.execute(f"SELECT {names} FROM vaultsession_sessions ORDER BY header IS NULL").fetchall()
    locator, generation, version, seq, updated, expires, size, tags, head, header, begin, tail, *_ = rows[0]
    assert locator.decode() == reader.locator(keyring, "a")
    columns = struct.pack("<QQ16sqqQH", generation, seq, version, updated, -1 if expires is None else expires, size, 1)
    assert tags == reader.tag(keyring, "user", "", "alice")
    assert reader.row(keyring, columns + tags + locator, head)[0] == header
    pieces = "SELECT data FROM vaultsession_pieces WHERE locator = ? AND generation = ? ORDER BY ending"
    data = b"".join(piece for (piece,) in connection.execute(pieces, (locator, generation))) + tail
    assert len(data) == begin + len(tail) == size
    found = reader.Container(data, keyring, locator.decode(), {32768: shipped().content})
    assert found.document() == (state, messages)
    gone, *_, grave, mac = rows[1]
    assert gone.decode() == reader.locator(keyring, "gone")
    assert reader.is_genuine(keyring, gone.decode(), grave, mac)
    connection.close()
