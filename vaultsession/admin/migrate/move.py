"""A whole vault from one place to another, and what that would come to."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from contextlib import AbstractContextManager

from ...backends.protocol import Backend
from ...backends.replication import Gap, Outcome, differing
from ...engine.reader import Reader
from ...errors import Conflict, InvalidSetting
from ...format.sealed import IndexRow, Query, ReadHead
from ...store.open import writer_of
from ...store.settings import Settings
from ...util.clock import Clock
from ...vault import UnlockedVault
from ...vault.location import VaultLocation
from ...vault.metadata import parse_metadata
from ...vault.replication import follow_metadata, follow_tenants, lacking_dictionaries
from .describer import Describer
from .report import MigrationReport, Progress, silent
from .reseal import reseal
from .sealed_copy import copy, refuse_newer

_METADATA = {
    Outcome.REPLACED: "copied",
    Outcome.CURRENT: "there already",
    Outcome.AHEAD: "left: the target's were changed since",
}


def migrate(
    source: VaultLocation, target: VaultLocation, vault: UnlockedVault | None, *, progress: Progress = silent
) -> MigrationReport:
    """Copy a vault, metadata first, without decrypting a session. See ``sealed_copy.copy``.

    ``vault`` is the source's, unlocked: then every session is authenticated before it is put in place. Without it bytes
    are compared with bytes, and what would take a key is a problem of the report. ``Conflict`` for a target that holds
    another vault, or newer sessions; nothing was changed then. All is flushed when this returns: before that a power
    cut may tear what was copied, while the source has everything; run it again.
    """
    _refuse_same(source, target)
    metadata = follow_metadata(source.vault, target.vault, vault)
    if metadata is not Outcome.AHEAD:
        follow_tenants(source.vault, target.vault, vault)
    describer = _describer(source, vault)
    with _opened(source, describer.describe) as ours, _opened(target, describer.describe) as theirs:
        report = copy(ours, theirs, describer, progress=progress)
        theirs.settle()
    report.metadata = _METADATA[metadata]
    return report


def plan(source: VaultLocation, target: VaultLocation, vault: UnlockedVault | None) -> MigrationReport:
    """What ``migrate`` would do, in the same counts; errors are the same, and nothing is changed."""
    _refuse_same(source, target)
    describer = _describer(source, vault)
    with _opened(source, describer.describe) as ours:
        report = MigrationReport(sessions=ours.count(Query()), bytes=ours.stats()["bytes"])
        if not target.vault.exists():
            report.copied = report.sessions
            return report
        _refuse_other(source, target)
        with _opened(target, describer.describe) as theirs:
            _foresee(ours, theirs, report)
    return report


def losses(source: VaultLocation, vault: UnlockedVault | None, *, rekey: bool = False) -> list[str]:
    """What the target will lack, and what of it will be unproved, in sentences: as far as is known before it begins."""
    found = []
    if vault is None:
        found.append("no key is at hand: what is copied is compared byte by byte, and not authenticated")
        found.append("a session that changes while it is copied stays behind")
    else:
        found += [
            f"dictionary {number}: no copy of it is authentic, and what is compressed with it stays behind"
            for number in lacking_dictionaries(source.vault, source.vault, vault)
        ]
    with _opened(source, _describer(source, vault).describe) as ours:
        stats, unlisted = ours.stats(), len(set(ours.unindexed()))
    if unlisted:
        found.append(f"{unlisted} sessions are in no listing: they are damaged or locked, or have lost their rows")
    if quarantined := stats.get("quarantined", 0):
        found.append(f"{quarantined} pieces in quarantine stay behind")
    if rekey and stats["tombstones"]:
        found.append(f"{stats['tombstones']} removals stay behind: nothing tells the new vault that these were removed")
    if rekey and (trained := len(source.vault.dictionaries())):
        found.append(f"{trained} trained dictionaries stay behind: sessions are sealed without them, until you train")
    return found


def rekey(
    source: VaultLocation,
    target: VaultLocation,
    vault: UnlockedVault,
    other: UnlockedVault,
    clock: Clock,
    *,
    settings: Settings,
    progress: Progress = silent,
) -> MigrationReport:
    """Seal the sessions of ``vault`` anew for ``other``, which is there already. See ``reseal.reseal``.

    ``Conflict`` if both are one vault: ``key rotate`` changes the keys of a vault in place.
    """
    _refuse_same(source, target)
    if vault.keyring.vault_id == other.keyring.vault_id:
        raise Conflict(f"{target.vault.path} holds the same vault: there is nothing to seal anew in another place")
    ours = Reader.of_vault(source.vault, vault)
    theirs = Reader.of_vault(target.vault, other, compressing=settings.compression == "zstd")
    writer = writer_of(theirs, clock, settings)
    with _opened(source, ours.describe) as before, _opened(target, theirs.describe) as after:
        report = reseal(before, ours, after, theirs, writer, progress=progress)
        after.settle()
    report.metadata = "those of another vault"
    return report


def _opened(place: VaultLocation, describe: ReadHead) -> AbstractContextManager[Backend]:
    return contextlib.closing(place.backend(describe))


def _describer(source: VaultLocation, vault: UnlockedVault | None) -> Describer:
    if vault is None:
        return Describer(None)
    reader = Reader.of_vault(source.vault, vault)

    def name_of(row: IndexRow) -> str:
        return reader.key(reader.opened(row).head.id)

    return Describer(reader.describe, reader.rows.is_genuine, name_of)


def _foresee(ours: Backend, theirs: Backend, report: MigrationReport) -> None:
    refuse_newer(ours, theirs)
    gaps: dict[str, Gap] = {}
    for key, gap in differing(ours, theirs):
        if gap is not Gap.UNREADABLE or key not in gaps:
            gaps[key] = gap
    counts = Counter(gaps.values())
    report.copied = counts[Gap.MISSING] + counts[Gap.UNREADABLE]  # an unreadable one at the target is written anew
    report.updated, report.removed = counts[Gap.BEHIND], counts[Gap.REMOVED]
    report.current = report.sessions - report.copied - report.updated


def _refuse_same(source: VaultLocation, target: VaultLocation) -> None:
    one, other = os.path.join(source.vault.path, ""), os.path.join(target.vault.path, "")
    if one == other:
        raise InvalidSetting(f"{source.vault.path} is where the vault is: name another place to copy it to")
    if os.path.isabs(one) and os.path.isabs(other) and (one.startswith(other) or other.startswith(one)):
        raise InvalidSetting(
            f"{source.vault.path} and {target.vault.path} lie within one another: choose another place"
        )


def _refuse_other(source: VaultLocation, target: VaultLocation) -> None:
    ours, _ = parse_metadata(source.vault.metadata(), source.vault.path)
    theirs, _ = parse_metadata(target.vault.metadata(), target.vault.path)
    if ours.vault_id != theirs.vault_id:
        raise Conflict(f"{target.vault.path} holds another vault than {source.vault.path}: choose another place")
