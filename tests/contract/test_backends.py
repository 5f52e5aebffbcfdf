"""Every backend of the package is held to the contract that a third party's would be held to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from mirror_lab import Shaky, mirrored

from vaultsession.backends import FilesBackend, MemoryBackend
from vaultsession.backends.mirror import MirrorBackend
from vaultsession.format.keys import Keyring
from vaultsession.testing import BackendContract
from vaultsession.testing.sealer import Sealer
from vaultsession.util.disk import Disk

Opening = Callable[[], FilesBackend]


class TestMemory(BackendContract):
    @pytest.fixture
    def backend(self) -> Iterator[MemoryBackend]:
        backend = MemoryBackend()
        yield backend
        backend.close()


class FilesContract(BackendContract):
    durability: Literal["sync", "os"] = "sync"

    @pytest.fixture
    def scribe(self) -> Sealer:
        return Sealer(Keyring.generate())  # with slugs, as file names have them

    @pytest.fixture
    def reopen(self, tmp_path: Path, scribe: Sealer) -> Iterator[Opening]:
        opened: list[FilesBackend] = []

        def opening() -> FilesBackend:
            opened.append(
                FilesBackend(
                    str(tmp_path), disk=Disk(), describe=Sealer(scribe.keyring).describe, durability=self.durability
                )
            )
            return opened[-1]

        yield opening
        for backend in opened:
            backend.close()

    @pytest.fixture
    def backend(self, reopen: Opening) -> FilesBackend:
        return reopen()


class TestFiles(FilesContract):
    pass


class TestFilesWithoutFlushes(FilesContract):
    durability = "os"


class TestMirrored(FilesContract):
    """A mirror takes nothing away from its primary, whatever becomes of the follower."""

    follower_is_down = False

    @pytest.fixture
    def backend(self, reopen: Opening) -> Iterator[MirrorBackend]:
        follower = Shaky()
        follower.down = self.follower_is_down
        backend = mirrored(reopen(), follower)
        yield backend
        backend.close()


class TestMirroredInAnOutage(TestMirrored):
    follower_is_down = True
