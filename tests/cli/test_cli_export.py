"""``vaultsession export``."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vaultsession import open_store
from vaultsession.vault.key_places import KeyFile


@pytest.fixture
def three(place):
    with place.open() as store:
        for name, user in (("a", "alice"), ("b", "bob"), ("c", "alice")):
            store.create(name, user_id=user, messages=[{"role": "user", "content": f"I am {name}"}], ttl="30d")
    return place


def ids(text):
    return [json.loads(line)["id"] for line in text.splitlines()]


def test_all_of_it_piped_is_json_lines_oldest_change_first(three, spawn):
    done = spawn("export", "--all")
    assert (done.code, done.err) == (0, "")
    assert ids(done.out) == ["a", "b", "c"]


def test_what_was_exported_is_read_again(three, spawn):
    lines = spawn("export", "--all").out.encode().splitlines()
    with open_store("memory://") as store, three.open() as old:
        assert store.import_(lines).made == 3
        assert [info.facts() for info in store.list()] == [info.facts() for info in old.list()]


@pytest.mark.parametrize(
    ("options", "found"),
    [(("b", "a", "b"), ["b", "a"]), (("--user", "alice"), ["a", "c"]), (("--user", "nobody"), [])],
    ids=str,
)
def test_ids_in_their_order_and_filters(options, found, three, run):
    done = run("export", *options)
    assert (done.code, ids(done.out)) == (0, found)


@pytest.mark.parametrize(
    "options", [(), ("a", "--all"), ("--all", "--user", "alice"), ("a", "--user", "alice")], ids=str
)
def test_what_to_export_is_said_in_one_way(options, three, run):
    done = run("export", *options)
    assert (done.code, done.out) == (2, "")


def test_a_file_is_private_and_there_is_a_warning(three, run):
    old = os.umask(0)
    try:
        done = run("export", "--all", "-o", "out.jsonl")
    finally:
        os.umask(old)
    assert (done.code, done.out) == (0, "")
    assert "3 sessions" in done.err
    assert "in the clear" in done.err
    assert stat.S_IMODE(Path("out.jsonl").stat().st_mode) == 0o600
    assert ids(Path("out.jsonl").read_text()) == ["a", "b", "c"]


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(three, run):
    Path("out.jsonl").write_text("mine")
    assert run("export", "--all", "-o", "out.jsonl").code == 5
    assert Path("out.jsonl").read_text() == "mine"
    assert run("export", "a", "-o", "out.jsonl", "--replace").code == 0
    assert ids(Path("out.jsonl").read_text()) == ["a"]
    assert run("export", "a", "-o", ".").code == 2


def test_an_id_that_is_not_there_is_4_before_a_line_is_written(three, run):
    done = run("export", "a", "nobody")
    assert (done.code, done.out) == (4, "")
    assert run("export", "a", "nobody", "-o", "out.jsonl").code == 4
    assert not list(Path().glob("out.jsonl*"))


def test_a_session_that_cannot_be_read_is_3_and_the_others_are_written(three, run):
    file = three.file("b")
    data = bytearray(file.read_bytes())
    data[-40] ^= 1
    file.write_bytes(data)
    done = run("export", "--all", "-o", "out.jsonl")
    assert done.code == 3
    assert ids(Path("out.jsonl").read_text()) == ["a", "c"]
    assert "b" in done.err


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_what_was_there(failing, three, run, monkeypatch):
    Path("out.jsonl").write_text("mine")

    def fails(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(f"vaultsession.cli.destination.os.{failing}", fails)
        done = run("export", "a", "-o", "out.jsonl", "--replace")
    assert done.code == 1
    assert "no space left" in done.err
    assert Path("out.jsonl").read_text() == "mine"
    assert [path.name for path in Path().glob("out.jsonl*")] == ["out.jsonl"]


@pytest.mark.slow
def test_ctrl_c_half_way_leaves_no_file(three, executable):
    with three.open() as store:
        store.create("large", messages=[{"role": "user", "content": os.urandom(1 << 20).hex()}])
    fifo = Path("pipe")
    os.mkfifo(fifo)
    line = [*executable, "export", "--all", "-o", str(fifo)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process, open(fifo, "rb") as reader:
        reader.read(1000)
        time.sleep(0.2)  # it waits for a reader now, with most of the last line in hand
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in told


def test_a_terminal_is_refused_before_the_vault_is_opened(three, terminal):
    done = terminal("export", "--all", "--key-file", "/nonexistent")
    assert done.code == 2
    assert "I am" not in done.out


def test_an_export_is_imported_exactly_whatever_the_defaults_of_the_vault(three, run, tmp_path, monkeypatch):
    """Through a file, through a pipe, and among other files of a directory."""
    with three.open() as store:
        store.create("ever", state={"n": 1.5}, labels={"a": "b"}, title="Für immer", max_messages=3)
        wanted = [(info.facts(), store.load(info.id).state, store.messages(info.id)) for info in store.list()]
    lines = run("export", "--all").out
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "all.jsonl").write_text(lines)
    monkeypatch.setenv("VAULTSESSION_TTL", "1h")
    monkeypatch.setenv("VAULTSESSION_SLIDING", "true")
    for number, source in enumerate((tmp_path / "below" / "all.jsonl", tmp_path / "below", "-")):
        path = str(tmp_path / f"new{number}")
        key = ("--key-file", tmp_path / f"key{number}")
        assert run("init", path, *key).code == 0
        done = run("import", source, "-V", path, *key, "--json", stdin=lines)
        assert (done.code, done.json["imported"]) == (0, 4), done.err
        with open_store(path, key=KeyFile(str(key[1])), create=False) as store:
            assert [
                (info.facts(), store.load(info.id).state, store.messages(info.id)) for info in store.list()
            ] == wanted
        again = run("import", source, "-V", path, *key, "--json", stdin=lines).json
        assert (again["imported"], again["present"]) == (0, 4)
        again = run("import", source, "-V", path, *key, "--json", "--replace", stdin=lines).json
        assert (again["replaced"], again["skipped"]) == (4, 0)


def test_a_line_of_an_export_that_is_damaged_is_skipped_and_named(three, run):
    first, *_ = run("export", "--all").out.splitlines()
    later = json.dumps({"vaultsession": 99, "id": "x"})
    odd = json.dumps({"vaultsession": 1, "id": "y", "colour": "red"})
    over = json.dumps({"vaultsession": 1, "id": "z", "expires_at": "2001-01-01T00:00:00+00:00"})
    done = run("import", "-", "--replace", stdin=f"{{\n{first}\n{later}\n{odd}\n{over}\n")
    assert done.code == 3
    for said in ("line 1: not JSON", "line 3: exported in version 99", "line 4: unknown fields: colour", "line 5: "):
        assert said in done.err
    assert {row["name"]: row["value"] for row in done.rows} == {
        "imported": "0",
        "replaced": "1",
        "present": "0",
        "skipped": "4",
    }


def test_an_import_may_rename_and_give_owners(three, run):
    lines = run("export", "a", "b").out.replace('"user_id":"bob"', '"user_id":null')
    assert run("import", "-", "--id-prefix", "old/", "--user", "carol", stdin=lines).code == 0
    with three.open() as store:
        assert (store.load("old/a").user_id, store.load("old/b").user_id) == ("alice", "carol")


def test_a_killed_export_leaves_no_plaintext(three, tmp_path):
    """A second process is killed while it writes; what it had written has no name, and goes with it."""
    code = (
        "import os, signal, sys; from vaultsession.cli import run; from vaultsession.cli import destination;"
        "destination.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL);"
        "run(['export', '--all', '-o', 'out.jsonl'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert list(Path().glob("out.jsonl*")) == []


def test_a_file_system_without_unnamed_files_gets_a_named_one(three, run, monkeypatch):
    monkeypatch.delattr("vaultsession.cli.destination.os.O_TMPFILE", raising=False)
    assert run("export", "--all", "-o", "out.jsonl").code == 0
    assert len(Path("out.jsonl").read_text().splitlines()) == 3
    assert [path.name for path in Path().glob("out.jsonl*")] == ["out.jsonl"]


def test_a_link_to_nothing_is_not_followed(three, run):
    Path("link").symlink_to("elsewhere")
    done = run("export", "--all", "-o", "link")
    assert (done.code, done.out) == (2, "")
    assert "link to a file that is not there" in done.err
    assert not Path("elsewhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a pipe of another user is made by root")
def test_a_pipe_of_another_user_gets_nothing(three, run):
    os.mkfifo("pipe")
    os.chown("pipe", 12345, 12345)
    done = run("export", "--all", "-o", "pipe")
    assert (done.code, done.out) == (2, "")
    assert "another user" in done.err
