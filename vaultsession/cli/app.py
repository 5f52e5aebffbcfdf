"""The command tree: every command by its name, in the order of need."""

from __future__ import annotations

from typing import Annotated

import typer

from . import (
    append,
    demo,
    doctor,
    import_,
    init,
    inspect,
    key,
    ls,
    migrate,
    reindex,
    repair,
    rm,
    show,
    stats,
    sweep,
    touch,
    verify,
)
from .output import HELP_STYLE, HELP_WIDTH, line
from .vaults import KeyCommandLine, KeyFilePath, PassphraseFilePath, VaultPath, Where

app = typer.Typer(
    name="vaultsession",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=HELP_STYLE,
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": HELP_WIDTH},
)


EPILOG = (
    "Exit codes: 0 ok, 1 error, 2 usage, 3 partial, 4 not found, 5 conflict, 6 integrity, 10 no vault, "
    "11 lock timeout, 12 wrong or missing key, 130 interrupted."
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - dear, and rarely asked for

        try:
            line(f"vaultsession {version('vaultsession')}")
        except PackageNotFoundError:  # run from a source tree
            line("vaultsession, not installed")
        raise typer.Exit


@app.callback(epilog=EPILOG)
def root(
    context: typer.Context,
    *,
    vault: VaultPath = None,
    key_file: KeyFilePath = None,
    key_command: KeyCommandLine = None,
    passphrase_file: PassphraseFilePath = None,
    version: Annotated[  # noqa: ARG001 - acted on by its callback
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Encrypted, compressed sessions of AI assistants, one file each. Begin with `vaultsession demo`."""
    context.obj = Where(vault, key_file, key_command, passphrase_file)


_BEGIN, _SESSIONS, _VAULT = "Begin", "Sessions", "The vault"

app.command("demo", rich_help_panel=_BEGIN)(demo.demo)
app.command("init", rich_help_panel=_BEGIN)(init.init)
app.command("ls", rich_help_panel=_SESSIONS)(ls.ls)
app.command("show", rich_help_panel=_SESSIONS)(show.show)
app.command("append", rich_help_panel=_SESSIONS)(append.append)
app.command("import", rich_help_panel=_SESSIONS)(import_.import_)
app.command("touch", rich_help_panel=_SESSIONS)(touch.touch)
app.command("rm", rich_help_panel=_SESSIONS)(rm.rm)
app.command("sweep", rich_help_panel=_SESSIONS)(sweep.sweep)
app.command("stats", rich_help_panel=_VAULT)(stats.stats)
app.command("verify", rich_help_panel=_VAULT)(verify.verify)
app.command("doctor", rich_help_panel=_VAULT)(doctor.doctor)
app.command("repair", rich_help_panel=_VAULT)(repair.repair)
app.command("migrate", rich_help_panel=_VAULT)(migrate.migrate)
app.command("inspect", rich_help_panel=_VAULT)(inspect.inspect)
app.command("reindex", rich_help_panel=_VAULT)(reindex.reindex)
app.add_typer(key.app, name="key", rich_help_panel=_VAULT)
