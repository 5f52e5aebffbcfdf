"""The keyring file on disk, twice: which copy serves, and how both are replaced so that no crash loses the keys.

Each is replaced as a whole (temp, flush, rename, flush of the directory), one after the other, so that at any moment at
least one is complete. The copy that is *not* the newest valid one goes first, the backup where both are equal: the
newest valid copy is never touched before its successor lies flushed beside it. After a crash the valid copy with the
highest counter wins, so the vault opens as before the change or as after it, and the next opening brings the other copy
level. A change counts, and returns, only when both are flushed. Until the first rename a failure has changed nothing
(``OSError``); after it the outcome is unknown (``DurabilityUnknown``). A replaced copy that was not valid is kept in
``quarantine/``.

*Valid* is said with the key in hand: the checksum and the counter choose which copy is tried first, the MAC decides.
A key that opens only the older of two valid copies is a wrong key. Two valid copies of one counter that differ were
changed by two who did not see each other's lock; one of them may hold the only master key of some session, so that is
Damaged and for people to decide.

Whoever replaces copies holds the lock of the vault.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from ..errors import Damaged, DurabilityUnknown, RollbackDetected, WrongKey
from ..util.disk import PRIVATE_DIRECTORY, Disk, read_file, write_new
from . import keyring_file
from .keyring_file import KeyringFile, Unlocked
from .secret import Secret

COPIES = ("keyring", "keyring.bak")
NEW = ".new"
QUARANTINE = "quarantine"


class Copy(NamedTuple):
    """One copy of the keyring file: readable (``file``), or why not (``problem``); ``gone`` if there is none."""

    name: str
    file: KeyringFile | None
    problem: str = ""
    gone: bool = False

    def holds(self, state: Unlocked) -> bool:
        """Whether this copy is the file that was unlocked."""
        return self.file is not None and self.file.data == state.data


class Copies(NamedTuple):
    """Both copies in a vault directory, as they were read at one moment. At least one has its checksum right."""

    disk: Disk
    path: str
    both: tuple[Copy, ...]

    @classmethod
    def read(cls, disk: Disk, path: str, vault_id: bytes) -> Copies:
        """Both copies in the directory of this vault, or ``Damaged`` if neither can be read."""
        both = tuple(_read_copy(disk, path, name, vault_id) for name in COPIES)
        if not any(copy.file for copy in both):
            problems = "; ".join(f"{os.path.join(path, copy.name)}: {copy.problem}" for copy in both)
            raise Damaged(f"no copy of the keyring can be read ({problems}): restore one from a backup")
        return cls(disk, path, both)

    @property
    def newest(self) -> KeyringFile:
        """The copy that is tried first. Not proved: a forged one may say that it is the newest."""
        return self._newest_first()[0]

    def unlock(self, secret: Secret) -> Unlocked:
        """The newest copy, opened; or an older one, if the vault key in that one proves the newest forged.

        ``WrongKey``, or ``Damaged`` where the key is right and neither copy is.
        """
        newest, *older = self._newest_first()
        failure: WrongKey | Damaged
        try:
            unlocked = newest.unlock(secret)
        except (WrongKey, Damaged) as error:
            failure = error
        else:
            return self.authentic(unlocked)
        for file in older:
            if file.data == newest.data:
                continue
            try:
                unlocked = file.unlock(secret)
            except WrongKey:
                continue
            except Damaged as error:
                failure = error
                continue
            if not newest.is_authentic(unlocked.vault_key):
                return self.authentic(unlocked)
        raise failure

    def authentic(self, known: Unlocked) -> Unlocked:
        """The newest copy made under a vault key that is known. ``RollbackDetected`` if it is older than that one."""
        found: Unlocked | None = None
        for file in self._newest_first():
            if found and (file.counter < found.counter or file.data == found.data):
                break
            try:
                unlocked = known if file.data == known.data else file.reopen(known.vault_key, known.slot)
            except Damaged:
                continue
            if found:
                raise Damaged(
                    f"the two copies of the keyring were changed apart (both are change {found.counter}): "
                    "keep the one that you trust and move the other out of the vault"
                )
            found = unlocked
        if not found:
            raise Damaged("neither copy of the keyring is authentic: restore one from a backup")
        if found.counter < known.counter:
            raise RollbackDetected(f"the keyring was set back from change {known.counter} to {found.counter}")
        return found

    def findings(self, newest: Unlocked) -> Iterator[str]:
        """What is wrong with each copy that is not the newest, in sentences."""
        for copy in self.both:
            if not copy.holds(newest):
                yield f"{copy.name}: {copy.problem or 'behind the other copy, or forged'}"

    def level(self, known: Unlocked) -> None:
        """Replace a copy that is behind or damaged by the newest."""
        newest = self.authentic(known)
        self._write(self._stale(newest), newest.data, lambda file: file.is_authentic(newest.vault_key))

    def replace(self, current: Unlocked, data: bytes) -> None:
        """Replace both by what comes after the newest copy, ``current``. Returns when both are flushed."""
        level = [copy for copy in reversed(self.both) if copy.holds(current)]
        self._write(self._stale(current) + level, data, lambda file: file.is_authentic(current.vault_key))

    def follow(self, data: bytes) -> None:
        """Replace both by those of another copy of this vault; nothing is proved. Returns when both are flushed."""
        newest = self.newest.data
        level = [copy for copy in reversed(self.both) if copy.file and copy.file.data == newest]
        stale = [copy for copy in self.both if copy not in level]
        self._write(stale + level, data, lambda _: True)

    def _newest_first(self) -> list[KeyringFile]:
        return sorted((copy.file for copy in self.both if copy.file), key=lambda file: -file.counter)

    def _stale(self, newest: Unlocked) -> list[Copy]:
        return [copy for copy in self.both if not copy.holds(newest)]

    def _write(self, copies: Iterable[Copy], data: bytes, is_ours: Callable[[KeyringFile], bool]) -> None:
        begun = False
        for copy in copies:
            path = os.path.join(self.path, copy.name)
            temporary = path + NEW
            try:
                if not copy.gone and not (copy.file and is_ours(copy.file)):
                    set_aside(self.disk, self.path, copy.name, ".damaged")
                with contextlib.suppress(FileNotFoundError):
                    self.disk.unlink(temporary)
                write_new(self.disk, temporary, data)
                begun = True  # a rename that fails may have been done
                self.disk.replace(temporary, path)
                self.disk.sync_directory(self.path)
            except OSError as error:
                if begun:
                    raise DurabilityUnknown(
                        f"{path}: the change of the keyring was begun and could not be completed: {words(error)}; "
                        "open the vault again to see whether it holds"
                    ) from error
                raise


def set_aside(disk: Disk, path: str, name: str, suffix: str) -> None:
    """Keep what is about to be replaced, where people can look at it."""
    quarantine = os.path.join(path, QUARANTINE)
    with contextlib.suppress(FileExistsError):
        disk.mkdir(quarantine, PRIVATE_DIRECTORY)
    with contextlib.suppress(FileNotFoundError):
        disk.replace(os.path.join(path, name), os.path.join(quarantine, name + suffix))


def words(error: OSError) -> str:
    """What went wrong with a file of a vault."""
    if error.errno == errno.ELOOP:
        return f"{error.filename} is a symbolic link, and the files of a vault are not: put the file itself there"
    return str(error)


def _read_copy(disk: Disk, path: str, name: str, vault_id: bytes) -> Copy:
    try:
        file = keyring_file.parse(read_file(disk, os.path.join(path, name), limit=keyring_file.LARGEST_FILE))
    except FileNotFoundError:
        return Copy(name, None, "is gone", gone=True)
    except (ValueError, Damaged) as error:
        return Copy(name, None, str(error))
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return Copy(name, None, "the medium cannot read it")
    if file.vault_id != vault_id:
        return Copy(name, None, "belongs to another vault")
    return Copy(name, file)
