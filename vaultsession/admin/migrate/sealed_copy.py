"""Sealed bytes from one backend to another: authenticated where there is a key, put in place, read back and compared.

Sessions go in the order of the source's listing. Each is authenticated and followed; then it is read back from the
target and compared with the bytes that were authenticated, also one that was there before: what a power cut left of an
earlier run shows here, and is written anew. At the end the listings are compared once more, and a session that changed
meanwhile is brought up to date.
"""

from __future__ import annotations

from ...backends.protocol import Backend
from ...backends.replication import Gap, Outcome, SessionGap, aligned, differing, follow
from ...errors import Conflict, Damaged, Unreadable
from ...format import record
from ...format.ids import locator_of
from ...format.sealed import Current, Delete, IndexRow, Query, Tombstone, Write
from .describer import ContainerCopy, Describer, ends_as
from .report import MigrationReport, Progress, Trouble, silent, unlisted

_NAMED = 3
_LEFT = {
    Outcome.AHEAD: (Trouble.AHEAD, "the target has a newer one, or removed it: it was left as it is"),
    Outcome.EXTRA: (Trouble.EXTRA, "only the target has it: it was left as it is"),
    Outcome.UNPROVED: (
        Trouble.DAMAGED,
        "at the source: what it has was not made with the keys of this vault; the target's was left as it is",
    ),
}


def copy(source: Backend, target: Backend, describer: Describer, *, progress: Progress = silent) -> MigrationReport:
    """Make ``target`` hold what ``source`` holds; see the module. Only what a tombstone names is removed from it.

    ``describer`` is what both were opened with. ``Conflict``, before anything is changed, for a target whose
    sessions went on by themselves. A session that cannot be copied is a ``Problem`` of the report; the others go on.
    """
    refuse_newer(source, target)
    return _Copy(source, target, describer, progress).run()


def refuse_newer(source: Backend, target: Backend) -> None:
    """``Conflict`` for a target that has what the source has not: newer sessions, or others of the same beginning."""
    if target.count(Query()) == 0:
        return
    ahead = [each.key for each in differing(source, target) if _went_on(source, target, each)]
    if ahead:
        named = ", ".join(ahead[:_NAMED]) + (", …" if len(ahead) > _NAMED else "")
        raise Conflict(
            f"{len(ahead)} sessions of the target went on by themselves and are no older copies of the source's "
            f"({named}): nothing was changed; copy the other way, or choose another place"
        )


def _went_on(source: Backend, target: Backend, each: SessionGap) -> bool:
    """Whether a session of the target is newer, or seems to be behind and is no beginning of the source's."""
    if each.gap is Gap.AHEAD:
        return True
    there = target.head(each.key) if each.gap is Gap.BEHIND else None
    if there is None or there.torn:
        return False
    container = source.read(each.key, there.size - record.LINK_AND_FOOTER)
    if container is None or record.parse_header(container.header).generation != there.generation:
        return False
    return not ends_as(there, container)


def _is_same(newest: Current, tombstone: Tombstone) -> bool:
    """Whether that is this tombstone of this session, whatever slugs the two sides give it."""
    return isinstance(newest, Tombstone) and newest[1:] == tombstone[1:]


class _Copy:
    def __init__(self, source: Backend, target: Backend, describer: Describer, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._describer = describer
        self._keys = describer.keys
        self._progress = progress
        self._report = MigrationReport()
        self._before: Current = None
        """What the target had of the session that was followed last."""

    def run(self) -> MigrationReport:
        """All of it."""
        report = self._report
        self._copy_tombstones()
        total = self._source.count(Query())
        for ours, theirs in aligned(self._source, self._target):
            if ours is not None:
                self._copy(ours, is_listed=theirs is not None)
                report.sessions += 1
                self._progress(report.sessions, max(report.sessions, total))
        for key in unlisted(self._source, report):
            self._follow(key)
        known = {locator_of(problem.key) for problem in report.problems}
        for key in dict.fromkeys([each.key for each in differing(self._source, self._target)]):
            if locator_of(key) not in known:
                self._follow(key)
        return report

    def _copy_tombstones(self) -> None:
        """So that nothing comes back at the target that was removed at the source."""
        proves = self._describer.proves
        for tombstone in self._source.tombstones():
            if proves is not None and not proves(tombstone):
                reason = "at the source: its tombstone was not made with the keys of this vault; it was left out"
                self._report.problem(tombstone.key, Trouble.DAMAGED, reason)
                continue

            def update(newest: Current, tombstone: Tombstone = tombstone) -> Delete | None:
                above = newest is not None and newest.generation > tombstone.generation
                return None if above or _is_same(newest, tombstone) else Delete(tombstone, flush=False)

            try:
                self._report.tombstones += _is_same(self._target.commit(tombstone.key, update).after, tombstone)
            except Unreadable as error:
                self._report.problem(tombstone.key, Trouble.LOCKED, f"its removal could not be repeated: {error}")

    def _copy(self, row: IndexRow, *, is_listed: bool) -> None:
        """One session of the source's listing."""
        try:
            container = self._source.read(row.key)
            if container is None:
                return  # removed since; the target's is found at the end
            if not ends_as(row, container):
                self._follow(row.key)
                return
            snapshot = self._proved(ContainerCopy(row._replace(torn=False), container))
        except Unreadable as error:
            self._report.unreadable(row.key, error, "at the source: {}; it was left out")
            return
        self._describer.copied = snapshot
        try:
            outcome = follow(snapshot, self._target, snapshot.row.key, accept=self._accept)
            if outcome is Outcome.CURRENT and not is_listed:  # a power cut may have taken the index alone
                follow(snapshot, self._target, snapshot.row.key, anew=True)
        except Unreadable as error:
            self._report.unreadable(row.key, error)
            return
        finally:
            self._describer.copied = None
        self._count(row.key, outcome, snapshot)

    def _proved(self, snapshot: ContainerCopy) -> ContainerCopy:
        """With the row that the keys make of the bytes; without a key, with the one that the source lists."""
        if self._keys is None:
            return snapshot
        row, data = snapshot.row, snapshot.data
        whole = snapshot.container._replace(data=data[record.HEADER_SIZE :], witness=None, tombstone=None)
        described = self._keys(row.key, lambda _start: whole, thorough=True)
        if described is None or described.torn or described.version != row.version:
            raise Damaged(f"the newest records of {row.key} do not authenticate")
        self._report.authenticated += 1
        return ContainerCopy(described._replace(key=self._describer.name_of(described)), whole)

    def _follow(self, key: str, *, anew: bool = False) -> None:
        """A session that changes while it is copied, is not listed, or was not read back as it is."""
        if self._keys is None:
            reason = "it has changed since it was listed or copied: to bring it up to date takes the key of the vault"
            self._report.problem(key, Trouble.LOCKED, reason)
            return
        try:
            outcome = follow(self._source, self._target, key, anew=anew, accept=self._accept)
        except Unreadable as error:
            self._report.unreadable(key, error)
        else:
            self._count(key, outcome, None, again=not anew)

    def _accept(self, before: Current, change: Write | Delete) -> bool:
        self._before = before
        proves = self._describer.proves
        return isinstance(change, Write) or proves is None or proves(change.tombstone)

    def _count(self, key: str, outcome: Outcome, snapshot: ContainerCopy | None, *, again: bool = True) -> None:
        """Count what became of a session, and compare what is there now with what is to be there."""
        report = self._report
        if outcome in _LEFT:
            self._report.problem(key, *_LEFT[outcome])
            return
        if outcome is Outcome.REMOVED:
            report.removed += 1
            return
        if outcome is Outcome.CURRENT:
            report.current += snapshot is not None
        elif snapshot is not None and not isinstance(self._before, IndexRow):
            report.copied += 1
            report.bytes += snapshot.row.size
        else:
            report.updated += 1
        try:
            data = self._data(self._source, key) if snapshot is None else snapshot.data
            if data is None and self._target.read(key) is None:
                return  # removed meanwhile
            if data is not None and data == self._data(self._target, key, whole=True):
                report.verified += 1
            elif again:
                self._follow(key, anew=True)
            else:
                reason = "what was read back is not what the source has: run it again"
                self._report.problem(key, Trouble.DIFFERENT, reason)
        except Unreadable as error:
            self._report.unreadable(key, error)

    def _data(self, backend: Backend, key: str, *, whole: bool = False) -> bytes | None:
        """What a backend has now; unless ``whole``, without what is torn behind it."""
        row = None if whole else backend.head(key)
        container = backend.read(key)
        if container is None or (row is None and not whole):
            return None
        return (container.header + container.data)[: None if row is None else row.size]
