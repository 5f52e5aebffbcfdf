"""What root makes in a directory of another user belongs to that user; what was there before stays whose it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from vaultsession import RawKey, open_store
from vaultsession.admin.doctor import examine
from vaultsession.util import ownership
from vaultsession.util.disk import CREATE, CREATE_NEW, Disk, make_directories, write_new

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")

KEY = RawKey(bytes(range(32)))
SERVICE = 12345


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs"
    path.mkdir(mode=0o700)
    os.chown(path, SERVICE, SERVICE + 1)
    return path


def owners(path: Path) -> set[tuple[int, int]]:
    return {(each.lstat().st_uid, each.lstat().st_gid) for each in (path, *path.rglob("*"))}


def test_a_vault_that_root_works_on_stays_its_owners(theirs: Path) -> None:
    """`sudo vaultsession …` made lock files of root's, and the service could not write a 64th of all ids for each."""
    with open_store(theirs / "vault", key=KEY) as store:
        for number in range(5):
            store.create(f"s{number}", messages=[{"n": number}])
            with store.lease(f"s{number}"):
                store.append(f"s{number}", {"more": True})
        store.delete("s4")
        store.reindex()
        store.rotate_key()
    assert owners(theirs) == {(SERVICE, SERVICE + 1)}
    found = examine(str(theirs / "vault"))
    assert [each for each in found if each.name == "root-owned"] == []


def test_doctor_names_what_root_left_before(theirs: Path) -> None:
    with open_store(theirs / "vault", key=KEY) as store:
        store.create("a")
    stripe = next((theirs / "vault" / "locks").glob("stripe-*"))
    os.chown(stripe, 0, 0)
    (finding,) = [each for each in examine(str(theirs / "vault")) if each.name == "root-owned"]
    assert finding.place == f"locks/{stripe.name}"
    assert finding.fix == f"sudo chown {SERVICE}:{SERVICE + 1} {stripe}"


@pytest.mark.parametrize("flags", [CREATE, CREATE_NEW])
def test_a_file_that_was_made_goes_to_the_owner_of_its_directory(theirs: Path, flags: int) -> None:
    os.close(Disk().open(str(theirs / "file"), flags, 0o600))
    assert owners(theirs) == {(SERVICE, SERVICE + 1)}
    assert stat.S_IMODE((theirs / "file").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        Disk().open(str(theirs / "file"), CREATE_NEW, 0o600)


def test_directories_and_what_is_written_new(theirs: Path) -> None:
    make_directories(Disk(), str(theirs / "a" / "b"))
    write_new(Disk(), str(theirs / "a" / "b" / "c"), b"data")
    assert owners(theirs) == {(SERVICE, SERVICE + 1)}


def test_what_was_there_before_stays_whose_it_was(theirs: Path) -> None:
    (theirs / "file").touch()
    os.close(Disk().open(str(theirs / "file"), CREATE, 0o600))
    assert (theirs / "file").stat().st_uid == 0


@pytest.mark.parametrize("plant", ["link", "hard link", "directory that is a link"])
def test_nothing_beyond_a_link_is_given_away(theirs: Path, tmp_path: Path, plant: str) -> None:
    """The owner of the directory plants what leads to a file of root's, and waits for root to "make" it."""
    (tmp_path / "roots").mkdir()
    secret = tmp_path / "roots" / "secret"
    secret.write_text("root's")
    path = theirs / "file"
    if plant == "link":
        path.symlink_to(secret)
    elif plant == "hard link":
        os.link(secret, path)
    else:
        (theirs / "folder").symlink_to(tmp_path / "roots")
        path = theirs / "folder" / "new"
    for flags in (CREATE, CREATE_NEW):
        try:
            os.close(Disk().open(str(path), flags, 0o600))
        except OSError:
            continue
    assert {each.stat().st_uid for each in (tmp_path / "roots").iterdir()} == {0}


class Swapping:
    """What the owner of the directory does between the making of a file and the gift of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
        real = ownership._give

        def give(fd: int, path: str) -> None:
            act()
            real(fd, path)

        monkeypatch.setattr(ownership, "_give", give)


@pytest.fixture
def swap(theirs: Path, tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "roots").mkdir()
    return theirs, tmp_path / "roots"


def test_a_directory_that_was_swapped_meanwhile_gets_nothing(
    swap: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, roots = swap

    def act() -> None:
        (theirs / "file").rename(roots / "file")
        os.link(roots / "file", theirs / "other")

    Swapping(monkeypatch, act)
    os.close(Disk().open(str(theirs / "file"), CREATE, 0o600))
    assert (roots / "file").stat().st_uid == 0


def test_another_file_in_its_place_is_not_given(swap: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, roots = swap
    (roots / "secret").touch()

    def act() -> None:
        (theirs / "file").rename(theirs / "moved")
        os.link(roots / "secret", theirs / "file")

    Swapping(monkeypatch, act)
    os.close(Disk().open(str(theirs / "file"), CREATE, 0o600))
    assert (roots / "secret").stat().st_uid == 0
    assert (theirs / "moved").stat().st_uid == 0


def test_where_it_cannot_be_given_it_stays(theirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(ownership.os, "fchown", refused)
    os.close(Disk().open(str(theirs / "file"), CREATE_NEW, 0o600))
    assert (theirs / "file").stat().st_uid == 0
