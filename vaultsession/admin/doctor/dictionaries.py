"""The dictionaries of a vault: whether both copies of each are what was written."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import UnknownDictionary
from ...format.dictionaries import Dictionaries
from ...util.disk import Disk
from ...vault import DICTIONARIES, DictionaryFiles
from .findings import Finding, Remedy, error, warning

_REPAIR = "vaultsession repair"


def copies(disk: Disk, path: str, dictionaries: Dictionaries) -> Iterator[Finding]:
    """Each copy that cannot be read. What one that is gone altogether was needed for is told session by session."""
    files = DictionaryFiles(disk, path)
    try:
        numbers = files.numbers(whole=False)
    except OSError as problem:
        yield error("dictionaries", f"the dictionaries cannot be looked at: {problem}", DICTIONARIES)
        return
    for number in numbers:
        problems: dict[str, str] = {}
        for name in files.names(number):
            try:
                dictionaries.open(number, files.copy(name))
            except FileNotFoundError:
                problems[name] = "it is gone"
            except (OSError, ValueError, UnknownDictionary) as said:
                problems[name] = str(said)
        lost = len(problems) == len(files.names(number))
        for name, why in problems.items():
            place = f"{DICTIONARIES}/{name}"
            if lost:
                sentence = f"no copy of this dictionary can be read ({why}): restore it from a backup"
                yield error("dictionary-lost", sentence, place)
            else:
                sentence = f"this copy of a dictionary cannot be read: {why}"
                yield warning("dictionary-copy", sentence, place, _REPAIR, Remedy.LEVEL)
