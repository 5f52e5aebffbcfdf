"""Findings, as values: a name for programs, a sentence for people, and a command that mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad it is. Ordered, so that ``max`` is the verdict over all."""

    INFO = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. ``name`` is stable, ``place`` a path within the vault or a key, ``fix`` a command."""

    name: str
    severity: Severity
    sentence: str
    place: str = ""
    fix: str | None = None

    def fields(self) -> dict[str, str | None]:
        """The same, ready for JSON."""
        return {
            "name": self.name,
            "severity": self.severity.name.lower(),
            "sentence": self.sentence,
            "place": self.place,
            "fix": self.fix,
        }


def info(name: str, sentence: str, place: str = "", fix: str | None = None) -> Finding:
    """Worth knowing."""
    return Finding(name, Severity.INFO, sentence, place, fix)


def warning(name: str, sentence: str, place: str = "", fix: str | None = None) -> Finding:
    """Something to look at; no session is lost."""
    return Finding(name, Severity.WARNING, sentence, place, fix)


def error(name: str, sentence: str, place: str = "", fix: str | None = None) -> Finding:
    """Something is lost, exposed, or refuses to work."""
    return Finding(name, Severity.ERROR, sentence, place, fix)
