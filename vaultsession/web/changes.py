"""Changes of a session, where the page was opened for them: each on a page of its own, and confirmed there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from ..errors import Conflict, InvalidSetting
from .site import address, html, id_of, labels_in, number_of, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..store.store import SessionStore


Form = dict[str, str]
_MOST_FIELDS = 20


class Action(NamedTuple):
    """What can be done to a session: how it is called, what it means, and how it is done."""

    title: str
    button: str
    says: str
    do: Callable[[SessionStore[Any], str, Form], Response]


def asked(request: Request) -> Response:
    """The form of a change."""
    action, change = _chosen(request)
    site, name = site_of(request), id_of(request)
    info = site.store.info(name)
    return html(
        request,
        "change.html",
        action=action,
        change=change,
        info=info,
        labels="\n".join(f"{label}={value}" for label, value in info.labels.items()),
        until=number_of(request, "until"),
        token=site.access.form_token(action, name),
    )


async def done(request: Request) -> Response:
    """The change itself. A form without its own token, or that was not confirmed, changes nothing."""
    action, change = _chosen(request)
    site, name = site_of(request), id_of(request)
    form = _parsed(await request.body())
    if not site.access.is_form_token(form.get("token", ""), action, name):
        raise HTTPException(403)
    if form.get("confirmed") != "yes":
        raise InvalidSetting("the form was not confirmed: nothing was changed")
    return await run_in_threadpool(change.do, site.store, name, form)


def _chosen(request: Request) -> tuple[str, Action]:
    action = request.path_params["action"]
    if action not in CHANGES:
        raise HTTPException(404)
    return action, CHANGES[action]


def _parsed(body: bytes) -> Form:
    """The fields of a form, without blanks around them. ``InvalidSetting`` for what no form of the page sends."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise InvalidSetting("this is no form of this page") from None
    return {name: value.strip() for name, value in pairs}


def _back(id: str) -> Response:
    return RedirectResponse(address("/session", id=id), 303)


def _edit(store: SessionStore[Any], id: str, form: Form) -> Response:
    labels = labels_in(form.get("labels", "").splitlines())
    with store.edit(id) as draft:
        if draft.version != form.get("version"):
            raise Conflict(f"session {id!r} was changed since this form was made")
        draft.title = form.get("title") or None
        draft.labels = labels
    return _back(id)


def _fork(store: SessionStore[Any], id: str, form: Form) -> Response:
    until = form.get("until", "")
    if until and not (until.isascii() and until.isdigit()):
        raise InvalidSetting(f"the number of messages is a number, not {until!r:.40}")
    return _back(store.copy(id, form.get("new") or None, until=int(until) if until else None).id)


def _touch(store: SessionStore[Any], id: str, form: Form) -> Response:
    store.touch(id, form.get("ttl") or None)
    return _back(id)


def _delete(store: SessionStore[Any], id: str, form: Form) -> Response:
    store.delete(id, if_version=form.get("version"))
    return RedirectResponse("/", 303)


def _export(store: SessionStore[Any], id: str, form: Form) -> Response:
    del form
    store.info(id)  # raised before an answer is begun
    lines: Iterator[bytes] = store.export([id])
    file = quote(f"{id}.jsonl", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{file}"}
    return StreamingResponse(lines, media_type="application/octet-stream", headers=headers)


CHANGES = {
    "edit": Action("Title and labels", "Save", "", _edit),
    "fork": Action(
        "Fork", "Fork", "A new session with the same state and history, and a life of its own. This one stays.", _fork
    ),
    "touch": Action(
        "Extend its life", "Extend", "Its life begins anew, now. What was said stays as it is.", _touch
    ),
    "export": Action(
        "Export",
        "Export in the clear",
        "A file of JSON lines that `vaultsession import` reads. It is not encrypted: keep it as you keep a secret.",
        _export,
    ),
    "delete": Action(
        "Delete", "Delete for good", "The session is removed at once. Nothing brings it back but a backup.", _delete
    ),
}  # fmt: skip
