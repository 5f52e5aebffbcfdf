"""The tree of commands, each imported when it is run: the help of all names them without importing one."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Iterable, Iterator
from keyword import iskeyword
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..util.named_tuple import NamedTuple
from .examples import section
from .output import HELP_STYLE

_TERM = 8
"""Columns of a name beside which there still is room for what it means, on a narrow terminal."""


class CommandEntry(NamedTuple):
    """A command by name, and the panel and the line of the help that it stands in.

    The module of that name has a function of its name, or an ``app`` of several commands.
    """

    name: str
    panel: str
    line: str

    @property
    def module(self) -> str:
        """Where it is: Python has other plans for a word of its own."""
        return f"{self.name}_" if iskeyword(self.name) else self.name


class NarrowContext(typer.Context):
    """What each option means stands beneath it, where a column of its own would have no room."""

    def make_formatter(self) -> Any:  # noqa: ANN401 - typer keeps the type to itself
        """The formatter of a help without boxes."""
        formatter = super().make_formatter()
        formatter.write_dl = functools.partial(formatter.write_dl, col_max=_TERM)  # type: ignore[method-assign]  # of this one alone
        return formatter


class LazyGroup(TyperGroup):
    """A group whose commands are ``entries``, in that order."""

    context_class = NarrowContext if HELP_STYLE is None else TyperGroup.context_class
    entries: tuple[CommandEntry, ...] = ()
    _naming = False

    def __init__(self, **given: Any) -> None:  # noqa: ANN401 - what typer gives it
        super().__init__(**given)
        self.commands: dict[str, Any] = dict.fromkeys(entry.name for entry in self.entries)  # for "did you mean"

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401, ARG002 - typer keeps its context type to itself
        """The names."""
        return [entry.name for entry in self.entries]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - as above
        """The command, imported; its name and its line alone while the help is printed."""
        entry = next((entry for entry in self.entries if entry.name == cmd_name), None)
        if entry is None:
            return None
        if self._naming:
            return TyperCommand(entry.name, help=entry.line, short_help=entry.line, rich_help_panel=entry.panel)
        return loaded(entry)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """The help of the whole, from the entries."""
        with self._by_name():
            super().format_help(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:  # noqa: ANN401 - as above
        """The names that begin so, and the lines of the help."""
        with self._by_name():
            return super().shell_complete(ctx, incomplete)

    @contextlib.contextmanager
    def _by_name(self) -> Iterator[None]:
        self._naming = True
        try:
            yield
        finally:
            self._naming = False


def loaded(entry: CommandEntry) -> Any:  # noqa: ANN401 - typer keeps its command type to itself
    """The command of an entry."""
    module = importlib.import_module(f".commands.{entry.module}", __package__)
    app = getattr(module, "app", None)
    command: Any
    if app is not None:
        command = typer.main.get_group(app)
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=HELP_STYLE, pretty_exceptions_enable=False)
        app.command(entry.name)(getattr(module, entry.module))
        command = typer.main.get_command(app)
    command.name = entry.name
    _explain(command, entry.name)
    return command


def _explain(command: Any, line: str) -> None:  # noqa: ANN401 - as above
    """Put the examples of a command, or of each command of a group, at the end of its help."""
    for name, inner in getattr(command, "commands", {}).items():
        _explain(inner, f"{line} {name}")
    if not getattr(command, "commands", {}):
        command.epilog = section(line)
    # Its paragraphs are wrapped to the terminal, not where the source ends a line.
    paragraphs = [" ".join(each.split()) for each in (command.help or "").split("\n\n")]
    command.help = "\n\n".join(paragraphs)
    command.short_help = paragraphs[0]  # whole, over as many lines as it needs
    if HELP_STYLE is None:
        command.context_class = NarrowContext


def leaves(entries: Iterable[CommandEntry]) -> Iterator[tuple[str, CommandEntry, Any]]:
    """``(what is typed, entry, command)`` of every command that does something, those of groups included."""
    for entry in entries:
        command = loaded(entry)
        inner = getattr(command, "commands", None)
        for name, each in {"": command}.items() if inner is None else inner.items():
            yield f"{entry.name} {name}".strip(), entry, each
