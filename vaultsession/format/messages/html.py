"""A conversation as one HTML page that opens offline: no script, nothing loaded from anywhere, nothing believed.

What is said is Markdown, rendered without raw HTML; a link leads to the web alone, an image is shown only out of the
message itself. A policy within the page says the same to the browser. Needs markdown-it-py, which comes with the extra
``cli``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from html import escape
from typing import Any

from .parts import Citation, Event, Json, Media, Message, Other, Part, Text, Thinking, ToolCall, ToolResult, text_of
from .plain import facts_of, words
from .records import understand

IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}
"""Pictures that hold no script, as SVG does."""

_SUMMARY = 90
"""Characters of a call or a result that are seen while it is folded."""

_STYLE = """
:root{color-scheme:light dark;--soft:#6b7280;--line:#d1d5db;--back:#f3f4f6;--user:#0e7490;--assistant:#15803d;
--system:#a21caf;--tool:#a16207}
@media(prefers-color-scheme:dark){:root{--soft:#9ca3af;--line:#374151;--back:#1f2937;--user:#67e8f9;
--assistant:#86efac;--system:#f0abfc;--tool:#fde047}}
body{font:16px/1.55 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}
h1{font-size:1.5rem}h2{font-size:1rem;margin:0;display:flex;gap:.75rem;align-items:baseline}
h2 a,h2 time,.soft{color:var(--soft);font-weight:400;font-size:.85rem;text-decoration:none}
article{border-top:1px solid var(--line);padding:1rem 0}article article{margin-left:1.5rem}
.user{color:var(--user)}.assistant{color:var(--assistant)}.system{color:var(--system)}.tool{color:var(--tool)}
pre,code{font:.85rem/1.5 ui-monospace,monospace;background:var(--back);border-radius:.3rem}
code{padding:.1rem .25rem}pre{padding:.75rem;overflow:auto;max-height:40rem;white-space:pre-wrap}pre code{padding:0}
details{margin:.5rem 0}summary{cursor:pointer;color:var(--soft)}.error{color:#dc2626}
img{max-width:100%}table{border-collapse:collapse}
td,th{padding:.15rem .75rem .15rem 0;text-align:left;vertical-align:top}
""".replace("\n", "")


def document(title: str, facts: Mapping[str, str], messages: Iterable[Json]) -> Iterator[str]:
    """The page, a message at a time."""
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none';style-src 'unsafe-inline';"
        f"img-src data:;base-uri 'none';form-action 'none'\"><style>{_STYLE}</style></head><body><main>"
        f"<h1>{escape(title)}</h1>"
    )
    if facts:
        rows = (f"<tr><th scope=row>{escape(name)}<td>{escape(value)}" for name, value in facts.items())
        yield f"<table>{''.join(rows)}</table>"
    for number, record in enumerate(messages):
        yield from _message(understand(record), str(number))
    yield "</main></body></html>\n"


def _message(message: Message, name: str) -> Iterator[str]:
    role = message.role if message.role.isalpha() and message.role.isascii() else "other"
    moment = f"<time>{message.at:%Y-%m-%d %H:%M} UTC</time>" if message.at is not None else ""
    yield (
        f'<article id="m{name}"><h2><span class="{role}">{escape(message.role)}</span>'
        f'<a href="#m{name}" aria-label="message {name}">#{name}</a>{moment}</h2>'
    )
    yield from map(rendered, message.parts)
    for number, reply in enumerate(message.replies, 1):
        yield from _message(reply, f"{name}.{number}")
    yield "</article>\n"


def rendered(part: Part) -> str:
    """A part as HTML that is safe in any page."""
    html: str = _RENDERED[type(part)](part)
    return html


@cache
def _markdown() -> Any:  # noqa: ANN401 - a parser of an optional dependency
    from markdown_it import MarkdownIt  # noqa: PLC0415 - few processes need it

    parser = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    parser.validateLink = is_harmless  # type: ignore[method-assign]  # as its documentation says
    parser.disable("image")
    return parser


def is_harmless(url: str) -> bool:
    """Whether a link may lead there: to the web, or to a mailbox."""
    return re.match(r"(?:https?|mailto):", url.strip(), re.IGNORECASE) is not None


def _folded(name: str, inner: str, kind: str = "") -> str:
    return f"<details{kind}><summary>{escape(name)}</summary>{inner}</details>"


def _pre(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _thinking(part: Thinking) -> str:
    return _folded("thinking", _pre(part.text)) if part.text else '<p class="soft">thought, sealed by its provider</p>'


def _call(call: ToolCall) -> str:
    return _folded(words(call).partition("\n")[0][:_SUMMARY], _pre(text_of(call.arguments)))


def _result(result: ToolResult) -> str:
    inner = "".join(_pre(part.text) if isinstance(part, Text) else rendered(part) for part in result.parts)
    shown = next((part.text for part in result.parts if isinstance(part, Text)), "")[:_SUMMARY]
    return _folded(
        f"{'✗ error' if result.is_error else '←'} {shown}", inner, ' class="error"' if result.is_error else ""
    )


def _media(media: Media) -> str:
    if media.data and media.type in IMAGES and re.fullmatch(r"[A-Za-z0-9+/=\s]+", media.data):
        label = escape(media.name or media.type, quote=True)
        return f'<p><img alt="{label}" src="data:{media.type};base64,{media.data}"></p>'
    return f'<p class="soft">{escape(facts_of(media))}</p>'


def _citation(citation: Citation) -> str:
    if citation.url and citation.url.startswith(("https://", "http://")):
        url = escape(citation.url, quote=True)
        return f'<p>↗ <a rel="noreferrer noopener" href="{url}">{escape(citation.title)}</a></p>'
    return f"<p>↗ {escape(citation.title)}</p>"


_RENDERED: dict[type[Part], Any] = {
    Text: lambda part: _markdown().render(part.text),
    Thinking: _thinking,
    ToolCall: _call,
    ToolResult: _result,
    Media: _media,
    Citation: _citation,
    Event: lambda event: f'<p class="soft">{escape(words(event))}</p>',
    Other: lambda other: _folded("other", _pre(text_of(other.value))),
}
