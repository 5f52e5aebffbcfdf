"""Real kernels: processes that write, file systems to cut the power of, and what must be there afterwards.

Nothing here is simulated. File systems are made in an image file, mounted for one test and unmounted whatever happens;
processes are ended by the id that starting them gave.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.doctor import Severity, examine
from vaultsession.errors import VaultError

KEY = RawKey(bytes(range(160, 192)))
ROOT = Path(__file__).parents[2]
WRITER = Path(__file__).with_name("kernel_writer.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "VAULTSESSION_KEY": KEY.text(), "PYTHONDONTWRITEBYTECODE": "1"}

PATIENCE = 120
SHUTDOWN = 0x8004587D
"""FS_IOC_SHUTDOWN: the file system is cut off from its device as by a power cut, at once."""
DEFAULT, LOG_FLUSH, NO_LOG_FLUSH = 0, 1, 2
"""What happens to what the system has not written by then: all of it is, only the journal is, or nothing."""


def opened(path: Path | str, **settings: object) -> SessionStore:
    return open_store(path, key=KEY, create=False, **settings)


def made(path: Path) -> Path:
    """A vault whose making is durable."""
    open_store(path, key=KEY).close()
    return path


# -- file systems ------------------------------------------------------------------------------------------------------


@functools.cache
def why_no_mounts() -> str | None:
    """Why nothing can be mounted here; None where it can."""
    if sys.platform != "linux":
        return "mounts of Linux"
    if os.geteuid() != 0:
        return "only root mounts file systems: run the tests as root"
    with tempfile.TemporaryDirectory() as place:
        tried = subprocess.run(["mount", "-t", "tmpfs", "none", place], capture_output=True, text=True, check=False)
        if tried.returncode:
            return f"this root may not mount: {tried.stderr.strip()}"
        subprocess.run(["umount", place], check=True)
    return None


needs_mounts = pytest.mark.skipif(why_no_mounts() is not None, reason=str(why_no_mounts()))


@contextlib.contextmanager
def mounted(place: Path, *arguments: str) -> Iterator[Path]:
    """Mount something there, and unmount it whatever happens."""
    place.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(place)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mount {' '.join(arguments)}: {done.stderr.strip()}")
    try:
        yield place
    except BaseException:
        # What failed may hold files open: it is unmounted once they are closed.
        subprocess.run(["umount", "--lazy", str(place)], check=False)
        raise
    unmount(place)


def unmount(place: Path) -> None:
    gc.collect()  # an exception that was caught may be in a cycle with the frames that opened files
    for _ in range(50):
        if subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.1)  # a process that was killed has not gone yet
    subprocess.run(["umount", "--lazy", str(place)], check=True)
    pytest.fail(f"{place} was still in use")


class Image:
    """A file system in a file, mounted and cut off as often as is wanted."""

    def __init__(
        self, directory: Path, kind: str, *options: str, size: int = 64 << 20, make: tuple[str, ...] = ()
    ) -> None:
        self.path = directory / f"{kind}.img"
        self.place = directory / "mounted"
        self.options = ",".join(("loop", *options))
        program = shutil.which(f"mkfs.{kind}", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
        if program is None:
            package = {"xfs": "xfsprogs", "ext4": "e2fsprogs"}[kind]
            pytest.skip(f"there is no mkfs.{kind}: install {package}")
        with open(self.path, "wb") as image:
            image.truncate(max(size, 320 << 20) if kind == "xfs" else size)
        subprocess.run([program, "-q", *make, str(self.path)], check=True, capture_output=True)

    def mounted(self) -> contextlib.AbstractContextManager[Path]:
        return mounted(self.place, "-o", self.options, str(self.path))

    def cut(self, flags: int) -> None:
        """Cut the power. What was written but not flushed is gone, as the flags say."""
        root = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(root, SHUTDOWN, flags.to_bytes(4, sys.byteorder))
        except OSError as error:
            pytest.skip(f"this file system cannot be cut off: {error}")
        finally:
            os.close(root)


# -- writers -----------------------------------------------------------------------------------------------------------


class Writer:
    """A process that writes. ``ledger`` learns what it acknowledged."""

    def __init__(self, vault: Path, number: str, era: str, ledger: Ledger, *, durability: str = "sync") -> None:
        self.number = number
        self.ledger = ledger
        self._rest = b""
        self._ended = False
        self._process = subprocess.Popen(
            [sys.executable, str(WRITER), str(vault), durability, number, era],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        self.lines = 0

    def hear(self, patience: float = 0) -> bool:
        """Take in what it has said, and at most wait for so long that it says something. False at its end."""
        stdout = self._process.stdout
        assert stdout is not None
        while not self._ended and select.select([stdout], [], [], patience)[0]:
            patience = 0
            chunk = os.read(stdout.fileno(), 1 << 16)
            self._ended = not chunk
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                self.lines += 1
                self.ledger.note(self.number, line.decode())
        return not self._ended

    def reach(self, lines: int) -> None:
        """Wait until it has said so much."""
        deadline = time.monotonic() + PATIENCE
        while self.lines < lines:
            assert self.hear(1), f"writer {self.number} ended: {self.end()}"
            assert time.monotonic() < deadline, f"writer {self.number} is stuck"

    def kill(self) -> None:
        """End it at whatever it does just now."""
        self._process.send_signal(signal.SIGKILL)
        self.end()

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said on stderr; killed if it does not end."""
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            pytest.fail(f"writer {self.number} does not end")
        while self.hear():
            pass
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode()
        self._process.stdout.close()
        self._process.stderr.close()
        return self._process.returncode, said


class Ledger:
    """What was acknowledged, and whether it is there."""

    def __init__(self) -> None:
        self.appended: dict[str, dict[str, int]] = defaultdict(dict)
        self.saved: dict[str, int] = {}
        self.present: set[str] = set()
        self.absent: set[str] = set()
        self.deleting: set[str] = set()
        self.refusals: set[str] = set()
        self.acknowledged = 0

    def note(self, writer: str, line: str) -> None:
        verb, name, *rest = (*line.split(), "")
        self.acknowledged += verb not in ("ready", "deleting", "refused")
        if verb == "append":
            self.appended[name][writer] = int(rest[0])
        elif verb == "save":
            self.saved[name] = int(rest[0])
        elif verb == "create":
            self.present.add(name)
        elif verb == "deleting":
            self.deleting.add(name)
            self.present.discard(name)
        elif verb == "delete":
            self.absent.add(name)
        elif verb == "refused":
            self.refusals.add(name)

    def lost(self, store: SessionStore) -> list[str]:
        """Each acknowledged write that is not there, or not once and in order, in words."""
        problems = []
        for name, writers in self.appended.items():
            history: dict[str, list[int]] = defaultdict(list)
            for message in self._messages(store, name, problems):
                history[message["w"]].append(message["n"])
            for writer, last in writers.items():
                numbers = history[writer]
                if len(numbers) <= last:
                    problems.append(
                        f"{name}: of writer {writer} {last + 1} were acknowledged, {len(numbers)} are there"
                    )
            problems += [
                f"{name}: writer {writer} reads {numbers}"
                for writer, numbers in history.items()
                if numbers != list(range(len(numbers)))
            ]
        for name, last in self.saved.items():
            try:
                found = store.load(name).state["n"]
            except VaultError as error:
                found = -1
                problems.append(f"{name}: {error!r}")
            if found < last:
                problems.append(f"{name}: state {last} was acknowledged, {found} is there")
        problems += [f"{name}: its creation was acknowledged" for name in self.present if not store.exists(name)]
        problems += [f"{name}: its removal was acknowledged" for name in self.absent if store.exists(name)]
        listed = {info.id for info in store.list()}
        expected = self.present | self.appended.keys() | self.saved.keys()
        problems += [f"{name}: not listed" for name in sorted(expected - listed)]
        problems += [f"{name}: listed, and removed" for name in sorted(self.absent & listed)]
        return problems

    @staticmethod
    def _messages(store: SessionStore, name: str, problems: list[str]) -> list[dict[str, object]]:
        try:
            return store.load(name).messages
        except VaultError as error:
            problems.append(f"{name}: {error!r}")
            return []


def errors_in(vault: Path) -> list[str]:
    """What doctor calls an error."""
    found = examine(str(vault), [("the key", KEY)])
    return [f"{each.name} {each.place}: {each.sentence}" for each in found if each.severity is Severity.ERROR]
