"""Exit codes: what a script learns without reading a sentence. One code per class of errors.py, by what to do next."""

from __future__ import annotations

import typer

from .. import errors

OK = 0
ERROR = 1
USAGE = 2
PARTIAL = 3
NOT_FOUND = 4
CONFLICT = 5
INTEGRITY = 6
NO_VAULT = 10
TIMEOUT = 11
NO_KEY = 12
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 + SIGPIPE: the reader of the output has left. Nothing is printed about it."""

CODES: dict[type[errors.VaultError], int] = {
    errors.VaultError: ERROR,
    errors.InvalidSessionId: USAGE,
    errors.InvalidDocument: USAGE,
    errors.InvalidSetting: USAGE,
    errors.SessionNotFound: NOT_FOUND,
    errors.SessionExpired: NOT_FOUND,
    errors.SessionExists: CONFLICT,
    errors.Conflict: CONFLICT,
    errors.LeaseTimeout: TIMEOUT,
    errors.Unreadable: INTEGRITY,
    errors.Damaged: INTEGRITY,
    errors.RollbackDetected: INTEGRITY,
    errors.UnknownKey: NO_KEY,
    errors.UnknownDictionary: INTEGRITY,
    errors.UnsupportedFormat: INTEGRITY,
    errors.TooLarge: ERROR,
    errors.SweepRefused: ERROR,
    errors.TrainingRefused: ERROR,
    errors.VaultNotFound: NO_VAULT,
    errors.KeyUnavailable: NO_KEY,
    errors.WrongKey: NO_KEY,
    errors.BackendUnavailable: ERROR,
    errors.DurabilityUnknown: ERROR,
    errors.PartialFailure: PARTIAL,
}

ADVICE: dict[type[errors.VaultError], str] = {
    errors.SessionNotFound: "`vaultsession ls` shows those that there are",
    errors.LeaseTimeout: "wait for the other holder, or stop it",
    errors.Damaged: "nothing was changed; `vaultsession doctor` says more, a backup has the rest",
    errors.SweepRefused: "correct the clock; where it is right, give --believe-clock",
    errors.UnknownKey: "restore the newer keyring file of this vault",
    errors.UnsupportedFormat: "a newer vaultsession reads it",
    errors.KeyUnavailable: "name one with --key-file, --key-command or --passphrase-file",
    errors.WrongKey: "name another with --key-file, --key-command or --passphrase-file",
    errors.DurabilityUnknown: "look at what is there now, and at the disk, before you repeat the command",
}
"""What to do next, where the message of the class does not say it."""


def end(*, lost: bool = False, partial: bool) -> None:
    """End the command with INTEGRITY where something is lost, with PARTIAL where something is left to do."""
    if lost or partial:
        raise typer.Exit(INTEGRITY if lost else PARTIAL)


def exit_code(error: errors.VaultError) -> int:
    """The exit code of an error: that of its class, or of the nearest class above it."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def advice_for(error: errors.VaultError) -> str:
    """What to do next; empty where the message says so itself."""
    return next((ADVICE[kind] for kind in type(error).__mro__ if kind in ADVICE), "")
