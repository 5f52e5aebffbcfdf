"""Messages as HTML of the page: Markdown sanitised, code in colour, calls and thoughts folded, pictures by address.

Everything that is said is hostile: it is escaped, or it is Markdown without raw HTML, whose result is cleaned once more
by an allow list. Pictures come from the page itself, and of the kinds that hold no script.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from typing import Any, NamedTuple

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from ..format.lossless import readable
from ..format.messages import understand
from ..format.messages.html import IMAGES, is_harmless
from ..format.messages.parts import (
    Citation,
    Event,
    Json,
    Media,
    Message,
    Other,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    text_of,
)
from ..format.messages.plain import facts_of, is_note, said, tally, words
from .site import address
from .words import counted, moment, visible

LARGEST_PICTURE = 8 << 20
"""Bytes of a picture that is shown in its place; a larger one is opened by its link."""

_LONGEST = 100_000
"""Characters of a text that are shown."""
_BEGINNING = 1_000
_LARGEST_JSON = 1_000_000
"""Characters of JSON that are shown."""
_MOST_RENDERED = 250_000
"""Characters of a window that are read as Markdown, a few seconds where they were written to be slow; then as text."""
_LONGEST_COLOURED = 20_000
"""Characters of code that are coloured: what colours it is slow on what was written to be slow."""
_SUMMARY = 120
_TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "span"),
    *("em", "strong", "s", "a", "table", "thead", "tbody", "tr", "th", "td"),
}
_ATTRIBUTES = {"a": {"href", "title"}, "span": {"class"}, "ol": {"start"}}


class Picture(NamedTuple):
    """A picture or a file out of a message."""

    type: str
    name: str | None
    data: bytes


def window(id: str, first: int, records: Sequence[Json]) -> Markup:
    """Messages in order, the first of that number; a run of an agent's own notes is one line."""
    known = [(number, understand(record)) for number, record in enumerate(records, first)]
    pieces: list[str] = []
    left = _MOST_RENDERED
    notes: list[tuple[int, Message]] = []
    for number, message in known:
        if is_note(message):
            notes.append((number, message))
            continue
        renderer = _Renderer(id, number, left)
        pieces += [*_noted(id, notes), _article(message, renderer)]
        notes, left = [], renderer.left
    return Markup("\n".join([*pieces, *_noted(id, notes)]))  # noqa: S704 - its parts are escaped where they are made


def picture(record: Json, number: int) -> Picture | None:
    """The picture or file of that number in a message; None where there is none, or it is no base64."""
    found = next((media for place, media in enumerate(_media(understand(record))) if place == number), None)
    if found is None or not found.data:
        return None
    try:
        return Picture(found.type, found.name, base64.b64decode("".join(found.data.split()), validate=True))
    except (binascii.Error, ValueError):
        return None


def coloured(text: str, language: str) -> str:
    """Code as HTML, in colour where it is of a known language and not too long."""
    if language and len(text) <= _LONGEST_COLOURED:
        try:
            lexer = get_lexer_by_name(language)
        except ClassNotFound:
            return escape(text)
        return str(highlight(text, lexer, _formatter()))
    return escape(text)


def as_json(value: Json) -> Markup:
    """A value as JSON, in colour. Of what is very long the beginning, and how much more there is."""
    text = json.dumps(_cut(readable(value)), ensure_ascii=False, indent=2, default=repr)
    more = f"\n… {counted(len(text) - _LARGEST_JSON, 'character')} more" if len(text) > _LARGEST_JSON else ""
    shown = visible(text[:_LARGEST_JSON] + more)
    return Markup(f"<pre>{coloured(shown, 'json')}</pre>")  # noqa: S704 - what colours it escapes it


def _cut(value: Json) -> Json:
    """The value, with the beginnings of its very long texts: the data of a picture fills no page."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_BEGINNING]}… {counted(len(value) - _BEGINNING, 'character')} more"
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items()}
    return [_cut(each) for each in value] if isinstance(value, list) else value


@cache
def _formatter() -> Any:  # noqa: ANN401 - of a library without types
    return HtmlFormatter(nowrap=True, classprefix="h-")


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt(
        "commonmark",
        {"html": False, "breaks": True, "highlight": lambda code, language, _: coloured(code, language[:40])},
    )
    parser.enable(["table", "strikethrough"]).disable("image")
    parser.validateLink = is_harmless  # type: ignore[method-assign]  # as its documentation says
    return parser


def _clean(html: str) -> str:
    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


# -- a message ---------------------------------------------------------------------------------------------------------


def _article(message: Message, renderer: _Renderer) -> str:
    role = message.role if re.fullmatch("user|assistant|system|tool", message.role) else "other"
    number = renderer.number
    time = "" if message.at is None else f'<time datetime="{message.at.isoformat()}">{moment(message.at)}</time>'
    body = "".join(renderer.parts(message))
    title = f"{escape(visible(message.role))} <small>{time}</small>"
    link = f'<a class="number" href="{renderer.address("/session")}" title="Link to this message">#{number}</a>'
    raw = f'<a class="raw" href="{renderer.address("/message")}" title="As JSON">{{&thinsp;}}</a>'
    return (
        f'<article class="message {role}" id="m{number}" data-first="{number}" data-end="{number + 1}" tabindex="-1" '
        f'aria-label="{escape(visible(message.role))}, message {number}">'
        f'<header><h2>{title}</h2>{link}{raw}</header><div class="body" dir="auto">{body}</div></article>'
    )


def _noted(id: str, notes: Sequence[tuple[int, Message]]) -> Iterator[str]:
    """A run of notes: how many and of what, and each within."""
    if not notes:
        return
    first, last = notes[0][0], notes[-1][0]
    names = Counter(part.name for _, note in notes for part in note.parts if isinstance(part, Event))
    rows = "".join(
        f'<li id="m{number}"><a class="number" href="{escape(address("/message", id=id, n=number))}">#{number}</a> '
        f"{_shortened(said(note))}</li>"
        for number, note in notes
    )
    yield (
        f'<details class="message notes" data-first="{first}" data-end="{last + 1}">'
        f"<summary>{counted(len(notes), 'note')} of the agent: {escape(visible(tally(names)))}</summary>"
        f'<ul dir="auto">{rows}</ul></details>'
    )


def _media(message: Message) -> Iterator[Media]:
    """The pictures and files of a message, in the order in which they are shown."""
    for part in message.parts:
        if isinstance(part, Media):
            yield part
        elif isinstance(part, ToolResult):
            yield from (inner for inner in part.parts if isinstance(inner, Media))
    for reply in message.replies:
        yield from _media(reply)


class _Renderer:
    """The parts of one message. It counts the pictures, which are asked for by their numbers.

    ``left``: characters that may still be read as Markdown.
    """

    def __init__(self, id: str, number: int, left: int) -> None:
        self.number = number
        self.left = left
        self._id = id
        self._pictures = 0

    def address(self, path: str, **also: int) -> str:
        """The address of something about the message, escaped."""
        return escape(address(path, id=self._id, n=self.number, **also))

    def parts(self, message: Message, name: str = "") -> Iterator[str]:
        """Each part, then each reply."""
        for part in message.parts:
            yield self._part(part)
        if not message.parts:
            yield '<p class="soft">nothing</p>'
        for number, reply in enumerate(message.replies, 1):
            label = f"{name}.{number}" if name else str(number)
            inner = "".join(self.parts(reply, label))
            yield f'<section class="reply"><h3>{escape(visible(reply.role))} · reply {label}</h3>{inner}</section>'

    def _part(self, part: Part) -> str:
        html: str = self._RENDERED[type(part)](self, part)
        return html

    def _text(self, part: Text) -> str:
        if len(part.text) > min(_LONGEST, self.left):
            return self._plain(part.text)
        self.left -= len(part.text)
        return _clean(_markdown().render(visible(part.text)))

    def _plain(self, text: str) -> str:
        """A text as it stands; of one that is very long the beginning."""
        rest = len(text) - _LONGEST
        more = (
            f'<p class="soft">{counted(rest, "character")} more: <code>vaultsession show</code> has all of it.</p>'
            if rest > 0
            else ""
        )
        return f"<pre>{escape(visible(text[:_LONGEST]))}</pre>{more}"

    def _thinking(self, part: Thinking) -> str:
        if not part.text:
            return '<p class="soft">thought, sealed by its provider</p>'
        return f'<details class="thinking"><summary>thinking</summary>{self._text(Text(part.text))}</details>'

    def _call(self, call: ToolCall) -> str:
        given = call.arguments
        if isinstance(given, dict):
            named = [(escape(visible(str(name))), self._argument(each)) for name, each in given.items()]
            rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in named)
            inner = f"<dl>{rows}</dl>" if rows else '<p class="soft">without arguments</p>'
        else:
            inner = self._value(given)
        short = words(ToolCall("", given)).removeprefix("→ ")
        summary = f"<b>{escape(visible(call.name))}</b> <code>{_shortened(short)}</code>"
        return f'<details class="call"><summary>{summary}</summary>{inner}</details>'

    def _argument(self, value: Json) -> str:
        """A short value stands beside its name, a longer one beneath it."""
        text = text_of(value)
        if len(text) <= _SUMMARY and "\n" not in text:
            return f"<code>{escape(visible(text))}</code>"
        return self._value(value)

    def _value(self, value: Json) -> str:
        return self._plain(text_of(value)) if isinstance(value, str | None) else str(as_json(value))

    def _result(self, result: ToolResult) -> str:
        inner = "".join(self._plain(part.text) if isinstance(part, Text) else self._part(part) for part in result.parts)
        first = next((part.text for part in result.parts if isinstance(part, Text)), "")
        shown = _shortened(first if first.strip() else ", ".join(map(words, result.parts))) or "nothing"
        failed = ' error"' if result.is_error else '"'
        said_so = "<b>error</b> " if result.is_error else ""
        return (
            f'<details class="result{failed}><summary>{said_so}<code>{shown}</code></summary>{inner}</details>'
            if result.parts
            else f'<p class="result{failed}>{said_so}no answer</p>'
        )

    def _shown(self, media: Media) -> str:
        number, self._pictures = self._pictures, self._pictures + 1
        facts = escape(visible(facts_of(media._replace(url=None))))
        if not media.data:
            where = f" · {_link(media.url, media.url)}" if media.url else ""
            return f'<p class="soft">{facts}{where}</p>'
        address = self.address("/media", m=number)
        if media.type in IMAGES and (media.size or 0) <= LARGEST_PICTURE:
            label = escape(visible(media.name or media.type))
            return f'<figure><a href="{address}"><img loading="lazy" alt="{label}" src="{address}"></a></figure>'
        return f'<p class="soft"><a href="{address}" download>{facts}</a></p>'

    _RENDERED: dict[type[Part], Any] = {  # noqa: RUF012 - it never changes
        Text: _text,
        Thinking: _thinking,
        ToolCall: _call,
        ToolResult: _result,
        Media: _shown,
        Citation: lambda _, part: f'<p class="citation">↗ {_link(part.url, part.title)}</p>',
        Event: lambda _, part: f'<p class="soft">{_shortened(words(part))}</p>',
        Other: lambda _, part: f'<details class="other"><summary>other</summary>{as_json(part.value)}</details>',
    }


def _link(url: str | None, title: str) -> str:
    shown = escape(visible(title))
    if url is None or not is_harmless(url):
        return shown
    return f'<a rel="noopener noreferrer nofollow" target="_blank" href="{escape(visible(url))}">{shown}</a>'


def _shortened(text: str) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 4 * _SUMMARY].split())
    return escape(visible(line if len(line) <= _SUMMARY else f"{line[: _SUMMARY - 1]}…"))
