"""The vault directory: who it is, its key slots, and that it is private. Sessions are the backend's business.

::

    my-vault/                0700, files 0600
      vault.json             {"format", "version", "vault_id", "names", "created"}, one line, no secrets
      keyring  keyring.bak   the keyring file (``slots``), twice (``copies``)
       sessions/  locks/  quarantine/  dictionaries/, once there are any
       tenants/               the keys of tenants (``tenants``), where they have any; for no backup of the sessions

**Creation.** Everything lies flushed in the directory before ``vault.json`` is renamed into place: a directory
without it is no vault. One that holds nothing but what an interrupted creation leaves can be created again; any other
that is not empty is refused. Of two that create at once, one gets ``Conflict`` and can open what the other made.

**Refusals.** What is not ours alone (links, hard links, FIFOs, foreign owners, what others may write) and network
file systems are ``BackendUnavailable``: nothing was read, so nothing can be said of the bytes. Only the bytes of a
private file can be ``Damaged``. The vault path itself may be a symbolic link to a directory.

Changes hold an exclusive ``flock`` on ``locks/vault``, against threads and processes alike. Opening takes no lock,
unless a copy has to be mended; that is attempted without waiting and never fails the opening.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from ..errors import (
    BackendUnavailable,
    Conflict,
    Damaged,
    DurabilityUnknown,
    KeyUnavailable,
    VaultError,
    VaultNotFound,
    WrongKey,
)
from ..format.keys import KEY_SIZE, Keyring
from ..util.disk import (
    CREATE,
    CREATE_NEW,
    PRIVATE_DIRECTORY,
    Disk,
    make_directories,
    opened,
    read_file,
    why_not_private,
    write_all,
)
from . import keyring_file
from .changes import Changes
from .dictionary_files import DictionaryFiles
from .identity import FACTS, LARGEST_FACTS, Identity
from .keyring_copies import COPIES, NEW, QUARANTINE, Copies, set_aside, words
from .keyring_file import Slot, Unlocked
from .metadata import joined, parse_metadata
from .secret import Secret
from .tenant_files import keep_keys, kept_keys, kept_names
from .unlocked import Candidates, OpenVault

if sys.platform != "win32":
    import fcntl
else:  # pragma: no cover - Windows only
    import filelock

SESSIONS, LOCKS = "sessions", "locks"
DIRECTORIES = (SESSIONS, LOCKS, QUARANTINE)

KEYRING_COUNTER = "keyring counter"
"""Under what name an index remembers the highest counter of the keyring that it has seen."""

NETWORK_FILE_SYSTEMS = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs"),
        *("fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse"),
    )
)
"""Where locks and flushes do not mean between hosts what they mean on one."""

_LOCK = "vault"
_OWN_NAMES = frozenset({*DIRECTORIES, *COPIES, FACTS + NEW, *(name + NEW for name in COPIES)})


@dataclass(frozen=True, slots=True)
class VaultDirectory(Changes):
    """A directory that is a vault, or shall become one. Immutable; safe from any thread and process."""

    path: str
    disk: Disk = field(default_factory=Disk)
    allow_network: bool = False
    _is_local: bool = field(default=False, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Once and for all: the process may change its directory, and a link to the vault may be turned elsewhere.
        object.__setattr__(self, "path", os.path.realpath(self.path))

    def exists(self) -> bool:
        """Whether there is a vault to open; False where one can be created, or was half created."""
        with _storage(self.path):
            try:
                self.disk.stat(self._at(FACTS))
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True

    def identity(self) -> Identity:
        """What ``vault.json`` says, after every check that needs no key. Not proved before ``unlock``."""
        with _storage(self.path):
            self._refuse_unsafe()
            return self._read_identity()

    def slots(self) -> tuple[Slot, ...]:
        """The public facts of the key slots, without a key and hence not proved."""
        with _storage(self.path):
            return self._read_copies(self.identity()).newest.slots

    def create(
        self,
        secret: Secret | Callable[[bytes], Secret],
        *,
        readable_names: bool = True,
        label: str = "",
        now: int = 0,
        tenant_keys: bool = False,
    ) -> OpenVault:
        """Make a new vault, parents included. ``Conflict`` if there is one: open it.

        A function in place of the secret gets the vault id and returns the secret, kept safe already. It is called when
        it is certain that this process makes the vault, so that of two that try at once only one stores a key.
        """
        with _storage(self.path):
            self._refuse_network()
            unflushed = self._make_directories()
            with self._locked():
                leftovers = self._refuse_foreign()
                keyring = Keyring.generate(readable_names=readable_names, created=now, tenant_keys=tenant_keys)
                chosen = secret(keyring.vault_id) if callable(secret) else secret
                vault_key = os.urandom(KEY_SIZE)
                data = keyring_file.create(keyring, chosen, label=label, now=now, vault_key=vault_key)
                self._write_first(Identity.of(keyring).encode(), data, leftovers, unflushed)
                etag = self.etag()  # whoever changes the keyring waits for this lock
        file = keyring_file.parse(data)
        return OpenVault(file.reopen(vault_key, file.slots[0]), "the key that it was created with", etag=etag)

    def unlock(self, candidates: Candidates | Callable[[bytes], Candidates]) -> OpenVault:
        """Open with the first candidate that fits, each asked for only when those before it failed.

        A function in place of them is given the vault id, not proved by then. ``WrongKey`` names those tried,
        ``KeyUnavailable`` if there was none, ``Damaged`` where the key is right and the keyring is not. A copy that is
        behind or damaged is mended, and told in ``findings``.
        """
        identity = self.identity()
        with _storage(self.path):
            both = self._read_copies(identity)
        tried = []
        for source, secret in candidates(identity.vault_id) if callable(candidates) else candidates:
            try:
                unlocked = both.unlock(secret)
            except WrongKey as error:
                tried.append(f"{source}: {error}")
                continue
            if Identity.of(unlocked.keyring) != identity:
                raise Damaged(f"{self._at(FACTS)} was altered: it disagrees with its sealed copy in the keyring")
            findings = (*both.findings(unlocked), *self._missing())
            if findings:
                self._mend(unlocked)
            return OpenVault(unlocked, source, findings)
        if not tried:
            raise KeyUnavailable(f"no key was given for the vault {self.path}")
        raise WrongKey(f"the vault {self.path} does not open with {'; '.join(tried)}", tried=tuple(tried))

    def reload(self, vault: OpenVault) -> OpenVault:
        """The keyring as it is now, after another process may have changed it. ``RollbackDetected`` if it went back."""
        identity = self.identity()
        with _storage(self.path):
            return replace(vault, unlocked=self._read_copies(identity).authentic(vault.unlocked))

    def etag(self) -> object:
        """Which file the keyring is now: one ``lstat``, since every change puts another in its place."""
        with _storage(self.path):
            try:
                found = self.disk.stat(self._at(COPIES[0]))
            except (FileNotFoundError, NotADirectoryError):
                return "gone"
            return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def tenant(self, name: str) -> bytes | None:
        """The file of a tenant's keys."""
        with _storage(self.path):
            return kept_keys(self.disk, self.path, name)

    def tenants(self) -> tuple[str, ...]:
        """The names of the tenants that have a file here."""
        with _storage(self.path):
            return kept_names(self.disk, self.path)

    def put_tenant(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Compare and swap it, under the lock of the vault. What was there is overwritten before it goes."""
        with _storage(self.path), self._locked():
            if kept_keys(self.disk, self.path, name) != expected:
                return False
            keep_keys(self.disk, self.path, name, data)
            return True

    def dictionaries(self) -> tuple[int, ...]:
        """The numbers of the dictionaries of which both copies were begun: no power cut can take them back."""
        with _storage(self.path):
            return self._dictionaries.numbers()

    def dictionary(self, number: int) -> tuple[bytes, ...]:
        """The sealed copies of one, as far as they can be read."""
        with _storage(self.path):
            return self._dictionaries.read(number)

    def add_dictionary(self, number: int, data: bytes) -> bool:
        """Keep a sealed one, twice. Returns when both copies are flushed; False where there is one of that number."""
        with _storage(self.path), self._locked():
            return self._dictionaries.add(number, data)

    def level_dictionary(self, number: int, data: bytes) -> None:
        """Replace the copies of one that are not the bytes that were proved."""
        with _storage(self.path), self._locked():
            self._dictionaries.level(number, data)

    @property
    def _dictionaries(self) -> DictionaryFiles:
        return DictionaryFiles(self.disk, self.path)

    def metadata(self) -> bytes:
        """Identity and the newest copy of the key slots."""
        identity = self.identity()
        with _storage(self.path):
            return joined(identity, self._read_copies(identity).newest.data)

    def put_metadata(self, papers: bytes, expected: bytes | None) -> bool:
        """Those of another copy of this vault. Returns when both copies of the key slots are flushed."""
        identity, file = parse_metadata(papers, self.path)
        with _storage(self.path):
            if expected is None:
                self._refuse_network()
                try:
                    unflushed = self._make_directories()
                    with self._locked():
                        self._write_first(identity.encode(), file.data, self._refuse_foreign(), unflushed)
                except Conflict:
                    return False
                return True
            with self._locked():
                there = self._read_identity()
                copies = self._read_copies(there)
                if there != identity or joined(there, copies.newest.data) != expected:
                    return False
                copies.follow(file.data)
                return True

    def _change(self, vault: OpenVault, make: Callable[[Unlocked], bytes]) -> OpenVault:
        identity = self.identity()
        with _storage(self.path), self._locked():
            both = self._read_copies(identity)
            current = both.authentic(vault.unlocked)
            data = make(current)
            both.replace(current, data)
        return replace(vault, unlocked=keyring_file.parse(data).reopen(current.vault_key, current.slot))

    def _missing(self) -> Iterator[str]:
        for name in DIRECTORIES:
            try:
                self.disk.stat(self._at(name))
            except OSError:
                yield f"{name}/: was missing"

    def _mend(self, unlocked: Unlocked) -> None:
        """Bring a copy that is behind or damaged level, if that can be done now. An opening never fails on it."""
        with contextlib.suppress(OSError, VaultError):
            for name in DIRECTORIES:
                with contextlib.suppress(FileExistsError):
                    self.disk.mkdir(self._at(name), PRIVATE_DIRECTORY)
            with self._locked(wait=False):
                self._read_copies(self._read_identity()).level(unlocked)

    def _write_first(self, facts: bytes, data: bytes, leftovers: set[str], unflushed: Iterable[str]) -> None:
        """Everything written, then everything flushed, then ``vault.json`` renamed into place."""
        for name in leftovers.intersection(COPIES):
            # Should it be no leftover, somebody will miss it.
            set_aside(self.disk, self.path, name, f".{os.urandom(4).hex()}")
        new_facts = FACTS + NEW
        if new_facts in leftovers:
            self.disk.unlink(self._at(new_facts))
        with contextlib.ExitStack() as stack:
            written = []
            for name, content in (*((name, data) for name in COPIES), (new_facts, facts)):
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
                f"{self.path}: the last step of making the vault failed: {words(error)}; open it to see if it is there"
            ) from error

    def _make_directories(self) -> list[str]:
        """Make what is missing of the vault's directories. The directories that have a new entry since."""
        changed = [] if self._is_there() else make_directories(self.disk, self.path)
        self._refuse_foreign()
        for name in DIRECTORIES:
            with contextlib.suppress(FileExistsError):
                self.disk.mkdir(self._at(name), PRIVATE_DIRECTORY)
        self._refuse_shared()
        return changed

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

    def _refuse_unsafe(self) -> None:
        if not self._is_there():
            raise VaultNotFound(f"there is no vault at {self.path}")
        self._refuse_shared()
        self._refuse_network()

    def _refuse_shared(self) -> None:
        for path in (self.path, *map(self._at, DIRECTORIES)):
            try:
                reason = why_not_private(self.disk.stat(path), directory=True)
            except FileNotFoundError:
                continue
            if reason:
                raise BackendUnavailable(f"{path}: {reason}; a vault's directories are yours alone, mode 0700")

    def _refuse_network(self) -> None:
        if self.allow_network or self._is_local:
            return
        if (kind := self.disk.filesystem(self.path)) in NETWORK_FILE_SYSTEMS:
            raise BackendUnavailable(
                f"{self.path} lies on a network file system ({kind}), where locks and flushes cannot be relied on: "
                "keep the vault on a local disk, or allow the network explicitly and use it from one host only"
            )
        object.__setattr__(self, "_is_local", True)  # asked once: the table of mounts is long on some hosts

    def _read_identity(self) -> Identity:
        try:
            return Identity.decode(read_file(self.disk, self._at(FACTS), limit=LARGEST_FACTS))
        except FileNotFoundError:
            raise VaultNotFound(f"{self.path} is a directory and no vault: there is no {FACTS} in it") from None
        except ValueError as error:
            raise Damaged(f"{FACTS} is not what this package writes: {error}") from None

    def _read_copies(self, identity: Identity) -> Copies:
        return Copies.read(self.disk, self.path, identity.vault_id)

    def _at(self, *names: str) -> str:
        return os.path.join(self.path, *names)

    @contextlib.contextmanager
    def _locked(self, *, wait: bool = True) -> Iterator[None]:
        """Alone among all that change this vault's keyring; ``BlockingIOError`` where that would mean to wait."""
        path = self._at(LOCKS, _LOCK)
        with opened(self.disk, path, CREATE) as fd:
            if reason := why_not_private(self.disk.fstat(fd)):
                raise PermissionError(f"{path}: {reason}")
            if sys.platform == "win32":  # pragma: no cover - Windows only
                filelock.lock_descriptor(fd, blocking=wait)
                yield  # closing unlocks
                return
            self.disk.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                yield
            finally:
                with contextlib.suppress(OSError):  # closing unlocks too, unless a child was forked meanwhile
                    self.disk.flock(fd, fcntl.LOCK_UN)


@contextlib.contextmanager
def _storage(path: str) -> Iterator[None]:
    """What the storage refuses is ``BackendUnavailable``, with the path and the reason."""
    try:
        yield
    except OSError as error:
        raise BackendUnavailable(f"{path}: {words(error)}") from error
