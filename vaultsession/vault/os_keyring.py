"""The keyring of the operating system, through the optional package ``keyring``: of the kinds that encrypt, no other.

The package is slow to import and may not be installed: it is imported when a keyring is asked for its key. A keyring
may ask its user to unlock it, or its service may be silent: it is waited for, for a bounded time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from ..errors import KeyUnavailable
from ..util.deadline import within
from .secret import RawKey, key_from

TRUSTED_KEYRINGS = frozenset(
    {
        "keyring.backends.macOS.Keyring",
        "keyring.backends.Windows.WinVaultKeyring",
        "keyring.backends.SecretService.Keyring",
        "keyring.backends.libsecret.Keyring",
        "keyring.backends.kwallet.DBusKeyring",
        "keyring.backends.kwallet.DBusKeyringKWallet4",
    }
)
"""Keyrings of operating systems and desktops. Never plain text files, nor those that keep nothing."""

_CHAINER = "keyring.backends.chainer.ChainerBackend"
_SERVICE = "vaultsession"

PATIENCE = 60.0
"""Seconds that a keyring gets: a person may have to type its password."""

T = TypeVar("T")


class KeyringEntries(Protocol):
    """The part of ``keyring.backend.KeyringBackend``, of an optional package, that is used here."""

    def get_password(self, service: str, username: str) -> str | None:
        """The entry, if there is one."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Make the entry."""
        ...


@dataclass(frozen=True, slots=True)
class OsKeyring:
    """The key of one vault in the keyring of the operating system. ``backend`` None: what ``keyring`` chooses."""

    vault_id: bytes
    backend: KeyringEntries | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return f"OS keyring, entry {_SERVICE}/{self.vault_id.hex()}"

    def secret(self) -> RawKey | None:
        found = self._ask(lambda backend: backend.get_password(_SERVICE, self.vault_id.hex()))
        return None if found is None else key_from(self.name, found)

    def keep(self, key: RawKey) -> None:
        """Make the entry and read it back. ``KeyUnavailable`` if it is not there then."""

        def put(backend: KeyringEntries) -> str | None:
            backend.set_password(_SERVICE, self.vault_id.hex(), key.text())
            return backend.get_password(_SERVICE, self.vault_id.hex())

        if self._ask(put) != key.text():
            raise KeyUnavailable(f"{self.name}: it did not give back what it was given")

    def _ask(self, question: Callable[[KeyringEntries], T]) -> T:
        """The answer of the backend, if it is one that encrypts what it holds, in bounded time.

        Whatever it raises is ``KeyUnavailable``.
        """

        def ask() -> T:
            backend = _chosen() if self.backend is None else self.backend
            kind = _kind(backend)
            delegates = [_kind(each) for each in getattr(backend, "backends", ())] if kind == _CHAINER else [kind]
            if not delegates or not TRUSTED_KEYRINGS.issuperset(delegates):
                raise KeyUnavailable(f"OS keyring: {', '.join(delegates) or kind} is not one that keeps secrets safely")
            return question(backend)

        try:
            return within(PATIENCE, "the keyring of the operating system", ask)
        except KeyUnavailable:
            raise
        except TimeoutError as error:
            raise KeyUnavailable(f"{self.name}: {error}; perhaps it waits on a screen for its password") from None
        except Exception as error:  # a third-party backend raises what it likes
            raise KeyUnavailable(f"{self.name}: {type(error).__name__}") from error


def _chosen() -> KeyringEntries:
    """The backend that the package ``keyring`` chooses."""
    try:
        import keyring  # noqa: PLC0415 - an optional package, slow to import
    except ImportError:
        raise KeyUnavailable("OS keyring: the package 'keyring' is not installed") from None
    try:
        return keyring.get_keyring()
    except Exception as error:  # configuration files of the user's can name any class
        raise KeyUnavailable(f"OS keyring: {type(error).__name__}") from error


def _kind(backend: object) -> str:
    return f"{type(backend).__module__}.{type(backend).__qualname__}"
