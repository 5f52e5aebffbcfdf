"""Vault directories as tests make, open and harm them."""

from __future__ import annotations

import contextlib
import hashlib

import pytest

from vaultsession.backends.files import preallocation
from vaultsession.errors import BackendUnavailable
from vaultsession.util.disk import Disk
from vaultsession.vault import Vault, VaultDirectory
from vaultsession.vault.secret import LEAST_MEMORY, LEAST_PASSES, Cost, RawKey

CHEAP = Cost(LEAST_MEMORY, LEAST_PASSES, 1)
"""What the words of a test cost: the least that a slot may."""

KEY, OTHER = RawKey.generate(), RawKey.generate()


def vault_at(path, disk=None, *, allow_network=False):
    """The vault in a directory, there or not."""
    return Vault(VaultDirectory(path, disk or Disk(), allow_network=allow_network))


def resealed(data):
    """The file with a checksum that fits, as an adversary would leave it."""
    return data[:-16] + hashlib.sha512(data[:-16]).digest()[:16]


def patched(data, offset, field):
    return resealed(data[:offset] + field + data[offset + len(field) :])


def unlock(directory, *keys):
    return directory.unlock([(f"key {number}", key) for number, key in enumerate(keys or (KEY,))])


def container_in(path):
    """The container in a file, without the room for records to come."""
    return preallocation.without(path.read_bytes())


@contextlib.contextmanager
def full_after(store, commits):
    """While the disk of a store takes so many commits more, and refuses the next."""
    commit, count = store._backend.commit, iter(range(commits))

    def full(key, update):
        if next(count, None) is None:
            raise BackendUnavailable("the disk is full")
        return commit(key, update)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store._backend, "commit", full)
        yield


def tear(path, tail=b"torn"):
    """Put bytes behind the last record that are none."""
    path.write_bytes(container_in(path) + tail)


def files(path):
    found = [entry for entry in path.rglob("*") if entry.is_file()]
    return {str(entry): (entry.stat().st_mode, entry.read_bytes()) for entry in found}
