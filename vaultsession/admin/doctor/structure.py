"""What can be seen without a key: privacy, foreign and left-over files, key slots, dead writers, quarantine."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterable, Iterator

from ...backends.files import preallocation
from ...backends.files.container import end_of_records, refuse_oversized
from ...backends.files.layout import (
    FilesLayout,
    creation_in,
    key_in,
    locator_within,
    removal_in,
    stripe_of,
    temporary_in,
)
from ...backends.files.locks import open_lock, try_lock, unlock
from ...backends.files.quarantine import MAX_BYTES, MAX_ENTRIES, Quarantine
from ...backends.files.writers import WriterMarkers
from ...errors import Damaged, UnsupportedFormat, VaultError
from ...format import record
from ...util.disk import Disk, opened, read_all, read_file, why_not_ours, why_not_private
from ...util.file_system import reach_of
from ...vault import keyring_file
from ...vault.directory import DICTIONARIES, DIRECTORIES, LOCKS, NEW, QUARANTINE, SESSIONS, TENANTS, number_in
from ...vault.key_places import is_deployed, shares_home
from .findings import Finding, Remedy, error, info, warning

_FACTS = "vault.json"
_COPIES = ("keyring", "keyring.bak")
_REFUSED = "keyring-refused"
_INDEX = frozenset({"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"})
_HELD = (*DIRECTORIES, DICTIONARIES, TENANTS)
_OWN = frozenset({_FACTS, *_COPIES, *_HELD, *_INDEX})
_LEFT_OVER = re.compile(
    r"(?:vault\.json|keyring|keyring\.bak|index\.sqlite)\.new(?:-wal|-shm|-journal)?|index\.sqlite-journal"
)
_LOCK_FILES = re.compile(r"vault|index|stripe-[0-9a-f]{2}|writer-[0-9a-f]{2}|lease-[0-9a-v]{32}(?:-next)?")
_OTHERS = 0o077
_MOSTLY = 0.8


def directory(disk: Disk, path: str) -> Iterator[Finding]:
    """The directory itself, and every file in it but the sessions' contents."""
    yield from _privacy(disk, path, "")
    kind = disk.filesystem(path)
    if reach_of(kind) == "network":
        yield warning(
            "network-file-system",
            f"the vault lies on a network file system ({kind}), where locks and flushes cannot be relied on: "
            "move it to a local disk",
        )
    elif reach_of(kind) == "unknown":
        yield info(
            "unknown-file-system",
            f"the vault lies on a file system ({kind}) that may be another host's: use it from one host only",
        )
    yield from _entries(disk, path, "", _OWN.__contains__, _LEFT_OVER.fullmatch)
    entries = disk.listdir(path)
    for name in DIRECTORIES:
        if name not in entries:
            yield warning("directory-missing", "this directory of the vault is missing", name, Remedy.OPEN)
    yield from _entries(disk, path, LOCKS, _LOCK_FILES.fullmatch)


def dictionaries(disk: Disk, path: str) -> Iterator[Finding]:
    """Names and modes in ``dictionaries/``, which is there once a dictionary was trained."""

    def is_left_over(name: str) -> bool:
        return name.endswith(NEW) and number_in(name.removesuffix(NEW)) is not None

    yield from _entries(disk, path, DICTIONARIES, lambda name: number_in(name) is not None, is_left_over)


def keyring(disk: Disk, path: str, vault_id: bytes | None) -> Iterator[Finding]:
    """Both copies of the keyring file, as far as their checksums show; and how many slots there are."""
    counters: dict[str, int] = {}
    found: keyring_file.KeyringFile | None = None
    is_refused = False
    for name in _COPIES:
        file = _keyring_copy(disk, os.path.join(path, name), name)
        if isinstance(file, Finding):
            is_refused |= file.name == _REFUSED
            yield file
        elif vault_id is not None and file.vault_id != vault_id:
            sentence = "this copy of the keyring belongs to another vault"
            yield error("keyring-copy", sentence, name, Remedy.OPEN)
        else:
            counters[name] = file.counter
            found = file if found is None or file.counter > found.counter else found
    if found is None:
        if not is_refused:  # else nothing is lost: its owner or mode is to be put right
            yield error(
                "keyring-lost", "no copy of the keyring can be read: without it nothing can; restore one from a backup"
            )
        return
    if len(set(counters.values())) > 1:
        behind = min(counters, key=lambda name: counters[name])
        yield warning("keyring-copy", "this copy of the keyring is behind the other", behind, Remedy.OPEN)
    if len(found.slots) == 1:
        kind = "passphrase" if found.slots[0].takes_passphrase else "key"
        fix = "--new-key-file FILE" if found.slots[0].takes_passphrase else "--new-passphrase"
        yield info(
            "one-slot",
            f"a single {kind} opens this vault: a second secret is a way in when the first is lost",
            fix=f"vaultsession key add {fix}",
        )


def _keyring_copy(disk: Disk, path: str, name: str) -> keyring_file.KeyringFile | Finding:
    try:
        return keyring_file.parse(read_file(disk, path, limit=keyring_file.LARGEST_FILE, refusal=why_not_ours))
    except FileNotFoundError:
        return warning("keyring-copy", "this copy of the keyring is gone", name, Remedy.OPEN)
    except UnsupportedFormat as problem:
        return error("keyring-format", f"{problem}", name)
    except PermissionError as problem:
        return error(_REFUSED, f"this copy of the keyring is not used: {problem}", name)
    except (Damaged, ValueError, OSError) as problem:
        return warning("keyring-copy", f"this copy of the keyring cannot be read: {problem}", name, Remedy.OPEN)


def writers(disk: Disk, layout: FilesLayout) -> Iterator[Finding]:
    """Markers of writers that died before their index was written."""
    markers = WriterMarkers(disk, layout, durable=False)
    try:
        dead = markers.dead()
    except (OSError, VaultError) as problem:
        yield warning("writers", f"the writers' markers cannot be read: {problem}", LOCKS)
        return
    markers.unlock(dead)
    if dead:
        yield info(
            "dead-writer",
            f"{_so_many(len(dead), 'writer')} died: the listing may lag until the vault is opened",
            LOCKS,
            Remedy.OPEN,
        )


def quarantine(disk: Disk, layout: FilesLayout) -> Iterator[Finding]:
    """What was put aside, and whether room for more is running out."""
    try:
        kept = Quarantine(disk, layout, durable=False).entries()
    except OSError:
        return  # ``directory`` has a finding about what stands in its place
    if not kept:
        return
    total = sum(size for _, size, _ in kept)
    sentence = f"{_so_many(len(kept), 'damaged piece')} ({total} bytes) lie here: look at them, then remove them"
    if len(kept) > _MOSTLY * MAX_ENTRIES or total > _MOSTLY * MAX_BYTES:
        yield warning("quarantine-full", f"{sentence}; the oldest go when room runs out", QUARANTINE)
    else:
        yield info("quarantine", sentence, QUARANTINE)


def sessions(disk: Disk, path: str, layout: FilesLayout) -> Iterator[Finding]:
    """Names and modes in ``sessions/``; two files for one session."""
    seen: dict[str, str] = {}
    for name in sorted(_list(disk, layout.sessions)):
        place = f"{SESSIONS}/{name}"
        key, locator = key_in(name), temporary_in(name)
        if locator is not None:
            if _is_orphan(disk, layout, os.path.join(path, place), locator):
                yield info("orphan-temporary", "a writer that died left this file", place, Remedy.CLEAR)
            continue
        if removal_in(name) is not None:
            sentence = "a removal was interrupted; where its tombstone is genuine, a rebuild of the index completes it"
            yield info("removal-unfinished", sentence, place, Remedy.REINDEX)
            continue
        if creation_in(name) is not None:
            sentence = "a power cut came as a session was made: where it is whole, a rebuild of the index completes it"
            yield info("creation-unfinished", sentence, place, Remedy.REINDEX)
            continue
        if key is None and locator_within(name) is not None:
            sentence = "a sync client may have left this copy of a session: where it authenticates, repair takes it in"
            yield warning("conflict-copy", sentence, place, Remedy.TAKE_IN)
            continue
        if key is None:
            yield _foreign(place)
            continue
        yield from _privacy(disk, path, place)
        locator = key[-32:]
        if locator in seen:
            yield error("second-file", f"this is a second file for the session of {seen[locator]}: move one out", place)
        seen.setdefault(locator, name)


def containers(disk: Disk, layout: FilesLayout) -> Iterator[Finding]:
    """Containers whose structure alone says that they are torn or none."""
    for name in sorted(_list(disk, layout.sessions)):
        if key_in(name) is None:
            continue
        try:
            with opened(disk, os.path.join(layout.sessions, name)) as fd:
                status = disk.fstat(fd)
                if why_not_ours(status):
                    continue  # ``sessions`` has a finding about it
                refuse_oversized(name, status.st_size)
                size = min(status.st_size, end_of_records(disk, fd, status.st_size) + preallocation.LIMIT + 1)
                data = preallocation.without(read_all(disk, fd, size, 0))
        except OSError:
            continue  # as above
        except Damaged as problem:
            yield error("damaged", f"{problem}: move it out, and restore the session from a backup", name)
            continue
        yield from structure_of(name, data)


def structure_of(name: str, data: bytes) -> Iterator[Finding]:
    """What the bytes of a container claim, unproved."""
    try:
        record.parse_header(data)
    except UnsupportedFormat as problem:
        yield error("locked", str(problem), name)
        return
    except Damaged as problem:
        yield error("damaged", f"{problem}: restore it from a backup", name)
        return
    container = record.part(data)
    end = record.HEADER_SIZE
    for each in record.records_from(container, record.HEADER_SIZE):
        end = each.end
    if end == record.HEADER_SIZE:
        yield error("damaged", "no record of it is whole: restore it from a backup", name)
    elif end < container.size:
        sentence = f"{container.size - end} bytes at its end are no whole record"
        yield warning("torn", sentence, name, Remedy.REPLACE)


def key_files(disk: Disk, path: str, named: Iterable[str]) -> Iterator[Finding]:
    """Files with a secret: who else can read them, and whether they lie beside the data."""
    vault = os.path.join(os.path.realpath(path), "")
    for file in dict.fromkeys(named):
        try:
            status = disk.stat(os.path.realpath(file))
        except OSError:
            continue
        if (os.path.realpath(file)).startswith(vault):
            yield error(
                "key-beside-data", "the key lies within the vault, where it protects nothing: move it out", file
            )
        elif shares_home(file, path):
            yield info(
                "key-in-same-home",
                "the key lies in the same home as the vault: no protection from who gets that home, or a backup of it",
                file,
            )
        if hasattr(os, "geteuid") and status.st_mode & _OTHERS and not is_deployed(file, status):
            yield error(
                "key-file-mode",
                f"others can read the key file (mode {stat.S_IMODE(status.st_mode):04o})",
                file,
                fix=f"chmod 600 {shlex.quote(file)}",
            )


def _entries(
    disk: Disk,
    path: str,
    folder: str,
    is_own: Callable[[str], object],
    is_left_over: Callable[[str], object] = lambda _name: False,
) -> Iterator[Finding]:
    """Every file of a folder: left over, foreign, or one of the vault's, which is then private."""
    for name in sorted(_list(disk, os.path.join(path, folder))):
        place = f"{folder}/{name}" if folder else name
        if is_left_over(name):
            sentence = "an interrupted change left this file; it means nothing, and may be removed"
            yield info("left-over", sentence, place)
        elif not is_own(name):
            yield _foreign(place)
        else:
            yield from _privacy(disk, path, place)


def _privacy(disk: Disk, root: str, place: str) -> Iterator[Finding]:
    """Links, foreign owners and modes. Writable by others is an error: an opening refuses it."""
    is_directory = place in ("", *_HELD)
    is_replaced = place not in _HELD and not place.startswith((f"{LOCKS}/", "index.sqlite"))  # whole, by a writer
    try:
        status = disk.stat(os.path.join(root, place or os.curdir))
    except FileNotFoundError:
        return
    except OSError as problem:
        yield error("unreadable", f"it cannot be looked at: {problem.strerror or problem}", place)
        return
    # A container that its owner may not write either says so on purpose: what others may do is all that is taken away.
    wanted = 0o700 if is_directory else 0o400 | status.st_mode & 0o200
    fix = f"chmod {wanted:03o} {shlex.quote(os.path.join(root, place) if place else root)}"
    if stat.S_ISLNK(status.st_mode):
        yield error("link", "this is a symbolic link, and nothing in a vault is: put the file itself there", place)
    elif status.st_nlink > 1 and is_replaced and why_not_ours(status) is None:
        sentence = (
            f"it has {status.st_nlink} names, as in a backup by hard links: it is read, and the next write replaces it"
        )
        yield info("linked", sentence, place)
    elif reason := why_not_private(status, directory=is_directory):
        then = os.stat_result((stat.S_IFMT(status.st_mode) | wanted, *status[1:]))
        alone = why_not_private(then, directory=is_directory) is None
        remedy = Remedy.RESTRICT if alone else None
        yield error("not-private", f"it is refused: {reason}", place, remedy, fix=fix if alone else None)
    elif place and status.st_uid == 0 and (owner := disk.stat(root)).st_uid != 0:
        whole = os.path.join(root, place)
        yield error(
            "root-owned",
            f"a command run as root made this, and user {owner.st_uid}, whose vault it is, cannot open it",
            place,
            fix=f"sudo chown {owner.st_uid}:{owner.st_gid} {shlex.quote(whole)}",
        )
    elif hasattr(os, "geteuid") and status.st_mode & _OTHERS:
        sentence = f"others have access (mode {stat.S_IMODE(status.st_mode):04o})"
        yield warning("mode", sentence, place, Remedy.RESTRICT, fix=fix)


def _foreign(place: str) -> Finding:
    return warning("foreign-file", "this file is none of the vault's: move it out", place)


def _is_orphan(disk: Disk, layout: FilesLayout, path: str, locator: str) -> bool:
    """A temporary exists only while the stripe of its locator is held."""
    with contextlib.suppress(FileNotFoundError, VaultError):
        lock = open_lock(disk, layout.stripe(stripe_of(locator)))
        if not try_lock(disk, lock.fd):
            return False
        try:
            disk.stat(path)
        finally:
            unlock(disk, lock.fd)
        return True
    return os.path.lexists(path)


def _list(disk: Disk, path: str) -> list[str]:
    try:
        return disk.listdir(path)
    except OSError:
        return []  # missing, or "unreadable" already


def _so_many(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
