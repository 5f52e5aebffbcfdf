"""Findings, as values: a name for programs, a sentence for people, what repair does about it, and a command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Severity(IntEnum):
    """How bad it is. Ordered, so that ``max`` is the verdict over all."""

    INFO = 1
    WARNING = 2
    ERROR = 3


class Remedy(StrEnum):
    """What ``repair`` does about a finding. None of it deletes what cannot be read."""

    RESTRICT = "restrict"
    """Take from a file or directory what others may do with it. ``place`` is its path within the vault."""
    OPEN = "open"
    """Open the vault: that mends copies of the keyring and missing directories, and lists what dead writers wrote."""
    CLEAR = "clear"
    """Remove what a dead writer left and never acknowledged. ``place`` is its path within the vault."""
    REPLACE = "replace"
    """Replace a container by what of it authenticates; the tail goes to quarantine. ``place`` is its key."""
    LEVEL = "level"
    """Write a copy of a dictionary anew from the other one, which proved itself. ``place`` is its path."""
    REINDEX = "reindex"
    """Derive the index anew."""
    ON_REQUEST = "on-request"
    """For a damaged session, ``place`` being its key: only what is asked for, one of the next two."""
    ACCEPT = "accept"
    """For a session that only the index contradicts, for one that is lost and for key slots that were set back.

    Only where it is asked for: it gives up the proof that what is there is the newest.
    """
    TAKE_IN = "take-in"
    """Take in the conflict copy of a sync client as a session. ``place`` is its path within the vault."""
    RECOVER = "recover"
    """Make the last authentic record of a session its newest."""
    QUARANTINE = "quarantine"
    """Move a damaged container to quarantine."""


_COMMANDS = {
    Remedy.OPEN: "vaultsession stats",
    Remedy.CLEAR: "vaultsession repair",
    Remedy.REPLACE: "vaultsession repair",
    Remedy.LEVEL: "vaultsession repair",
    Remedy.REINDEX: "vaultsession reindex",
    Remedy.ACCEPT: "vaultsession repair --accept-restored",
    Remedy.TAKE_IN: "vaultsession repair",
}
"""The shortest command that applies a remedy."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. ``name`` is stable, ``place`` a path within the vault or a key, ``fix`` a command.

    ``remedy`` is what repair does about it; None leaves it to people.
    """

    name: str
    severity: Severity
    sentence: str
    place: str = ""
    fix: str | None = None
    remedy: Remedy | None = None

    def fields(self) -> dict[str, str | None]:
        """The same, ready for JSON."""
        return {
            "name": self.name,
            "severity": self.severity.name.lower(),
            "sentence": self.sentence,
            "place": self.place,
            "fix": self.fix,
        }


class _Make(NamedTuple):
    severity: Severity

    def __call__(
        self, name: str, sentence: str, place: str = "", remedy: Remedy | None = None, *, fix: str | None = None
    ) -> Finding:
        command = fix if fix or remedy is None else _COMMANDS.get(remedy)
        return Finding(name, self.severity, sentence, place, command, remedy)


info, warning, error = map(_Make, Severity)
"""Worth knowing; something to look at, with no session lost; something is lost, exposed, or refuses to work."""
