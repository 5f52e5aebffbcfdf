"""The search: a page, and the matches as they are decrypted. Words as they stand; patterns are for the command."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response

from ..errors import PartialFailure, VaultError
from .sessions import filters_of
from .site import address, html, site_of
from .stream import Send, paced, streamed, worked
from .words import visible

if TYPE_CHECKING:
    from ..engine.search import Match
    from ..store.store import SessionStore

MOST = 500
"""Matches of one search: more are no help to a reader."""


def search(request: Request) -> Response:
    """The page of a search, which asks for the matches."""
    filters_of(request.query_params)  # refused before anything is looked for
    return html(request, "search.html", most=MOST)


async def matches(request: Request) -> Response:
    """``match``, ``progress``, and at the end ``unreadable`` with the sessions that could not be read."""
    query, store = request.query_params, site_of(request).store
    wanted = filters_of(query)

    def work(send: Send) -> None:
        total = store.count(**wanted)
        with paced(send) as progress:
            found = store.search(
                query.get("q", ""),
                ignore_case="case" not in query,
                progress=lambda done: progress(done, total),
                **wanted,
            )
            try:
                for match in islice(found, MOST):
                    send("match", {**_match(match), "title": _title(store, match.id)})
            except PartialFailure as partial:
                send("unreadable", {visible(name): str(error) for name, error in partial.failures.items()})

    return streamed(worked(work))


def _title(store: SessionStore[Any], id: str) -> str:
    """The title of a session that was there a moment ago, from the index; else its id."""
    with contextlib.suppress(VaultError):
        return visible(store.info(id).title or id)
    return visible(id)


def _match(match: Match) -> dict[str, object]:
    start, end = match.span
    return {
        "id": visible(match.id),
        "address": address("/session", id=match.id, n=match.index),
        "role": visible(match.role or ""),
        "number": match.index,
        "before": visible(match.excerpt[:start]),
        "found": visible(match.excerpt[start:end]),
        "behind": visible(match.excerpt[end:]),
    }
