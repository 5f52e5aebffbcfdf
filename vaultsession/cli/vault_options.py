"""Which vault a command means, and with which key: the options that all commands share.

They may stand before the command or behind it. No option takes a secret: they name places where one is.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Unpack, get_args

import typer
from typer import Option

from ..errors import InvalidSetting, KeyUnavailable, VaultNotFound, WrongKey
from ..util.lazy import LazyModule
from ..util.named_tuple import NamedTuple
from ..util.place import expanded

if TYPE_CHECKING:
    from .. import vault as vaults
    from ..store import configuration
    from ..store import open as store_open
    from ..store import settings as store_settings
    from ..store.settings import SettingFields, Settings
    from ..store.store import SessionStore
    from ..util import disk
    from ..vault import UnlockedVault, Vault, key_command, key_places, key_sources, location
    from ..vault import secret as secrets
    from ..vault.key_sources import Key, KeySource
    from ..vault.location import VaultLocation
    from ..vault.secret import Secret
else:  # the help of a command does without the store
    configuration, disk, vaults = LazyModule(".store.configuration"), LazyModule(".util.disk"), LazyModule(".vault")
    store_open, store_settings = LazyModule(".store.open"), LazyModule(".store.settings")
    key_command, key_places = LazyModule(".vault.key_command"), LazyModule(".vault.key_places")
    key_sources, location = LazyModule(".vault.key_sources"), LazyModule(".vault.location")
    secrets = LazyModule(".vault.secret")


class _NamedPlaces(NamedTuple):
    vault: str | None = None
    key_file: str | None = None
    key_command: str | None = None
    passphrase_file: str | None = None


class VaultOptions(_NamedPlaces):
    """A vault and a key, as far as the options name them. Nothing is opened before it is asked for."""

    def under(self, outer: VaultOptions | None) -> VaultOptions:
        """This, and what it leaves open from the options before the command."""
        if outer is None:
            return self
        path = outer.vault if self.vault is None else self.vault
        return (self if self.names_a_key else outer)._replace(vault=path)

    @property
    def names_a_key(self) -> bool:
        """Whether an option names a source of a key."""
        return (self.key_file, self.key_command, self.passphrase_file) != (None, None, None)

    @functools.cached_property
    def environ(self) -> Mapping[str, str]:
        """Our variables of the environment, with the configuration file beneath them, which is read once."""
        return configuration.environment()

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of the environment and the configuration file."""
        return store_settings.Settings.from_environment(self.environ)

    @property
    def path(self) -> str:
        """The path of the vault: the option, else the environment, else the platform's data directory."""
        return expanded(configuration.vault_path(self.environ) if self.vault is None else self.vault)

    @property
    def key(self) -> KeySource | None:
        """The source that an option names; None leaves it to the environment and what comes behind it."""
        named: list[KeySource] = []
        if self.key_file is not None:
            named.append(key_places.KeyFile(absolute(self.key_file)))
        if self.key_command is not None:
            named.append(key_command.KeyCommand(self.key_command))
        if self.passphrase_file is not None:
            named.append(key_places.PassphraseFile(absolute(self.passphrase_file)))
        if len(named) > 1:
            raise InvalidSetting("give one of --key-file, --key-command and --passphrase-file")
        return named[0] if named else None

    @property
    def secret_files(self) -> tuple[str, ...]:
        """The files that are named for a key or a passphrase, by the options and by the environment."""
        environ = self.environ
        named = self.key_file, self.passphrase_file, environ.get(secrets.KEY_FILE), environ.get(secrets.PASSPHRASE_FILE)
        return tuple(absolute(path) for path in named if path)

    def open(self, *, key: Key = None, **changes: Unpack[SettingFields]) -> SessionStore:
        """The store, with other settings where they are given. ``VaultNotFound``: no command but ``init`` makes one."""
        settings, sources = self.settings.replaced(changes), key_sources.KeySources(self.environ)
        return store_open.open_store(self.path, key=key or self.key, settings=settings, sources=sources, create=False)

    def location(self, place: str | None = None) -> VaultLocation:
        """Where the vault lies, of whatever kind, there or not; ``place`` in the stead of the options."""
        settings, place = self.settings, self.path if place is None else place
        if place.startswith(location.MEMORY):
            raise InvalidSetting("a vault in memory is gone with its process: name one that lasts")
        return location.VaultLocation.at(
            place, disk.Disk(), durability=settings.durability, allow_network=settings.allow_network
        )

    @property
    def is_directory(self) -> bool:
        """Whether it lies in files of this machine, there or not. ``InvalidSetting`` for a URL that names nothing."""
        return not self.path.startswith(location.MEMORY) and location.split(self.path)[0] == "file"

    @staticmethod
    def existing(vault: Vault) -> Vault:
        """The vault. ``VaultNotFound`` where there is none: no command but ``init`` makes one."""
        if not vault.exists():
            raise VaultNotFound(f"there is no vault at {vault.path}: make one with `vaultsession init`")
        return vault

    @contextlib.contextmanager
    def locked_vault(self) -> Iterator[Vault]:
        """The identity and the key slots of a vault of whatever kind, locked. ``VaultNotFound``."""
        if self.is_directory:
            yield self.directory()
            return
        with contextlib.closing(self.location()) as found:
            yield self.existing(found.vault)

    def directory(self) -> Vault:
        """The vault directory, locked. ``VaultNotFound`` for a path that has none, ``InvalidSetting`` for a URL."""
        allow_network = self.settings.allow_network
        storage = vaults.VaultDirectory(local_path(self.path), disk.Disk(), allow_network=allow_network)
        return self.existing(vaults.Vault(storage))

    def candidates(
        self, vault: Vault, environ: Mapping[str, str] | None = None, *, prompts: bool = True
    ) -> Iterator[tuple[str, Secret]]:
        """The secrets that may open a vault, each asked for as the iteration reaches it; or of a prompt, too."""
        sources = key_sources.KeySources(self.environ if environ is None else environ)
        return sources.candidates(
            self.key, vault.identity().vault_id, takes_passphrase=lambda: prompts and vault.takes_passphrase()
        )

    def proved(self, vault: Vault) -> UnlockedVault | None:
        """The vault unlocked by a key that is at hand; None where there is none. Nobody is asked."""
        try:
            return vault.unlock(self.candidates(vault, prompts=False))
        except (KeyUnavailable, WrongKey):
            return None

    def unlock(self, vault: Vault) -> tuple[UnlockedVault, Secret]:
        """The vault unlocked, and the secret that did it."""
        asked: list[Secret] = []

        def remembered() -> Iterator[tuple[str, Secret]]:
            for name, secret in self.candidates(vault):
                asked.append(secret)
                yield name, secret

        return vault.unlock(remembered()), asked[-1]


def absolute(path: str) -> str:
    """The absolute path of a file that an option names."""
    return os.path.abspath(expanded(path))


def local_path(place: str) -> str:
    """The directory that a path or ``file:///…`` names. ``InvalidSetting`` for what is no directory."""
    scheme, path = ("memory", "") if place.startswith(location.MEMORY) else location.split(place)
    if scheme != "file":
        raise InvalidSetting(f"this command works on the files of a vault directory, and {scheme}://… has none")
    return path


_PANEL = "Vault and key"

KEY_FILE = functools.partial(Option, None, metavar="FILE", help="A private file with the key.")
KEY_COMMAND = functools.partial(Option, None, metavar="COMMAND", help="A command that prints the key.")
PASSPHRASE_FILE = functools.partial(Option, None, metavar="FILE", help="A private file with a passphrase.")
"""Options that name where a key is; each command says how it spells them."""


def _where(
    context: typer.Context,
    vault: str | None = Option(
        None, "--vault", "-V", metavar="PATH", rich_help_panel=_PANEL,
        help="The vault: a path or a URL; else $VAULTSESSION_PATH, else your data directory.",
    ),
    key_file: str | None = KEY_FILE("--key-file", rich_help_panel=_PANEL),
    key_command: str | None = KEY_COMMAND("--key-command", rich_help_panel=_PANEL),
    passphrase_file: str | None = PASSPHRASE_FILE("--passphrase-file", rich_help_panel=_PANEL),
) -> VaultOptions:  # fmt: skip
    given = VaultOptions(vault, key_file, key_command, passphrase_file)
    return given.under(context.obj if isinstance(context.obj, VaultOptions) else None)


Where = Annotated[VaultOptions, _where]
"""The options that say which vault and which key."""


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command as typer reads it. A parameter ``Annotated[T, make]`` becomes the parameters of the function ``make``.

    The command gets what ``make`` returns for what was typed. Parameters that may be positional come last in the help.
    """
    own = inspect.signature(command, eval_str=True).parameters
    makers: dict[str, Callable[..., Any]] = {}
    shown: dict[str, inspect.Parameter] = {}
    for each in sorted(own.values(), key=lambda each: each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD):
        make = next(filter(inspect.isfunction, get_args(each.annotation)[1:]), None)
        if make is None:
            shown[each.name] = each
        else:
            makers[each.name] = make
            shown |= inspect.signature(make, eval_str=True).parameters

    @functools.wraps(command)
    def run(**given: Any) -> None:  # noqa: ANN401 - whatever the command takes
        made = {
            name: make(**{each: given[each] for each in inspect.signature(make).parameters})
            for name, make in makers.items()
        }
        command(**{name: made[name] if name in made else given[name] for name in own})

    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in shown.values()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # inspect's own protocol
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run
