"""Doctor: what is wrong with a vault, as findings. It never changes anything, and works without a key as far as it can.

``findings`` their values · ``readonly`` a vault opened without changing it · ``structure`` what needs no key ·
``dictionaries`` both copies of each · ``sessions`` checkups of every record · ``listing`` the index held against the
files
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from ...backends.files import preallocation
from ...backends.files.layout import FilesLayout, key_in
from ...engine.verify import Verdict, Verifier, check, check_all
from ...errors import Damaged, KeyUnavailable, UnsupportedFormat, VaultError, VaultNotFound, WrongKey
from ...format import record as v1
from ...format.sealed import Container
from ...util.disk import Disk, opened, read_all, why_not_private
from ...vault import Vault, VaultDirectory
from ...vault.directory import KEYRING_COUNTER
from ...vault.identity import Identity
from ...vault.secret import Secret
from . import dictionaries, listing, structure
from .findings import Finding, Remedy, Severity, error, info, warning
from .readonly import OpenedVault, ReadOnlyDisk, opened_read_only
from .sessions import key_of, known_keys

__all__ = [
    "Finding",
    "OpenedVault",
    "ReadOnlyDisk",
    "Remedy",
    "Severity",
    "Verdict",
    "Verifier",
    "check",
    "check_all",
    "examine",
    "key_of",
    "known_keys",
    "opened_read_only",
]

_REPAIR = "vaultsession repair"

_PLACE = re.compile(r"[a-z]+(?:\.[a-z]+)?")
"""The file that a sentence of the vault begins with."""


def examine(
    path: str,
    candidates: Iterable[tuple[str, Secret]] | None = None,
    *,
    key_files: Iterable[str] = (),
    disk: Disk | None = None,
) -> Iterator[Finding]:
    """Every finding about the vault at ``path``, the structural ones first. ``VaultNotFound`` where there is none.

    ``candidates`` are the secrets that may open it, as ``Vault.unlock`` takes them; without one that fits only
    the structure is looked at, and a finding says so. ``key_files`` are files with secrets to look at as well.
    """
    disk = disk or ReadOnlyDisk()
    path = os.path.abspath(path)
    vault, layout = Vault(VaultDirectory(path, disk, allow_network=True)), FilesLayout(path)
    if not vault.exists():
        raise VaultNotFound(f"there is no vault at {path}")
    identity: Identity | None = None
    try:
        identity = vault.identity()
    except UnsupportedFormat as problem:
        yield error("vault-format", str(problem), "vault.json")
    except Damaged as problem:
        yield error("vault-facts", str(problem), "vault.json")
    except VaultError:
        pass  # what is not private is told next
    told = set()
    for finding in (
        *structure.directory(disk, path),
        *structure.keyring(disk, path, identity.vault_id if identity else None),
    ):
        told.add(finding.place)
        yield finding
    yield from structure.dictionaries(disk, path)
    yield from structure.key_files(disk, path, key_files)
    yield from structure.writers(disk, layout)
    yield from structure.quarantine(disk, layout)
    yield from structure.sessions(disk, path, layout)
    if identity is None:
        yield from _without_key(disk, layout)
        return
    try:
        with opened_read_only(path, candidates or (), disk) as unlocked:
            yield from _with_key(disk, layout, unlocked, told)
            return
    except KeyUnavailable as problem:
        said = "no key was given" if candidates is None else str(problem)
        tell = warning if isinstance(problem, WrongKey) else info
        yield tell("no-key", f"only the structure was looked at: {said}")
    except VaultError as problem:
        yield error("not-opened", f"the vault does not open: {problem}")
    yield from _without_key(disk, layout)


def _with_key(disk: Disk, layout: FilesLayout, opened: OpenedVault, told: AbstractSet[str]) -> Iterator[Finding]:
    for said in opened.vault.findings:
        place = _PLACE.match(said)
        if place is None or place.group() not in told:  # what can be seen without a key was told
            yield warning("keyring-copy", said, place.group() if place else "", "vaultsession stats", Remedy.OPEN)
    yield from _rollback(opened)
    yield from dictionaries.copies(disk, layout.root, opened.reader.dictionaries)
    versions: dict[str, bytes | None] = {}
    sealed: Counter[bytes | None] = Counter()
    keys = sorted(filter(None, map(key_in, disk.listdir(layout.sessions))))
    for checkup in check_all(opened.backend, opened.reader, keys):
        yield from _about(checkup)
        if checkup.head is not None and key_of(opened.reader, checkup.head.id) != checkup.key:
            yield warning("foreign-slug", "its file is named after another id: rename it back", checkup.key)
        versions[checkup.key] = checkup.version
        sealed[checkup.key_id] += 1
    yield from _masters(opened, sealed)

    def newest(key: str) -> bytes | None:
        """As it was found; read again when it is asked for a second time."""
        return versions.pop(key) if key in versions else check(opened.backend, opened.reader, key).version

    yield from listing.index(disk, layout, opened.backend, opened.reader, newest)


def _masters(opened: OpenedVault, sealed: Mapping[bytes | None, int]) -> Iterator[Finding]:
    """Keys that sessions shall no longer lie under, and do."""
    for master in opened.vault.keyring.masters[1:]:
        used, name = sealed.get(master.id, 0), master.id.hex()
        lie = "1 session lies" if used == 1 else f"{used} sessions lie"
        if not master.retired:
            said = f"a rotation was begun and not completed: {lie} under the older key {name}"
            yield warning("rotation-unfinished", said, name, "vaultsession key rotate")
        elif used:
            said = f"{lie} under the retired key {name}: an older copy came back, or could not be read then"
            yield warning("retired-key-in-use", said, name, "vaultsession key rotate")
        else:
            said = f"the retired key {name} is kept for backups and mirrors: no session here needs it"
            yield info("retired-key", said, name, "vaultsession key prune")


def _rollback(opened: OpenedVault) -> Iterator[Finding]:
    """Whether the key slots were changed more often than this copy of them knows."""
    try:
        remembered = opened.backend.remembered(KEYRING_COUNTER)
    except VaultError:
        return  # the index is told about where it is looked at
    if remembered is not None and opened.vault.counter < remembered:
        yield error(
            "keyring-set-back",
            f"the key slots are an old copy (change {opened.vault.counter}, {remembered} was seen): restore the newer",
            "keyring",
        )


def _about(checkup: Verifier) -> Iterator[Finding]:
    key, problem = checkup.key, checkup.problem
    if checkup.verdict is Verdict.TORN:
        said = f"its newest record is not whole: {problem}; the next write mends the file"
        yield warning("torn", said, key, _REPAIR, Remedy.REPLACE)
    elif checkup.verdict is Verdict.DAMAGED:
        yield error("damaged", f"{problem}: restore it from a backup", key, remedy=Remedy.ON_REQUEST)
    elif checkup.verdict is Verdict.LOCKED:
        yield error("locked", problem, key)
    elif checkup.verdict is Verdict.REFUSED:
        yield error("refused", problem, key)
    elif checkup.verdict is Verdict.ERASED:
        yield info("erased", f"{checkup.problem}; `vaultsession rm` removes it", key)
    elif checkup.verdict is Verdict.REMOVED:
        yield warning("came-back", problem, key, remedy=Remedy.ON_REQUEST)


def _without_key(disk: Disk, layout: FilesLayout) -> Iterator[Finding]:
    """Containers whose structure alone says that they are torn or none."""
    try:
        names = disk.listdir(layout.sessions)
    except OSError:
        return
    for name in sorted(names):
        if key_in(name) is None:
            continue
        try:
            with opened(disk, os.path.join(layout.sessions, name)) as fd:
                status = disk.fstat(fd)
                if why_not_private(status):
                    continue  # told as such
                data = preallocation.without(read_all(disk, fd, status.st_size, 0))
        except OSError:
            continue  # as above
        yield from structure_of(name, data)


def structure_of(name: str, data: bytes) -> Iterator[Finding]:
    """What the bytes of a container claim, unproved."""
    try:
        v1.parse_header(data)
    except UnsupportedFormat as problem:
        yield error("locked", str(problem), name)
        return
    except Damaged as problem:
        yield error("damaged", f"{problem}: restore it from a backup", name)
        return
    container = Container(data[: v1.HEADER_SIZE], v1.HEADER_SIZE, data[v1.HEADER_SIZE :])
    end = v1.HEADER_SIZE
    for record in v1.records_from(container, v1.HEADER_SIZE):
        end = record.end
    if end == v1.HEADER_SIZE:
        yield error("damaged", "no record of it is whole: restore it from a backup", name)
    elif end < container.size:
        said = f"{container.size - end} bytes at its end are no whole record"
        yield warning("torn", said, name, _REPAIR, Remedy.REPLACE)
