"""The dictionaries of a vault: whether both copies of each are what was written."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import BackendUnavailable, UnknownDictionary
from ...format.dictionaries import Dictionaries
from ...util.disk import Disk
from ...vault.directory import DICTIONARIES, VaultDirectory
from ...vault.metadata import DICTIONARY
from .findings import Finding, Remedy, error, warning

_REPAIR = "vaultsession repair"


def copies(disk: Disk, path: str, dictionaries: Dictionaries) -> Iterator[Finding]:
    """Each copy that cannot be read. What one that is gone altogether was needed for is told session by session."""
    directory = VaultDirectory(path, disk, allow_network=True)
    try:
        names = directory.names(DICTIONARY, begun=True)
    except BackendUnavailable as problem:
        yield error("dictionaries", f"the dictionaries cannot be looked at: {problem}", DICTIONARIES)
        return
    for name in names:
        found, problems = directory.copies(name), {}
        for copy in found:
            try:
                if copy.data is not None:
                    dictionaries.open(int(name.removeprefix(DICTIONARY)), copy.data)
                else:
                    problems[copy.place] = "it is gone" if copy.gone else copy.problem
            except UnknownDictionary as said:
                problems[copy.place] = str(said)
        lost = len(problems) == len(found)
        for file, why in problems.items():
            place = f"{DICTIONARIES}/{file}"
            if lost:
                sentence = f"no copy of this dictionary can be read ({why}): restore it from a backup"
                yield error("dictionary-lost", sentence, place)
            else:
                sentence = f"this copy of a dictionary cannot be read: {why}"
                yield warning("dictionary-copy", sentence, place, _REPAIR, Remedy.LEVEL)
