"""Where a vault keeps its dictionaries: in a directory each twice, in an engine each as a value that is listed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from dict_engine import DictEngine
from vaults import KEY, files, vault_at

from vaultsession.errors import BackendUnavailable, Damaged, DurabilityUnknown
from vaultsession.util.disk import Disk
from vaultsession.vault import Vault
from vaultsession.vault.engine_metadata import EngineMetadata

NUMBER, DATA = 70_000, b"sealed bytes" * 100


@pytest.fixture
def directory(tmp_path):
    made = vault_at(str(tmp_path / "vault"))
    made.create(KEY)
    return made


@pytest.fixture(params=["directory", "engine"])
def vault(request):
    if request.param == "directory":
        return request.getfixturevalue("directory")
    return Vault(EngineMetadata(DictEngine()))


def test_there_are_none_at_first(vault):
    assert vault.dictionaries() == ()
    assert tuple(vault.dictionary(NUMBER)) == ()


def test_what_was_added_is_there_and_listed_in_order(vault):
    assert vault.add_dictionary(NUMBER + 1, b"two")
    assert vault.add_dictionary(NUMBER, DATA)
    assert vault.dictionaries() == (NUMBER, NUMBER + 1)
    assert set(vault.dictionary(NUMBER)) == {DATA}
    assert set(vault.dictionary(NUMBER + 1)) == {b"two"}


def test_one_is_never_replaced(vault):
    assert vault.add_dictionary(NUMBER, DATA)
    assert not vault.add_dictionary(NUMBER, b"another")
    assert set(vault.dictionary(NUMBER)) == {DATA}


def test_of_many_at_once_one_gets_a_number(vault):
    start, added = threading.Barrier(6), []

    def add(who):
        start.wait(30)
        added.append(vault.add_dictionary(NUMBER, b"%d" % who))
        added.append(vault.add_dictionary(NUMBER + 1 + who, DATA))

    threads = [threading.Thread(target=add, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert added.count(True) == 7
    assert vault.dictionaries() == tuple(range(NUMBER, NUMBER + 7))
    assert len(set(vault.dictionary(NUMBER))) == 1


# -- in a directory ----------------------------------------------------------------------------------------------------


def copies(directory):
    return [os.path.join(directory.path, "dictionaries", f"{NUMBER}{suffix}") for suffix in (".bak", ".vsd")]


class Watched(Disk):
    """Fails at the k-th call that changes something; notes what was done."""

    def __init__(self, fails_at=None):
        self.fails_at, self.done = fails_at, []

    def _next(self, what):
        if self.fails_at is not None and len(self.done) == self.fails_at:
            raise OSError(28, "No space left on device")
        self.done.append(what)

    def mkdir(self, path, mode=0o777):
        self._next("mkdir")
        os.mkdir(path, mode)

    def fsync(self, fd):
        self._next("fsync")
        os.fsync(fd)

    def rename(self, source, target):
        self._next(f"rename {os.path.basename(target)}")
        os.replace(source, target)

    def pwrite(self, fd, data, offset):
        self._next("write")
        return os.pwrite(fd, data, offset)


def test_the_second_copy_is_seen_when_the_first_is_flushed_with_its_name(directory):
    """A process that sees the second copy compresses with it at once, before the call in the first process returns."""
    disk = Watched()
    vault_at(directory.path, disk).add_dictionary(NUMBER, DATA)
    copy = ["write", "fsync"]
    assert disk.done == [
        *("mkdir", "fsync"),
        *(*copy, f"rename {NUMBER}.bak", "fsync"),
        *(*copy, f"rename {NUMBER}.vsd", "fsync"),
    ]


@pytest.mark.parametrize("at", range(10))
def test_wherever_the_disk_fails_the_number_is_not_used_or_both_copies_are_whole(directory, at):
    with pytest.raises(BackendUnavailable):
        vault_at(directory.path, Watched(at)).add_dictionary(NUMBER, DATA)
    if directory.dictionaries():
        assert directory.dictionary(NUMBER) == (DATA, DATA)
    assert set(directory.dictionary(NUMBER)) <= {DATA}
    assert directory.add_dictionary(NUMBER + 1, DATA)
    assert NUMBER + 1 in directory.dictionaries()


def test_ten_calls_are_all_that_could_fail(directory):
    disk = Watched(10)
    assert vault_at(directory.path, disk).add_dictionary(NUMBER, DATA)
    assert len(disk.done) == 10


def test_one_of_which_only_the_first_copy_is_there_is_read_and_not_written_with(directory):
    directory.add_dictionary(NUMBER, DATA)
    os.unlink(copies(directory)[1])
    assert directory.dictionaries() == ()
    assert directory.dictionary(NUMBER) == (DATA,)
    assert not directory.add_dictionary(NUMBER, b"another")


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("harm", ["gone", "altered", "too large"])
def test_a_copy_is_brought_level(directory, which, harm):
    directory.add_dictionary(NUMBER, DATA)
    path = copies(directory)[which]
    os.unlink(path)
    if harm != "gone":
        with open(path, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(b"altered" if harm == "altered" else bytes(1 << 20))
    before = files(Path(directory.path, "dictionaries"))
    directory.level_dictionary(NUMBER, DATA)
    assert directory.dictionary(NUMBER) == (DATA, DATA)
    assert len(files(Path(directory.path, "dictionaries"))) == len(before) + (harm == "gone")


def test_before_a_copy_is_brought_level_the_other_is_flushed_with_its_name(directory):
    """Its writer may have been killed between the rename and the flush."""
    directory.add_dictionary(NUMBER, DATA)
    os.unlink(copies(directory)[1])
    disk = Watched()
    vault_at(directory.path, disk).level_dictionary(NUMBER, DATA)
    assert disk.done == ["fsync", "fsync", "write", "fsync", f"rename {NUMBER}.vsd", "fsync"]


def test_what_a_killed_writer_left_is_in_nobodys_way(directory):
    os.mkdir(os.path.join(directory.path, "dictionaries"), 0o700)
    with open(copies(directory)[0] + ".new", "wb") as file:
        file.write(b"half")
    assert directory.dictionaries() == ()
    assert directory.add_dictionary(NUMBER, DATA)
    assert directory.dictionary(NUMBER) == (DATA, DATA)


@pytest.mark.parametrize(
    "name",
    [
        "70000",
        "70000.vsd.new",
        "x.vsd",
        "070000.vsd",
        "-70000.vsd",
        "99999999999.vsd",
        "\u0667\u0660\u0660\u0660\u0660.vsd",
    ],
)
def test_other_names_are_no_dictionaries(directory, name):
    directory.add_dictionary(NUMBER, DATA)
    with open(os.path.join(directory.path, "dictionaries", name), "wb"):
        pass
    assert directory.dictionaries() == (NUMBER,)


def test_links_and_what_others_may_write_are_refused(directory, tmp_path):
    directory.add_dictionary(NUMBER, DATA)
    first, second = copies(directory)
    os.rename(second, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", second)
    assert directory.dictionary(NUMBER) == (DATA,)
    os.chmod(first, 0o622)
    with pytest.raises(BackendUnavailable):
        directory.dictionary(NUMBER)
    os.chmod(os.path.dirname(first), 0o777)
    for act in (directory.dictionaries, lambda: directory.add_dictionary(NUMBER + 1, DATA)):
        with pytest.raises(BackendUnavailable, match="writable by group or others"):
            act()


def test_a_directory_that_is_a_link_is_refused(directory, tmp_path):
    directory.add_dictionary(NUMBER, DATA)
    os.rename(os.path.join(directory.path, "dictionaries"), tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", os.path.join(directory.path, "dictionaries"))
    for act in (
        directory.dictionaries,
        lambda: directory.dictionary(NUMBER),
        lambda: directory.add_dictionary(NUMBER, b""),
    ):
        with pytest.raises(BackendUnavailable, match="not a directory"):
            act()
    assert sorted(os.listdir(tmp_path / "elsewhere")) == [f"{NUMBER}.bak", f"{NUMBER}.vsd"]


def test_a_number_whose_copies_cannot_be_read_is_taken(directory, tmp_path):
    directory.add_dictionary(NUMBER, DATA)
    for path in copies(directory):
        os.unlink(path)
        os.symlink(tmp_path / "elsewhere", path)
    assert not directory.add_dictionary(NUMBER, DATA)
    assert not (tmp_path / "elsewhere").exists()


# -- in an engine ------------------------------------------------------------------------------------------------------


def test_a_value_is_there_before_its_number_is_listed():
    engine = DictEngine()
    order, put = [], engine.put_metadata

    def noted(name, data, expected):
        order.append(name)
        return put(name, data, expected)

    engine.put_metadata = noted
    Vault(EngineMetadata(engine)).add_dictionary(NUMBER, DATA)
    assert order == [f"dictionary-{NUMBER}", "dictionaries"]
    assert engine.kept["dictionaries"] == b"70000\n"


def test_a_list_that_others_change_all_the_time_is_given_up_at_last():
    engine = DictEngine()
    put = engine.put_metadata
    engine.put_metadata = lambda name, *given: name != "dictionaries" and put(name, *given)
    with pytest.raises(DurabilityUnknown, match="100 times in a row"):
        Vault(EngineMetadata(engine)).add_dictionary(NUMBER, DATA)


@pytest.mark.parametrize(
    "said", [b"70000", b"x\n", b"1\n", b"-70000\n", b"70000\n" * 1001, b"70000 70001\n", b"\n", b"99999999999\n"]
)
def test_a_list_that_is_none_is_damaged(said):
    engine = DictEngine()
    engine.kept["dictionaries"] = said
    with pytest.raises(Damaged, match="restore it from a backup"):
        Vault(EngineMetadata(engine)).dictionaries()
