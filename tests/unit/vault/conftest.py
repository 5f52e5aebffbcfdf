"""A place for a vault, and the vault that stands there."""

from __future__ import annotations

import pytest
from vaults import KEY, vault_at


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vault"


@pytest.fixture
def directory(path):
    return vault_at(str(path))


@pytest.fixture
def made(directory):
    return directory.create(KEY, label="first", now=5)
