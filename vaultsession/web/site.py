"""The site: what all addresses share, which is the store, who may ask, and how a page is made of a template."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from ..errors import InvalidSetting
from ..format.messages.plain import size
from ..store.inspection import key_of
from . import words
from .access import Access

if TYPE_CHECKING:
    from ..engine.verify import Verification
    from ..store.store import SessionStore


class Site:
    """One vault as a page. ``verdicts``: the problems that the last verification found, by the keys of the sessions."""

    def __init__(self, store: SessionStore[Any], access: Access, *, writable: bool) -> None:
        self.store = store
        self.access = access
        self.writable = writable
        self.verdicts: dict[str, Verification] = {}

    def verdict(self, id: str) -> Verification | None:
        """What the last verification found wrong with a session."""
        return self.verdicts.get(key_of(self.store, id)) if self.verdicts else None


@cache
def templates() -> Environment:
    """The templates. Whatever they show is escaped, and made visible."""
    made = Environment(
        loader=PackageLoader("vaultsession.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: (
            words.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )
    shown: dict[str, Callable[..., str]] = {
        "ago": words.ago,
        "moment": words.moment,
        "span": words.span,
        "counted": words.counted,
        "grouped": words.grouped,
        "size": size,
    }
    made.filters |= shown
    made.globals["address"] = address
    return made


def address(path: str, **fields: object) -> str:
    """An address of the page, without the fields that are empty."""
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    return f"{path}?{urlencode(given)}" if given else path


def site_of(request: Request) -> Site:
    """The site that a request is for."""
    return cast("Site", request.app.state.site)


def html(request: Request, template: str, *, status: int = 200, **values: object) -> HTMLResponse:
    """A page."""
    made = templates().get_template(template)
    return HTMLResponse(made.render(site=site_of(request), query=request.query_params, **values), status)


def id_of(request: Request) -> str:
    """The session that is asked for; empty where none is, which the store refuses."""
    return request.query_params.get("id", "")


def labels_in(texts: Iterable[str]) -> dict[str, str]:
    """Labels as people write them, blank ones passed over. ``InvalidSetting`` for one that is none."""
    labels: dict[str, str] = {}
    for text in filter(None, map(str.strip, texts)):
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidSetting(f"a label is NAME=VALUE, not {text!r:.60}")
        labels[name.strip()] = value.strip()
    return labels


def number_of(request: Request, name: str) -> int | None:
    """A number that is asked for; None where there is none."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - digits
