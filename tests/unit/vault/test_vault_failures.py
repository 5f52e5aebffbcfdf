"""A failure at every call of a creation, a change and a mending: the vault opens as before or as after."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from vaults import KEY, OTHER, unlock, vault_at

from vaultsession import open_store
from vaultsession.errors import BackendUnavailable, DurabilityUnknown, VaultError, WrongKey
from vaultsession.util.disk import Disk
from vaultsession.vault.secret import RawKey


class Crash(BaseException):
    """The power went."""


class Failing(Disk):
    """The k-th call fails; with ``dies``, so does all that would come after it, as if the process were gone."""

    CALLS = frozenset(
        {
            *("open", "close", "stat", "fstat", "mkdir", "unlink"),
            *("listdir", "rename", "pread", "pwrite", "fsync", "flock"),
        }
    )

    def __init__(self, at, *, dies=False, done=False, error=OSError):
        self.at, self.dies, self.done, self.error, self.count = at, dies, done, error, 0

    def __getattribute__(self, name):
        call = super().__getattribute__(name)
        return self.counted(call, name) if name in Failing.CALLS else call

    def counted(self, call, name):
        def counting(*args, **kwargs):
            self.count += 1
            if self.count < self.at or (self.count > self.at and not self.dies):
                return call(*args, **kwargs)
            if name == "close" or (self.done and self.count == self.at):
                call(*args, **kwargs)  # it was done, and the answer lost; and no test leaks descriptors
            if self.error is OSError:
                raise OSError(28, f"failed at call {self.at}, {name}")
            raise self.error

        return counting


def every_failure(path, prepare, attempt):
    """Yield after ``attempt`` failed at each of its calls in turn, in each way; ``prepare`` makes a fresh start."""
    for dies, done, error in (
        (False, False, OSError),
        (False, True, OSError),
        (True, False, OSError),
        (True, True, Crash),
    ):
        k, finished = 0, False
        while not finished:
            k += 1
            shutil.rmtree(path, ignore_errors=True)
            state = prepare()
            disk = Failing(k, dies=dies, done=done, error=error)
            raised = None
            try:
                attempt(vault_at(str(path), disk), state)
            except (VaultError, Crash) as failure:
                raised = failure
            finished = disk.count < k
            assert finished or raised is not None or disk.count >= k
            yield state, raised
        assert k > 10


@pytest.mark.slow
def test_creation_may_fail_at_any_call(path):
    directory = vault_at(str(path))
    outcomes = set()
    for _, raised in every_failure(path, lambda: None, lambda broken, _: broken.create(KEY)):
        if directory.exists():
            unlock(directory)
        else:
            assert raised is not None
            directory.create(OTHER)
            unlock(directory, OTHER)
        outcomes.add(type(raised))
        opened = unlock(directory, KEY, OTHER)
        directory.add_slot(opened, RawKey.generate())
    assert {BackendUnavailable, DurabilityUnknown, Crash, type(None)} <= outcomes


@pytest.mark.slow
def test_adding_a_slot_may_fail_at_any_call(path):
    directory = vault_at(str(path))
    for made, raised in every_failure(
        path, lambda: directory.create(KEY), lambda broken, made: broken.add_slot(made, OTHER)
    ):
        opened = unlock(directory)
        assert opened.keyring == made.keyring
        assert opened.counter in (1, 2)
        if raised is None:
            assert opened.counter == 2
        elif type(raised) is BackendUnavailable and not raised.__cause__.strerror.endswith("close"):
            assert opened.counter == 1  # "nothing was changed"
        if opened.counter == 2:
            unlock(directory, OTHER)
        else:
            with pytest.raises(WrongKey):
                unlock(directory, OTHER)
        third = RawKey.generate()
        assert directory.add_slot(opened, third).counter == opened.counter + 1
        assert unlock(directory, third).findings == ()


@pytest.mark.slow
def test_removing_a_slot_may_fail_at_any_call(path):
    directory = vault_at(str(path))

    def remove(broken, opened):
        return broken.remove_slot(opened, opened.slots[0].id)

    for opened, raised in every_failure(path, lambda: directory.add_slot(directory.create(KEY), OTHER), remove):
        again = unlock(directory, OTHER)
        assert again.keyring == opened.keyring
        assert again.counter in ((3,) if raised is None else (2, 3))
        try:
            unlock(directory, KEY)
        except WrongKey:
            assert again.counter == 3
        else:
            assert again.counter == 2
        assert directory.add_slot(again, RawKey.generate()).counter == again.counter + 1


@pytest.mark.slow
def test_mending_may_fail_at_any_call_and_the_vault_opens_all_the_same(path):
    directory = vault_at(str(path))

    def damaged():
        made = directory.create(KEY)
        (path / "keyring").write_bytes(b"torn")
        return made

    for dies in (False, True):
        made = damaged()
        healthy = Failing(10**6)
        vault_at(str(path), healthy).reload(made)  # as many calls as opening needs; those behind them mend
        for k in range(healthy.count + 1, 80):
            shutil.rmtree(path)
            made = damaged()
            opened = unlock(vault_at(str(path), Failing(k, dies=dies)))
            assert opened.keyring == made.keyring
            assert opened.findings
            assert unlock(directory).keyring == made.keyring
            assert unlock(directory).findings == ()
        shutil.rmtree(path)


class Unflushed(Disk):
    """Dies where the name of a tenant's keys is to be flushed."""

    def sync_directory(self, path: str) -> None:
        if path.endswith("tenants"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        super().sync_directory(path)


class Flushes(Disk):
    """Notes the directories that are flushed."""

    def __init__(self) -> None:
        self.flushed: list[str] = []

    def sync_directory(self, path: str) -> None:
        self.flushed.append(os.path.basename(path))
        super().sync_directory(path)


@pytest.mark.parametrize("met", [False, True], ids=["first use", "met by a reader"])
def test_no_session_is_sealed_under_a_key_that_a_power_cut_takes_back(tmp_path, met):
    """Who made a tenant's key died before its name was flushed, or is about to flush it: who uses it flushes it first.

    Two threads of a rotation met so: the session of the one was durable, and the key that the other had just put in
    place was not.
    """
    store = open_store(tmp_path / "vault", key=KEY, disk=Unflushed(), tenant_keys=True)
    with store, pytest.raises(BackendUnavailable):
        store.create("a", tenant_id="acme")
    disk = Flushes()
    with open_store(tmp_path / "vault", key=KEY, disk=disk) as store:
        if met:
            assert store._operations._reader.keys._of_tenant("acme")[0].keys
        store.create("b", tenant_id="acme")
        assert "tenants" in disk.flushed[: disk.flushed.index("sessions")]
        disk.flushed.clear()
        store.create("c", tenant_id="acme")
        assert "tenants" not in disk.flushed
