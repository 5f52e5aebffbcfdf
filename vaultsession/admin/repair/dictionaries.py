"""What is mended of the dictionaries: a copy that cannot be read, from the one that can."""

from __future__ import annotations

import os

from ...errors import UnknownDictionary
from ...format.dictionaries import Dictionaries
from ...vault import Vault
from ...vault.directory import number_in


def level(vault: Vault, dictionaries: Dictionaries, place: str) -> str:
    """Write the copy at ``place`` anew, if the other one authenticates. ``VaultError``."""
    number = number_in(os.path.basename(place)) or 0
    for data in vault.dictionary(number):
        try:
            dictionaries.open(number, data)
        except UnknownDictionary:
            continue
        vault.level_dictionary(number, data)
        return "it was written anew from its other copy"
    raise UnknownDictionary(f"no copy of dictionary {number} authenticates any more: restore one from a backup")
