"""The tree of commands, each imported when it is run: the help of all names them without importing one."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from .output import HELP_STYLE


class Entry(NamedTuple):
    """A command by name: its module in this folder, the panel and the line of the help that it stands in.

    The module has a function of the module's name, or an ``app`` of several commands.
    """

    name: str
    module: str
    panel: str
    line: str


class Tree(TyperGroup):
    """A group whose commands are ``entries``, in that order."""

    entries: tuple[Entry, ...] = ()
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
            return TyperCommand(entry.name, help=entry.line, rich_help_panel=entry.panel)
        return loaded(entry)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """The help of the whole, from the entries."""
        self._naming = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._naming = False


def loaded(entry: Entry) -> Any:  # noqa: ANN401 - typer keeps its command type to itself
    """The command of an entry."""
    module = importlib.import_module(f".{entry.module}", __package__)
    app = getattr(module, "app", None)
    command: Any
    if app is not None:
        command = typer.main.get_group(app)
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=HELP_STYLE, pretty_exceptions_enable=False)
        app.command(entry.name)(getattr(module, entry.module))
        command = typer.main.get_command(app)
    command.name = entry.name
    return command
