"""Places that a key or a passphrase is kept in: a variable of the environment, a private file, a person's memory.

Imported when one of them is asked (see ``key_sources``): a process that is given its key needs none.
"""

from __future__ import annotations

import codecs
import errno
import os
import stat
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import InvalidSetting, KeyUnavailable
from ..util.disk import Disk, is_masters, opened, read_all, why_not_trusted
from ..util.lazy import LazyModule
from ..util.named_tuple import NamedTuple
from .secret import KEY_COMMAND, Passphrase, RawKey, key_from

if TYPE_CHECKING:
    import getpass
    import shlex
else:  # for people, and for what is refused
    getpass, shlex = LazyModule("getpass"), LazyModule("shlex")

LONGEST_FILE = 4096
"""Bytes that the file of a key or a passphrase holds at most."""
_MOST_STEPS = 256


class KeyFile(NamedTuple):
    """A raw key in a file that only its owner can read."""

    path: str
    disk: Disk = Disk()

    @property
    def name(self) -> str:
        return f"key file {short(self.path)}"

    def secret(self) -> RawKey | None:
        data = read_private(self.disk, self.path, self.name)
        return None if data is None else key_from(self.name, data)

    def is_there(self) -> bool:
        """Whether something is at the path, of use or not."""
        try:
            self.disk.stat(self.path)
        except OSError as error:
            return not isinstance(error, FileNotFoundError | NotADirectoryError)
        return True


class PassphraseFile(NamedTuple):
    """A passphrase in a file that only its owner can read; one trailing newline is not part of it."""

    path: str
    disk: Disk = Disk()

    @property
    def name(self) -> str:
        return f"passphrase file {short(self.path)}"

    def secret(self) -> Passphrase | None:
        data = read_private(self.disk, self.path, self.name)
        if data is None:
            return None
        try:
            return Passphrase(data.decode().removesuffix("\n").removesuffix("\r"))
        except UnicodeDecodeError:
            raise InvalidSetting(f"{self.name}: not UTF-8 text") from None
        except InvalidSetting as error:
            raise InvalidSetting(f"{self.name}: {error}") from None


class Prompt(NamedTuple):
    """A person at a terminal, asked once."""

    question: str = "Passphrase of the vault: "
    ask: Callable[[str], str] | None = None
    name: str = "prompt on the terminal"

    def secret(self) -> Passphrase | None:
        """What was typed; None where there is no terminal, or nothing was typed."""
        if not _is_terminal():
            raise KeyUnavailable(f"{self.name}: there is no terminal")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", getpass.GetPassWarning)  # never ask where the words would be shown
                words = (self.ask or getpass.getpass)(self.question)
        except (EOFError, OSError, getpass.GetPassWarning) as error:
            raise KeyUnavailable(f"{self.name}: {type(error).__name__}") from error
        return Passphrase(words) if words else None


def read_private(disk: Disk, path: str, name: str) -> bytes | None:
    """A file that no other user can read; None if there is no such file."""
    try:
        with opened(disk, _without_links(disk, path)) as fd:
            status = disk.fstat(fd)
            if reason := why_not_trusted(status):
                raise KeyUnavailable(
                    f"{name}: {reason}; it has to be a file of yours alone, or of root and written by root alone; "
                    f"another one can be read by {KEY_COMMAND}"
                )
            if hasattr(os, "geteuid") and status.st_mode & 0o077 and not is_deployed(path, status):
                mode = f"{stat.S_IMODE(status.st_mode):04o}"
                raise KeyUnavailable(f"{name}: others can read it (mode {mode}); run: chmod 600 {shlex.quote(path)}")
            if status.st_size > LONGEST_FILE:
                raise InvalidSetting(f"{name}: {status.st_size} bytes are no key")
            return read_all(disk, fd, status.st_size, 0).removeprefix(codecs.BOM_UTF8)  # as editors of Windows write it
    except FileNotFoundError:
        return None
    except OSError as error:
        hint = "; it is a link of another user: name the file itself" if error.errno == errno.ELOOP else ""
        raise KeyUnavailable(f"{name}: {error.strerror or error}{hint}") from error


def is_deployed(path: str, status: os.stat_result) -> bool:
    """Whether root has decided who reads this file, and we cannot: one of root's, or on a medium that is read-only.

    So a container gets its secrets: Docker's have mode 0444 on a read-only mount, those of Kubernetes 0644, or 0440
    and the group of the pod. Nobody inside can change that, and few others are inside.
    """
    if status.st_uid == 0 and os.geteuid() != 0:
        return True
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _without_links(disk: Disk, path: str) -> str:
    """Where a path leads, if each link on the way is one that only root or we can have put there. ``OSError``.

    Kubernetes leads to each secret by two: ``key -> ..data/key`` and ``..data -> ..2026_11_30``.
    """
    if not hasattr(os, "geteuid") or not stat.S_ISLNK(disk.stat(path).st_mode):
        return path
    done, steps = os.sep, os.path.abspath(path).split(os.sep)[::-1]
    for _ in range(_MOST_STEPS):
        if not steps:
            return done
        step = steps.pop()
        if step in ("", os.curdir):
            continue
        if step == os.pardir:
            done = os.path.dirname(done)
            continue
        here = os.path.join(done, step)
        status = disk.stat(here)
        if not stat.S_ISLNK(status.st_mode):
            done = here
            continue
        holder = disk.stat(done)
        is_shared = holder.st_mode & 0o022 and not holder.st_mode & stat.S_ISVTX
        if is_shared or not is_masters(holder.st_uid) or not is_masters(status.st_uid):
            break
        target = disk.readlink(here)
        steps += target.split(os.sep)[::-1]
        done = os.sep if os.path.isabs(target) else done
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def shares_home(file: str, vault: str) -> bool:
    """Whether a file and a vault lie in the home of this user: who gets that, or a backup of it, has both."""
    home = os.path.join(os.path.realpath(os.path.expanduser("~")), "")
    return len(home) > 1 and all(os.path.realpath(path).startswith(home) for path in (file, vault))


def _is_terminal() -> bool:
    return all(stream is not None and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stderr))


def short(path: str) -> str:
    """The path as people write it, with ``~`` for their home."""
    home = os.path.join(os.path.expanduser("~"), "")  # "~/" for a user without one
    return os.path.join("~", path.removeprefix(home)) if len(home) > 1 and path.startswith(home) else path
