"""The dictionaries of a vault on files: each a sealed file, kept twice, since without it no record opens that needs it.

::

    my-vault/dictionaries/     0700, files 0600
      <number>.bak             first
      <number>.vsd             second, when the other is flushed with its name

So whoever sees the second may write records that refer to it: whatever the power cut takes back, one of them stays.
Nothing is ever removed. Callers hold the lock of the vault where something is written; the sealed bytes are judged
elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import NamedTuple

from ..format.dictionaries import LARGEST_SEALED
from ..util.disk import PRIVATE_DIRECTORY, Disk, read_file, replace_file, why_not_private
from .keyring_copies import NEW

DICTIONARIES = "dictionaries"

_FIRST, _SECOND = ".bak", ".vsd"
_NAME = re.compile(r"([1-9][0-9]{4,9})(?:\.bak|\.vsd)", re.ASCII)


class DictionaryFiles(NamedTuple):
    """The files in ``dictionaries/`` of the vault at ``path``. Errors are those of the disk: ``OSError``."""

    disk: Disk
    path: str

    def numbers(self, *, whole: bool = True) -> tuple[int, ...]:
        """The numbers of those that no power cut can take back, ascending; or of all that have a file."""
        with contextlib.suppress(FileNotFoundError):
            names = [name for name in self._names() if name.endswith(_SECOND) or not whole]
            return tuple(sorted({number for name in names if (number := number_in(name)) is not None}))
        return ()

    def read(self, number: int) -> tuple[bytes, ...]:
        """The copies that can be read, the second first. ``OSError`` if none can be, and not for want of one."""
        found, failure = [], None
        for name in self.names(number):
            try:
                found.append(self.copy(name))
            except (FileNotFoundError, ValueError):
                continue
            except OSError as error:
                failure = error
        if failure is not None and not found:
            raise failure
        return tuple(found)

    @staticmethod
    def names(number: int) -> tuple[str, str]:
        """The names of both copies, the better known first."""
        return f"{number}{_SECOND}", f"{number}{_FIRST}"

    def copy(self, name: str) -> bytes:
        """One of the files. ``ValueError`` for one that is too large."""
        self._refuse_shared()
        return read_file(self.disk, os.path.join(self._directory, name), limit=LARGEST_SEALED)

    def add(self, number: int, data: bytes) -> bool:
        """Write both copies, one after the other, each flushed with its name; False where there is one already."""
        with contextlib.suppress(FileExistsError):
            self.disk.mkdir(self._directory, PRIVATE_DIRECTORY)
        self._refuse_shared()
        self.disk.sync_directory(self.path)
        if number in self.numbers(whole=False):
            return False
        for name in reversed(self.names(number)):
            self._write(name, data)
        return True

    def level(self, number: int, data: bytes) -> None:
        """Write each copy anew that is not the one that was proved.

        Whoever wrote that one may have died before its name was flushed, and that comes before the second is seen.
        """
        self.disk.sync_directory(self.path)
        self.disk.sync_directory(self._directory)
        for name in reversed(self.names(number)):
            with contextlib.suppress(FileNotFoundError, ValueError):
                if self.copy(name) == data:
                    continue
            self._write(name, data)

    def _write(self, name: str, data: bytes) -> None:
        path = os.path.join(self._directory, name)
        with contextlib.suppress(FileNotFoundError):
            self.disk.unlink(path + NEW)
        replace_file(self.disk, path + NEW, path, data)

    def _names(self) -> list[str]:
        self._refuse_shared()
        return self.disk.listdir(self._directory)

    def _refuse_shared(self) -> None:
        if reason := why_not_private(self.disk.stat(self._directory), directory=True):
            raise PermissionError(f"{self._directory}: {reason}")

    @property
    def _directory(self) -> str:
        return os.path.join(self.path, DICTIONARIES)


def number_in(name: str) -> int | None:
    """The number of the dictionary that a file holds by its name; None if it is none."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])
