"""Sealed bytes from one backend to another: authenticated where there is a key, put in place, read back and compared.

Sessions go in the order of the source's listing, a page at a time. Each of a page is authenticated and committed; then
each is read back from the target and compared with the bytes that were authenticated, also one that was there before:
what a power cut left of an earlier run shows here, and is written anew. At the end both listings are walked side by
side. A session that changes meanwhile is brought up to date then.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from ...backends.protocol import Backend, Graveyard, Shelf
from ...backends.replication import Gap, Outcome, SessionGap, differing, follow, is_same
from ...errors import Conflict, Damaged, UnknownKey, Unreadable
from ...format import record
from ...format.ids import is_key
from ...format.sealed import Container, Current, Delete, IndexRow, Query, Tombstone, Write
from .describer import Copied, Describing, ends_as
from .report import MigrationReport, Problem, Progress, Trouble, silent

PAGE = 200
PAGE_BYTES = 16 << 20
"""Sessions, and bytes of them, that are held in memory until they are compared; one alone may be larger."""

_NAMED = 3
_LEFT = {
    Outcome.AHEAD: (Trouble.AHEAD, "the target has a newer one, or removed it: it was left as it is"),
    Outcome.EXTRA: (Trouble.EXTRA, "only the target has it: it was left as it is"),
}
_ALL = Query(newest_first=False)


class _Sent(NamedTuple):
    """A session of the page, and the bytes that are to be found at the target; None: those of the source, read anew."""

    key: str
    data: bytes | None


def copy(source: Backend, target: Backend, describing: Describing, *, progress: Progress = silent) -> MigrationReport:
    """Make ``target`` hold what ``source`` holds; see the module. Only what a tombstone names is removed from it.

    ``describing`` is what both were opened with. ``Conflict``, before anything is changed, for a target whose
    sessions went on by themselves. A session that cannot be copied is a ``Problem`` of the report; the others go on.
    """
    refuse_newer(source, target, describing)
    return _Copying(source, target, describing, progress).run()


def refuse_newer(source: Backend, target: Backend, describing: Describing) -> None:
    """``Conflict`` for a target that has what the source has not: newer sessions, or others of the same beginning."""
    if target.count(Query()) == 0:
        return
    with describing.leniently():
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


class _Copying:
    def __init__(self, source: Backend, target: Backend, describing: Describing, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._describing = describing
        self._keys = describing.keys
        self._progress = progress
        self._report = MigrationReport()
        self._found: list[Copied] = []
        """What of the page was there already."""

    def run(self) -> MigrationReport:
        """All of it."""
        self._copy_tombstones()
        total, done = self._source.count(Query()), 0
        for page in _pages(self._source):
            sent = [each for each in map(self._sent, page) if each is not None]
            self._list_found(page)
            for each in sent:
                self._compare(each)
            done += len(page)
            self._progress(done, max(done, total))
        self._report.sessions = done
        self._look_for_unlisted()
        self._level()
        return self._report

    def _copy_tombstones(self) -> None:
        """So that nothing comes back at the target that was removed at the source."""
        if not isinstance(self._source, Graveyard):
            return
        proves = self._describing.proves
        for tombstone in self._source.tombstones():
            if proves is not None and not proves(tombstone):
                reason = "at the source: its tombstone was not made with the keys of this vault; it was left out"
                self._problem(tombstone.key, Trouble.DAMAGED, reason)
                continue
            result: Current = None

            def seal(newest: Current, tombstone: Tombstone = tombstone) -> Delete | None:
                above = newest is not None and newest.generation > tombstone.generation
                return None if above or newest == tombstone else Delete(tombstone, flush=False)

            try:
                result = self._target.commit(tombstone.key, seal)
            except Unreadable as error:
                self._problem(tombstone.key, Trouble.LOCKED, f"its removal could not be repeated: {error}")
            self._report.tombstones += result == tombstone

    def _sent(self, row: IndexRow) -> _Sent | None:
        """One session, authenticated and put in place if it is not there."""
        try:
            container = self._source.read(row.key)
            if container is None:
                return None  # removed since; told at the end, if the target has it
            if not ends_as(row, container):
                return self._followed(row.key)
            data = container.header + container.data[: row.size - record.HEADER_SIZE]
            proved = self._proved(row, data)
        except UnknownKey as error:
            self._problem(row.key, Trouble.LOCKED, str(error))
            return None
        except Unreadable as error:
            self._problem(row.key, Trouble.DAMAGED, f"at the source: {error}; it was left out")
            return None
        try:
            return _Sent(row.key, data) if self._is_put(proved, data) else self._followed(row.key)
        except Unreadable as error:
            self._in_the_way(row.key, error)
            return None

    def _proved(self, row: IndexRow, data: bytes) -> IndexRow:
        """The row that the keys make of the bytes; without a key, the one that the source lists."""
        if self._keys is None:
            return row._replace(torn=False)
        whole = Container(data[: record.HEADER_SIZE], record.HEADER_SIZE, data[record.HEADER_SIZE :])
        described = self._keys(row.key, lambda _start: whole, thorough=True)
        if described is None or described.torn or described.version != row.version:
            raise Damaged(f"the newest records of {row.key} do not authenticate")
        self._report.authenticated += 1
        return described

    def _is_put(self, row: IndexRow, data: bytes) -> bool:
        """Whether these bytes are now what the target has; it may have had them."""
        known: Current = None

        def seal(newest: Current) -> Write | None:
            nonlocal known
            known = newest
            return Write(row, 0, data) if _is_below(newest, row) else None

        self._describing.copied = Copied(row, data)
        try:
            self._target.commit(row.key, seal)
        finally:
            self._describing.copied = None
        if _is_below(known, row):
            self._report.copied += 1
            self._report.bytes += len(data)
            return True
        if isinstance(known, IndexRow) and is_same(known, row):
            self._report.current += 1
            self._found.append(Copied(row, data))
            return True
        return False

    def _list_found(self, page: list[IndexRow]) -> None:
        """Put once more what is there and not listed: a power cut may have taken the index and left the containers."""
        found, self._found = self._found, []
        if not found:
            return
        listed: set[tuple[str, bytes]] = set()
        before = (page[0].updated, "")
        for row in self._target.scan(replace(_ALL, after=before)):
            if row.updated > page[-1].updated:
                break
            listed.add((row.key, row.version))
        for each in found:
            if (each.row.key, each.row.version) not in listed:
                self._put_again(each)

    def _put_again(self, copied: Copied) -> None:
        """The same bytes in the place of themselves, so that they are listed."""

        def seal(newest: Current) -> Write | None:
            is_it = isinstance(newest, IndexRow) and is_same(newest, copied.row)
            return Write(copied.row, 0, copied.data) if is_it else None

        self._describing.copied = copied
        try:
            self._target.commit(copied.row.key, seal)
        except Unreadable as error:
            self._in_the_way(copied.row.key, error)
        finally:
            self._describing.copied = None

    def _followed(self, key: str, *, anew: bool = False) -> _Sent | None:
        """A session that the target has in another state, or that changes while it is copied."""
        if self._keys is None:
            reason = "it has changed since it was listed or copied: to bring it up to date takes the key of the vault"
            self._problem(key, Trouble.LOCKED, reason)
            return None
        try:
            outcome = follow(self._source, self._target, key, anew=anew, proves=self._describing.proves)
        except Unreadable as error:
            self._in_the_way(key, error)
            return None
        if outcome in _LEFT:
            self._problem(key, *_LEFT[outcome])
            return None
        self._report.updated += outcome in (Outcome.APPENDED, Outcome.REPLACED)
        self._report.removed += outcome is Outcome.REMOVED
        return None if outcome is Outcome.REMOVED else _Sent(key, None)

    def _compare(self, sent: _Sent, *, again: bool = True) -> None:
        """Read back what is to be there. What an earlier run left torn is written anew, once."""
        try:
            data = self._data_now(sent.key) if sent.data is None else sent.data
            container = self._target.read(sent.key)
            there = None if container is None else container.header + container.data
            if there is not None and there == data:
                self._report.verified += 1
            elif data is None and there is None:
                return  # removed meanwhile
            elif again:
                repeated = self._followed(sent.key, anew=True)
                if repeated is not None:
                    self._compare(repeated, again=False)
            else:
                self._problem(
                    sent.key, Trouble.DIFFERENT, "what was read back is not what the source has: run it again"
                )
        except Unreadable as error:
            self._in_the_way(sent.key, error)

    def _data_now(self, key: str) -> bytes | None:
        """What the source has now, without what is torn behind it."""
        row, container = self._source.head(key), self._source.read(key)
        return None if row is None or container is None else (container.header + container.data)[: row.size]

    def _look_for_unlisted(self) -> None:
        """What lies at the source and is not listed there: nobody could describe it, so the index does not know it."""
        if not isinstance(self._source, Shelf):
            return
        for key in self._source.unlisted():
            self._report.sessions += 1
            sent = self._followed(key)
            if sent is not None:
                self._compare(sent)

    def _level(self) -> None:
        """What has changed meanwhile, and what only the target has."""
        known = {problem.key for problem in self._report.problems}
        with self._describing.leniently():
            differ = [each.key for each in differing(self._source, self._target) if each.key not in known]
        for key in dict.fromkeys(differ):
            sent = self._followed(key)
            if sent is not None:
                self._compare(sent)

    def _in_the_way(self, key: str, error: Unreadable) -> None:
        self._problem(key, Trouble.LOCKED if isinstance(error, UnknownKey) else Trouble.DAMAGED, str(error))

    def _problem(self, key: str, trouble: Trouble, reason: str) -> None:
        self._report.problems.append(Problem(key, trouble, reason))


def _is_below(newest: Current, row: IndexRow) -> bool:
    """Whether a row is news to who has that: nothing, or the tombstone of an earlier life."""
    return newest is None or (isinstance(newest, Tombstone) and newest.generation < row.generation)


def _pages(source: Backend) -> Iterator[list[IndexRow]]:
    """The source's listing, oldest first, in pages that are bounded in number and in bytes."""
    page: list[IndexRow] = []
    size = 0
    for row in source.scan(_ALL):
        if not is_key(row.key):
            continue
        if page and (len(page) == PAGE or size + row.size > PAGE_BYTES):
            yield page
            page, size = [], 0
        page.append(row)
        size += row.size
    if page:
        yield page
