"""The tests of Strands' own session managers and storages, from its source, over ours."""

from __future__ import annotations

from pathlib import Path

import pytest
import sdists
from frameworks import require

require("strands")
require("pytest_asyncio")

pytestmark = pytest.mark.slow

REPOSITORY = """\
from vaultsession import open_store
from vaultsession.integrations.strands import VaultSessionRepository


class MockedSessionRepository(VaultSessionRepository):
    def __init__(self):
        super().__init__(open_store("memory://"))
"""

CONFTEST = """\
import pytest


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
"""

STORAGE = """\
from vaultsession.integrations.strands import VaultStorage


def LocalFileStorage(directory):
    return VaultStorage.from_url(directory)


def InMemoryStorage():
    return VaultStorage.from_url("memory://")
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = sdists.unpacked("strands-agents", tmp_path_factory.mktemp("strands"))
    (found / "tests" / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (found / "tests" / "fixtures" / "mock_session_repository.py").write_text(REPOSITORY, encoding="utf-8")
    (found / "tests" / "fixtures" / "vault_storage.py").write_text(STORAGE, encoding="utf-8")
    return found


def test_a_repository_passes_all_of_theirs(source: Path) -> None:
    ran = sdists.run(source, ["tests/strands/session/test_repository_session_manager.py"])
    assert not ran.failed, ran.text
    assert len(ran.passed) >= 51


def test_snapshots_on_our_storage_pass_all_but_the_name_of_a_class(source: Path) -> None:
    path = source / "tests" / "strands" / "session" / "test_snapshot_session_manager.py"
    sdists.replace(
        path,
        {"from strands.storage import LocalFileStorage": "from tests.fixtures.vault_storage import LocalFileStorage"},
    )
    ran = sdists.run(source, [str(path)])
    assert ran.failed == {
        "test_save_writes_external_ref_for_durable_storage",  # it reads the name of the storage's class
    }, ran.text
    assert len(ran.passed) >= 110


def test_a_storage_passes_what_theirs_promise(source: Path) -> None:
    """Of the tests of the storage in memory: those about bytes under keys, and not about strategies of searching."""
    path = source / "tests" / "strands" / "storage" / "test_in_memory_storage.py"
    sdists.replace(
        path,
        {"from strands.storage import InMemoryStorage": "from tests.fixtures.vault_storage import InMemoryStorage"},
    )
    ran = sdists.run(source, [str(path)])
    assert ran.failed == set(), ran.text
