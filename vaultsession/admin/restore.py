"""Recovery: what a mirror holds, proved with the keys; and a lost vault made of it.

What comes from a mirror is believed as far as it authenticates, and no further: every record of a container is opened
before a byte of it is put in place, and what is put in place are the bytes that were opened. That proves who wrote
them. It does not prove that they are the newest: whoever runs the mirror can withhold the end of a session, or all of
it, and only a vault that still knows better (``verify``) can tell.

A restored session keeps its bytes, and with them its version: mirror and vault are level at once, and should the mirror
turn out to have withheld something, that is newer than the vault's, told as such, and never silently replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from ..backends.protocol import Backend
from ..backends.replication import Gap, Outcome, differing, newest_of
from ..engine.reader import Reader
from ..errors import Conflict, Damaged, Unreadable
from ..format.ids import is_key
from ..format.sealed import Container, Current, IndexRow, Query, Tombstone, Write
from ..vault import OpenVault, Vault
from ..vault.metadata import parse_metadata
from ..vault.secret import Secret
from .doctor import Verdict, check

_DIFFERENCES = {
    Gap.MISSING: "the mirror lacks it",
    Gap.BEHIND: "the mirror has an older one",
    Gap.REMOVED: "it was removed, and the mirror still has it",
    Gap.AHEAD: "the mirror has a newer one",
    Gap.EXTRA: "only the mirror has it",
    Gap.UNREADABLE: "the vault's own, or the mirror's, cannot be read",
}


class MirroredSession(StrEnum):
    """What a look at one session of a mirror gave."""

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


@dataclass(frozen=True, slots=True)
class Proof:
    """One session of a mirror. ``restored``: it was put in place, or was there as new as this."""

    key: str
    found: MirroredSession
    problem: str = ""
    records: int = 0
    size: int = 0
    restored: bool = False


def verify(source: Backend, follower: Backend, reader: Reader) -> Iterator[Proof]:
    """Every session of the mirror opened, then both sides compared; a session that the mirror lacks is told as well.

    Older than the vault's own is behind, which a mirror may be for a moment, and a rollback if it stays so.
    """
    gaps = dict(differing(source, follower))
    for row in _rows(follower):
        proof, _ = _proved(follower, reader, row)
        gap = gaps.pop(row.key, None)
        if proof.found is MirroredSession.OK and gap is not None:
            found = MirroredSession.AHEAD if gap in (Gap.AHEAD, Gap.EXTRA) else MirroredSession.BEHIND
            proof = Proof(row.key, found, _DIFFERENCES[gap], proof.records, proof.size)
        yield proof
    for key, gap in gaps.items():
        yield Proof(
            key, MirroredSession.AHEAD if gap in (Gap.AHEAD, Gap.EXTRA) else MirroredSession.BEHIND, _DIFFERENCES[gap]
        )


def restore_metadata(source: Vault, target: Vault, candidates: Iterable[tuple[str, Secret]]) -> OpenVault:
    """Put the mirror's papers in place, after a key has proved them. What is then opened, at the target.

    An interrupted restore goes on: the papers of this vault may be there. ``Conflict`` for those of another one.
    """
    papers = source.metadata()
    opened = source.unlock(candidates)
    if parse_metadata(papers, source.path)[1].data != opened.unlocked.data:
        raise Damaged(f"{source.path}: the key slots changed while they were read: try again")
    if not target.exists():
        target.put_metadata(papers, None)
    elif target.identity() != source.identity():
        raise Conflict(f"{target.path} holds another vault: restore into an empty directory")
    return opened


def restore(follower: Backend, target: Backend, reader: Reader) -> Iterator[Proof]:
    """Every session that authenticates put in place, where there is none that is as new. Others are told and left out.

    Of a session whose end is torn, what authenticates is put in place.
    """
    for row in _rows(follower):
        proof, sealed = _proved(follower, reader, row)
        if sealed is None:
            yield proof
            continue
        try:
            yield _put(target, proof, sealed)
        except Unreadable as error:
            yield Proof(
                row.key, MirroredSession.DAMAGED, f"what is in its place cannot be read: {error}", 0, proof.size
            )


def _put(target: Backend, proof: Proof, sealed: Write) -> Proof:
    outcome = Outcome.CURRENT
    ours = sealed.head

    def seal(newest: Current) -> Write | None:
        nonlocal outcome
        outcome = Outcome.CURRENT
        if isinstance(newest, Tombstone) and newest.generation >= ours.generation:
            outcome = Outcome.AHEAD
        elif isinstance(newest, IndexRow) and (newest.generation, newest.seq) >= (ours.generation, ours.seq):
            outcome = Outcome.CURRENT if newest.version == ours.version else Outcome.AHEAD
        else:
            outcome = Outcome.REPLACED
        return sealed if outcome is Outcome.REPLACED else None

    target.commit(proof.key, seal)
    if outcome is Outcome.AHEAD:
        return Proof(proof.key, MirroredSession.BEHIND, "a newer one is there already", proof.records, proof.size)
    return Proof(proof.key, proof.found, proof.problem, proof.records, proof.size, restored=True)


class _Held:
    """One container, as it was read: what is proved are then the bytes in hand."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container:
        """All of it."""
        del key, start, settled
        return self._container

    def fetch(self, start: int) -> Container:
        """As above."""
        del start
        return self._container


def _proved(follower: Backend, reader: Reader, row: IndexRow) -> tuple[Proof, Write | None]:
    """One session opened, record by record; and what can be put in place of it, as far as it is authentic."""
    key = row.key
    container = follower.read(key)
    if container is None:
        if isinstance(newest_of(follower, key), Tombstone):
            return Proof(key, MirroredSession.OK), None  # removed since it was listed
        return Proof(key, MirroredSession.DAMAGED, "it is listed, and its container is gone"), None
    held = _Held(container)
    checkup = check(held, reader, key)
    if checkup.verdict not in (Verdict.OK, Verdict.TORN):
        found = MirroredSession.LOCKED if checkup.verdict is Verdict.LOCKED else MirroredSession.DAMAGED
        return Proof(key, found, checkup.problem, size=container.size), None
    ours = reader.describe(key, held.fetch, thorough=True)
    if ours is None:
        return Proof(key, MirroredSession.DAMAGED, "it was removed, and came back", size=container.size), None
    data = container.header + container.data[: ours.size - len(container.header)]
    found, problem = MirroredSession.OK if checkup.verdict is Verdict.OK else MirroredSession.TORN, checkup.problem
    try:
        reader.rows.open(row)
    except Damaged as error:
        found, problem = (
            MirroredSession.DAMAGED,
            f"it authenticates, and its entry in the mirror's listing does not: {error}",
        )
    return Proof(key, found, problem, checkup.records, container.size), Write(ours._replace(torn=False), 0, data)


def _rows(backend: Backend) -> Iterator[IndexRow]:
    return (row for row in backend.scan(Query(newest_first=False)) if is_key(row.key))
