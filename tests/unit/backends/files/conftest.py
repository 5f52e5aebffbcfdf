"""A vault directory, someone with its keys, and backends on it that are closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vaultsession.backends import FilesBackend
from vaultsession.format.keys import Keyring
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

Opening = Callable[..., FilesBackend]


@pytest.fixture
def scribe() -> Sealer:
    return Sealer(Keyring.generate())  # with slugs, as file names have them


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "vault").mkdir(mode=0o700)
    return tmp_path / "vault"


@pytest.fixture
def opening(path: Path, scribe: Sealer) -> Iterator[Opening]:
    """Opens the vault as often as it is called; each with a memory of its own."""
    opened: list[FilesBackend] = []

    def opening(**how: Any) -> FilesBackend:
        how = {"disk": Disk(), "describe": Sealer(scribe.keyring).describe, **how}
        opened.append(FilesBackend(str(path), **how))
        return opened[-1]

    yield opening
    for backend in opened:
        backend.close()


@pytest.fixture
def files(opening: Opening) -> FilesBackend:
    return opening()
