"""Output: a table on a terminal, TSV when piped, JSON where asked. Data on stdout, all else on stderr.

Nothing that came out of a vault reaches a terminal as it is: the author of an id or a title could move the cursor, hide
text or reverse it. What is not printable is shown as an escape; in TSV so is what TSV is made of, and JSON has
escapes of its own, so that both can be read back exactly.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from functools import cache
from json import dumps
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from ..errors import InvalidSetting
from ..util.clock import SystemClock, to_micros
from ..util.lazy import LazyModule
from ..util.named_tuple import NamedTuple

if TYPE_CHECKING:
    from rich import console as consoles
    from rich import padding as paddings
    from rich import table as tables
    from rich import text as texts
    from rich.console import Console
    from rich.text import Text

    from ..format import lossless
else:  # a quarter of the start of a command, and for terminals alone
    consoles, tables = LazyModule("rich.console"), LazyModule("rich.table")
    paddings, texts = LazyModule("rich.padding"), LazyModule("rich.text")
    lossless = LazyModule(".format.lossless")

NARROW = 72
"""Columns of a terminal below which a table shows only what matters most."""

NARROWEST = 14
"""Columns that a terminal is taken to have at least: words do not fit into less."""

_WIDTH = max(shutil.get_terminal_size().columns, NARROWEST)
HELP_STYLE: Literal["rich"] | None = "rich" if _WIDTH >= NARROW else None
"""On a narrow terminal the boxes of the help would leave no room for words."""
HELP_WIDTH = None if HELP_STYLE else _WIDTH - 1

DEBUG = "VAULTSESSION_DEBUG"
"""The variable that has tracebacks printed as well."""

_JOINERS = "\u200c\u200d"  # within emoji and some scripts; they move nothing
_TSV = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_ASTRAL = 0xFFFF

Record = Mapping[str, Any]


class Form(Enum):
    """How data is written."""

    TABLE = "table"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"

    @classmethod
    def chosen(cls, *, as_json: bool = False, as_jsonl: bool = False) -> Form:
        """What the options say, else what stdout is."""
        if as_json and as_jsonl:
            raise InvalidSetting("give --json or --jsonl, not both")
        if as_json or as_jsonl:
            return cls.JSON if as_json else cls.JSONL
        return cls.TABLE if sys.stdout.isatty() else cls.TSV


_AS_JSON: bool = Option(False, "--json", help="One JSON document.")
_AS_JSONL: bool = Option(False, "--jsonl", help="JSON lines, written as they come.")


def _json_form(as_json: bool = _AS_JSON) -> Form:
    return Form.chosen(as_json=as_json)


def _lines_form(as_jsonl: bool = _AS_JSONL) -> Form:
    return Form.chosen(as_jsonl=as_jsonl)


def _any_form(as_json: bool = _AS_JSON, as_jsonl: bool = _AS_JSONL) -> Form:
    return Form.chosen(as_json=as_json, as_jsonl=as_jsonl)


JsonForm = Annotated[Form, _json_form]
LinesForm = Annotated[Form, _lines_form]
AnyForm = Annotated[Form, _any_form]
"""The form of a command's output, and the options that choose it."""


class Column(NamedTuple):
    """One column. ``show`` spells a value for people; ``wide`` columns are left out on a narrow terminal.

    Those to the ``right`` and ``whole`` ones are never broken over lines; ``cut`` ones end in … instead.
    """

    name: str
    title: str = ""
    show: Callable[[Any], str] | None = None
    style: str = ""
    right: bool = False
    whole: bool = False
    cut: bool = False
    wide: bool = False


def escaped(text: object) -> str:
    """The text with everything that is not printable as an escape; safe on a terminal, one line."""
    value = str(text)
    if value.isprintable():
        return value
    return "".join(
        char if char.isprintable() or char in _JOINERS else char.encode("unicode_escape").decode() for char in value
    )


def escaped_lines(text: str) -> str:
    """The same for text of several lines, which stay."""
    return "\n".join(escaped(line.expandtabs(4)) for line in text.split("\n"))


def cell(value: object) -> str:
    """A value in TSV: backslash, tab, newline and what is not printable are escaped; None is empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return escaped(to_json(value).translate(_TSV))
    return escaped(str(value).translate(_TSV))


def to_json(value: object, *, indent: int | None = None) -> str:
    """JSON in which every character is printable; text beyond ASCII stays readable."""
    try:
        text = dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    except (TypeError, ValueError, RecursionError):  # a lossless store takes what JSON does not carry
        text = dumps(lossless.readable(value), ensure_ascii=False, indent=indent)
    # What the pattern lets pass is printable; the rest is looked at one by one.
    return re.sub(r"[^\n -~\u00a1-\u00ac\u00ae-\u02ff]", lambda found: _json_escape(found[0]), text)


def ago(moment: str | None) -> str:
    """A time in the past or the future, in words. ``moment`` in ISO 8601; None is no time at all."""
    if moment is None:
        return "-"
    seconds = (SystemClock().now() - to_micros(datetime.fromisoformat(moment))) / 1_000_000
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(seconds) >= size), (1, ""))
    if not unit:
        return "now"
    return f"{abs(seconds) / size:.0f} {unit} ago" if seconds > 0 else f"in {abs(seconds) / size:.0f} {unit}"


def span(seconds: float) -> str:
    """A duration for people, in the largest unit that it is a whole number of."""
    number, unit = next(((seconds / size, unit) for size, unit in _UNITS if seconds % size == 0), (seconds, "s"))
    return f"{number:g} {unit}"


def size(count: int) -> str:
    """Bytes for people."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:  # noqa: PLR2004 - the step of the binary units
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if units[0] == "B" else f"{value:.1f} {units[0]}"


def data() -> Console:
    """Where data goes. Only for terminals: what is piped is written by ``line``."""
    console = consoles.Console(highlight=False, markup=False, emoji=False)
    console.width = max(console.width, NARROWEST)
    return console


@cache
def notes() -> Console:
    """Where all else goes: one for all, since a sentence and a progress bar share its last line."""
    return consoles.Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(text: str, *, style: str = "") -> None:
    """A sentence on stderr: wrapped between words on a terminal, so that a cursor or a path can still be copied."""
    console, sentence = notes(), escaped(text)
    rows = textwrap.wrap(sentence, max(console.width, NARROWEST), break_long_words=False, break_on_hyphens=False)
    for row in rows if console.is_terminal else [sentence]:
        console.print(texts.Text(row, style=style))


def line(text: str) -> None:
    """One line of data that is safe already."""
    sys.stdout.write(text + "\n")


def styled(*parts: tuple[str, str]) -> Text:
    """Texts and their styles as one that is safe on a terminal."""
    return texts.Text.assemble(*((escaped(text), style) for text, style in parts))


def paragraph(text: Text | str, *, style: str = "", indent: int = 0) -> None:
    """A text for people: wrapped to the terminal, one line where there is none, never with blanks at the end.

    A plain one gets the style, and is made safe.
    """
    if isinstance(text, str):
        text = styled((text, style))
    console = data()
    margin = " " * indent
    for row in text.wrap(console, max(console.width - indent, 10)) if console.is_terminal else [text]:
        row.rstrip()
        console.print(texts.Text(margin).append_text(row), soft_wrap=True)


def show(
    records: Iterable[Record],
    columns: Sequence[Column | str],
    form: Form,
    *,
    json: object = None,
    people: str | Callable[[list[Record]], object] | None = None,
) -> None:
    """Write records: as a table, as TSV, as one JSON document or as JSON lines. Only TSV and JSON lines are streamed.

    ``json``: the document in place of the list of records, or a function that makes it of them. ``people``: what a
    terminal shows in place of a table, a sentence or a function of the records.
    """
    if form is Form.JSONL:
        lines(records)
    elif form is Form.TSV:
        tsv([column if isinstance(column, str) else column.name for column in columns], records)
    elif form is Form.JSON:
        document(json(list(records)) if callable(json) else list(records) if json is None else json)
    elif people is None:
        table([column for column in columns if isinstance(column, Column)], records)
    elif callable(people):
        people(list(records))
    else:
        line(people)


def show_problems(
    records: Sequence[Record],
    problems: Sequence[Record],
    columns: Sequence[Column],
    form: Form,
    *,
    json: object,
    sentence: str,
) -> None:
    """What was looked at. On a terminal the ``problems`` among it, and a sentence."""

    def people(_: object) -> None:
        if problems:
            table(columns, problems)
        line(sentence)

    show(records, columns, form, json=json, people=people)


def result(record: Record, form: Form, sentence: str, *, columns: Sequence[str] = ()) -> None:
    """What a command came to: a sentence on a terminal, the record elsewhere. ``columns`` of TSV, if not all."""
    show([record], columns or list(record), form, json=record, people=sentence)


def document(value: object) -> None:
    """One JSON document."""
    line(to_json(value, indent=2))


def lines(records: Iterable[object]) -> None:
    """JSON lines, as they come."""
    for record in records:
        line(to_json(record))


def tsv(columns: Sequence[str], records: Iterable[Record]) -> None:
    """A header line with the names, and one line per record."""
    line("\t".join(columns))
    for record in records:
        line("\t".join(cell(record.get(name)) for name in columns))


def table(columns: Sequence[Column], records: Iterable[Record], *, indent: int = 0) -> None:
    """A table for people, as wide as the terminal at most."""
    console = data()
    chosen = [column for column in columns if console.width >= NARROW or not column.wide]
    drawn = tables.Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in chosen:
        drawn.add_column(
            texts.Text(column.title or column.name),
            style=column.style,
            justify="right" if column.right else "left",
            overflow="ellipsis" if column.cut else "fold",
            no_wrap=column.right or column.whole or column.cut,
            max_width=max(NARROWEST, console.width // 3) if column.cut else None,
        )
    for record in records:
        drawn.add_row(*(texts.Text(_shown(column, record.get(column.name))) for column in chosen))
    console.print(paddings.Padding(drawn, (0, 0, 0, indent), expand=False))


def facts(
    record: Record, spelled: Mapping[str, str] | None = None, *, form: Form | None = None, json: object = None
) -> None:
    """One record, a line for each name: aligned on a terminal, TSV when piped. ``spelled`` has values for people.

    In JSON the record, or ``json`` in its place.
    """
    if form is Form.JSON:
        document(record if json is None else json)
        return
    if not sys.stdout.isatty():
        tsv(("name", "value"), ({"name": name, "value": value} for name, value in record.items()))
        return
    drawn = tables.Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(style="dim")
    drawn.add_column(overflow="fold")
    for name, value in record.items():
        drawn.add_row(texts.Text(escaped(name)), texts.Text((spelled or {}).get(name) or _shown(None, value)))
    data().print(drawn)


def say_some(sentences: Sequence[str], most: int = 20) -> None:
    """The first of many sentences, and how many more there are."""
    for sentence in sentences[:most]:
        say(sentence)
    if len(sentences) > most:
        say(f"and {len(sentences) - most} more, which --json lists")


def counted(number: int, noun: str) -> str:
    """``1 session``, ``2 sessions``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(counts: Mapping[str, int]) -> str:
    """``3 ok, 1 torn``: what there is at all; empty for nothing."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _shown(column: Column | None, value: object) -> str:
    if column is not None and column.show is not None:
        return escaped(column.show(value))
    if value is None or value in ({}, []):
        return "-"
    if isinstance(value, dict):
        return escaped(", ".join(f"{name}={item}" for name, item in value.items()))
    return escaped("yes" if value is True else "no" if value is False else value)


def _json_escape(char: str) -> str:
    if char.isprintable() or char in _JOINERS:
        return char
    number = ord(char)
    if number <= _ASTRAL:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
