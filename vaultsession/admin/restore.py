"""What a mirror holds, proved with the keys; and a lost vault made of it.

What comes from a mirror is believed as far as it authenticates, and no further: every record of a container is opened
before a byte of it is put in place, and what is put in place are the bytes that were opened. That proves who wrote
them. It does not prove that they are the newest: a mirror can withhold the end of a session, or all of it, and only a
vault that still knows better (``verify``) can show it.

A restored session keeps its bytes, and with them its version: mirror and vault are level at once. Should the mirror
have withheld something, that is newer than the vault's, reported as such, and never silently replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from ..backends.protocol import Backend
from ..backends.replication import Gap, differing, newest_of
from ..engine.reader import Reader
from ..engine.verify import Verdict, verify_container
from ..errors import Conflict, Damaged, Unreadable
from ..format.ids import is_key, locator_of
from ..format.sealed import Current, IndexRow, LostRow, Query, Tombstone, Write
from ..vault import UnlockedVault, Vault
from ..vault.replication import follow_dictionaries, lacking_dictionaries, level_dictionaries
from ..vault.secret import Secret

_DIFFERENCES = {
    Gap.MISSING: "the mirror lacks it",
    Gap.BEHIND: "the mirror has an older one",
    Gap.REMOVED: "it was removed, and the mirror still has it",
    Gap.AHEAD: "the mirror has a newer one",
    Gap.EXTRA: "only the mirror has it",
    Gap.UNREADABLE: "the vault's own, or the mirror's, cannot be read",
}


class MirroredSession(StrEnum):
    """The state of one session of a mirror."""

    OK = "ok"
    BEHIND = "behind"
    """Authentic, and not what the vault has: older, missing, or not removed yet. Syncing mends it."""
    AHEAD = "ahead"
    """Authentic, and newer than what the vault has, or there alone: for people to look at."""
    TORN = "torn"
    """Authentic up to an end that is not."""
    LOCKED = "locked"
    DAMAGED = "damaged"
    """Not what was written, or not to be read; also a listing that does not authenticate."""


_FOUND = {Verdict.OK: MirroredSession.OK, Verdict.TORN: MirroredSession.TORN, Verdict.LOCKED: MirroredSession.LOCKED}


@dataclass(frozen=True, slots=True)
class Proof:
    """One session of a mirror. ``restored``: it was put in place, or was there as new as this."""

    key: str
    found: MirroredSession
    records: int = 0
    bytes: int = 0
    problem: str = ""
    restored: bool = False


def verify(source: Backend, follower: Backend, reader: Reader) -> Iterator[Proof]:
    """Every session of the mirror opened, then both sides compared; a session that the mirror lacks is reported too.

    Older than the vault's own is behind, which a mirror may be for a moment, and a rollback if it stays so.
    """
    gaps = {locator_of(key): (key, gap) for key, gap in differing(source, follower)}
    for proof, _ in _proofs(follower, reader):
        _, gap = gaps.pop(locator_of(proof.key), (None, None))
        yield proof if gap is None or proof.found is not MirroredSession.OK else _compared(proof, gap)
    for key, gap in gaps.values():
        yield _compared(Proof(key, MirroredSession.BEHIND), gap)


def needs(vault: Vault, mirror: Vault, opened: UnlockedVault) -> Iterator[str]:
    """What a restore would need beside the mirror, in sentences."""
    for number in lacking_dictionaries(vault, mirror, opened):
        yield f"dictionary {number}: the mirror has no authentic copy, and what is compressed with it cannot be read"
    if absent := len(set(vault.tenants()).difference(mirror.tenants())):
        yield f"the keys of {absent} tenants: a mirror holds none, so keep a copy of tenants/ elsewhere"


def restore_metadata(source: Vault, target: Vault, candidates: Iterable[tuple[str, Secret]]) -> UnlockedVault:
    """Put the mirror's metadata in place, after a key has proved it. Returns what was opened with that key.

    Dictionaries come with it, each proved, so that every record can be opened. An interrupted restore goes on: the
    metadata of this vault may be there. ``Conflict`` for another vault's.
    """
    opened = source.unlock(candidates)
    metadata = source.metadata(opened)
    if not target.exists():
        target.put_metadata(metadata, None)
    elif target.identity() != source.identity():
        raise Conflict(f"{target.path} holds another vault: restore into an empty directory")
    follow_dictionaries(source, target, opened)
    level_dictionaries(source, target, opened)
    return opened


def restore(follower: Backend, target: Backend, reader: Reader) -> Iterator[Proof]:
    """Every session that authenticates put in place, unless one as new is there. Others are reported and left out.

    Of a session whose end is torn, what authenticates is put in place.
    """
    for proof, write in _proofs(follower, reader):
        try:
            yield proof if write is None else _put(target, proof, write)
        except Unreadable as error:
            problem = f"what is in its place cannot be read: {error}"
            yield replace(proof, found=MirroredSession.DAMAGED, records=0, problem=problem)


def _compared(proof: Proof, gap: Gap) -> Proof:
    found = MirroredSession.AHEAD if gap in (Gap.AHEAD, Gap.EXTRA) else MirroredSession.BEHIND
    return replace(proof, found=found, problem=_DIFFERENCES[gap])


def _put(target: Backend, proof: Proof, write: Write) -> Proof:
    ours = write.head

    def update(newest: Current) -> Write | None:
        if isinstance(newest, Tombstone):
            return write if newest.generation < ours.generation else None
        if isinstance(newest, LostRow):  # what is restored may be just what is lost
            return write if newest.witness[:2] <= ours.witness[:2] else None
        return write if newest is None or newest.witness[:2] < ours.witness[:2] else None

    after = target.commit(ours.key, update).after
    if isinstance(after, IndexRow) and after.version == ours.version:
        return replace(proof, restored=True)
    return replace(proof, found=MirroredSession.BEHIND, problem="a newer one is there already")


def _proofs(follower: Backend, reader: Reader) -> Iterator[tuple[Proof, Write | None]]:
    """Every session of the mirror, opened record by record; and what can be put in place of it, as far as authentic.

    A server knows no slugs: the session gets its name from its own head.
    """
    for row in follower.scan(Query(newest_first=False)):
        if is_key(row.key):
            yield _proof(follower, reader, row)


def _proof(follower: Backend, reader: Reader, row: IndexRow) -> tuple[Proof, Write | None]:
    container = follower.read(row.key)
    if container is None:
        if isinstance(newest_of(follower, row.key), Tombstone):
            return Proof(row.key, MirroredSession.OK), None  # removed since it was listed
        return Proof(row.key, MirroredSession.DAMAGED, problem="it is listed, and its container is gone"), None
    verified = verify_container(reader, row.key, container)
    found = _FOUND.get(verified.verdict, MirroredSession.DAMAGED)
    proof = Proof(row.key, found, verified.records, container.size, verified.problem)
    ours = verified.row
    if ours is None or verified.head is None:
        return proof, None
    try:
        reader.rows.open(row)
    except Damaged as error:
        problem = f"it authenticates, and its entry in the mirror's listing does not: {error}"
        proof = replace(proof, found=MirroredSession.DAMAGED, problem=problem)
    data = container.header + container.data[: ours.size - len(container.header)]
    return proof, Write(ours._replace(key=reader.key(verified.head.id), torn=False), 0, data)
