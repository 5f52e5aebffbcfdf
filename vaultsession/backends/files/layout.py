"""Names within a vault directory. Pure: a name that is not one of ours is not used, whichever way it came."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable

from ...errors import BackendUnavailable, VaultError, VaultNotFound
from ...format.ids import is_key, locator_of
from ...format.sealed import Tombstone
from ...util.named_tuple import NamedTuple

FULL = (errno.ENOSPC, errno.EDQUOT)

STRIPES = 64
WRITERS = 64

SUFFIX = ".vss"
_BEGUN = ".new"
# As text: ``re`` compiles them on first use, and keeps them.
_TEMPORARY = r"\.([0-9a-v]{32})\.[0-9a-f]{16}\.tmp"
_COPY = r"[^./][^/]*?(?<![0-9a-z])([0-9a-v]{32})(?![0-9a-z])[^/]*\.vss"
_REMOVAL = r"\.([0-9a-v]{32})\.([0-9a-f]{16})\.([0-9a-f]{32})\.(gone|shred)"
_BASE = 32


class Removal(NamedTuple):
    """A container that was being removed, by its name: its locator, and its tombstone, which is unproved."""

    locator: str
    tombstone: Tombstone
    shred: bool


def refusal(path: str, error: OSError) -> VaultError:
    """The error for what the system refused of the vault at a path. With room missing it says what makes some."""
    if error.errno in FULL:
        return BackendUnavailable(
            f"{path}: {error.strerror}: no space left on the device, or within a quota; `vaultsession sweep` and "
            "`vaultsession rm` make some, and so does what lies in quarantine/"
        )
    return BackendUnavailable(f"{path}: {error.strerror or error}")


def vanished(path: str) -> VaultNotFound:
    """The error for a vault whose directory is not there any more."""
    return VaultNotFound(f"{path} is not there any more: was it moved or removed, or is its disk gone?")


class FilesLayout:
    """The paths of one vault. Immutable, hence safe from any thread."""

    __slots__ = ("index", "locks", "quarantine", "root", "sessions")

    def __init__(self, root: str) -> None:
        self.root = root
        self.sessions = os.path.join(root, "sessions")
        self.locks = os.path.join(root, "locks")
        self.quarantine = os.path.join(root, "quarantine")
        self.index = os.path.join(root, "index.sqlite")

    def session(self, key: str) -> str:
        """The container of a session. ``ValueError`` for what is no key: nothing else becomes part of a path."""
        if not is_key(key):
            raise ValueError(f"{key!r:.120} is not the key of a session")
        return f"{self.sessions}{os.sep}{key}{SUFFIX}"

    def creation(self, key: str) -> str:
        """The name of a container that is being made, under which it is flushed. See ``Creations``."""
        directory, name = os.path.split(self.session(key))
        return f"{directory}{os.sep}.{name.removesuffix(SUFFIX)}{_BEGUN}"

    def temporary(self, locator: str) -> str:
        """A fresh name beside the containers. It exists only while the stripe of its locator is held."""
        return f"{self.sessions}{os.sep}.{locator}.{os.urandom(8).hex()}.tmp"

    def removal(self, tombstone: Tombstone, *, shred: bool) -> str:
        """The name of a container that is being removed, from which a removal that was cut short can be completed."""
        locator, end = locator_of(tombstone.key), "shred" if shred else "gone"
        return os.path.join(self.sessions, f".{locator}.{tombstone.generation:016x}.{tombstone.mac.hex()}.{end}")

    def stripe(self, number: int) -> str:
        """The lock file of a stripe."""
        return f"{self.locks}{os.sep}stripe-{number:02x}"

    def writer(self, number: int) -> str:
        """The marker of a writer."""
        return f"{self.locks}{os.sep}writer-{number:02x}"

    def lease(self, locator: str) -> str:
        """The lock file of a turn lease."""
        return os.path.join(self.locks, f"lease-{locator}")

    @property
    def index_lock(self) -> str:
        """The lock file of the index."""
        return os.path.join(self.locks, "index")


def stripe_of(locator: str) -> int:
    """The stripe that guards a session: the low six bits of the locator's first two characters."""
    return int(locator[:2], _BASE) % STRIPES


def key_in(name: str) -> str | None:
    """The key of a container by its file name; None for any other file."""
    key, suffix = name[: -len(SUFFIX)], name[-len(SUFFIX) :]
    return key if suffix == SUFFIX and is_key(key) else None


def is_begun(name: str) -> bool:
    """Whether a file may be one that a writer has begun and not completed, by its name."""
    return name.startswith(".")


def creation_in(name: str) -> str | None:
    """The key of a container that is being made by its file name; None for any other file."""
    key = name[1 : -len(_BEGUN)]
    return key if name == f".{key}{_BEGUN}" and is_key(key) else None


def keys_in(names: Iterable[str]) -> list[str]:
    """The keys of all sessions that may be there by the names in their directory, each once."""
    return list(dict.fromkeys(key for name in names if (key := key_in(name) or creation_in(name)) is not None))


def locator_within(name: str) -> str | None:
    """The locator of the session of which a file may be a copy that somebody named: ``key (conflict).vss``."""
    found = re.fullmatch(_COPY, name)
    return found[1] if found and key_in(name) is None else None


def temporary_in(name: str) -> str | None:
    """The locator of a temporary file by its name; None for any other file."""
    found = re.fullmatch(_TEMPORARY, name)
    return found[1] if found else None


def removal_in(name: str) -> Removal | None:
    """The removal that a file name speaks of; None for any other file."""
    found = re.fullmatch(_REMOVAL, name)
    if found is None:
        return None
    locator, generation, mac, end = found.groups()
    return Removal(locator, Tombstone(locator, int(generation, 16), bytes.fromhex(mac)), end == "shred")
