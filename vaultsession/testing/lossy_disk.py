"""LossyDisk: cut the power of a store at every moment of its life, and open what may be left.

::

    disk = LossyDisk(path)
    with open_store(path, disk=disk, key=key) as store:
        store.create("a")
        disk.note("created")
    for crashed in disk.crash_states():
        with open_store(crashed, key=key) as store:
            assert "created" not in crashed.notes or store.exists("a")

What a medium may hold is defined in ``powercut``. Flushes are recorded and not performed, so a test of a thousand power
cuts costs the medium nothing. The index is SQLite's and is not written through a Disk: it is copied whenever its lock
is let go, and at every flush and note.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from ..backends.files.layout import FilesLayout
from ..util.disk import READ, Disk
from .disk_image import (
    ABOVE,
    DiskWrite,
    Entries,
    Event,
    Flush,
    FlushEntries,
    Found,
    Image,
    Kind,
    Lost,
    Mode,
    Name,
    Noted,
    WalIndex,
)
from .powercut import Medium

if sys.platform != "win32":
    import fcntl

_SIDES = ("-wal", "", "-shm")  # the log before what it is written into: a copy of both is then one of a moment between


@dataclass(frozen=True, slots=True)
class Crashed:
    """A vault as a power cut may leave it; a path to give to ``open_store``. Gone when the next one is asked for.

    ``notes`` are those of before the cut, ``after`` the number of events that the medium saw, ``told`` what became of
    what was not flushed.
    """

    path: str
    notes: tuple[object, ...]
    after: int
    told: str

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        return f"{self.path}: the power was cut after event {self.after}, {list(self.notes)!r}: {self.told}"


class LossyDisk(Disk):
    """Passes everything through to ``path``, a vault or where one will be, and remembers what of it was flushed.

    Safe from any thread; one process. ``images`` is where crashed vaults are made, by default beside the vault: it
    should be a directory in memory where there are many. The same events and the same ``seed`` give the same states.
    """

    def __init__(self, path: str | os.PathLike[str], *, seed: int = 0, images: str | os.PathLike[str] = "") -> None:
        self.root = os.path.realpath(path)
        self.explored = 0
        self._seed = seed
        self._images = os.fspath(images) or f"{self.root}.crashed"
        self._lock = threading.RLock()
        self._names: dict[Name, int] = {}
        self._kinds: dict[int, Kind] = {ABOVE: Kind(directory=True, mode=0o700)}
        self._open: dict[int, int] = {}
        self._log: list[Event] = []
        self._index = FilesLayout(self.root).index
        self._index_lock = FilesLayout(self.root).index_lock
        self._index_locks: set[int] = set()
        self._index_changing = 0
        self._index_signature: tuple[object, ...] = (None,) * len(_SIDES)
        self._index_flushed = False
        self._flushed_frames = 0
        self._boot = int.from_bytes(os.urandom(7)) + 1
        self._index_files: dict[int, int] = {}
        if os.path.lexists(self.root):
            self._adopt((ABOVE, ""), self.root)
        self._begin_names = dict(self._names)
        self._log.clear()
        self._look_at_index(found=True)
        self._begin = len(self._log)  # before it the medium lacks the index that was found

    # -- for the test --------------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """How many events the medium has seen: to be given to ``crash_states`` as ``since``."""
        with self._lock:
            return len(self._log)

    def note(self, value: object) -> None:
        """Say that something has happened: that a call has returned, say. Crashed vaults know what was said before."""
        with self._lock:
            self._look_at_index()
            self._log.append(Noted(value))

    def power_cut(self, *, bound: int = 64) -> Iterator[Crashed]:
        """The states that a power cut may leave if it comes now: at most ``bound``."""
        return self.crash_states(since=self.position, bound=bound)

    def crash_states(self, *, since: int = 0, bound: int = 32, most: int | None = None) -> Iterator[Crashed]:
        """The states that a power cut at any moment since ``since`` may leave, until now.

        At most ``bound`` for each moment, which are between any two events, and ``most`` in all; none twice with the
        same notes. ``explored`` counts them. The store may still be open: what it does meanwhile is not seen.
        """
        with self._lock:
            self._look_at_index()
            log = list(self._log)
        medium = Medium(self._begin_names, self._kinds, seed=self._seed)
        seen: set[tuple[int, int]] = set()
        last = ""
        for moment in range(len(log) + 1):
            if moment >= max(since, self._begin):
                for told, image in medium.images(bound):
                    seal = (image.fingerprint(), len(medium.notes))
                    if seal in seen:
                        continue
                    if most is not None and len(seen) >= most:
                        return
                    seen.add(seal)
                    self._remove(last)
                    last = self._make(image)
                    yield Crashed(last, tuple(medium.notes), moment, told)
            if moment < len(log):
                medium.follow(log[moment])
        self._remove(last)

    def _make(self, image: Image) -> str:
        os.makedirs(self._images, mode=0o700, exist_ok=True)
        self.explored += 1
        path = os.path.join(self._images, f"{self.explored}")
        image.write_to(path)
        return path

    def _remove(self, path: str) -> None:
        if path and os.path.lexists(path):
            shutil.rmtree(path)

    # -- calls ---------------------------------------------------------------------------------------------------------

    def open(self, path: str, flags: int = READ, mode: int = 0o777) -> int:
        """Open, and remember which file it is."""
        with self._lock:
            place = self._place(path)
            new = bool(flags & os.O_CREAT) and place is not None and not os.path.lexists(path)
            fd = os.open(path, flags, mode)
            if path == os.path.dirname(self.root):
                self._open[fd] = ABOVE
            elif place is not None:
                if new:
                    node = self._made(Kind(directory=False, mode=stat.S_IMODE(os.fstat(fd).st_mode)))
                    self._changed((place, node))
                else:
                    node = self._names[place] if place in self._names else self._adopt(place, path)
                self._open[fd] = node
            if path == self._index_lock:
                self._index_locks.add(fd)
            return fd

    def close(self, fd: int) -> None:
        """Close."""
        with self._lock:
            self._open.pop(fd, None)
            self._index_locks.discard(fd)
            os.close(fd)

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        """Make a directory."""
        with self._lock:
            os.mkdir(path, mode)
            if place := self._place(path):
                kind = Kind(directory=True, mode=stat.S_IMODE(os.lstat(path).st_mode))
                self._changed((place, self._made(kind)))

    def rmdir(self, path: str) -> None:  # type: ignore[override]  # no dir_fd
        """Remove a directory."""
        with self._lock:
            os.rmdir(path)
            if place := self._place(path):
                self._changed((place, None))

    def unlink(self, path: str) -> None:  # type: ignore[override]  # no dir_fd
        """Remove a name."""
        with self._lock:
            os.unlink(path)
            if place := self._place(path):
                self._changed((place, None))
            else:
                self._look_at_index()

    def rename(self, source: str, target: str) -> None:  # type: ignore[override]  # no dir_fd
        """Rename over the target: one change of both names."""
        with self._lock:
            old, new = self._place(source), self._place(target)
            node = self._names.get(old) if old else None
            if new is not None and node is None:
                node = self._adopted(source)
            os.replace(source, target)
            changes = [(old, None)] if old else []
            if new is not None:
                self._changed(*changes, (new, node))
            elif changes:
                self._changed(*changes)
            if old is None or new is None:
                self._look_at_index()

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:  # type: ignore[override]  # a staticmethod there
        """Write at an offset."""
        with self._lock:
            count = os.pwrite(fd, data, offset)
            if fd in self._open and count:
                self._log.append(DiskWrite(self._open[fd], offset, bytes(data[:count])))
            return count

    def fchmod(self, fd: int, mode: int) -> None:
        """Change a mode."""
        with self._lock:
            os.fchmod(fd, mode)
            if fd in self._open:
                self._log.append(Mode(self._open[fd], mode))

    def fsync(self, fd: int) -> None:
        """Remember that this file, or the entries of this directory, are flushed."""
        self._flushed(fd, whole=True)

    def fdatasync(self, fd: int) -> None:
        """Remember that the data of this file are flushed."""
        self._flushed(fd, whole=False)

    def index_flushed(self) -> None:
        """Remember that the index is flushed, as it is when its lock is let go."""
        self._index_flushed = True

    def boot(self) -> int:
        """Another one for each disk: what it lost is lost."""
        return self._boot

    def lose(self, fd: int) -> None:
        """The flush of this file failed: what it was to write cannot be relied on for ever."""
        with self._lock:
            if fd in self._open:
                self._log.append(Lost(self._open[fd]))

    def flock(self, fd: int, operation: int) -> None:  # type: ignore[override]  # a staticmethod there
        """Lock; the index is copied when its lock is let go."""
        ours = fd in self._index_locks
        if ours and operation & fcntl.LOCK_UN:
            with self._lock:
                self._index_changing -= 1
                self._look_at_index()
        fcntl.flock(fd, operation)
        if ours and not operation & fcntl.LOCK_UN:
            with self._lock:
                self._index_changing += 1

    # -- within --------------------------------------------------------------------------------------------------------

    def _flushed(self, fd: int, *, whole: bool) -> None:
        with self._lock:
            self._look_at_index()
            os.fstat(fd)  # a descriptor that is none is refused here as well
            node = self._open.get(fd)
            if node is not None:
                self._log.append(FlushEntries(node) if self._kinds[node].directory else Flush(node, whole))

    def _place(self, path: str) -> Name | None:
        """The name of a path in its directory; None for what is not the vault's, or SQLite's."""
        if path == self.root:
            return ABOVE, ""
        if not path.startswith(self.root + os.sep) or path.startswith(self._index):
            return None
        *above, name = path[len(self.root) + 1 :].split(os.sep)
        node, at = self._names.get((ABOVE, "")), self.root
        for part in above:
            at = os.path.join(at, part)
            node = None if node is None else self._names.get((node, part))
        return None if node is None else (node, name)

    def _made(self, kind: Kind) -> int:
        node = len(self._kinds)
        self._kinds[node] = kind
        return node

    def _changed(self, *changes: tuple[Name, int | None]) -> None:
        entries = Entries(changes)
        entries.apply(self._names)
        self._log.append(entries)

    def _adopt(self, name: Name, path: str) -> int:
        """What was there before, or came in another way, is taken to be flushed; it has its name from the beginning."""
        node = self._adopted(path)
        self._names[name] = node
        self._log.append(Found(name, node))
        if self._kinds[node].directory:
            for entry in sorted(os.listdir(path)):
                place = os.path.join(path, entry)
                if not place.startswith(self._index):
                    self._adopt((node, entry), place)
        return node

    def _adopted(self, path: str) -> int:
        status = os.lstat(path)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return self._made(Kind(directory=True, mode=mode))
        with open(path, "rb") as file:
            return self._made(Kind(directory=False, mode=mode, data=file.read()))

    def _look_at_index(self, *, found: bool = False) -> None:
        """Copy SQLite's files if they have changed, between two transactions."""
        if self._index_changing:
            return
        signature: list[object] = []
        for side in _SIDES:
            try:
                status = os.lstat(self._index + side)
            except FileNotFoundError:
                signature.append(None)
            else:
                signature.append((status.st_ino, status.st_size, status.st_mtime_ns))
        if tuple(signature) == self._index_signature:
            return
        self._index_signature = tuple(signature)
        contents = {side: self._read(self._index + side) for side in _SIDES}
        files = {
            os.path.basename(self._index) + side: data for side in ("", "-wal") if (data := contents[side]) is not None
        }
        index = WalIndex.of_files(files, contents["-shm"] or b"")
        if found or self._index_flushed or index.of < self._flushed_frames:  # all of it is, or the log has begun anew
            self._flushed_frames = index.of if found or self._index_flushed else 0
        self._index_flushed = False
        self._log.append(index._replace(found=found, frames=max(index.frames, self._flushed_frames)))

    def _read(self, path: str) -> bytes | None:
        """A file of SQLite's. Its descriptor stays open: closing it would drop the locks that SQLite has on it."""
        try:
            inode = os.lstat(path).st_ino
            if inode not in self._index_files:
                self._index_files[inode] = os.open(path, READ)
        except FileNotFoundError:
            return None
        fd = self._index_files[inode]
        return os.pread(fd, os.fstat(fd).st_size, 0)

    def forget(self) -> None:
        """Close what is kept open of the index. For when every store on this disk is closed."""
        with self._lock:
            for fd in self._index_files.values():
                os.close(fd)
            self._index_files.clear()

    def __del__(self) -> None:
        self.forget()
