"""What takes the keys: every record opened, the index held against the files, dictionaries, older and retired keys."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from ...backends.files.layout import FilesLayout
from ...engine.verify import Verdict, Verification, check, check_all, reads_alone
from ...errors import BackendUnavailable, Damaged, UnknownDictionary, VaultError
from ...format.ids import locator_of
from ...format.sealed import IndexRow, Query
from ...util.disk import Disk
from ...vault.directory import DICTIONARIES, VaultDirectory
from ...vault.key_store import KeyringMemory
from ...vault.metadata import DICTIONARY
from .findings import Finding, Remedy, error, info, warning
from .readonly import OpenedVault

Current = Callable[[str], bytes | None]
"""The version that the file of a key has now; None where it cannot be read."""

_PATIENCE_SECONDS = 0.2
"""Four times what a living writer may take to list what it wrote: a drift that is still there is one."""

_PLACE = re.compile(r"[a-z]+(?:\.[a-z]+)?")
"""The file that a sentence of the vault begins with."""


def contents(disk: Disk, layout: FilesLayout, opened: OpenedVault, reported: AbstractSet[str]) -> Iterator[Finding]:
    """Every finding about what is sealed. ``reported`` are the places that the structure has a finding about."""
    for sentence in opened.vault.findings:
        place = _PLACE.match(sentence)
        if place is None or place.group() not in reported:
            yield warning("keyring-copy", sentence, place.group() if place else "", Remedy.OPEN)
    yield from _rollback(opened)
    yield from _dictionaries(disk, layout.root, opened)
    versions: dict[str, bytes | None] = {}
    sealed: Counter[bytes | None] = Counter()
    for verified in check_all(opened.backend, opened.reader, opened.backend.keys()):
        yield from _session(verified, opened)
        versions[verified.key] = _version(verified)
        sealed[verified.key_id] += 1
    yield from _masters(opened, sealed)

    def newest(key: str) -> bytes | None:
        """As it was found; read again when it is asked for a second time."""
        return versions.pop(key) if key in versions else _version(check(opened.backend, opened.reader, key))

    yield from _index(layout, opened, newest)


def _version(verified: Verification) -> bytes | None:
    return None if verified.row is None else verified.row.version


def _session(verified: Verification, opened: OpenedVault) -> Iterator[Finding]:
    key, problem = verified.key, verified.problem
    match verified.verdict:
        case Verdict.TORN:
            sentence = f"its newest record is not whole: {problem}; the next write mends the file"
            yield warning("torn", sentence, key, Remedy.REPLACE)
        case Verdict.DAMAGED if reads_alone(opened.backend, opened.reader, key):
            sentence = (
                f"{problem}. All of it authenticates: a copy of the vault took its index later than its sessions, an "
                "older file was put back, or a sync client chose one of two. Restore the newer one, or accept this one"
            )
            yield error("damaged", sentence, key, Remedy.ACCEPT)
        case Verdict.DAMAGED:
            yield error("damaged", f"{problem}: restore it from a backup", key, Remedy.ON_REQUEST)
        case Verdict.LOCKED | Verdict.REFUSED:
            yield error(str(verified.verdict), problem, key)
        case Verdict.ERASED:
            yield info("erased", f"{problem}; `vaultsession rm` removes it", key)
        case Verdict.REMOVED:
            yield warning("came-back", problem, key, Remedy.ON_REQUEST)
    if verified.head is not None and key not in (opened.reader.key(verified.head.id), locator_of(key)):
        yield warning("foreign-slug", "its file is named after another id: rename it back", key)


def _masters(opened: OpenedVault, sealed: Mapping[bytes | None, int]) -> Iterator[Finding]:
    """Keys that sessions shall no longer lie under, and do."""
    for master in opened.vault.keyring.masters[1:]:
        used, name = sealed.get(master.id, 0), master.id.hex()
        lie = "1 session lies" if used == 1 else f"{used} sessions lie"
        if not master.retired:
            sentence = f"a rotation was begun and not completed: {lie} under the older key {name}"
            yield warning("rotation-unfinished", sentence, name, fix="vaultsession key rotate")
        elif used:
            sentence = f"{lie} under the retired key {name}: an older copy came back, or could not be read then"
            yield warning("retired-key-in-use", sentence, name, fix="vaultsession key rotate")
        else:
            sentence = f"the retired key {name} is kept for backups and mirrors: no session here needs it"
            yield info("retired-key", sentence, name, fix="vaultsession key prune")


def _rollback(opened: OpenedVault) -> Iterator[Finding]:
    """Whether the index has seen a newer keyring than this."""
    try:
        problem = KeyringMemory(opened.backend).why_older(opened.vault)
    except VaultError:
        return  # ``_index`` has a finding about it
    if problem is not None:
        yield error("keyring-set-back", f"{problem}: restore the newer, or accept this one", "keyring", Remedy.ACCEPT)


def _dictionaries(disk: Disk, path: str, opened: OpenedVault) -> Iterator[Finding]:
    """Each copy that cannot be read. A session that needs one that is gone altogether has a finding of its own."""
    directory = VaultDirectory(path, disk, allow_network=True)
    try:
        names = directory.names(DICTIONARY, begun=True)
    except BackendUnavailable as problem:
        yield error("dictionaries", f"the dictionaries cannot be looked at: {problem}", DICTIONARIES)
        return
    for name in names:
        copies = directory.copies(name)
        problems: dict[str, str] = {}
        for copy in copies:
            try:
                if copy.data is None:
                    problems[copy.place] = "it is gone" if copy.gone else copy.problem
                else:
                    opened.reader.dictionaries.open(int(name.removeprefix(DICTIONARY)), copy.data)
            except UnknownDictionary as problem:
                problems[copy.place] = str(problem)
        lost = len(problems) == len(copies)
        for file, why in problems.items():
            place = f"{DICTIONARIES}/{file}"
            if lost:
                sentence = f"no copy of this dictionary can be read ({why}): restore it from a backup"
                yield error("dictionary-lost", sentence, place)
            else:
                yield warning(
                    "dictionary-copy", f"this copy of a dictionary cannot be read: {why}", place, Remedy.LEVEL
                )


class _Drift(NamedTuple):
    """Rows without a file, files without a row, and rows that name another version than the file has."""

    lost: frozenset[str]
    unlisted: frozenset[str]
    behind: frozenset[str]


def _index(layout: FilesLayout, opened: OpenedVault, newest: Current) -> Iterator[Finding]:
    """Drift that stays, and rows that were not written with the vault's keys."""
    if not os.path.lexists(layout.index):
        if opened.backend.keys():
            sentence = "there is no index; a new one proves nothing of freshness"
            yield warning("index-missing", sentence, remedy=Remedy.REINDEX)
        return
    try:
        opened.backend.ask_index()
        rows, drift = _drift(opened, newest)
        if any(drift):
            time.sleep(_PATIENCE_SECONDS)
            rows, again = _drift(opened, newest)
            drift = _Drift(*(before & after for before, after in zip(drift, again, strict=True)))
    except BackendUnavailable as problem:
        yield warning("index-damaged", f"the index cannot be read: {problem}", "index.sqlite", Remedy.REINDEX)
        return
    for key in sorted(drift.lost.union(opened.backend.lost())):
        sentence = "it was acknowledged, and its file is gone: restore it from a backup, or accept that it is lost"
        yield error("session-lost", sentence, key, Remedy.ACCEPT)
    for key in sorted(drift.unlisted):
        yield warning("unlisted", "it has a file, and is not listed", key, Remedy.REINDEX)
    for key in sorted(drift.behind):
        yield warning("row-behind", "its row names another version than its file has", key, Remedy.REINDEX)
    for key in sorted(rows):
        try:
            opened.reader.rows.open(rows[key])
        except Damaged:
            yield error("row-forged", "its row was not written with the keys of this vault", key, Remedy.REINDEX)


def _drift(opened: OpenedVault, newest: Current) -> tuple[dict[str, IndexRow], _Drift]:
    rows = {row.key: row for row in opened.backend.scan(Query())}
    keys = set(opened.backend.keys())
    behind = {key for key in keys & rows.keys() if newest(key) not in (None, rows[key].version)}
    # What cannot be read, or reads as absent, is listed nowhere: the session has a finding of its own.
    unlisted = {key for key in keys - rows.keys() if newest(key) is not None}
    return rows, _Drift(frozenset(rows.keys() - keys), frozenset(unlisted), frozenset(behind))
