"""Links, FIFOs, sockets, directories and devices planted at every path of a vault: nothing hangs, nothing leads outside.

Each is planted before a store is opened, and beneath one that is open. What comes is a typed error or the right data;
what lies outside of the vault is neither read into an answer nor changed.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tampering import ACTS, IDS, KEY, Scene, everything, file_of, hold, look, opened, outcome, scene, within

from vaultsession import VaultError, open_store
from vaultsession.admin.doctor import examine
from vaultsession.admin.repair import Repair
from vaultsession.backends.files.layout import stripe_of

Plant = Callable[[Path, Path], None]


def _socket(path: Path, _: Path) -> None:
    place = os.getcwd()
    os.chdir(path.parent)  # the path of a socket is at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(place)


def _directory_with_something(path: Path, _: Path) -> None:
    path.mkdir()
    (path / "something").write_bytes(b"x")


def _device(kind: int, number: int) -> Plant:
    return lambda path, _: os.mknod(path, kind | 0o600, os.makedev(1, number))


PLANTS: dict[str, Plant] = {
    "a link to a file": lambda path, outside: path.symlink_to(outside / "file"),
    "a link to a directory": lambda path, outside: path.symlink_to(outside / "directory"),
    "a link to nothing": lambda path, outside: path.symlink_to(outside / "made"),
    "a link to itself": lambda path, _: path.symlink_to(path),
    "a hard link": lambda path, outside: os.link(outside / "file", path),
    "a fifo": lambda path, _: os.mkfifo(path, 0o600),
    "a socket": _socket,
    "a directory": lambda path, _: path.mkdir(),
    "a directory with something": _directory_with_something,
    "an empty file": lambda path, _: path.touch(mode=0o600),
    "a file of zeros": lambda path, _: path.write_bytes(bytes(100_000)),
    "a file that others write": lambda path, _: (path.write_bytes(b"x"), path.chmod(0o666)),
    "an endless device": _device(stat.S_IFCHR, 5),
    "a full device": _device(stat.S_IFCHR, 7),
    "a terminal": lambda path, _: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(5, 0)),
    "a disk": _device(stat.S_IFBLK, 0),
}
NEEDS_ROOT = {"an endless device", "a full device", "a terminal", "a disk"}

PLACES = [
    "sessions/ALICE.vss",
    "sessions/.LOCATOR.0123456789abcdef.tmp",
    "sessions/other~LOCATOR.vss",
    "sessions/0000000000000000000000000000000a.vss",
    "locks/STRIPE",
    "locks/writer-00",
    "locks/writer-01",
    "locks/index",
    "locks/vault",
    "index.sqlite",
    "index.sqlite-wal",
    "index.sqlite-shm",
    "index.sqlite-journal",
    "index.sqlite.new",
    "index.sqlite.new-wal",
    "keyring",
    "keyring.bak",
    "keyring.new",
    "vault.json",
    "vault.json.new",
    "quarantine/piece",
    "quarantine",
    "sessions",
    "locks",
]


QUICK = {"a link to nothing", "a link to a directory", "a hard link", "a fifo", "a directory"}


def plantings() -> list[object]:
    """Every kind at every place. Those that are like another are slow."""
    made = []
    for kind in PLANTS:
        for place in PLACES:
            marks = [] if kind in QUICK else [pytest.mark.slow]
            made.append(pytest.param(kind, place, marks=marks))
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def vault(made: Scene, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.vault, tmp_path / "vault"))


@pytest.fixture
def outside(made: Scene, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.outside, tmp_path / "outside"))


def plant(kind: str, place: str, vault: Path, outside: Path) -> Path:
    """Put it there; what was there is taken away."""
    if kind in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    alice = file_of(vault, "alice").stem
    locator = alice[-32:]
    named = place.replace("ALICE", alice).replace("LOCATOR", locator)
    path = vault / named.replace("STRIPE", f"stripe-{stripe_of(locator):02x}")
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    try:
        PLANTS[kind](path, outside)
    except PermissionError as error:
        pytest.skip(f"no such thing can be made here: {error}")
    return path


def unharmed(outside: Path, before: dict[str, bytes | None]) -> None:
    assert everything(outside) == before


def documents(made: Scene) -> dict[str, list[object]]:
    return {who: [made.past.newest(who).document] for who in IDS}


@pytest.mark.sampled(10)
@pytest.mark.parametrize(("kind", "place"), plantings())
def test_what_is_planted_is_refused_or_does_no_harm(
    kind: str, place: str, made: Scene, vault: Path, outside: Path
) -> None:
    before = everything(outside)
    plant(kind, place, vault, outside)
    opening = within(lambda: outcome(lambda: opened(vault)))
    if not isinstance(opening, VaultError):
        with opening as store:
            hold(within(lambda: look(store)), documents(made))
            for name, act in ACTS.items():
                if name != "delete":
                    within(lambda act=act: outcome(lambda: act(store)))
            within(lambda: outcome(lambda: store.create("carol", state={"n": 1})))
            within(lambda: outcome(lambda: store.delete("alice")))
            within(lambda: look(store))
    unharmed(outside, before)
    within(lambda: outcome(lambda: open_store(vault, key=KEY).close()))
    unharmed(outside, before)


@pytest.mark.sampled(10)
@pytest.mark.parametrize(("kind", "place"), plantings())
def test_what_is_planted_beneath_an_open_store_is_refused_or_does_no_harm(
    kind: str, place: str, made: Scene, vault: Path, outside: Path
) -> None:
    before = everything(outside)
    with opened(vault) as store:
        look(store)
        store.touch("bob")
        plant(kind, place, vault, outside)
        hold(within(lambda: look(store)), documents(made))
        for name in ("append", "clear", "reindex"):
            within(lambda name=name: outcome(lambda: ACTS[name](store)))
        within(lambda: outcome(lambda: store.create("carol", state={"n": 1})))
        within(lambda: outcome(lambda: store.delete("alice")))
    unharmed(outside, before)


@pytest.mark.sampled(10)
@pytest.mark.parametrize(("kind", "place"), plantings())
def test_doctor_and_repair_neither_hang_nor_reach_outside(kind: str, place: str, vault: Path, outside: Path) -> None:
    before = everything(outside)
    modes = {path: path.lstat().st_mode for path in outside.rglob("*")}
    plant(kind, place, vault, outside)
    candidates = [("the key", KEY)]
    found = within(lambda: outcome(lambda: list(examine(str(vault), candidates))))
    if place not in ("keyring.new", "index.sqlite.new") or "link" in kind:
        assert isinstance(found, VaultError) or found
    repair = Repair(str(vault), candidates, quarantine_damaged=True)
    within(lambda: outcome(lambda: repair.act(repair.look())))
    unharmed(outside, before)
    assert {path: path.lstat().st_mode for path in outside.rglob("*")} == modes


@pytest.mark.sampled(6)
@pytest.mark.parametrize("place", [each for each in PLACES if each not in ("sessions", "keyring", "vault.json")])
@pytest.mark.parametrize("kind", ["a link to nothing", "a link to a directory", "a fifo", "a directory with something"])
def test_bob_is_read_again_once_what_was_planted_is_gone(
    kind: str, place: str, made: Scene, vault: Path, outside: Path
) -> None:
    path = plant(kind, place, vault, outside)
    opening = within(lambda: outcome(lambda: opened(vault)))
    if not isinstance(opening, VaultError):
        with opening as store:
            within(lambda: look(store))
            within(lambda: outcome(store.reindex))
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    with opened(vault) as store:
        session = store.load("bob")
        assert (session.state, session.messages) == made.past.newest("bob").document
        assert "bob" in [info.id for info in store.list()]
        store.append("bob", {"n": "more"})


def test_a_vault_path_that_is_a_link_into_another_vault_is_that_vault(made: Scene, vault: Path) -> None:
    link = vault.with_name("link")
    link.symlink_to(vault)
    with opened(link) as store:
        assert store.load("bob").messages == made.past.newest("bob").document[1]


@pytest.mark.parametrize("kind", PLANTS)
def test_a_vault_path_that_is_no_directory_is_a_typed_error(kind: str, tmp_path: Path, outside: Path) -> None:
    if kind in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    before = everything(outside)
    path = tmp_path / "place"
    PLANTS[kind](path, outside)
    made = within(lambda: outcome(lambda: open_store(path, key=KEY)))
    if isinstance(made, VaultError):
        unharmed(outside, before)
    else:  # an empty directory, reached through a link or not
        made.close()
        assert kind in ("a link to a directory", "a link to nothing", "a directory")
