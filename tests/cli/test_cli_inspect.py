"""``vaultsession inspect``."""

from __future__ import annotations

import pytest
from cli_lab import plain
from vaults import container_in


@pytest.fixture
def container(place, monkeypatch):
    with place.open() as store:
        store.create("s", messages=[{"role": "user", "content": "Hello"}], state={"n": 1})
        store.append("s", {"role": "assistant", "content": "A secret " * 20})
        store.touch("s", "1h")
    monkeypatch.delenv("VAULTSESSION_PATH")
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    return place.file("s")


@pytest.fixture
def opened(place):
    return ("-V", place.path, "--key-file", place.key_file)


def test_structure_needs_no_key(container, spawn):
    done = spawn("inspect", container)
    assert done.code == 0
    assert [(row["seq"], row["type"], row["codec"]) for row in done.rows] == [
        ("0", "FULL", "none"),
        ("1", "DELTA", "dictionary"),
        ("2", "HEAD", "-"),
    ]
    assert {row["authentic"] for row in done.rows} == {""}


def test_the_numbers_are_those_of_the_file(container, run):
    document = run("inspect", container, "--json").json
    assert document["size"] == document["end"] == len(container_in(container))
    assert (document["format"], document["suite"], document["problem"]) == (1, "AES-256-GCM", None)
    assert document["records"][0]["offset"] == 80
    assert [each["offset"] + each["size"] for each in document["records"]][:-1] == [
        each["offset"] for each in document["records"]
    ][1:]
    assert document["records"][-1]["tag"] == container_in(container)[-24:-8].hex()


def test_with_the_vault_records_are_authenticated_and_the_head_is_shown(container, opened, run):
    document = run("inspect", container, "--json", *opened).json
    assert [each["authentic"] for each in document["records"]] == [True] * 3
    assert (document["session"]["id"], document["session"]["message_count"]) == ("s", 2)
    assert "bodies" not in document["records"][0]


def test_bodies_are_shown_on_request_and_never_without_a_key(container, opened, run):
    assert run("inspect", container, "--bodies").code == 2
    records = run("inspect", container, "--bodies", "--json", *opened).json["records"]
    assert records[0]["bodies"] == [{"n": 1}, {"role": "user", "content": "Hello"}]
    assert records[2]["bodies"] is None


@pytest.mark.parametrize("cut", [1, 20, 300])
def test_where_the_tail_is_torn_is_6(cut, container, run, tmp_path):
    copy = tmp_path / container.name
    copy.write_bytes(container_in(container)[:-cut])
    done = run("inspect", copy, "--json")
    assert done.code == 6
    assert done.json["end"] < done.json["size"]
    assert "no whole record" in done.json["problem"]


def test_a_changed_byte_shows_only_to_whoever_has_the_key(container, opened, run, tmp_path):
    copy = tmp_path / container.name
    data = bytearray(container.read_bytes())
    data[80 + 40] ^= 1
    copy.write_bytes(data)
    assert run("inspect", copy).code == 0
    done = run("inspect", copy, "--json", *opened)
    assert done.code == 6
    assert done.json["records"] == []
    assert "does not authenticate" in done.json["problem"]


def test_records_out_of_order_are_told(container, opened, run, tmp_path):
    whole = container.read_bytes()
    records = run("inspect", container, "--json").json["records"]
    second = slice(records[1]["offset"], records[1]["offset"] + records[1]["size"])
    copy = tmp_path / container.name
    copy.write_bytes(whole[: second.stop] + whole[second])
    done = run("inspect", copy, *opened)
    assert done.code == 6
    assert "in the place of record 2" in done.err


def test_the_name_is_a_part_of_what_is_authenticated(container, opened, run, tmp_path):
    other = tmp_path / "copy.vss"
    other.write_bytes(container.read_bytes())
    assert run("inspect", other, *opened).code == 2
    swapped = tmp_path / f"{'0' * 32}.vss"
    swapped.write_bytes(container.read_bytes())
    assert run("inspect", swapped, *opened).code == 6


@pytest.mark.parametrize("data", [b"", b"VSF1", b"PK" * 100])
def test_what_is_no_container_is_6(data, run, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(data)
    done = run("inspect", path)
    assert (done.code, done.out) == (6, "")


def test_a_format_of_another_version_is_told(container, run, tmp_path):
    data = bytearray(container.read_bytes())
    data[4] = 9
    path = tmp_path / "x"
    path.write_bytes(data)
    assert "newer" in run("inspect", path).err


def test_a_file_that_is_not_there_and_a_directory(run, tmp_path):
    assert run("inspect", tmp_path / "nothing").code == 1
    assert run("inspect", tmp_path).code == 2


@pytest.mark.parametrize("columns", [80, 40])
def test_people_see_a_table(columns, container, opened, terminal):
    done = terminal("inspect", container, "--bodies", *opened, columns=columns)
    text = plain(done.out)
    assert done.code == 0
    for piece in ("FULL", "DELTA", "HEAD", "AES-256-GCM", "record 0", '"Hello"'):
        assert piece in text


def test_an_id_is_that_of_a_session_in_the_vault(container, opened, run):
    document = run("inspect", "s", "--json", *opened).json
    assert document["file"] == str(container)
    assert document["session"]["id"] == "s"
    assert [each["authentic"] for each in document["records"]] == [True] * 3
    missing = run("inspect", "nobody", *opened)
    assert missing.code == 4
    assert "'nobody'" in missing.err


def test_the_records_are_drawn_as_a_strip(place, container, opened, terminal):
    with place.open() as store:
        store.save("s", messages=[{"role": "user", "content": "Anew"}] * 30)
    shown = terminal("inspect", container, *opened, columns=60).out
    (strip,) = [line for line in shown.splitlines() if line.count("█") > 20]
    assert len(plain(strip)) <= 60
    assert "\x1b[36m█" in strip
    assert "header  FULL  DELTA  HEAD  dead" in plain(shown)
