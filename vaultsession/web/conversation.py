"""A conversation: windows of its messages, each message as JSON, its pictures, and those that come while it is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from markupsafe import Markup
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from ..errors import SessionNotFound, VaultError
from ..format.messages.html import IMAGES
from ..store.watch import SessionWatch
from . import message_html
from .problems import problem_of
from .site import html, id_of, number_of, site_of
from .stream import PULSE, server_event, streamed

if TYPE_CHECKING:
    from ..format.payload import Json
    from ..store.session import SessionInfo
    from ..store.store import SessionStore
    from .site import Site

WINDOW = 60
"""Messages that are fetched at a time."""

LOOK = 0.2
"""Seconds between two looks at a session that is open on a page."""

_LARGEST_STATE = 256 << 10
"""Bytes of a session whose state is shown beside it; of a larger one it is on a page of its own."""


def session(request: Request) -> Response:
    """A conversation: its end, or the messages around number ``n``. A short one is there whole."""
    site, name, wanted = site_of(request), id_of(request), number_of(request, "n")
    store = site.store
    info = store.info(name)
    total = info.message_count
    first = max(0, total - WINDOW if wanted is None else min(wanted, total - 1) - WINDOW // 3)
    records = store.messages(name, offset=first, limit=WINDOW)
    wants_state = info.size <= _LARGEST_STATE or "state" in request.query_params
    return html(
        request,
        "session.html",
        info=info,
        facts=_facts(info),
        first=first,
        end=first + len(records),
        total=max(total, first + len(records)),
        window=WINDOW,
        wanted=wanted,
        messages=message_html.window(name, first, records),
        state=_state(store.load(name).state) if wants_state else None,
        verdict=site.verdict(name),
    )


def window(request: Request) -> Response:
    """Messages from number ``n`` on, as a piece of a page; ``total`` says how many there are now."""
    site, name, first = site_of(request), id_of(request), number_of(request, "n") or 0
    limit = min(number_of(request, "limit") or WINDOW, WINDOW)
    records = site.store.messages(name, offset=first, limit=limit)
    total = max(site.store.info(name).message_count, first + len(records))
    return HTMLResponse(
        message_html.window(name, first, records),
        headers={"X-First": str(first), "X-End": str(first + len(records)), "X-Total": str(total)},
    )


def message(request: Request) -> Response:
    """One message as JSON: a page, or a piece of one with ``piece``."""
    name, number = id_of(request), number_of(request, "n") or 0
    value = message_html.as_json(_record(site_of(request), name, number))
    if "piece" in request.query_params:
        return HTMLResponse(value)
    return html(request, "message.html", id=name, number=number, json=value)


def media(request: Request) -> Response:
    """A picture or a file out of a message, by its number ``m`` there. What may hold a script is only to be kept."""
    record = _record(site_of(request), id_of(request), number_of(request, "n") or 0)
    found = message_html.picture(record, number_of(request, "m") or 0)
    if found is None:
        raise SessionNotFound("there is no such picture in this message")
    headers = {"Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'"}
    if found.type in IMAGES:
        return Response(found.data, media_type=found.type, headers=headers)
    name = quote(found.name or "file", safe="", errors="replace")
    headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
    return Response(found.data, media_type="application/octet-stream", headers=headers)


async def events(request: Request) -> Response:
    """What happens to a session while it is open: ``grown``, ``changed``, ``gone``, ``back``."""
    return streamed(_followed(site_of(request).store, id_of(request)))


async def _followed(store: SessionStore, id: str) -> AsyncIterator[str]:
    watch = SessionWatch(store, id)
    trouble, silent = "", 0.0
    begun = False
    while True:
        try:
            before = watch.count
            new = await run_in_threadpool(watch.look if begun else lambda: watch.begin(0))
            event = None
            if not begun:
                event = server_event("count", {"total": watch.count})
            elif new or watch.count != before:
                name = "grown" if watch.count == before + len(new) else "changed"
                event = server_event(name, {"total": watch.count})
            elif trouble:
                event = server_event("back", {"total": watch.count})
            begun, trouble = True, ""
        except (VaultError, OSError) as error:
            event = None
            if str(error) != trouble:
                trouble, problem = str(error), problem_of(error)
                event = server_event("gone", {"heading": problem.heading, "advice": problem.advice})
        if event is not None:
            yield event
            silent = 0.0
        elif silent >= PULSE:
            yield ":\n\n"
            silent = 0.0
        await asyncio.sleep(LOOK)
        silent += LOOK


def _record(site: Site, id: str, number: int) -> Json:
    found = site.store.messages(id, offset=number, limit=1)
    if not found:
        raise SessionNotFound(f"session {id!r} has no message {number}")
    return found[0]


def _state(state: Json) -> Markup:
    return message_html.as_json(state) if state else Markup()


def _facts(info: SessionInfo) -> dict[str, object]:
    """What is known of a session, but for what its heading says."""
    named = {"user": info.user_id, "tenant": info.tenant_id, "assistant": info.assistant_id}
    return {name: value for name, value in named.items() if value is not None}
