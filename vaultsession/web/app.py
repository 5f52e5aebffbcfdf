"""The application: every address of the page, behind the guard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ..errors import VaultError
from . import changes, conversation, search_stream, sessions, vault_page
from .access import Access, Guard
from .problems import Notice, problem_of
from .site import Site, html

if TYPE_CHECKING:
    from ..store.store import SessionStore


def create_app(store: SessionStore[Any], access: Access, *, writable: bool = False) -> Guard:
    """The page over an open store, which stays the caller's to close. ``writable``: with what changes sessions."""
    routes = [
        Route("/", sessions.sessions),
        Route("/session", conversation.session),
        Route("/window", conversation.window),
        Route("/message", conversation.message),
        Route("/media", conversation.media),
        Route("/events", conversation.events),
        Route("/search", search_stream.search),
        Route("/search/events", search_stream.matches),
        Route("/vault", vault_page.vault),
        Route("/vault/survey", vault_page.survey),
        Route("/vault/verify", vault_page.verify),
        Route("/container", vault_page.container),
        Mount("/static", StaticFiles(packages=[("vaultsession.web", "static")])),
    ]
    if writable:
        routes += [
            Route("/change/{action}", changes.asked, methods=["GET"]),
            Route("/change/{action}", changes.done, methods=["POST"]),
        ]
    app = Starlette(
        routes=routes,
        exception_handlers={HTTPException: _refused, VaultError: _failed, OSError: _failed, Exception: _failed},
    )
    app.state.site = Site(store, access, writable=writable)
    return Guard(app, access)  # outside of all else: the answer to a bug is marked as well


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    problem = Notice(status, "There is no such page", "Go back to the sessions.")
    return html(request, "problem.html", status=status, problem=problem, words="")


async def _failed(request: Request, error: Exception) -> Response:
    """What a page cannot show, as a page that says what to do. Of a bug the kind alone: its words may hold content."""
    if isinstance(error, VaultError | OSError):
        problem, words = problem_of(error), str(error)
    else:
        problem = Notice(500, "This is a bug of vaultsession", "Please report it, with the kind of the error.")
        words = type(error).__name__
    return html(request, "problem.html", status=problem.status, problem=problem, words=words)
