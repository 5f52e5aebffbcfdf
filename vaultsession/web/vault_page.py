"""The vault: how it is, what lies in it by day and by size, its keys, a verification, and one container drawn."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from ..format.messages.plain import size
from ..format.record import HEADER_SIZE
from ..store.inspection import InspectedRecord, Inspection, inspected, key_of
from ..store.pages import PagedListing
from . import words
from .site import html, id_of, site_of, templates
from .stream import Send, paced, streamed, worked

if TYPE_CHECKING:
    from ..engine.verify import Verification
    from ..store.session import SessionInfo
    from .site import Site

DAYS = 84
_NEXT = 8
_STRIP = 1000
"""Units that a strip is wide, and records that are drawn in it at most."""
_MOST_DRAWN = 240
_BOUNDS = tuple(1000 * 4**power for power in range(8))
_NARROWEST = 2.0


class DrawnBar(NamedTuple):
    """One column or row of a chart: its name, how many, and its share of the largest, from 0 to 100."""

    name: str
    sessions: int
    share: float


class Piece(NamedTuple):
    """A piece of a drawn container: where it begins, how wide it is, its class, and what it is."""

    left: float
    width: float
    kind: str
    title: str


def vault(request: Request) -> Response:
    """Health, sizes, durations of verbs; what takes a walk over all sessions comes behind it."""
    store = site_of(request).store
    health, stats = store.health(), {}
    if health["ok"]:
        stats = store.stats()
    verbs = stats.pop("verbs", {})
    parts = {name: value for name, value in health.items() if name not in ("ok", "where", "key")}
    newest = store.list(limit=1) if health["ok"] else []
    return html(
        request,
        "vault.html",
        health=health,
        parts=parts,
        stats=stats,
        verbs=verbs,
        newest=newest[0].id if newest else None,
        problems=_named(site_of(request)),
    )


async def survey(request: Request) -> Response:
    """One walk over the facts of all sessions: ``survey`` has the piece of the page that shows it."""
    site = site_of(request)

    def work(send: Send) -> None:
        total = site.store.count()
        counted = _Survey()
        with paced(send) as progress:
            for number, info in enumerate(PagedListing(site.store).pages(), 1):
                counted.add(info)
                progress(number, total)
        made = templates().get_template("survey.html")
        send("survey", made.render(survey=counted, keys=site.store.key_usage()))

    return streamed(worked(work))


async def verify(request: Request) -> Response:
    """Every record of every session opened: ``verified`` has the counts, ``problem`` each session that is not well."""
    site = site_of(request)

    def work(send: Send) -> None:
        total = site.store.count()
        with paced(send) as progress:
            found = site.store.verify(progress=lambda done: progress(done, max(done, total)))
        site.verdicts = {each.key: each for each in found.problems}
        for name, each in _named(site):
            send("problem", {"id": name, "verdict": str(each.verdict), "problem": each.problem})
        send(
            "verified",
            {"sessions": found.sessions, "records": found.records, "bytes": size(found.bytes), "ok": found.ok},
        )

    return streamed(worked(work))


def container(request: Request) -> Response:
    """One container drawn: its records, what is sealed, and what a thief sees."""
    site, name = site_of(request), id_of(request)
    info = site.store.info(name)
    found = inspected(site.store, name)
    return html(
        request,
        "container.html",
        info=info,
        found=found,
        pieces=_pieces(found),
        strip=_STRIP,
        header=HEADER_SIZE,
        tally=_tally(found),
        shown=found.records[-200:],
    )


def _named(site: Site) -> list[tuple[str, Verification]]:
    """The problems of the last verification, each with the id of its session: its key where no listing has it."""
    names = {each.key: each.head.id for each in site.verdicts.values() if each.head is not None}
    if len(names) < len(site.verdicts):
        for info in PagedListing(site.store).pages():
            key = key_of(site.store, info.id)
            if key in site.verdicts:
                names[key] = info.id
    return [(names.get(key, key), each) for key, each in site.verdicts.items()]


class _Survey:
    """What a walk over all sessions counts; it holds no session but those that expire next."""

    def __init__(self) -> None:
        self._today = words.now().astimezone().date()
        self._days: Counter[int] = Counter()
        self._sizes: Counter[int] = Counter()
        self._next: list[tuple[float, int, SessionInfo]] = []
        self.sessions = self.messages = self.bytes = 0

    def add(self, info: SessionInfo) -> None:
        """One session more."""
        self.sessions += 1
        self.messages += info.message_count
        self.bytes += info.size
        self._days[(self._today - info.updated_at.astimezone().date()).days] += 1
        self._sizes[bisect_right(_BOUNDS, info.size)] += 1
        if info.expires_at is not None:
            entry = (-info.expires_at.timestamp(), self.sessions, info)
            if len(self._next) < _NEXT:
                heapq.heappush(self._next, entry)
            else:
                heapq.heappushpop(self._next, entry)

    @property
    def expires_next(self) -> list[SessionInfo]:
        """Those that expire first, the very first at the front."""
        return [info for _, _, info in sorted(self._next, reverse=True)]

    @property
    def days(self) -> list[DrawnBar]:
        """The sessions by the day of their last change, the oldest of the last twelve weeks first."""
        back = range(DAYS - 1, -1, -1)
        return _bars((f"{self._today - timedelta(days=each):%a %d %b}", self._days[each]) for each in back)

    @property
    def older(self) -> int:
        """Sessions that were changed before that."""
        return sum(count for back, count in self._days.items() if back >= DAYS)

    @property
    def sizes(self) -> list[DrawnBar]:
        """The sessions by their size as JSON, from the smallest that there is to the largest."""
        names = [*(f"below {size(bound)}" for bound in _BOUNDS), f"{size(_BOUNDS[-1])} or more"]
        used = range(min(self._sizes, default=0), max(self._sizes, default=-1) + 1)
        return _bars((names[place], self._sizes[place]) for place in used)


def _bars(counted: Iterable[tuple[str, int]]) -> list[DrawnBar]:
    found = [*counted]
    most = max((count for _, count in found), default=0) or 1
    return [DrawnBar(name, count, 100 * count / most) for name, count in found]


def _tally(found: Inspection) -> dict[str, dict[str, Any]]:
    """Of each kind of record how many there are, and their bytes."""
    kinds: dict[str, dict[str, Any]] = {}
    for each in found.records:
        entry = kinds.setdefault(_kind(each), {"records": 0, "bytes": 0})
        entry["records"] += 1
        entry["bytes"] += each.size
    return kinds


def _kind(record: InspectedRecord) -> str:
    return "dead" if record.is_dead else record.kind.lower()


def _pieces(found: Inspection) -> list[Piece]:
    """The strip: header, records and what is behind them, each as wide as its share and never too narrow to be seen.

    Of very many records neighbours of one kind are drawn as one.
    """
    groups: list[tuple[int, str, str]] = [(HEADER_SIZE, "header", f"header, {HEADER_SIZE} bytes")]
    step = max(1, -(-len(found.records) // _MOST_DRAWN))
    for kind, run in groupby(found.records, _kind):
        while some := [*islice(run, step)]:
            bytes_ = sum(each.size for each in some)
            named = f"record {some[0].seq}" if len(some) == 1 else f"records {some[0].seq} to {some[-1].seq}"
            groups.append((bytes_, kind, f"{named}, {kind.upper()}, {size(bytes_)}"))
    if found.behind:
        groups.append((found.behind, "torn", f"{size(found.behind)} that are no whole record"))
    whole = sum(bytes_ for bytes_, _, _ in groups)
    widths = [max(_NARROWEST, _STRIP * bytes_ / whole) for bytes_, _, _ in groups]
    scale, left, pieces = _STRIP / sum(widths), 0.0, []
    for width, (_, kind, title) in zip(widths, groups, strict=True):
        pieces.append(Piece(round(left, 2), round(width * scale, 2), kind, title))
        left += width * scale
    return pieces
