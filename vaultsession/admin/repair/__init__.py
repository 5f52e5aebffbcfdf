"""Repair: what doctor found and can be mended, mended. What cannot be read is never deleted: it goes to quarantine.

::

    restrict      what others may do with a file or a directory of the vault is taken away
    clear         a temporary that no writer holds is removed: nobody was promised what it holds
    open          opening mends copies of the keyring and missing directories, and lists what dead writers wrote
    replace       a torn container is replaced by what of it authenticates; its tail goes to quarantine
    level         a copy of a dictionary is written anew from the other one, which authenticates
    reindex       the index is derived anew from the sessions
    on request    a damaged session is recovered to its last authentic record, or moved to quarantine, as it is asked

Everything is done under the locks that writers take, so a vault can be repaired while it is in use, and nothing outside
of it is touched. A finding counts as mended when doctor does not find it any more, and not before.

``structure`` what needs no key · ``sessions`` and ``dictionaries`` what does
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import NamedTuple

from ...engine.vault_reader import reader_of
from ...errors import SessionNotFound, VaultError
from ...format.ids import is_key
from ...util.clock import Clock, SystemClock
from ...util.disk import Disk
from ...vault import Vault, VaultDirectory
from ...vault.secret import Secret
from ..doctor import Finding, Remedy, examine, key_of, opened_read_only
from .dictionaries import level
from .sessions import Mender
from .structure import clear, restrict

__all__ = ["Repair", "RepairOutcome", "Repaired", "Result"]

_WOULD = {
    Remedy.RESTRICT: "take from others what they may do with it",
    Remedy.CLEAR: "remove it, if no writer is at work on it",
    Remedy.OPEN: "open the vault, which mends it",
    Remedy.REPLACE: "replace the file by what of it authenticates; what stands behind that goes to quarantine",
    Remedy.LEVEL: "write it anew from its other copy",
    Remedy.REINDEX: "derive the index anew",
}
_WITHOUT_KEY = frozenset({Remedy.RESTRICT, Remedy.CLEAR})
_SHUT = {
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
    """

    path: str
    candidates: Iterable[tuple[str, Secret]] | None = None
    recover: frozenset[str] = frozenset()
    quarantine_damaged: bool = False
    allow_network: bool = False
    disk: Disk = field(default_factory=Disk)
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        self.path = os.path.realpath(self.path)

    def key_named(self, name: str) -> str:
        """The key of a session by its id, or by the key that doctor shows. ``SessionNotFound`` where it has no file."""
        with opened_read_only(self.path, self.candidates or ()) as vault:
            for key in ((name,) if is_key(name) else ()) + (key_of(vault.reader, name),):
                if os.path.lexists(os.path.join(self.path, "sessions", f"{key}.vss")):
                    return key
        raise SessionNotFound(f"there is no session {name!r} with a file to recover")

    def look(self) -> list[Finding]:
        """What doctor finds. ``VaultNotFound``."""
        return list(examine(self.path, self.candidates))

    def plan(self, findings: Iterable[Finding]) -> list[Repaired]:
        """What ``act`` would do, as far as that can be told before."""
        found = list(findings)
        shut = _why_shut(found)
        return [self._planned(finding, shut) for finding in found]

    def act(self, findings: Iterable[Finding]) -> Result:
        """Mend what can be mended."""
        first = found = list(findings)
        said: dict[Finding, str] = {}
        for finding in first:
            if finding.remedy in _WITHOUT_KEY:
                mend = restrict if finding.remedy is Remedy.RESTRICT else clear
                said[finding] = _tried(partial(mend, self.disk, self.path, finding.place))
        if said:
            found = self.look()  # a vault that others could write to does not open: only now the rest of it can be seen
        if _why_shut(found) is None and (
            self.recover or any(each.remedy not in {None, *_WITHOUT_KEY} for each in found)
        ):
            said |= self._act_with_key(found)
        remaining = self.look()
        told = dict.fromkeys([*first, *found])
        return Result([self._told(finding, said, remaining) for finding in told], remaining)

    def _act_with_key(self, found: Iterable[Finding]) -> dict[Finding, str]:
        said: dict[Finding, str] = {}
        directory = Vault(VaultDirectory(self.path, self.disk, allow_network=self.allow_network))
        vault = directory.unlock(self.candidates or ())
        reader = reader_of(directory, vault)
        with contextlib.closing(Mender(self.disk, self.path, reader, self.clock)) as mender:
            derive = False
            for finding in found:
                mend = self._mend(mender, finding)
                if mend is not None:
                    said[finding] = _tried(partial(mend, finding.place))
                    derive = derive or mend == mender.set_aside
                elif finding.remedy is Remedy.LEVEL:
                    said[finding] = _tried(partial(level, directory, reader.dictionaries, finding.place))
                elif finding.remedy is Remedy.OPEN:
                    said[finding] = "the vault was opened, which mends it"
                elif finding.remedy is Remedy.REINDEX:
                    said[finding] = "the index was derived anew"
                    derive = True
            if derive:
                mender.backend.reindex()
        return said

    def _mend(self, mender: Mender, finding: Finding) -> Callable[[str], str] | None:
        """What is done about the session that a finding names."""
        if finding.remedy in (Remedy.REPLACE, Remedy.ON_REQUEST) and finding.place in self.recover:
            return mender.recover
        if finding.remedy is Remedy.REPLACE:
            return mender.replace
        if finding.remedy is Remedy.ON_REQUEST and self.quarantine_damaged:
            return mender.set_aside
        return None

    def _planned(self, finding: Finding, shut: str | None) -> Repaired:
        if finding.remedy is None:
            return Repaired(finding, RepairOutcome.LEFT, _BY_PEOPLE)
        if shut and finding.remedy not in _WITHOUT_KEY:
            return Repaired(finding, RepairOutcome.LEFT, shut)
        if finding.place in self.recover and finding.remedy in (Remedy.REPLACE, Remedy.ON_REQUEST):
            return Repaired(finding, RepairOutcome.PLANNED, "recover it to its last authentic record")
        if finding.remedy is not Remedy.ON_REQUEST:
            return Repaired(finding, RepairOutcome.PLANNED, _WOULD[finding.remedy])
        if self.quarantine_damaged:
            return Repaired(finding, RepairOutcome.PLANNED, "move it to quarantine, unless all of it authenticates")
        return Repaired(finding, RepairOutcome.LEFT, _on_request(finding))

    def _told(self, finding: Finding, said: dict[Finding, str], remaining: list[Finding]) -> Repaired:
        if not any((each.name, each.place) == (finding.name, finding.place) for each in remaining):
            return Repaired(finding, RepairOutcome.MENDED, said.get(finding, "it is not found any more"))
        if finding in said:
            return Repaired(finding, RepairOutcome.FAILED, said[finding])
        if finding.remedy is None:
            return Repaired(finding, RepairOutcome.LEFT, _BY_PEOPLE)
        return Repaired(finding, RepairOutcome.LEFT, _why_shut(remaining) or _on_request(finding))


def _why_shut(found: Iterable[Finding]) -> str | None:
    """Why nothing that needs the keys can be done; None where it can."""
    return next((_SHUT[finding.name] for finding in found if finding.name in _SHUT), None)


def _on_request(finding: Finding) -> str:
    return f"only on request: --recover {finding.place} keeps what authenticates, --quarantine-damaged moves it aside"


def _tried(mend: Callable[[], str]) -> str:
    try:
        return mend()
    except (VaultError, OSError) as problem:
        return str(problem)
