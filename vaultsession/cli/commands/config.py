"""``vaultsession config``: what each setting is, and who says so."""

from __future__ import annotations

import typer

from .. import output
from ..output import AsJson, AsJsonLines, Column, Form

app = typer.Typer(no_args_is_help=True, help="Show the settings, and where the configuration file is looked for.")

_COLUMNS = (
    Column("name", "setting", whole=True),
    Column("value", "value", show=lambda value: "-" if value is None else str(value)),
    Column("origin", "from", style="dim"),
)


@app.command("show")
def show(*, as_json: AsJson = False, as_jsonl: AsJsonLines = False) -> None:
    """Show each setting with its value, and whether the environment, the file or the default says so.

    Options of a command and arguments in a program come before all of these.
    """
    import os  # noqa: PLC0415 - with the next: what --help does without

    from ...store.configuration import Configuration  # noqa: PLC0415 - the store is dear to import, and --help does without

    rows = [
        {"name": name, "value": value, "origin": origin}
        for name, value, origin in Configuration.of().origins(os.environ)
    ]
    form = Form.chosen(as_json=as_json, as_jsonl=as_jsonl)
    if form is Form.TABLE:
        output.table(_COLUMNS, rows)
    elif form is Form.TSV:
        output.tsv([column.name for column in _COLUMNS], rows)
    elif form is Form.JSON:
        output.document(rows)
    else:
        output.lines(rows)


@app.command("path")
def path() -> None:
    """Print the configuration file that is read; where there is none, the one that would be, with exit code 4."""
    import os  # noqa: PLC0415 - as above

    from ...store.configuration import NAMES, Configuration, config_directory  # noqa: PLC0415 - as above
    from .. import exit_codes  # noqa: PLC0415 - as above

    found = Configuration.of().file
    output.line(found or os.path.join(config_directory(), NAMES[0]))
    if found is None:
        output.say("there is no configuration file yet; it is looked for here")
        raise typer.Exit(exit_codes.NOT_FOUND)
