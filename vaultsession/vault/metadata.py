"""The metadata of a vault: small values beside its sessions, without which they cannot be read.

::

    vault                   vault.json, one line, then the keyring file
    dictionary-<number>     a dictionary, sealed
    tenant/<name>           the keys of one tenant
    older-vault             in a copy of a vault, what "vault" was before it followed

A ``MetadataStore`` keeps them, in a directory or in an engine, and replaces each by compare-and-swap. It holds no key:
what a value says is proved by ``Vault``.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from ..errors import Damaged
from ..format.dictionaries import MOST_DICTIONARIES
from ..format.keys import TENANT_SIZE
from ..util.named_tuple import NamedTuple
from .identity import LARGEST_FACTS, Identity
from .keyring_file import KeyringFile, parse

VAULT = "vault"
DICTIONARY = "dictionary-"
TENANT = "tenant/"
OLDER = "older-vault"
MOST_TENANTS = 1 << 20
_NAMES = {DICTIONARY: r"[1-9][0-9]{4,9}", TENANT: rf"[0-9a-f]{{{2 * TENANT_SIZE}}}"}
_MOST = {DICTIONARY: 2 * MOST_DICTIONARIES, TENANT: MOST_TENANTS}  # two that train at once may add one too many


def parse_name(prefix: str, text: str) -> str | None:
    """The name of a dictionary or of a tenant's keys, without its prefix as a list or a directory has it.

    None for a text of another form: it is no name of ours, and becomes no path and no key.
    """
    return prefix + text if re.fullmatch(_NAMES[prefix], text) else None


def check_name(name: str) -> str:
    """The name of a value. ``Damaged`` for what is none, wherever it came from."""
    prefix = DICTIONARY if name.startswith(DICTIONARY) else TENANT
    if name != VAULT and parse_name(prefix, name.removeprefix(prefix)) != name:
        raise Damaged(f"{name!r:.80} is no name of a value that a vault has")
    return name


def bounded(prefix: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if they are no more than a vault has; else ``Damaged``."""
    if len(names) > _MOST[prefix]:
        raise Damaged(f"{len(names)} names that begin with {prefix!r}: more than a vault has")
    return names


def parse_list(prefix: str, data: bytes) -> tuple[str, ...] | None:
    """The names that a list says, one a line; None for what is no such list, or a longer one than a vault has."""
    lines = data.decode("ascii", "surrogateescape").split("\n")
    names = [parse_name(prefix, line) for line in lines[:-1]]
    found = tuple(name for name in names if name is not None)
    return found if lines[-1] == "" and len(found) == len(names) <= _MOST[prefix] else None


class Copy(NamedTuple):
    """One copy of a value. ``data`` is None where it is ``gone`` or cannot be read; ``problem`` says why.

    ``error`` is the storage's, if that was the reason. A copy with data has a problem once its bytes were found wrong:
    it is set aside before it is replaced.
    """

    place: str
    data: bytes | None
    problem: str = ""
    gone: bool = False
    error: OSError | None = None


class MetadataStore(ABC):
    """Named values of a vault. Safe from any thread; storage errors are ``BackendUnavailable``."""

    __slots__ = ()

    @property
    @abstractmethod
    def where(self) -> str:
        """Where it is, in words for people: no password is in it."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is a vault to open; False where one can be created."""

    @abstractmethod
    def read(self, name: str) -> Sequence[Copy]:
        """Every copy of a value, the best known first; none where it is absent. ``VaultNotFound`` for "vault"."""

    @abstractmethod
    def names(self, prefix: str) -> Sequence[str]:
        """The names with this prefix that readers may rely on, in order."""

    @abstractmethod
    def create(self, make: Callable[[], bytes]) -> object:
        """Make the vault of the value that ``make`` returns; the etag of it. ``Conflict`` if there is one already."""

    @abstractmethod
    def put_if(self, name: str, data: bytes, expected: Sequence[Copy]) -> bool:
        """Replace the copies that were read, if they are still all that is there; none expected: it is absent.

        Returns when the change cannot be lost; False where something else is there. Copies are replaced in the order
        given, and those that hold ``data`` are left. Names of dictionaries and tenants are listed from then on.
        """

    def settle(self, name: str) -> None:
        """Return when a value that was read cannot be lost: who put it there may not have flushed it, or have died."""
        del name  # what a server gives is committed

    @abstractmethod
    def keep_older(self, value: bytes) -> None:
        """Keep a value "vault" that a copy is about to lose, in place of the one that was kept before: for people."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove every copy of a dictionary, overwritten where that can be done. Idempotent."""

    @abstractmethod
    def etag(self) -> object:
        """A value that differs once "vault" has changed; quick to get."""

    def identity(self) -> bytes:
        """``vault.json`` as it lies there: the first line of "vault". ``VaultNotFound``."""
        return split(self.read(VAULT)[0].data or b"")[0]

    def proved(self, value: bytes) -> None:
        """This value "vault" was proved, and is the newest known: for a store that may have to put it back."""
        del value

    def findings(self) -> Sequence[str]:
        """What is missing of the store itself, in sentences."""
        return ()

    def mend(self, name: str, data: bytes, expected: Sequence[Copy]) -> None:
        """``put_if`` and what ``findings`` found missing, as far as that can be done at once. Never fails."""
        del name, data, expected  # a store of one copy has nothing to mend


def split(value: bytes) -> tuple[bytes, bytes]:
    """``vault.json`` and the keyring file of "vault"."""
    end = value.find(b"\n", 0, LARGEST_FACTS) + 1
    return value[:end], value[end:]


def parse_metadata(value: bytes, where: str) -> tuple[Identity, KeyringFile]:
    """What "vault" says in the open, unproved. ``Damaged``, ``UnsupportedFormat``."""
    facts, keyring = split(value)
    identity, file = Identity.decode(facts), parse(keyring)
    if file.vault_id != identity.vault_id:
        raise Damaged(f"{where}: the key slots belong to another vault: restore the vault's metadata from a backup")
    return identity, file
