"""The configuration file: what the environment leaves open, kept in TOML, YAML or JSON.

One flat table. Each entry is a field of ``Settings``, or where the vault and its key are::

    path = "~/assistant/sessions"            # or a URL
    key_file = "~/.secrets/assistant.key"    # or key_command, passphrase_file; never the key itself
    ttl = "30d"
    sliding = true

The file is the one that ``VAULTSESSION_CONFIG`` names (empty: none), else ``config.toml``, ``.yaml``, ``.yml`` or
``.json`` in the platform's configuration directory, the first that is there. A relative path in it is relative to it.
Since it may name a command that is run, a file that other users can write is refused, and by root one that is neither
its own nor of the user of sudo.

Decision (2026-11): the file completes the environment as text, so that both have one parser, one check and one order
of keys. TOML and JSON need nothing but what the core has; YAML needs the extra ``config``. Applications that keep
their settings in pydantic-settings embed ``integrations.pydantic_settings``: as the reader of this file it would have
cost each command more than the command itself (106 ms to import, where this was measured).
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import BackendUnavailable, InvalidSetting
from ..util.disk import Disk, read_file, why_not_trusted
from ..util.lazy import LazyModule
from ..util.named_tuple import NamedTuple
from ..util.place import expanded, shown, user_directory
from .settings import PATH, PREFIX, Settings, from_text

if TYPE_CHECKING:
    import difflib
    import tomllib

    from ..vault import key_command
else:
    key_command = LazyModule(".vault.key_command")
    difflib, tomllib = LazyModule("difflib"), LazyModule("tomllib")

CONFIG = PREFIX + "CONFIG"
NAMES = ("config.toml", "config.yaml", "config.yml", "config.json")
LARGEST = 64 * 1024
_LARGEST_NUMBER = 2**63

PLACES = ("path", "key_file", "key_command", "passphrase_file")
"""Fields of a file beside those of ``Settings``."""

_PATHS = ("path", "key_file", "passphrase_file")


def _program(command: str) -> str:
    try:
        return f"{key_command.KeyCommand(command).program} …"
    except InvalidSetting:
        return "…"


_SHOWN: dict[str, Callable[[str], str]] = {
    "path": shown,
    "mirror": shown,
    "key_command": _program,
}
"""How a value is shown that may hold a secret."""


class Configuration(NamedTuple):
    """The fields of a configuration file, as text. ``file`` None: there is none."""

    file: str | None
    texts: Mapping[str, str]

    @classmethod
    def of(cls, environ: Mapping[str, str] = os.environ) -> Configuration:
        """The file that counts. ``InvalidSetting`` names the file, and the field that is unknown or has a bad value."""
        disk = Disk()
        for path, is_named in _candidates(environ):
            try:
                disk.stat(path)  # most users have no file, and a stat costs less than following links
                data = read_file(disk, os.path.realpath(path), limit=LARGEST, refusal=why_not_trusted)
            except FileNotFoundError:
                if is_named:
                    raise InvalidSetting(f"{CONFIG}: there is no file {path}") from None
                continue
            except OSError as error:
                raise BackendUnavailable(f"the configuration file cannot be used: {error}") from error
            except ValueError as error:
                raise InvalidSetting(f"the configuration file is too large: {error}") from None
            return cls(path, _texts(path, _parsed(path, data)))
        return cls(None, {})

    def completed(self, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Our variables of the environment, and of the file those that it lacks. An empty variable is not set."""
        variables = {PREFIX + name.upper(): text for name, text in self.texts.items()}
        for name in environ:
            if name.startswith(PREFIX) and (text := environ[name]):
                variables[name] = text
        return variables

    def origins(self, environ: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
        """``(field, value, where it is from)`` of every setting, as ``config show`` prints them.

        No secret is among the values: of a URL they have the address, of a command the program.
        """
        chosen = Settings.from_environment(self.completed(environ))
        for name in (*PLACES, *(field.name for field in dataclasses.fields(Settings))):
            variable = PREFIX + name.upper()
            if environ.get(variable):
                origin = variable
            elif name in self.texts:
                origin = str(self.file)
            else:
                origin = "default"
            value = self.completed(environ).get(variable) if name in PLACES else getattr(chosen, name)
            if value and name in _SHOWN:
                value = _SHOWN[name](value)
            yield name, value, origin


def environment(environ: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """Our variables of the environment, completed by the configuration file: where every setting is looked up."""
    return Configuration.of(environ).completed(environ)


def vault_path(environ: Mapping[str, str]) -> str:
    """Where the vault lies unless an argument names it: by the environment, or in the platform's data directory."""
    if named := environ.get(PATH):
        return named
    try:
        return user_directory("data")
    except InvalidSetting as error:
        raise InvalidSetting(f"no vault was named, and {error}; or name one with {PATH}") from None


def config_directory() -> str:
    """Where the configuration file is looked for. ``InvalidSetting`` for a user without a home."""
    return user_directory("config")


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, bool]]:
    """``(path, whether the environment names it)``."""
    named = environ.get(CONFIG)
    if named is None:
        with contextlib.suppress(InvalidSetting):  # without a home nobody has a file there
            directory = config_directory()
            if os.path.lexists(directory):
                yield from ((os.path.join(directory, name), False) for name in NAMES)
    elif named:
        yield os.path.abspath(expanded(named)), True


def _parsed(path: str, data: bytes) -> Mapping[str, Any]:
    data = data.removeprefix(codecs.BOM_UTF8)  # as editors of Windows write it
    kind = os.path.splitext(path)[1].lower().removeprefix(".")
    if kind not in ("toml", "json", "yaml", "yml"):
        raise InvalidSetting(f"{path}: a configuration file ends in .toml, .yaml, .yml or .json")
    try:
        if kind == "toml":
            table: Any = tomllib.loads(data.decode())
        else:
            table = orjson.loads(data) if kind == "json" else _yaml(path, data)
    except InvalidSetting:
        raise
    except Exception as error:  # noqa: BLE001 - ValueError of every parser; RecursionError, and what PyYAML stumbles over
        raise _unparsed(path, "YAML" if kind == "yml" else kind.upper(), getattr(error, "lineno", None)) from None
    if table is None:
        return {}  # an empty file of YAML
    if not isinstance(table, dict):
        raise InvalidSetting(f"{path}: a configuration file is one table of names and values")
    return table


def _yaml(path: str, data: bytes) -> Any:  # noqa: ANN401 - any value of YAML
    try:
        import yaml  # noqa: PLC0415 - an extra: imported when used
    except ImportError:
        raise InvalidSetting(f"{path}: YAML needs an extra: pip install 'vaultsession[config]'") from None
    try:
        return yaml.safe_load(data)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _unparsed(path, "YAML", None if mark is None else mark.line + 1) from None


def _unparsed(path: str, kind: str, line: int | None) -> InvalidSetting:
    # Without the words of the parser: they may quote the line at fault, and a key may stand in it.
    return InvalidSetting(f"{path}: this is not {kind}{f' at line {line}' if line else ''}")


def _texts(path: str, table: Mapping[str, Any]) -> dict[str, str]:
    known = {*PLACES, *(field.name for field in dataclasses.fields(Settings))}
    found = {}
    for name, value in table.items():
        if name == "key":
            raise InvalidSetting(f"{path}: a key does not belong in a configuration file: name its file with key_file")
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidSetting(f"{path}: there is no setting {name!r:.60}{hint}")
        if value is None:
            continue
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, (str, float)) or (isinstance(value, int) and abs(value) < _LARGEST_NUMBER):
            text = str(value)
        else:
            raise InvalidSetting(f"{path}: {name} is text, a number, true or false")
        if name in PLACES:
            found[name] = _absolute(path, text) if name in _PATHS else text
            continue
        try:
            checked = from_text(name, text)
            Settings(**{name: checked})  # type: ignore[arg-type]  # it is what checks them
        except InvalidSetting as error:
            raise InvalidSetting(f"{path}: {error}") from None
        found[name] = text
    return found


def _absolute(path: str, text: str) -> str:
    if "://" in text:
        return text
    return os.path.join(os.path.dirname(path), expanded(text))
