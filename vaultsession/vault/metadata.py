"""The papers of a vault, identity and key slots, as one value that can lie anywhere.

::

    vault.json, one line, then the keyring file (``slots``)

Sealed sessions without them are lost: whoever keeps a copy of the sessions keeps a copy of the papers.
"""

from __future__ import annotations

from ..errors import Damaged
from .identity import LARGEST_FACTS, Identity
from .keyring_file import KeyringFile, parse


def joined(identity: Identity, keyring: bytes) -> bytes:
    """The papers, of an identity and a keyring file."""
    return identity.encode() + keyring


def parse_metadata(papers: bytes, where: str) -> tuple[Identity, KeyringFile]:
    """What they say in the open, unproved. ``Damaged``, ``UnsupportedFormat``."""
    facts = papers[: papers.find(b"\n", 0, LARGEST_FACTS) + 1]
    identity = Identity.decode(facts)
    file = parse(papers[len(facts) :])
    if file.vault_id != identity.vault_id:
        raise Damaged(f"{where}: the key slots belong to another vault: restore the papers from a backup")
    return identity, file
