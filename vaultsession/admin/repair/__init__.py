"""Repair: what doctor found and can be mended. What cannot be read is never deleted: it goes to quarantine.

Everything is done under the locks that writers take, so a vault can be repaired while it is in use, and nothing outside
of it is touched. A finding counts as mended when doctor does not find it any more, and not before.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from ...engine.reader import Reader
from ...errors import SessionNotFound, VaultError
from ...format.ids import is_key
from ...util.clock import Clock, SystemClock
from ...util.disk import Disk
from ...vault import Vault, VaultDirectory
from ...vault.secret import Secret
from ..doctor import Finding, Remedy, examine, opened_read_only
from . import conflict_copy
from .sessions import SessionRepair, level_dictionary
from .structure import clear, restrict

__all__ = ["Repair", "RepairOutcome", "Repaired", "Result"]

_PLANS = {
    Remedy.RESTRICT: "take from others what they may do with it",
    Remedy.CLEAR: "remove it, if no writer is at work on it",
    Remedy.OPEN: "open the vault, which mends it",
    Remedy.REPLACE: "replace the file by what of it authenticates; what stands behind that goes to quarantine",
    Remedy.LEVEL: "write it anew from its other copy",
    Remedy.REINDEX: "derive the index anew",
    Remedy.ACCEPT: "take what is there as the newest, and give up the proof of it",
    Remedy.TAKE_IN: "take it in as a session, if it authenticates; the file goes to quarantine",
    Remedy.RECOVER: "recover it to its last authentic record",
    Remedy.QUARANTINE: "move it to quarantine, unless all of it authenticates",
}
_WITHOUT_KEY = {Remedy.RESTRICT: restrict, Remedy.CLEAR: clear}
_BY_OPENING = {Remedy.OPEN: "the vault was opened, which mends it", Remedy.REINDEX: "the index was rebuilt"}
_BLOCKERS = {
    "no-key": "this needs a key that opens the vault",
    "not-opened": "this needs the vault to open, and it does not",
    "vault-facts": "this needs the vault to open, and it does not",
    "vault-format": "this needs the vault to open, and it does not",
    "keyring-set-back": "the key slots are an old copy: nothing is written before the newer is restored",
}
_BY_PEOPLE = "this is left to you"


class RepairOutcome(StrEnum):
    """What became of a finding."""

    MENDED = "mended"
    PLANNED = "planned"
    LEFT = "left"
    FAILED = "failed"


class Repaired(NamedTuple):
    """One finding, what became of it, and in words what was done or would be."""

    finding: Finding
    outcome: RepairOutcome
    sentence: str


class Result(NamedTuple):
    """What became of each finding, and what is found now."""

    repaired: list[Repaired]
    remaining: list[Finding]


@dataclass
class Repair:
    """One repair of the vault at ``path``: ``look``, and then ``plan``, which changes nothing, or ``act``.

    ``candidates`` are the secrets that may open it, asked for at each look. ``recover`` holds the keys of the sessions
    to recover, and ``quarantine_damaged`` says what becomes of the other damaged ones; else they are left as they are.
    ``accept_restored`` takes what only the index contradicts, as after a restored backup: nothing proves any more that
    it is the newest.
    """

    path: str
    candidates: Iterable[tuple[str, Secret]] | None = None
    recover: frozenset[str] = frozenset()
    quarantine_damaged: bool = False
    accept_restored: bool = False
    allow_network: bool = False
    disk: Disk = field(default_factory=Disk)
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.path = os.path.realpath(self.path)

    def key_named(self, name: str) -> str:
        """The key of a session by its id, or by the key that doctor shows. ``SessionNotFound`` where it has no file."""
        with opened_read_only(self.path, self.candidates or ()) as vault:
            for key in ((name,) if is_key(name) else ()) + (vault.reader.key(name),):
                if vault.backend.has_file(key):
                    return key
        raise SessionNotFound(f"there is no session {name!r} with a file to recover")

    def look(self) -> list[Finding]:
        """What doctor finds. ``VaultNotFound``."""
        return list(examine(self.path, self.candidates))

    def plan(self, findings: Iterable[Finding]) -> list[Repaired]:
        """What ``act`` would do, as far as that is known before."""
        found = list(findings)
        blocker = self._blocker(found)
        return [self._planned(finding, blocker) for finding in found]

    def act(self, findings: Iterable[Finding]) -> Result:
        """Mend what can be mended."""
        first = found = list(findings)
        done: dict[Finding, str] = {}
        for finding in first:
            if finding.remedy in _WITHOUT_KEY:
                done[finding] = _tried(_WITHOUT_KEY[finding.remedy], self.disk, self.path, finding.place)
        if done:
            found = self.look()  # a vault that others could write to does not open: only now the rest of it can be seen
        if self._blocker(found) is None and (
            self.recover or any(each.remedy not in {None, *_WITHOUT_KEY} for each in found)
        ):
            done |= self._act_with_key(found)
        remaining = self.look()
        findings = dict.fromkeys([*first, *found])
        return Result([self._result(finding, done, remaining) for finding in findings], remaining)

    def _act_with_key(self, found: Iterable[Finding]) -> dict[Finding, str]:
        vault = Vault(VaultDirectory(self.path, self.disk, allow_network=self.allow_network))
        unlocked = vault.unlock(self.candidates or ())
        reader = Reader.of_vault(vault, unlocked)
        done: dict[Finding, str] = {}
        reindex = False
        with contextlib.closing(SessionRepair(self.disk, self.path, reader, self.clock)) as sessions:
            methods: dict[Remedy | None, Callable[[str], str]] = {
                Remedy.REPLACE: sessions.replace,
                Remedy.RECOVER: sessions.recover,
                Remedy.ACCEPT: partial(sessions.accept, unlocked),
                Remedy.TAKE_IN: partial(conflict_copy.take_in, sessions),
                Remedy.QUARANTINE: sessions.move_to_quarantine,
                Remedy.LEVEL: partial(level_dictionary, vault, reader.dictionaries),
            }
            for finding in found:
                remedy = self._remedy(finding)
                if remedy in methods:
                    done[finding] = _tried(methods[remedy], finding.place)
                elif remedy in _BY_OPENING:
                    done[finding] = _BY_OPENING[remedy]
                reindex = reindex or remedy in (Remedy.REINDEX, Remedy.QUARANTINE)
            if reindex:
                sessions.backend.reindex()
        return done

    def _remedy(self, finding: Finding) -> Remedy | None:
        """What is done about a finding, as it was asked for; None: nothing."""
        if finding.remedy in (Remedy.REPLACE, Remedy.ON_REQUEST, Remedy.ACCEPT) and finding.place in self.recover:
            return Remedy.RECOVER
        if finding.remedy is Remedy.ACCEPT and self.accept_restored:
            return Remedy.ACCEPT
        if finding.remedy is Remedy.ACCEPT and finding.name != "damaged":
            return None
        if finding.remedy in (Remedy.ON_REQUEST, Remedy.ACCEPT):
            return Remedy.QUARANTINE if self.quarantine_damaged else None
        return finding.remedy

    def _blocker(self, found: Iterable[Finding]) -> str | None:
        """Why nothing that needs the keys can be done; None where it can."""
        names = (each.name for each in found if each.remedy is not Remedy.ACCEPT or not self.accept_restored)
        return next((_BLOCKERS[name] for name in names if name in _BLOCKERS), None)

    def _planned(self, finding: Finding, blocker: str | None) -> Repaired:
        remedy = self._remedy(finding)
        if finding.remedy is not None and blocker and finding.remedy not in _WITHOUT_KEY:
            return Repaired(finding, RepairOutcome.LEFT, blocker)
        if remedy is None:
            return Repaired(finding, RepairOutcome.LEFT, _why_left(finding))
        return Repaired(finding, RepairOutcome.PLANNED, _PLANS[remedy])

    def _result(self, finding: Finding, done: dict[Finding, str], remaining: list[Finding]) -> Repaired:
        if not any((each.name, each.place) == (finding.name, finding.place) for each in remaining):
            return Repaired(finding, RepairOutcome.MENDED, done.get(finding, "it is not found any more"))
        if finding in done:
            return Repaired(finding, RepairOutcome.FAILED, done[finding])
        blocker = None if finding.remedy is None else self._blocker(remaining)
        return Repaired(finding, RepairOutcome.LEFT, blocker or _why_left(finding))


def _why_left(finding: Finding) -> str:
    if finding.remedy is None:
        return _BY_PEOPLE
    if finding.remedy is Remedy.ACCEPT:
        return (
            "restore the newer one; or --accept-restored takes what is there, and gives up the proof that it is newest"
        )
    return f"only on request: --recover {finding.place} keeps what authenticates, --quarantine-damaged moves it aside"


def _tried(method: Callable[..., str], *arguments: object) -> str:
    try:
        return method(*arguments)
    except (VaultError, OSError) as problem:
        return str(problem)
