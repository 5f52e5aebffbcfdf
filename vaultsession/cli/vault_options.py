"""Which vault a command means, and with which key: the options that all commands share.

They may stand before the command or behind it. No option takes a secret: they name places where one is.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec
from urllib.parse import unquote, urlsplit

import typer

from ..errors import InvalidSetting, VaultNotFound

if TYPE_CHECKING:
    from ..store.store import SessionStore
    from ..util.disk import Disk
    from ..vault import OpenVault, Vault
    from ..vault.key_sources import Key, KeySource
    from ..vault.location import VaultLocation
    from ..vault.secret import Secret

P = ParamSpec("P")

_PANEL = "Vault and key"

VaultPath = Annotated[
    str | None,
    typer.Option(
        "--vault", "-V", metavar="PATH",
        help="The vault: a path or a URL; else $VAULTSESSION_PATH, else your data directory.",
        rich_help_panel=_PANEL,
    ),
]  # fmt: skip
KeyFilePath = Annotated[
    str | None,
    typer.Option("--key-file", metavar="FILE", help="A private file with the key.", rich_help_panel=_PANEL),
]
KeyCommandLine = Annotated[
    str | None,
    typer.Option("--key-command", metavar="COMMAND", help="A command that prints the key.", rich_help_panel=_PANEL),
]
PassphraseFilePath = Annotated[
    str | None,
    typer.Option("--passphrase-file", metavar="FILE", help="A private file with a passphrase.", rich_help_panel=_PANEL),
]

_OPTIONS: dict[str, Any] = {
    "vault": VaultPath,
    "key_file": KeyFilePath,
    "key_command": KeyCommandLine,
    "passphrase_file": PassphraseFilePath,
}


@dataclass(frozen=True, slots=True)
class VaultOptions:
    """A vault and a key, as far as the options name them. Nothing is opened before it is asked for."""

    vault: str | None = None
    key_file: str | None = None
    key_command: str | None = None
    passphrase_file: str | None = None

    def under(self, outer: VaultOptions | None) -> VaultOptions:
        """This, and what it leaves open from the options before the command."""
        if outer is None:
            return self
        path = self.vault or outer.vault
        return replace(self if self.names_a_key else outer, vault=path)

    @property
    def names_a_key(self) -> bool:
        """Whether an option names a source of a key."""
        return any((self.key_file, self.key_command, self.passphrase_file))

    @property
    def path(self) -> str:
        """The path of the vault: the option, else the environment, else the platform's data directory."""
        from ..store.configuration import environment, vault_path  # noqa: PLC0415 - as below

        return os.path.expanduser(self.vault or vault_path(environment()))

    def key(self) -> KeySource | None:
        """The source that an option names; None leaves it to the environment and what comes behind it."""
        from ..vault.key_command import KeyCommand  # noqa: PLC0415 - as above
        from ..vault.key_places import KeyFile, PassphraseFile  # noqa: PLC0415 - as above

        named: list[KeySource] = []
        if self.key_file:
            named.append(KeyFile(os.path.abspath(os.path.expanduser(self.key_file))))
        if self.key_command:
            named.append(KeyCommand(self.key_command))
        if self.passphrase_file:
            named.append(PassphraseFile(os.path.abspath(os.path.expanduser(self.passphrase_file))))
        if len(named) > 1:
            raise InvalidSetting("give one of --key-file, --key-command and --passphrase-file")
        return named[0] if named else None

    def open(self, *, key: Key = None) -> SessionStore:
        """The store. ``VaultNotFound`` where there is no vault: no command but ``init`` makes one."""
        from ..store.open import open_store  # noqa: PLC0415 - as above

        return open_store(self.path, key=key or self.key(), create=False)

    def site(self, place: str | None = None) -> VaultLocation:
        """Where the vault lies, of whatever kind, there or not; ``place`` in the stead of the options."""
        from ..store.configuration import environment  # noqa: PLC0415 - as above
        from ..store.settings import Settings  # noqa: PLC0415 - as above
        from ..util.disk import Disk  # noqa: PLC0415 - as above
        from ..vault.location import MEMORY, VaultLocation  # noqa: PLC0415 - as above

        settings = Settings.from_environment(environment())
        place = place or self.path
        if place.startswith(MEMORY):
            raise InvalidSetting("a vault in memory is gone with its process: name one that lasts")
        return VaultLocation.at(place, Disk(), durability=settings.durability, allow_network=settings.allow_network)

    @property
    def is_directory(self) -> bool:
        """Whether it lies in files of this machine, there or not. ``InvalidSetting`` for a URL that names nothing."""
        from ..vault.location import split  # noqa: PLC0415 - as above

        return not self.path.startswith("memory://") and split(self.path)[0] == "file"

    @staticmethod
    def existing(vault: Vault) -> Vault:
        """The vault. ``VaultNotFound`` where there is none: no command but ``init`` makes one."""
        if not vault.exists():
            raise VaultNotFound(f"there is no vault at {vault.path}: make one with `vaultsession init`")
        return vault

    @contextlib.contextmanager
    def papers(self) -> Iterator[Vault]:
        """The identity and the key slots of a vault of whatever kind, locked. ``VaultNotFound``."""
        if self.is_directory:
            yield self.directory()
            return
        with contextlib.closing(self.site()) as site:
            yield self.existing(site.vault)

    @property
    def allows_network(self) -> bool:
        """Whether a vault may lie on a network file system."""
        from ..store.configuration import environment  # noqa: PLC0415 - as above
        from ..store.settings import Settings  # noqa: PLC0415 - as above

        return Settings.from_environment(environment()).allow_network

    def directory(self, disk: Disk | None = None) -> Vault:
        """The vault directory, locked. ``VaultNotFound`` for a path that has none, ``InvalidSetting`` for a URL."""
        from ..util.disk import Disk  # noqa: PLC0415 - as above
        from ..vault import Vault, VaultDirectory  # noqa: PLC0415 - as above

        storage = VaultDirectory(local_path(self.path), disk or Disk(), allow_network=self.allows_network)
        return self.existing(Vault(storage))

    def candidates(self, directory: Vault) -> Iterator[tuple[str, Secret]]:
        """The secrets that may open it, each asked for as the iteration reaches it."""
        from ..store.configuration import environment  # noqa: PLC0415 - as above
        from ..vault.key_sources import KeySources  # noqa: PLC0415 - as above

        identity = directory.identity()
        takes_passphrase = any(slot.takes_passphrase for slot in directory.slots())
        return KeySources(environment()).candidates(self.key(), identity.vault_id, takes_passphrase=takes_passphrase)

    def unlock(self, directory: Vault) -> tuple[OpenVault, Secret]:
        """The vault unlocked, and the secret that did it."""
        asked: list[Secret] = []

        def remembered() -> Iterator[tuple[str, Secret]]:
            for name, secret in self.candidates(directory):
                asked.append(secret)
                yield name, secret

        vault = directory.unlock(remembered())
        return vault, asked[-1]


def local_path(place: str) -> str:
    """The directory that a path or ``file:///…`` names. ``InvalidSetting`` for what is no directory."""
    if "://" not in place:
        return os.path.expanduser(place)
    parts = urlsplit(place)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path:
        return unquote(parts.path)
    raise InvalidSetting(f"this command works on the files of a vault directory, and {parts.scheme}://… has none")


def takes_vault(command: Callable[Concatenate[VaultOptions, P], None]) -> Callable[..., None]:
    """A command whose first parameter is where its vault is: on the command line, the options of ``VaultOptions``."""
    own = inspect.signature(command, eval_str=True)
    kept = list(own.parameters.values())[1:]
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, keyword, default=None, annotation=annotation) for name, annotation in _OPTIONS.items()
    ]
    context = inspect.Parameter("context", keyword, annotation=typer.Context)

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever the command takes
        outer = given.pop("context").obj
        where = VaultOptions(**{name: given.pop(name) for name in _OPTIONS}).under(
            outer if isinstance(outer, VaultOptions) else None
        )
        call: Callable[..., None] = command
        call(where, **given)

    parameters = [context, *(each.replace(kind=keyword) for each in kept), *shared]
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect's own protocol
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
