"""``vaultsession config``: what each setting is, and who says so."""

from __future__ import annotations

import os

import typer

from ...store.configuration import NAMES, Configuration, config_directory
from .. import exit_codes, output
from ..output import AnyForm, Column
from ..vault_options import takes_options

app = typer.Typer(no_args_is_help=True, help="Show the settings, and where the configuration file is looked for.")

_COLUMNS = (
    Column("name", "setting", whole=True),
    Column("value", "value", show=lambda value: "-" if value is None else str(value)),
    Column("origin", "from", style="dim"),
)


@app.command("show")
@takes_options
def show(form: AnyForm) -> None:
    """Show each setting with its value, and whether the environment, the file or the default says so.

    Options of a command and arguments in a program come before all of these.
    """
    origins = Configuration.of().origins(os.environ)
    output.show(({"name": name, "value": value, "origin": origin} for name, value, origin in origins), _COLUMNS, form)


@app.command("path")
def path() -> None:
    """Print the configuration file that is read; where there is none, the one that would be, with exit code 4."""
    found = Configuration.of().file
    output.line(found or os.path.join(config_directory(), NAMES[0]))
    if found is None:
        output.say("there is no configuration file yet; it is looked for here")
        raise typer.Exit(exit_codes.NOT_FOUND)
