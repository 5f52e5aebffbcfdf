"""The command tree: every command by its name, in the order of need."""

from __future__ import annotations

import typer
from typer import Option

from .lazy_group import CommandEntry, LazyGroup
from .output import HELP_STYLE, HELP_WIDTH, line
from .vault_options import Where, takes_options

_BEGIN, _SESSIONS, _VAULT = "Begin", "Sessions", "The vault"


class Commands(LazyGroup):
    """Every command, in the order of need. A line is the first of the command's own help."""

    entries = (
        CommandEntry("demo", _BEGIN, "See a vault at work, in a few seconds."),
        CommandEntry("init", _BEGIN, "Make a new vault."),
        CommandEntry("ls", _SESSIONS, "List living sessions, newest first."),
        CommandEntry("show", _SESSIONS, "Show a session: its facts and its messages."),
        CommandEntry("web", _SESSIONS, "Read the conversations of a vault in a browser."),
        CommandEntry("grep", _SESSIONS, "Find messages by what they say."),
        CommandEntry("tail", _SESSIONS, "Show the newest messages of a session."),
        CommandEntry("chat", _SESSIONS, "Talk with an agent; every turn is kept."),
        CommandEntry("append", _SESSIONS, "Append messages to a session."),
        CommandEntry("copy", _SESSIONS, "Fork a session: the same state and history, a life of its own."),
        CommandEntry("export", _SESSIONS, "Write sessions as JSON lines, in the clear."),
        CommandEntry("import", _SESSIONS, "Import sessions that another program kept."),
        CommandEntry("archive", _SESSIONS, "Seal the plaintext sessions that agents leave behind."),
        CommandEntry("restore", _SESSIONS, "Put the files of archived sessions back, byte for byte."),
        CommandEntry("touch", _SESSIONS, "Extend a session by its life span, from now on."),
        CommandEntry("rm", _SESSIONS, "Remove sessions."),
        CommandEntry("sweep", _SESSIONS, "Remove sessions that have expired, and only those."),
        CommandEntry("stats", _VAULT, "Count sessions and bytes, and say whether all is well."),
        CommandEntry("verify", _VAULT, "Open and authenticate every record of every session."),
        CommandEntry("doctor", _VAULT, "Look for what is wrong with a vault."),
        CommandEntry("repair", _VAULT, "Mend what `doctor` finds and can be mended."),
        CommandEntry(
            "train", _VAULT, "Learn a compression dictionary from the newest sessions, and say what it is worth."
        ),
        CommandEntry("migrate", _VAULT, "Copy a vault to another place: files, Redis or a database, in any direction."),
        CommandEntry("inspect", _VAULT, "Show what a session file is made of."),
        CommandEntry("reindex", _VAULT, "Derive the index anew."),
        CommandEntry(
            "key", _VAULT, "Keys: the secrets that open a vault, and the keys that its sessions are sealed under."
        ),
        CommandEntry("mirror", _VAULT, "The mirror of a vault at a second place."),
        CommandEntry("config", _VAULT, "Show the settings, and where the configuration file is looked for."),
        CommandEntry("completion", _BEGIN, "Print what makes a shell complete commands, options and ids."),
    )


app = typer.Typer(
    name="vaultsession",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
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
@takes_options
def root(
    context: typer.Context,
    *,
    where: Where,
    version: bool = Option(  # noqa: ARG001 - acted on by its callback
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Encrypted, compressed sessions of AI assistants, one file each. Begin with `vaultsession demo`."""
    context.obj = where
