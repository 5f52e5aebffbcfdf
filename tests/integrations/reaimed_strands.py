"""Strands' tests, over ours: run before they are collected. A storage in a directory or in memory is a VaultStorage."""

import hashlib
import os
import sys
import tempfile
import types

import pytest
import strands.storage

from vaultsession import RawKey, open_store
from vaultsession.integrations.strands import VaultSessionRepository, VaultStorage

os.environ.update(VAULTSESSION_KEY=RawKey.generate().text(), VAULTSESSION_DURABILITY="os", VAULTSESSION_CONFIG="")


class MockedSessionRepository(VaultSessionRepository):
    def __init__(self):
        super().__init__(open_store("memory://"))


VAULTS = tempfile.TemporaryDirectory(prefix="vaultsession-", ignore_cleanup_errors=True)


def local_file_storage(directory):
    """In a directory of its own: their tests remove theirs while the store is open."""
    return VaultStorage.from_url(os.path.join(VAULTS.name, hashlib.sha256(str(directory).encode()).hexdigest()))


class InMemoryVaultStorage(VaultStorage):
    def __init__(self):
        super().__init__(open_store("memory://"))


strands.storage.LocalFileStorage = local_file_storage
strands.storage.InMemoryStorage = InMemoryVaultStorage
mocked = types.ModuleType("tests.fixtures.mock_session_repository")
mocked.MockedSessionRepository = MockedSessionRepository
sys.modules[mocked.__name__] = mocked


@pytest.fixture(scope="session")
def agenerator():
    async def agenerator(items):
        for item in items:
            yield item

    return agenerator


@pytest.fixture(scope="session")
def alist():
    async def alist(items):
        return [item async for item in items]

    return alist
