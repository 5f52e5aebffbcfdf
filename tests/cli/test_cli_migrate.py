"""``vaultsession migrate``: a vault in another place, by the command."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cli_lab import PATIENCE, Place, Run

from vaultsession import RawKey, open_store
from vaultsession.admin.migrate import losses
from vaultsession.util.disk import Disk
from vaultsession.vault.key_places import KeyFile
from vaultsession.vault.location import VaultLocation

MANY = 600
"""Sessions of which a sixth has been written when a run is killed."""


@pytest.fixture
def full(place: Place) -> Place:
    with place.open() as store:
        for name in ("alice", "bob", "carol"):
            store.create(name, messages=[{"content": name}])
        store.create("dave")
        store.delete("dave")
    return place


def ids(path: Path, key: Path) -> list[str]:
    with open_store(path, key=KeyFile(str(key)), create=False) as store:
        return sorted(store.load(info.id).id for info in store.list())


def test_a_vault_lies_in_two_places_and_opens_with_one_key(run: Run, full: Place, tmp_path: Path) -> None:
    second = tmp_path / "second"
    told = run("migrate", full.path, second, "--json")
    assert told.code == 0, told.err
    facts = told.json
    assert (facts["copied"], facts["verified"], facts["authenticated"], facts["tombstones"]) == (3, 3, 3, 1)
    assert facts["problems"] == []
    assert ids(second, full.key_file) == ["alice", "bob", "carol"]
    assert run("verify", "--vault", second).code == 0
    assert run("doctor", "--vault", second).code == 0
    again = run("migrate", full.path, second)
    assert again.code == 0
    assert {row["name"]: row["value"] for row in again.rows}["current"] == "3"


@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=str)
def test_it_comes_back_from_a_database(run: Run, full: Place, tmp_path: Path, dry: tuple[str, ...]) -> None:
    """The look at what will be missing closed the database under the migration: each ended in a bug of ours."""
    database = f"sqlite:///{tmp_path}/sessions.db"
    assert run("migrate", full.path, database).code == 0
    told = run("migrate", database, tmp_path / "back", *dry, "--json")
    assert told.code == 0, told.err
    assert told.json["copied"] == 3
    assert dry or ids(tmp_path / "back", full.key_file) == ["alice", "bob", "carol"]


def test_a_key_is_named_as_everywhere(run: Run, full: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    told = run("migrate", full.path, tmp_path / "a", "--from-key-file", full.key_file, "--json")
    assert told.json["authenticated"] == 3
    told = run("--key-file", full.key_file, "migrate", full.path, tmp_path / "b", "--json")
    assert told.json["authenticated"] == 3
    told = run("migrate", full.path, tmp_path / "c", "--from-key-command", f"cat {full.key_file}", "--json")
    assert told.json["authenticated"] == 3


def test_without_a_key_bytes_are_compared_and_it_says_so(
    run: Run, full: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    told = run("migrate", full.path, tmp_path / "second", "--json")
    assert told.code == 0
    assert "not authenticated" in told.err
    assert (told.json["verified"], told.json["authenticated"]) == (3, 0)
    assert ids(tmp_path / "second", full.key_file) == ["alice", "bob", "carol"]


def test_a_wrong_key_and_a_key_that_is_not_there_are_errors(run: Run, full: Place, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text(RawKey.generate().text())
    for path in (wrong, tmp_path / "missing"):
        told = run("migrate", full.path, tmp_path / "second", "--from-key-file", path)
        assert told.code == 12
        assert not (tmp_path / "second").exists()


def test_a_place_with_another_vault_is_a_conflict(run: Run, full: Place, tmp_path: Path) -> None:
    open_store(tmp_path / "second", key=RawKey.generate()).close()
    for more in ((), ("--dry-run",)):
        told = run("migrate", full.path, tmp_path / "second", *more)
        assert told.code == 5
        assert "holds another vault" in told.err


def test_a_source_that_is_no_vault_is_told(run: Run, full: Place, tmp_path: Path) -> None:
    told = run("migrate", tmp_path / "nowhere", tmp_path / "second")
    assert told.code == 10
    assert "name the one to copy" in told.err
    assert not (tmp_path / "second").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("vault", "vault"), "name another place"),
        (("vault", "vault/sessions"), "within one another"),
        (("vault", "second", "--to-key-file", "k"), "takes --rekey"),
        (("vault", "second", "--rekey", "--dry-run"), "cannot be looked at first"),
        (("vault", "gopher://somewhere"), "cannot open gopher"),
        (("vault",), "TO"),
    ],
)
def test_what_was_meant_wrongly_is_a_usage_error(run: Run, full: Place, arguments: tuple[str, ...], said: str) -> None:
    told = run("migrate", *arguments)
    assert told.code == 2
    assert said in told.err


def test_a_dry_run_makes_nothing(run: Run, full: Place, tmp_path: Path) -> None:
    told = run("migrate", full.path, tmp_path / "second", "-n", "--json")
    assert (told.code, told.json["copied"], told.json["dry_run"]) == (0, 3, True)
    assert not (tmp_path / "second").exists()


def test_a_damaged_session_ends_with_the_code_of_damage(run: Run, full: Place, tmp_path: Path) -> None:
    file = full.file("bob")
    data = bytearray(file.read_bytes())
    data[130] ^= 1
    file.write_bytes(data)
    told = run("migrate", full.path, tmp_path / "second")
    assert told.code == 6
    assert "damaged: bob~" in told.err
    assert ids(tmp_path / "second", full.key_file) == ["alice", "carol"]


def test_what_only_the_target_has_ends_as_partial(run: Run, full: Place, tmp_path: Path) -> None:
    assert run("migrate", full.path, tmp_path / "second").code == 0
    with open_store(tmp_path / "second", key=KeyFile(str(full.key_file))) as store:
        store.create("zoe")
    told = run("migrate", full.path, tmp_path / "second")
    assert told.code == 3
    assert "extra: zoe~" in told.err


def test_all_is_sealed_anew_for_another_key(run: Run, full: Place, tmp_path: Path) -> None:
    second, key = tmp_path / "second", tmp_path / "other-key"
    told = run("migrate", full.path, second, "--rekey", "--to-key-file", key, "--json")
    assert told.code == 0, told.err
    assert f"new key file {key}" in told.err
    assert (told.json["copied"], told.json["verified"]) == (3, 3)
    assert ids(second, key) == ["alice", "bob", "carol"]
    assert run("verify", "--vault", second).code == 12
    again = run("migrate", full.path, second, "--rekey", "--to-key-file", key, "--json")
    assert again.json["current"] == 3


def test_a_new_vault_never_gets_the_key_that_the_environment_names(
    run: Run, full: Place, tmp_path: Path, home: Path
) -> None:
    told = run("migrate", full.path, tmp_path / "second", "--rekey")
    assert told.code == 0, told.err
    assert "The key: key file" in told.err
    (kept,) = (home / "config").rglob("*.key")
    assert kept.read_text() != full.key_file.read_text()
    assert ids(tmp_path / "second", kept) == ["alice", "bob", "carol"]


def test_a_key_within_the_new_vault_is_refused(run: Run, full: Place, tmp_path: Path) -> None:
    told = run("migrate", full.path, tmp_path / "second", "--rekey", "--to-key-file", tmp_path / "second" / "key")
    assert told.code == 2
    assert "protects nothing" in told.err


@pytest.mark.slow
def test_a_run_that_was_killed_is_repeated_and_goes_on(
    run: Run, place: Place, executable: list[str], tmp_path: Path
) -> None:
    with place.open(durability="os") as store:
        for number in range(MANY):
            store.create(f"session-{number}", messages=[{"content": "x" * 500}])
    second = tmp_path / "second"
    process = subprocess.Popen(
        [*executable, "migrate", str(place.path), str(second)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    began = time.monotonic()
    while len(list(second.glob("sessions/*.vss"))) < MANY // 6 and time.monotonic() < began + PATIENCE:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    left = len(list(second.glob("sessions/*.vss")))
    told = run("migrate", place.path, second, "--json")
    assert told.code == 0, told.err
    assert told.json["verified"] == MANY
    assert told.json["copied"] + told.json["current"] == MANY
    assert left >= MANY // 6
    with open_store(second, key=KeyFile(str(place.key_file))) as store:
        assert store.count() == MANY


def test_a_reader_that_hears_no_more_ends_it_quietly(spawn: Run, full: Place, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        told = spawn("migrate", full.path, tmp_path / "second", stdout=writer)
    finally:
        os.close(writer)
    assert (told.code, told.err) == (141, "")
    assert ids(tmp_path / "second", full.key_file) == ["alice", "bob", "carol"]


def test_the_notice_of_a_new_key_has_a_line_of_its_own(full: Place, tmp_path: Path, terminal) -> None:
    done = terminal("migrate", full.path, tmp_path / "second", "--rekey", "--to-key-file", tmp_path / "other-key")
    assert done.code == 0, done.out
    assert re.search(r"(?:^|\x1b\[2K|\r)(?:\x1b\[\d*[A-Z])*The key: new key", done.out, flags=re.MULTILINE), done.out


def test_a_vault_with_tenant_keys_stays_one_when_it_is_sealed_anew(run: Run, place: Place, tmp_path: Path) -> None:
    shutil.rmtree(place.path)
    with open_store(place.path, key=KeyFile(str(place.key_file)), tenant_keys=True) as store:
        store.create("a", tenant_id="acme", messages=[{"role": "user", "content": "of a tenant"}])
    second, key = tmp_path / "second", tmp_path / "second-key"
    told = run("migrate", place.path, second, "--rekey", "--to-key-file", key, "--json")
    assert told.code == 0
    assert list((second / "tenants").iterdir())
    with open_store(second, key=KeyFile(str(key))) as store:
        assert store.get("a").messages[0]["content"] == "of a tenant"
        store.destroy_tenant("acme")


def test_what_will_be_missing_is_said_before_it_begins(run: Run, full: Place, tmp_path: Path) -> None:
    (full.path / "quarantine" / "piece").write_bytes(b"aside")
    (full.path / "quarantine" / "piece").chmod(0o600)
    copied = run("migrate", full.path, tmp_path / "copy", "--json")
    assert copied.json["missing"] == ["1 pieces in quarantine stay behind"]
    anew = run("migrate", full.path, tmp_path / "anew", "--rekey", "--to-key-file", tmp_path / "key")
    said = " ".join(anew.err.split())
    assert "1 removals stay behind" in said
    assert "To know before it begins" in said
    assert anew.code == 0


def test_a_dictionary_that_is_lost_is_missed_before_it_begins(full: Place, tmp_path: Path) -> None:
    key = KeyFile(str(full.key_file)).secret()
    for name in ("10001.vsd", "10001.bak"):
        (full.path / "dictionaries").mkdir(exist_ok=True, mode=0o700)
        (full.path / "dictionaries" / name).write_bytes(b"nothing of it")
        (full.path / "dictionaries" / name).chmod(0o600)
    place = VaultLocation.at(str(full.path), Disk())
    found = losses(place, place.vault.unlock([("key", key)]), rekey=True)
    assert found[0].startswith("dictionary 10001: no copy of it is authentic")
    assert any("trained dictionaries stay behind" in each for each in found)
    assert "not authenticated" in losses(place, None)[0]
