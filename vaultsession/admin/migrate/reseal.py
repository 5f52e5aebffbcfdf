"""Sessions sealed anew for another vault: opened with the keys of one, sealed under the first key of the other.

A document keeps its facts, its times and its version, so that a repeated run sees from the version what is
there already. Tombstones stay behind: they speak of names that the other vault does not have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from ...backends.protocol import Backend
from ...backends.replication import Outcome, newest_of
from ...engine.reader import Document, Reader
from ...engine.writer import Writer
from ...errors import Unreadable
from ...format import document
from ...format.head import Head
from ...format.sealed import Current, Delete, IndexRow, Keep, Query, Tombstone, Write
from .report import MigrationReport, Progress, Trouble, silent, unlisted

_ALL = Query(newest_first=False)


def reseal(
    source: Backend, ours: Reader, target: Backend, theirs: Reader, writer: Writer, *, progress: Progress = silent
) -> MigrationReport:
    """Make ``target`` hold the sessions of ``source``, sealed by ``writer``; each is read back and compared.

    A session of the target that was changed by itself, or is there alone, is left and reported. One that cannot be
    copied is a ``Problem`` of the report, and the others go on. Costs the memory of one session at a time, inflated.
    """
    return _Reseal(source, ours, target, theirs, writer, progress).run()


@dataclass
class _Reseal:
    _source: Backend
    _ours: Reader
    _target: Backend
    _theirs: Reader
    _writer: Writer
    _progress: Progress
    _report: MigrationReport = field(default_factory=MigrationReport)

    def run(self) -> MigrationReport:
        """All of it."""
        self._remove_gone()
        total = self._source.count(Query())
        for done, row in enumerate(self._source.scan(_ALL), 1):
            self._report.sessions = done
            self._reseal(row.key)
            self._progress(done, max(done, total))
        for key in unlisted(self._source, self._report):
            self._reseal(key)
        return self._report

    def _reseal(self, key: str) -> None:
        try:
            loaded = self._ours.load(key, partial(self._source.read, key))
        except Unreadable as error:
            self._report.unreadable(key, error, "at the source: {}; it was left out")
            return
        if loaded is None:
            return  # removed since
        self._report.authenticated += 1
        try:
            self._put(loaded)
        except Unreadable as error:
            self._report.problem(loaded.head.id, Trouble.DAMAGED, f"at the target: {error}")

    def _put(self, loaded: Document) -> None:
        key = self._theirs.key(loaded.head.id)
        texts = document.merged(loaded.bodies)
        bodies = [self._writer.pack(text) for text in texts]

        def update(newest: Current) -> Write | Keep:
            if isinstance(newest, IndexRow):
                there = self._theirs.opened(newest)
                if there.document != loaded.document and there.head.updated >= loaded.head.updated:
                    return Keep(Outcome.AHEAD)
                if there.document == loaded.document and _facts(there.head) == _facts(loaded.head):
                    return Keep(Outcome.CURRENT)
            return self._writer.new_container(key, newest, loaded.head, bodies, unchanged=loaded.document)

        commit = self._target.commit(key, update)
        report, is_same = self._report, commit.change is None
        if commit.note is Outcome.AHEAD:
            reason = "the target has another one that was changed since: it was left as it is"
            self._report.problem(loaded.head.id, Trouble.AHEAD, reason)
            return
        report.current += is_same
        report.copied += not isinstance(commit.before, IndexRow)
        report.updated += isinstance(commit.before, IndexRow) and not is_same
        report.bytes += 0 if is_same else sum(len(body.data) for body in bodies)
        there = self._theirs.load(key, partial(self._target.read, key))
        if there is not None and _is_equal(there, loaded, texts):
            report.verified += 1
        else:
            self._report.problem(loaded.head.id, Trouble.DIFFERENT, "what was read back is not what the source has")

    def _remove_gone(self) -> None:
        """What the source has removed since an earlier run; what only the target has is reported."""
        for row in self._target.scan(_ALL):
            try:
                id = self._theirs.rows.open(row)[1].id  # noqa: A001 - the word that everybody knows
                key = self._ours.key(id)
                newest = newest_of(self._source, key)
            except Unreadable:
                continue  # reported where it stands in the way
            if newest is None:
                self._report.problem(id, Trouble.EXTRA, "only the target has it: it was left as it is")
            elif isinstance(newest, Tombstone) and self._ours.rows.is_genuine(newest._replace(key=key)):
                after = self._target.commit(row.key, self._delete).after
                self._report.removed += isinstance(after, Tombstone)

    def _delete(self, newest: Current) -> Delete | None:
        return self._writer.delete(newest) if isinstance(newest, IndexRow) else None


def _facts(head: Head) -> Head:
    """A head without what says where its document lies."""
    return head._replace(messages=0, raw=0, records=0, dead=0, appended=0, full=0, document=None)


def _is_equal(one: Document, other: Document, texts: list[bytes]) -> bool:
    return (
        _facts(one.head) == _facts(other.head)
        and one.document == other.document
        and document.merged(one.bodies) == texts
    )
