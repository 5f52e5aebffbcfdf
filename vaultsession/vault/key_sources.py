"""Where secrets come from. Nothing here is derived from the machine: a key is given, found, or made from randomness.

The order, in which each source is asked only when those before it had nothing that fits::

    1  the argument                         alone: where one is given, no other source is asked
    2  VAULTSESSION_KEY                     the key itself
       VAULTSESSION_KEY_FILE                a private file that holds it
       VAULTSESSION_KEY_COMMAND             a command that prints it
       VAULTSESSION_PASSPHRASE_FILE         a private file that holds a passphrase
    3  <config>/keys/<vault id>.key         the key file that a vault created without any key gets
    4  the keyring of the operating system  of the kinds that encrypt what they hold (the extra ``keyring``)
    5  a prompt                             on a terminal, where the vault has a passphrase slot

A source that was configured (1, 2) and fails is an error at once. One that was not (3 to 5) is passed over, and its
error is named when no source is left. An environment variable that is empty is not set.

A vault that was created without any key has it in 3 or in 4. The file comes first: the package ``keyring`` takes longer
to import than everything else together. The order decides nothing: a key that is not the vault's opens none of its
slots, and the next source is asked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from ..errors import BackendUnavailable, InvalidSetting, KeyUnavailable
from ..util.disk import Disk, make_directories, why_not_private, write_new
from ..util.lazy import LazyModule
from ..util.named_tuple import NamedTuple
from ..util.place import expanded, user_directory
from .secret import KEY, KEY_COMMAND, KEY_FILE, PASSPHRASE_FILE, Passphrase, RawKey, Secret, key_from

if TYPE_CHECKING:
    import shlex

    from . import key_command, key_places
    from . import os_keyring as oskeyring
    from .key_places import KeyFile
    from .os_keyring import KeyringEntries
else:
    shlex, key_command = LazyModule("shlex"), LazyModule(".vault.key_command")
    key_places, oskeyring = LazyModule(".vault.key_places"), LazyModule(".vault.os_keyring")


class KeySource(Protocol):
    """A place that a secret may come from."""

    @property
    def name(self) -> str:
        """What people call this place. Holds no secret."""
        ...

    def secret(self) -> Secret | None:
        """The secret, or None if there is none in this place. ``KeyUnavailable`` or ``InvalidSetting``: it says why."""
        ...


class Given(NamedTuple):
    """A secret that the caller has in hand."""

    value: Secret
    name: str = "the key argument"

    def secret(self) -> Secret:
        return self.value


class EnvironmentKey(NamedTuple):
    """A raw key in an environment variable."""

    variable: str = KEY
    environ: Mapping[str, str] = os.environ

    def __repr__(self) -> str:
        return f"EnvironmentKey({self.variable!r})"

    @property
    def name(self) -> str:
        return f"environment variable {self.variable}"

    def secret(self) -> RawKey | None:
        spelled = self.environ.get(self.variable)
        return key_from(self.name, spelled) if spelled else None


Key = str | bytes | RawKey | Passphrase | KeySource | None
"""What people may give as a key. Text and bytes are a raw key (``RawKey.parse``), never a passphrase."""


class KeySources(NamedTuple):
    """The sources of this process: its environment, its user's configuration directory, its terminal.

    ``config`` None is the user's own, and empty for a user without a home. ``os_keyring`` stands in for the backend
    that the package ``keyring`` would choose, ``prompt`` for a person at a terminal.
    """

    environ: Mapping[str, str] = os.environ
    disk: Disk = Disk()
    config: str | None = None
    os_keyring: KeyringEntries | None = None
    ask_os_keyring: bool = True
    prompt: KeySource | None = None

    def __repr__(self) -> str:
        return "KeySources()"  # the environment may hold a key

    def candidates(
        self, key: Key, vault_id: bytes, *, takes_passphrase: Callable[[], bool] = lambda: True
    ) -> Iterator[tuple[str, Secret]]:
        """``(name, secret)`` of each source that has one, asked as the iteration reaches it.

        ``KeyUnavailable`` at its end, if there was none at all; of a key file that is there and cannot be used it
        speaks alone. At once, or ``InvalidSetting``, for a source that was configured and fails. The prompt is a source
        only where the vault takes a passphrase, which is asked last.
        """
        found, tried, refused = False, [], []
        for source, is_meant in self._ordered(key, vault_id, takes_passphrase):
            try:
                secret = _secret_in(source)
            except (KeyUnavailable, InvalidSetting) as error:
                if is_meant:
                    raise
                tried.append(str(error))
                if isinstance(source, key_places.KeyFile) and source.is_there():
                    refused.append(str(error))
                continue
            found = True
            yield source.name, secret
        if not found:
            unset = [f"variable {name}: not set" for name in (KEY, KEY_FILE, KEY_COMMAND, PASSPHRASE_FILE)]
            said = (*unset, *tried)
            if refused:
                raise KeyUnavailable(refused[0], tried=said)
            raise KeyUnavailable(f"no key was found; tried: {'; '.join(said)}", tried=said)

    def for_creation(self, key: Key, vault_id: bytes, vault_path: str) -> tuple[KeySource, Secret]:
        """The source and the secret of a vault about to be made: what is configured, else a new key, kept safe first.

        A new key goes to the OS keyring where there is one that is trusted, else to a private file in the
        configuration directory; the source's name says where. It is flushed when this returns.
        """
        for source in self._configured(key):
            return source, _secret_in(source)
        made = RawKey.generate()
        if self.ask_os_keyring:
            entry = oskeyring.OsKeyring(vault_id, self.os_keyring)
            with contextlib.suppress(KeyUnavailable):
                entry.keep(made)
                return entry, made
        return self._new_key_file(made, vault_id, vault_path), made

    def is_configured(self, key: Key) -> bool:
        """Whether someone named a key, so that none has to be found or made."""
        return bool(self._configured(key))

    def key_file(self, vault_id: bytes) -> KeyFile:
        """The file that a vault created without any key has its key in. ``KeyUnavailable`` without a ``config``."""
        config = self._config_directory()
        if not config:
            raise KeyUnavailable(f"there is no place for a key: this user has no home; name a key with {KEY_FILE}")
        path = os.path.join(config, "keys", f"{vault_id.hex()}.key")
        return key_places.KeyFile(os.path.abspath(path), self.disk)

    def _config_directory(self) -> str:
        """Where the files of keys lie; empty for a user without a home."""
        if self.config is not None:
            return self.config
        try:
            return user_directory("config")
        except InvalidSetting:
            return ""

    def _configured(self, key: Key) -> list[KeySource]:
        if key is not None:
            return [source_of(key)]
        makers: dict[str, Callable[[str], KeySource]] = {
            KEY: lambda _: EnvironmentKey(KEY, self.environ),
            KEY_FILE: lambda path: key_places.KeyFile(expanded(path), self.disk),
            KEY_COMMAND: lambda command: key_command.KeyCommand(command),  # noqa: PLW0108 - its name would import it
            PASSPHRASE_FILE: lambda path: key_places.PassphraseFile(expanded(path), self.disk),
        }
        return [make(self.environ[name]) for name, make in makers.items() if self.environ.get(name)]

    def _ordered(
        self, key: Key, vault_id: bytes, takes_passphrase: Callable[[], bool]
    ) -> Iterator[tuple[KeySource, bool]]:
        """Every source, and whether it was configured."""
        for source in self._configured(key):
            yield source, True
        if key is not None:
            return
        if self._config_directory():
            yield self.key_file(vault_id), False
        if self.ask_os_keyring:
            yield oskeyring.OsKeyring(vault_id, self.os_keyring), False
        if takes_passphrase():
            yield self.prompt or key_places.Prompt(), False

    def _new_key_file(self, key: RawKey, vault_id: bytes, vault_path: str) -> KeyFile:
        file = self.key_file(vault_id)
        keys = os.path.dirname(file.path)
        if _is_within(keys, vault_path) or _is_within(vault_path, keys):
            both = f"{key_places.short(keys)} and the vault {key_places.short(vault_path)}"
            raise InvalidSetting(
                f"a key beside the data protects nothing: {both} lie within one another; move the vault, or name "
                f"a key with {KEY_FILE}"
            )
        try:
            changed = make_directories(self.disk, keys)
            if reason := why_not_private(self.disk.stat(keys), directory=True):
                raise KeyUnavailable(f"{key_places.short(keys)}: {reason}; run: chmod 700 {shlex.quote(keys)}")
            write_new(self.disk, file.path, key.text().encode() + b"\n")
            for directory in (keys, *changed):
                self.disk.sync_directory(directory)
        except OSError as error:
            raise BackendUnavailable(f"{file.name}: the new key could not be kept there: {error}") from error
        return file


def source_of(key: str | bytes | RawKey | Passphrase | KeySource) -> KeySource:
    """What was given as a key, as a source. ``InvalidSetting`` for text or bytes that are no raw key."""
    if isinstance(key, (RawKey, Passphrase)):
        return Given(key)
    if isinstance(key, (str, bytes)):
        return Given(key_from("the key argument", key))
    if callable(getattr(key, "secret", None)):
        return key
    raise InvalidSetting(f"a key is bytes, str, RawKey, Passphrase or a key source, not {type(key).__name__}")


def _secret_in(source: KeySource) -> Secret:
    """What the source has. ``KeyUnavailable`` if that is nothing."""
    try:
        secret = source.secret()
    except KeyUnavailable as error:
        raise KeyUnavailable(str(error), tried=(str(error),)) from error
    if secret is None:
        said = f"{source.name}: there is no key"
        raise KeyUnavailable(said, tried=(said,))
    return secret


def _is_within(inner: str, outer: str) -> bool:
    inner, outer = os.path.realpath(inner), os.path.realpath(outer)
    return os.path.normcase(os.path.join(inner, "")).startswith(os.path.normcase(os.path.join(outer, "")))
