"""A vault directory: the metadata of a vault in files, and that the directory is private.

::

    my-vault/                0700, files 0600
      vault.json             {"format", "version", "vault_id", "names", "created"}, one line, no secrets
      keyring  keyring.bak   the keyring file, twice
       sessions/  locks/  quarantine/
       dictionaries/         <number>.vsd and <number>.bak, twice as well
       tenants/              <name>, once: every further copy is one more to destroy; for no backup of the sessions

**Creation.** Everything lies flushed in the directory before ``vault.json`` is renamed into place: a directory
without it is no vault. One that holds nothing but what an interrupted creation leaves can be created again; any other
that is not empty is refused. Of two that create at once, one gets ``Conflict`` and can open what the other made.

**Changes** hold an exclusive ``flock`` on ``locks/vault``, against threads and processes alike. Each copy is replaced
as a whole (temp, flush, rename, flush of the directory), one after the other, so that at any moment at least one is
complete. Of the keyring the newest valid copy goes last; of a new dictionary the ``.bak`` goes first, so that readers
of the ``.vsd`` may write records that refer to it. Until the first rename a failure has changed nothing; after it the
outcome of a change of the keyring is unknown (``DurabilityUnknown``). A replaced copy of the keyring that was not valid
is kept in ``quarantine/``. A replaced file of a tenant is overwritten; a power cut just before that may leave the old
bytes in free space of the medium, which no file names.

**Refusals.** What is not ours alone (links, hard links, FIFOs, foreign owners, what others may write) and network
file systems are ``BackendUnavailable``: nothing was read, so nothing can be said of the bytes. Only the bytes of a
private file can be ``Damaged``. The vault path itself may be a symbolic link to a directory.

Opening takes no lock, unless a copy has to be mended; that is attempted without waiting and never fails the opening.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..backends.files.locks import lock_rarely, try_lock, unlock
from ..errors import BackendUnavailable, Conflict, Damaged, DurabilityUnknown, VaultError, VaultNotFound
from ..format.dictionaries import LARGEST_SEALED
from ..util.disk import (
    CREATE,
    CREATE_NEW,
    PRIVATE_DIRECTORY,
    READ_WRITE,
    Disk,
    make_directories,
    opened,
    read_file,
    replace_file,
    shred_file,
    why_not_ours,
    why_not_private,
    write_all,
    write_new,
)
from ..util.file_system import reach_of
from ..util.lazy import LazyModule, log
from ..util.named_tuple import NamedTuple
from . import keyring_file
from .identity import FACTS, LARGEST_FACTS, Identity
from .metadata import DICTIONARY, TENANT, VAULT, Copy, MetadataStore, bounded, check_name, parse_name, split

if TYPE_CHECKING:
    from . import tenant_keys
else:
    tenant_keys = LazyModule(".vault.tenant_keys")

SESSIONS, LOCKS, QUARANTINE = "sessions", "locks", "quarantine"
DIRECTORIES = (SESSIONS, LOCKS, QUARANTINE)
DICTIONARIES, TENANTS = "dictionaries", "tenants"
"""Made with the first dictionary, and with the first key of a tenant."""
COPIES = ("keyring", "keyring.bak")
OLDER_KEYRING = "keyring.older"
NEW = ".new"

_LOCK = "vault"
_OWN_NAMES = frozenset({*DIRECTORIES, *COPIES, FACTS + NEW, *(name + NEW for name in COPIES)})


class Files(NamedTuple):
    """The files of one value, in a directory of the vault ("": the vault itself), the best known copy first."""

    directory: str
    names: tuple[str, ...]
    limit: int

    @classmethod
    def of(cls, name: str) -> Files:
        """Those of a value. ``Damaged`` for what is no name of one: a name becomes a path here and nowhere else."""
        if check_name(name) == VAULT:
            return cls("", COPIES, keyring_file.LARGEST_FILE)
        if name.startswith(DICTIONARY):
            number = name.removeprefix(DICTIONARY)
            return cls(DICTIONARIES, (f"{number}.vsd", f"{number}.bak"), LARGEST_SEALED)
        return cls(TENANTS, (name.removeprefix(TENANT),), tenant_keys.LARGEST_FILE)


class VaultDirectory(MetadataStore):
    """The metadata of a vault in a directory that is one, or shall become one. Safe from any thread and process."""

    def __init__(self, path: str, disk: Disk | None = None, *, allow_network: bool = False) -> None:
        # Once and for all: the process may change its directory, and a link to the vault may be turned elsewhere.
        self.path = os.path.realpath(path)
        self.disk = disk or Disk()
        self.allow_network = allow_network
        self._is_local = False

    @property
    def where(self) -> str:
        return self.path

    def exists(self) -> bool:
        with _storage(self.path):
            try:
                self.disk.stat(self._at(FACTS))
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True

    def identity(self) -> bytes:
        """``vault.json``, after every check that needs no key."""
        with _storage(self.path):
            if not self._is_there():
                raise VaultNotFound(f"there is no vault at {self.path}")
            self._refuse_shared()
            self._refuse_network()
            try:
                return read_file(self.disk, self._at(FACTS), limit=LARGEST_FACTS, refusal=why_not_ours)
            except FileNotFoundError:
                raise VaultNotFound(f"{self.path} is a directory and no vault: there is no {FACTS} in it") from None
            except ValueError as error:
                raise Damaged(f"{FACTS} is not what this package writes: {error}") from None

    def read(self, name: str) -> tuple[Copy, ...]:
        """The copies of a value. A file that is not ours alone is ``BackendUnavailable``, unless another one serves."""
        facts = self.identity() if name == VAULT else b""
        if name == VAULT:
            Identity.decode(facts)
        copies = self.copies(name)
        if name != VAULT and all(copy.gone for copy in copies):
            return ()
        is_lost = all(copy.data is None for copy in copies)
        with _storage(self.path):
            for copy in copies:
                if copy.error and (copy.error.errno != errno.EIO if name == VAULT else is_lost):
                    try:
                        raise copy.error
                    finally:
                        del copy, copies  # raised from here it refers to this frame, and they to the error
                if is_lost and len(copies) == 1:
                    raise OSError(copy.problem)  # it is there, and kept once: nothing else can say what it holds
        return tuple(copy if copy.data is None else copy._replace(data=facts + copy.data) for copy in copies)

    def copies(self, name: str) -> tuple[Copy, ...]:
        """The files of a value, each read by itself: without ``vault.json``, and whatever is wrong with the others."""
        files = Files.of(name)
        with _storage(self.path):
            if files.directory:
                try:
                    self._refuse_shared(files.directory)
                except FileNotFoundError:
                    return ()
            return tuple(self._read_copy(files, each) for each in files.names)

    def names(self, prefix: str, *, begun: bool = False) -> tuple[str, ...]:
        """Dictionaries of which both copies were begun, so that no power cut takes them back (``begun``: all); tenants.

        Leftovers of a change that was cut apart, and files of other names, are none of them.
        """
        directory = DICTIONARIES if prefix == DICTIONARY else TENANTS
        with _storage(self.path):
            try:
                self._refuse_shared(directory)
                entries = self.disk.listdir(self._at(directory))
            except FileNotFoundError:
                return ()
        if prefix == TENANT:
            return bounded(TENANT, tuple(filter(None, (parse_name(TENANT, name) for name in sorted(entries)))))
        numbers = {number_in(name) for name in entries if begun or name.endswith(".vsd")}
        return bounded(DICTIONARY, tuple(f"{DICTIONARY}{number}" for number in sorted(filter(None, numbers))))

    def create(self, make: Callable[[], bytes]) -> object:
        """Make the directory, parents included, and the vault in it. ``make`` is called under the lock."""
        with _storage(self.path):
            self._refuse_network()
            unflushed = self._make_directories()
            with self.locked():
                leftovers = self._refuse_foreign()
                self._write_first(*split(make()), leftovers, unflushed)
                return self.etag()  # the next change of the keyring waits for this lock

    def put_if(self, name: str, data: bytes, expected: Sequence[Copy]) -> bool:
        return self._put(name, data, expected, wait=True)

    def settle(self, name: str) -> None:
        """Flush the name: the bytes were flushed before it was given to them."""
        with _storage(self.path):
            self.disk.sync_directory(self._at(Files.of(name).directory))

    def keep_older(self, value: bytes) -> None:
        """In quarantine, beside the copies that were found damaged."""
        with _storage(self.path), self.locked():
            self._mkdir(QUARANTINE)
            path = self._at(QUARANTINE, OLDER_KEYRING)
            with contextlib.suppress(FileNotFoundError):
                self.disk.unlink(path + NEW)
            replace_file(self.disk, path + NEW, path, split(value)[1])

    def delete(self, name: str) -> None:
        """Overwrite and remove the files, the one that is listed first."""
        files = Files.of(name)
        with _storage(self.path), self.locked(), contextlib.suppress(FileNotFoundError):
            for each in files.names:
                shred_file(self.disk, self._at(files.directory, each))
                self.disk.sync_directory(self._at(files.directory))

    def etag(self) -> object:
        """Which file the keyring is now: one ``lstat``, since every change puts another in its place."""
        try:
            found = self.disk.stat(self._at(COPIES[0]))
        except (FileNotFoundError, NotADirectoryError):
            return "gone"
        except OSError:
            with _storage(self.path):
                raise
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def findings(self) -> tuple[str, ...]:
        """The directories that a backup left out, say."""
        missing = []
        for name in DIRECTORIES:
            try:
                self.disk.stat(self._at(name))
            except OSError:
                missing.append(f"{name}/: was missing")
        return tuple(missing)

    def mend(self, name: str, data: bytes, expected: Sequence[Copy]) -> None:
        """Make the directories that are missing and bring a copy level that is not, without waiting for a lock."""
        with contextlib.suppress(OSError, VaultError):
            for directory in DIRECTORIES:
                self._mkdir(directory)
            self._put(name, data, expected, wait=False)

    @contextlib.contextmanager
    def locked(self, *, wait: bool = True) -> Iterator[None]:
        """Alone among all that change this vault's metadata; ``BlockingIOError`` where that would mean to wait."""
        path = self._at(LOCKS, _LOCK)
        with opened(self.disk, path, CREATE) as fd:
            if reason := why_not_private(self.disk.fstat(fd)):
                raise PermissionError(f"{path}: {reason}")
            if wait:
                lock_rarely(self.disk, fd, path)
            elif not try_lock(self.disk, fd):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # closing unlocks too, unless a child was forked meanwhile
                    unlock(self.disk, fd)

    def _put(self, name: str, data: bytes, expected: Sequence[Copy], *, wait: bool) -> bool:
        files = Files.of(name)
        with _storage(self.path), self.locked(wait=wait):
            if files.directory and not expected:
                self._mkdir(files.directory)
            if expected:
                if _held(self.read(name)) != _held(expected):
                    return False
            elif any(not copy.gone for copy in self.copies(name)):
                return False
            due = [copy for copy in expected if copy.data != data]
            if not expected:
                due = [Copy(each, None, gone=True) for each in reversed(files.names)]
                self.disk.sync_directory(self.path)
            elif files.directory == DICTIONARIES:
                # The writer of the copy that stays may have died before its name was flushed.
                self.disk.sync_directory(self.path)
                self.disk.sync_directory(self._at(DICTIONARIES))
            self._replace_copies(files, due, split(data)[1] if name == VAULT else data)
            return True

    def _replace_copies(self, files: Files, copies: Iterable[Copy], data: bytes) -> None:
        begun = False
        for copy in copies:
            path = self._at(files.directory, copy.place)
            try:
                if not files.directory and copy.problem and not copy.gone:
                    self._set_aside(copy.place, ".damaged")
                with self._overwritten(path) if files.directory == TENANTS else contextlib.nullcontext():
                    with contextlib.suppress(FileNotFoundError):
                        self.disk.unlink(path + NEW)
                    write_new(self.disk, path + NEW, data)
                    begun = True  # a rename that fails may have been done
                    self.disk.replace(path + NEW, path)
                    self.disk.sync_directory(os.path.dirname(path))
            except OSError as error:
                if begun and not files.directory:
                    raise DurabilityUnknown(
                        f"{path}: the change of the keyring was begun and could not be completed: {_words(error)}; "
                        "open the vault again to see whether it holds"
                    ) from error
                raise

    @contextlib.contextmanager
    def _overwritten(self, path: str) -> Iterator[None]:
        """The file at a path, overwritten once it is replaced; and what an interrupted change left beside it."""
        shred_file(self.disk, path + NEW)
        try:
            old = self.disk.open(path, READ_WRITE)
        except FileNotFoundError:
            yield
            return
        try:
            yield
            write_all(self.disk, old, os.urandom(self.disk.fstat(old).st_size), 0)
            self.disk.fsync(old)
        finally:
            self.disk.close(old)

    def _read_copy(self, files: Files, name: str) -> Copy:
        try:
            data = read_file(self.disk, self._at(files.directory, name), limit=files.limit, refusal=why_not_ours)
        except FileNotFoundError:
            return Copy(name, None, "is gone", gone=True)
        except ValueError as error:
            return Copy(name, None, str(error))
        except OSError as error:
            said = "the medium cannot read it" if error.errno == errno.EIO else str(error)
            return Copy(name, None, said, error=error.with_traceback(None))  # its frames would keep descriptors open
        return Copy(name, data)

    def _write_first(self, facts: bytes, keyring: bytes, leftovers: set[str], unflushed: Iterable[str]) -> None:
        """Everything written, then everything flushed, then ``vault.json`` renamed into place."""
        for name in leftovers.intersection(COPIES):
            self._set_aside(name, f".{os.urandom(4).hex()}")  # should it be no leftover, somebody will miss it
        new_facts = FACTS + NEW
        if new_facts in leftovers:
            self.disk.unlink(self._at(new_facts))
        with contextlib.ExitStack() as stack:
            written = []
            for name, content in (*((name, keyring) for name in COPIES), (new_facts, facts)):
                fd = stack.enter_context(opened(self.disk, self._at(name), CREATE_NEW))
                write_all(self.disk, fd, content, 0)
                written.append(fd)
            for flush in (self.disk.begin_flush, self.disk.fsync):  # all begun first, so that they share one commit
                for fd in written:
                    flush(fd)
        for directory in (*unflushed, self.path):
            self.disk.sync_directory(directory)
        try:
            self.disk.replace(self._at(new_facts), self._at(FACTS))
            self.disk.sync_directory(self.path)
        except OSError as error:
            raise DurabilityUnknown(
                f"{self.path}: the last step of making the vault failed: {_words(error)}; open it to see if it is there"
            ) from error

    def _set_aside(self, name: str, suffix: str) -> None:
        """Keep what is about to be replaced, where people can look at it."""
        self._mkdir(QUARANTINE)
        with contextlib.suppress(FileNotFoundError):
            self.disk.replace(self._at(name), self._at(QUARANTINE, name + suffix))

    def _make_directories(self) -> list[str]:
        """Make what is missing of the vault's directories. The directories that have a new entry since."""
        changed = [] if self._is_there() else make_directories(self.disk, self.path)
        self._refuse_foreign()
        for name in DIRECTORIES:
            self._mkdir(name)
        self._refuse_shared()
        return changed

    def _mkdir(self, name: str) -> None:
        with contextlib.suppress(FileExistsError):
            self.disk.mkdir(self._at(name), PRIVATE_DIRECTORY)

    def _is_there(self) -> bool:
        """Whether there is a directory at the path. A file is refused."""
        try:
            is_file = stat.S_ISREG(self.disk.stat(self.path).st_mode)
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            is_file = True
        if is_file:
            raise VaultNotFound(f"{self.path} is a file, and a vault is a directory: choose another path")
        return True

    def _refuse_foreign(self) -> set[str]:
        """Refuse to make a vault of anything but an empty directory and what an interrupted creation leaves: that."""
        entries = set(self.disk.listdir(self.path))
        if FACTS in entries:
            raise Conflict(f"{self.path}: there is a vault already: open it")
        if foreign := sorted(entries - _OWN_NAMES):
            raise VaultNotFound(
                f"{self.path} is no vault (there is no {FACTS}) and is not empty (there is {foreign[0]!r}), "
                f"so none is made there: choose another directory, or restore {FACTS} from a backup"
            )
        for name in (SESSIONS, QUARANTINE):
            kept = self.disk.listdir(self._at(name)) if name in entries else []
            if any(name == SESSIONS or not entry.startswith(COPIES[0]) for entry in kept):
                raise VaultNotFound(f"{self.path} holds sessions and no {FACTS}: restore that file from a backup")
        return entries

    def _refuse_shared(self, directory: str | None = None) -> None:
        """Refuse the vault's own directories that are not ours alone, or one of them that has to be there."""
        for name in ("", *DIRECTORIES) if directory is None else (directory,):
            path = self._at(name) if name else self.path
            try:
                reason = why_not_private(self.disk.stat(path), directory=True)
            except FileNotFoundError:
                if directory is not None:
                    raise
                continue
            if reason:
                raise BackendUnavailable(f"{path}: {reason}; a vault's directories are yours alone, mode 0700")

    def _refuse_network(self) -> None:
        if self.allow_network or self._is_local:
            return
        kind = self.disk.filesystem(self.path)
        reach = reach_of(kind)
        if reach == "network":
            raise BackendUnavailable(
                f"{self.path} lies on a network file system ({kind}), where locks and flushes cannot be relied on: "
                "keep the vault on a local disk, or allow the network explicitly and use it from one host only"
            )
        if reach == "unknown":
            log.warning(
                "%s lies on a file system (%s) that may be another host's: use the vault from one host only",
                self.path,
                kind,
            )
        self._is_local = True  # asked once: the table of mounts is long on some hosts

    def _at(self, *names: str) -> str:
        return os.path.join(self.path, *names)


def number_in(name: str) -> int | None:
    """The number of the dictionary that a file holds by its name; None if it is none."""
    number, dot, suffix = name.partition(".")
    is_ours = dot + suffix in (".bak", ".vsd") and parse_name(DICTIONARY, number) is not None
    return int(number) if is_ours else None


def _held(copies: Sequence[Copy]) -> dict[str, bytes | None]:
    return {copy.place: copy.data for copy in copies}


@contextlib.contextmanager
def _storage(path: str) -> Iterator[None]:
    """What the storage refuses is ``BackendUnavailable``, with the path and the reason."""
    try:
        yield
    except OSError as error:
        raise BackendUnavailable(f"{path}: {_words(error)}") from error


def _words(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return f"{error.filename} is a symbolic link, and the files of a vault are not: put the file itself there"
    return str(error)
