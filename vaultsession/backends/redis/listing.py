"""Listing from sorted sets, one of each kind in every shard. The session's own row decides; an entry only points to it.

A script changes a session and its entries together, so an entry that its row denies was left by a session that the
server has dropped behind its expiry, or was put there by someone else. It is put right when it is met, and gives
nothing. Pages are read with their rows in one step, and no more than a page of each shard is held.
"""

from __future__ import annotations

import contextlib
import heapq
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from ...format.ids import parse_locator
from ...format.sealed import IndexRow, Query, Tombstone
from ...util.lazy import log
from ..protocol import RebuildReport
from .layout import MARGIN, TOMBSTONE_BEGINS, RedisLayout, all_of, expiring, newest_in, tagged
from .scripts import CORRECT, COUNT, PAGE, THERE, TOMBSTONES
from .server import Server

_PAGE = 500
_HEX = re.compile(rb"[0-9a-f]{32}")
_SMALLEST_PAGE = 20

_MOST_SORTED = 50_000
"""Expired sessions that are put in order in memory; with more of them, all sessions are walked in their order."""

Place = tuple[int, str]
RebuildRow = Callable[[str], bool]


class _Entry(NamedTuple):
    """An entry of a sorted set, and what its session says: None where there is nothing that could be understood.

    ``locator`` names the session that it may be of: None for one that was removed, or a member that names none.
    """

    member: bytes
    score: float
    stored: bytes | None
    row: IndexRow | None
    locator: str | None


class RedisListing:
    """Lists, counts and rebuilds. Safe from any thread."""

    def __init__(self, server: Server, layout: RedisLayout, rebuild_row: RebuildRow) -> None:
        self._server = server
        self._layout = layout
        self._rebuild_row = rebuild_row

    def scan(self, query: Query) -> Iterator[IndexRow]:
        rows = (row for row in self._ordered(query) if query.matches(row))
        end = None if query.limit is None else query.offset + query.limit
        return islice(rows, query.offset, end)

    def count(self, query: Query) -> int:
        if query.tags or (query.alive_at is not None and query.expired_at is not None):
            whole = Query(query.tags, alive_at=query.alive_at, expired_at=query.expired_at)
            return sum(1 for _ in self.scan(whole))
        moment = query.expired_at if query.alive_at is None else query.alive_at
        total = 0
        for shard in self._layout.every():
            there, expired, over, past = self._counted(shard, moment)
            if over and self._drop_vanished(shard, past):
                there, expired, *_ = self._counted(shard, moment)
            total += expired if query.expired_at is not None else there - expired
        return total

    def rebuild(self) -> RebuildReport:
        """Each row from its container, each entry from its row; then every entry is looked at."""
        scanned = unreadable = 0
        beginning = f"{self._layout.prefix}:{{*}}:"
        for name in self._server.names(f"{beginning}c:*"):
            locator = self._locator_in(name, "c")
            if locator is not None:
                scanned += 1
                unreadable += not self._rebuild_row(locator)
        if unreadable:
            log.warning("%d sessions cannot be read and are not listed", unreadable)
        for shard in self._layout.every():
            for _ in self._walk(shard, all_of(shard), False, None):
                pass
            self._drop_vanished(shard, self._counted(shard, None)[-1])
        for name in self._server.names(f"{beginning}tag:*"):
            found = self._layout.parse(name, "tag")
            if found is None or _HEX.fullmatch(found[1]) is None:
                continue
            shard, tag = found[0], bytes.fromhex(found[1].decode("ascii"))
            for _ in self._walk(shard, tagged(shard, tag), False, None, tag):
                pass
        return RebuildReport(scanned, unreadable=unreadable)

    def tombstones(self) -> Iterator[Tombstone]:
        """Every tombstone of a session that is not there. One may be given twice, as a name by the server."""
        for shard, locators in self._batches("n"):
            names = [f"{shard}n:{locator}" for locator in locators]
            for locator, stored in zip(locators, self._server.look(TOMBSTONES, names, TOMBSTONE_BEGINS), strict=True):
                if isinstance(newest := newest_in(stored, locator), Tombstone):
                    yield newest

    def unindexed(self) -> Iterator[str]:
        """Every session whose container has no row. One may be given twice."""
        for shard, locators in self._batches("c"):
            rows = self._server.look(THERE, [f"{shard}n:{locator}" for locator in locators])
            yield from [locator for locator, is_there in zip(locators, rows, strict=True) if not is_there]

    def _batches(self, kind: str) -> Iterator[tuple[str, list[str]]]:
        """The sessions that have a key of this kind: so many of one shard at a time as a script is asked about."""
        batches: dict[str, list[str]] = {}
        for name in self._server.names(f"{self._layout.prefix}:{{*}}:{kind}:*"):
            locator = self._locator_in(name, kind)
            if locator is not None:
                shard = self._layout.shard(locator)
                batch = batches.setdefault(shard, [])
                batch.append(locator)
                if len(batch) == _PAGE:
                    yield shard, batches.pop(shard)
        yield from batches.items()

    # -- order ---------------------------------------------------------------------------------------------------------

    def _ordered(self, query: Query) -> Iterator[IndexRow]:
        """Every row that may match, in the order asked for, behind the cursor."""
        if query.expired_at is not None and not query.tags:
            found = self._expired(query.expired_at)
            if found is not None:
                rows = sorted(found, key=lambda row: row.place, reverse=query.newest_first)
                return iter([row for row in rows if query.is_behind_cursor(row)])
        wanted = None if query.limit is None else query.offset + query.limit
        walks = []
        for shard in self._layout.every():
            name, tag = self._smallest(shard, query.tags)
            walks.append(self._walk(shard, name, query.newest_first, query.after, tag, wanted))
        return (
            heapq.merge(*walks, key=lambda row: row.place, reverse=query.newest_first) if len(walks) > 1 else walks[0]
        )

    def _smallest(self, shard: str, tags: tuple[bytes, ...]) -> tuple[str, bytes | None]:
        """The sorted set with the fewest entries that has all that carry the tags."""
        if not tags:
            return all_of(shard), None
        if len(tags) == 1:
            return tagged(shard, tags[0]), tags[0]
        _, tag = min((self._server.ask("ZCARD", tagged(shard, tag)), tag) for tag in tags)
        return tagged(shard, tag), tag

    def _expired(self, moment: int) -> list[IndexRow] | None:
        """The rows that have expired, in no order; None if those are too many to hold."""
        shards = self._layout.every()
        if sum(self._server.ask("ZCOUNT", expiring(shard), "-inf", moment) for shard in shards) > _MOST_SORTED:
            return None
        rows = []
        for shard in shards:
            for entry in self._pages(shard, expiring(shard), newest_first=False, first=None, last=moment):
                row = entry.row
                if row is None or row.expires is None or float(row.expires) != entry.score:
                    self._correct(shard, expiring(shard), entry, None if row is None else row.expires)
                elif row.expires <= moment:
                    rows.append(row)
        return rows

    def _walk(
        self,
        shard: str,
        name: str,
        newest_first: bool,
        after: Place | None,
        tag: bytes | None = None,
        wanted: int | None = None,
    ) -> Iterator[IndexRow]:
        """The rows of a sorted set by last change, behind a place. Entries that are wrong are put right."""
        for entry in self._pages(shard, name, newest_first=newest_first, first=after, last=None, wanted=wanted):
            row = entry.row
            if row is None or (tag is not None and tag not in row.tags):
                self._correct(shard, name, entry, None)
            elif float(row.updated) != entry.score:
                self._correct(shard, name, entry, row.updated)
            else:
                yield row

    def _pages(
        self,
        shard: str,
        name: str,
        *,
        newest_first: bool,
        first: Place | None,
        last: int | None,
        wanted: int | None = None,
    ) -> Iterator[_Entry]:
        """Entries of a sorted set behind a place, up to a score, with what their sessions say at the same moment.

        A page begins with the score where the one before has ended, since entries may move meanwhile; what was given
        is left out by its name. Of many with one score each page overlaps with the one before by a quarter.
        """
        command, end = ("ZREVRANGEBYSCORE", b"-inf") if newest_first else ("ZRANGEBYSCORE", b"+inf")
        stop = end if last is None else b"%d" % last
        start = (b"+inf" if newest_first else b"-inf") if first is None else b"%d" % first[0]
        place = None if first is None else (float(first[0]), first[1].encode())
        count, skip = max(_SMALLEST_PAGE, min(_PAGE, wanted or _PAGE)), 0
        while True:
            found, rows = self._server.look(PAGE, [name], command, start, stop, skip, count, f"{shard}n:")
            for number, stored in enumerate(rows):
                here = (float(found[2 * number + 1]), found[2 * number])
                if place is None or (here < place if newest_first else here > place):
                    place = here
                    yield self._entry(shard, *here, stored)
            if len(rows) < count:
                return
            last_score = found[-1]
            skip = skip + count - count // 4 if last_score == start else 0
            start, count = last_score, min(_PAGE, 2 * count)

    # -- entries -------------------------------------------------------------------------------------------------------

    def _entry(self, shard: str, score: float, member: bytes, stored: bytes | None) -> _Entry:
        locator = None
        with contextlib.suppress(ValueError):
            locator = parse_locator(member)
        if locator is None or self._layout.shard(locator) != shard:
            return _Entry(member, score, stored, None, None)
        newest = newest_in(stored, locator)
        row = newest if isinstance(newest, IndexRow) else None
        return _Entry(member, score, stored, row, None if isinstance(newest, Tombstone) else locator)

    def _correct(self, shard: str, name: str, entry: _Entry, score: int | None) -> None:
        """Give an entry the score that its session says, or remove it, if the session still says the same.

        Where a session says nothing that can be understood its container is asked first: what is there is listed.
        """
        if entry.row is None and entry.locator is not None and not self._rebuild_row(entry.locator):
            log.warning("session %s cannot be read and is not listed", entry.locator)
            return
        keys = (name, b"%sn:%s" % (shard.encode(), entry.member))
        self._server.look(CORRECT, keys, entry.member, entry.stored or b"", "" if score is None else score)

    def _counted(self, shard: str, moment: int | None) -> list[int]:
        """What ``COUNT`` says of a shard."""
        keys = [all_of(shard), expiring(shard)]
        return [int(number) for number in self._server.look(COUNT, keys, "" if moment is None else moment, MARGIN)]

    def _drop_vanished(self, shard: str, past: int) -> bool:
        """Forget the sessions that the server has dropped: they expired before that, and there is no row."""
        found = False
        for entry in self._pages(shard, expiring(shard), newest_first=False, first=None, last=past):
            if not entry.stored:
                found = True
                self._correct(shard, expiring(shard), entry, None)
                self._correct(shard, all_of(shard), entry, None)
        return found

    def _locator_in(self, name: bytes, kind: str) -> str | None:
        """The session of which a key of this name and kind is; None: it is none of ours."""
        found = self._layout.parse(name, kind)
        if found is None:
            return None
        locator = parse_locator(found[1])
        return locator if self._layout.shard(locator) == found[0] else None
