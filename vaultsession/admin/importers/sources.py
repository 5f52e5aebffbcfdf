"""The files below a path that people name, and the JSON in them.

Links are never followed, other than the path itself; sizes are bounded. JSON is read such that nothing is lost on the
way: what cannot be kept as it is, is refused.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO, Any, NoReturn

from ...errors import InvalidSetting
from ...format.payload import Json
from ...util.disk import READ
from ...vault.identity import FACTS

LARGEST = 256 << 20
"""Bytes that a JSON file, or one line of another, may have."""


ENCRYPTED = "encrypted by the program that wrote it: let that write it in the clear"
_FERNET = "gAAAA"
"""What a token of Fernet begins with."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """What could not be imported: where it stands, and why not."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class File:
    """A file to be read. ``name`` is its path below what was named, with ``/`` between the parts."""

    path: str
    name: str

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return os.path.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        """The ending, in lower case, with its dot."""
        return os.path.splitext(self.name)[1].lower()

    def modified(self) -> int:
        """When it was last written: microseconds since 1970."""
        return max(0, os.lstat(self.path).st_mtime_ns // 1000)

    def at(self, line: int) -> str:
        """A line of it, in words."""
        return f"{self.name}, line {line}"

    def open(self) -> IO[bytes]:
        """For reading. ``OSError`` for what is no regular file, or has become a link meanwhile."""
        file = open(self.path, "rb", opener=lambda path, _: os.open(path, READ))  # noqa: SIM115 - the caller closes it
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.close()
            raise OSError(f"{self.name} is no regular file")
        return file

    def json(self) -> Any:  # noqa: ANN401 - JSON is any of six types
        """What it holds. ``ValueError`` as of ``parse``, and beyond the bound; ``OSError``."""
        with self.open() as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"more than {LARGEST >> 20} MiB: split it")
        return parse(data)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is not blank: its number from 1 up, where it begins, and its bytes, None beyond the bound."""

    number: int
    start: int
    data: bytes | None

    def json(self) -> Json:
        """The object that it is. ``ValueError`` for anything else."""
        if self.data is None:
            raise ValueError(f"more than {LARGEST >> 20} MiB in one line")
        value = parse(self.data)
        if not isinstance(value, dict):
            raise ValueError(f"{named(value)}, and a line is an object")  # noqa: TRY004 - of the data, not the code
        if is_encrypted(value):
            raise ValueError(ENCRYPTED)
        return value


def lines(stream: IO[bytes]) -> Iterator[Line]:
    """The lines of a stream, read once and one at a time."""
    number = start = 0
    while data := stream.readline(LARGEST):
        number += 1
        size, whole = len(data), len(data) < LARGEST
        while not data.endswith(b"\n") and (rest := stream.readline(LARGEST)):
            size, data, whole = size + len(rest), rest, False
        if not whole:
            yield Line(number, start, None)
        elif data.strip():
            yield Line(number, start, data)
        start += size


def files(source: str, suffixes: Collection[str]) -> Iterator[File | Skipped]:
    """Every file below a directory that ends so, by name; or the file that is named, however it ends.

    Hidden entries are passed over.
    ``InvalidSetting`` for a source that is not there, or is a vault.
    """
    path = os.path.realpath(os.path.expanduser(source))
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise InvalidSetting(f"{source}: {error.strerror or error}: name a file or a directory to import") from None
    if not stat.S_ISDIR(mode):
        if not stat.S_ISREG(mode):
            raise InvalidSetting(f"{source} is neither a file nor a directory")
        yield File(path, os.path.basename(source.rstrip("/")) or path)
        return
    if os.path.exists(os.path.join(path, FACTS)):
        raise InvalidSetting(f"{source} is a vault: `vaultsession migrate` copies one")
    yield from _below(path, "", suffixes)


def _below(root: str, below: str, suffixes: Collection[str]) -> Iterator[File | Skipped]:
    try:
        with os.scandir(os.path.join(root, below)) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield Skipped(below or root, f"{error.strerror or error}: look at the permissions")
        return
    for entry in entries:
        name = f"{below}/{entry.name}" if below else entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            yield Skipped(name, "a link, and links are not followed: name what it points to")
        elif entry.is_dir(follow_symlinks=False):
            yield from _below(root, name, suffixes)
        elif os.path.splitext(entry.name)[1].lower() in suffixes:
            is_file = entry.is_file(follow_symlinks=False)
            yield File(os.path.join(root, name), name) if is_file else Skipped(name, "no regular file")


def parse(data: bytes) -> Any:  # noqa: ANN401 - JSON is any of six types
    """What the bytes stand for. ``ValueError``, in words, for what is not UTF-8, no JSON, or JSON with a loss.

    A name that stands twice in one object, or NaN, would be one value for this reader and another for the next. Numbers
    come as they are spelled; a store refuses those that it cannot give back.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise ValueError(f"not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def objects(values: object) -> list[Json]:
    """The values as messages. ``ValueError`` unless they are a list of objects."""
    if not isinstance(values, list):
        raise ValueError(f"the messages are {named(values)}, not a list")  # noqa: TRY004 - of the data, not the code
    for number, value in enumerate(values):
        try:
            message_in(value)
        except ValueError as error:
            raise ValueError(f"messages[{number}] is {error}") from None
    return values


def message_in(value: object) -> Json:
    """The value as a message. ``ValueError`` for what is no object, or is encrypted."""
    if not isinstance(value, dict):
        raise ValueError(f"{named(value)}, and a message is an object")  # noqa: TRY004 - as above
    if is_encrypted(value):
        raise ValueError(ENCRYPTED)
    return value


def is_encrypted(value: Json) -> bool:
    """Whether an object is the envelope of a message, as ``EncryptedSession`` of the OpenAI Agents SDK keeps them."""
    if "__enc__" in value:
        return True
    sealed = value.get("ciphertext", value.get("payload"))
    return (
        value.keys().isdisjoint({"role", "type", "content"})
        and isinstance(sealed, str)
        and ("ciphertext" in value or sealed.startswith(_FERNET))
    )


def named(value: object) -> str:
    """What JSON calls the value."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(spelled: str) -> NoReturn:
    raise ValueError(f"not JSON: {spelled} is no number")
