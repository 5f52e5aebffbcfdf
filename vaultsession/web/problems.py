"""Problems: what an error means to who looks at the page, and what to do about it."""

from __future__ import annotations

from typing import NamedTuple

from .. import errors


class Notice(NamedTuple):
    """What is wrong, in a heading; what to do, in a sentence; and the status of the answer."""

    status: int
    heading: str
    advice: str


_PROBLEMS: dict[type[Exception], Notice] = {
    errors.SessionNotFound: Notice(404, "There is no such session", "It was removed, or never was."),
    errors.SessionExpired: Notice(404, "This session has expired", "It is absent, and goes with the next sweep."),
    errors.InvalidSessionId: Notice(400, "This is no session", "An id is a text that is not empty."),
    errors.InvalidSetting: Notice(400, "This cannot be asked for", "Look at what was filled in."),
    errors.InvalidDocument: Notice(400, "This cannot be written", "Nothing was changed: look at what was filled in."),
    errors.Conflict: Notice(409, "Someone else was faster", "Nothing was changed: look at the session again."),
    errors.SessionExists: Notice(409, "There is a session of that id", "Nothing was changed: choose another id."),
    errors.RollbackDetected: Notice(
        500,
        "This session is older than it should be",
        "What is there is authentic, and not the newest. `vaultsession doctor` says more; a backup may have the rest.",
    ),
    errors.Damaged: Notice(
        500,
        "This session is damaged",
        "Nothing was changed. `vaultsession doctor` says what can be saved, `vaultsession repair --recover ID` saves "
        "what is authentic; a backup has the rest.",
    ),
    errors.UnknownKey: Notice(
        500,
        "This session is locked",
        "It is sealed under a key that this vault does not hold: bring back its newer keyring file.",
    ),
    errors.UnknownDictionary: Notice(
        500, "This session is locked", "The dictionary that it was compressed with is gone: bring back dictionaries/."
    ),
    errors.UnsupportedFormat: Notice(500, "This session is of another version", "A newer vaultsession reads it."),
    errors.VaultNotFound: Notice(503, "The vault is gone", "Bring it back to its place, then load the page again."),
    errors.BackendUnavailable: Notice(
        503, "The vault does not answer", "Nothing is lost: look at its place, then load the page again."
    ),
    errors.VaultError: Notice(500, "This could not be done", "`vaultsession doctor` says more of the vault."),
    OSError: Notice(503, "The vault does not answer", "Nothing is lost: look at its place, then load the page again."),
}


def problem_of(error: Exception) -> Notice:
    """The problem of the nearest class above an error that has one."""
    return next(_PROBLEMS[kind] for kind in type(error).__mro__ if kind in _PROBLEMS)
