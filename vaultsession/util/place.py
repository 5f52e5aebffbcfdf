"""Places as people write them and may see them: a path, in their home or elsewhere, or a URL without its secrets.

A process may have no home: none in its environment, and no entry in passwd.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Literal

from ..errors import InvalidSetting

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_NAME = "vaultsession"
_XDG = {"config": ("XDG_CONFIG_HOME", ".config"), "data": ("XDG_DATA_HOME", ".local/share")}
_NO_HOME = "this user has no home directory"


def checked(path: str) -> str:
    """A path as it is. ``InvalidSetting`` for text that is the name of no file: it holds a NUL, or a lone surrogate."""
    with contextlib.suppress(UnicodeEncodeError):
        os.fsencode(path)
        if "\0" not in path:
            return path
    raise InvalidSetting(f"{path!r:.120} is no path: it holds a character that no name of a file can hold")


def expanded(path: str) -> str:
    """A path that people wrote, with their home in the place of ``~``. ``InvalidSetting`` where there is none."""
    found = os.path.expanduser(checked(path))
    if found == path and path.split(os.sep, 1)[0] == "~":
        raise InvalidSetting(f"{path}: {_NO_HOME}; give a path without ~, or set HOME")
    return found


def user_directory(kind: Literal["config", "data"]) -> str:
    """Our directory among the user's, as the platform has them. ``InvalidSetting`` where the user has none."""
    if sys.platform == "linux" and "ANDROID_DATA" not in os.environ:
        # What platformdirs says here; to import it takes as long as a third of this package.
        variable, below = _XDG[kind]
        chosen, home = os.environ.get(variable), os.environ.get("HOME", "")
        if chosen and chosen[0] == "/":
            return os.path.join(chosen, _NAME)
        if not chosen and home[:1] == "/":
            return f"{home.rstrip('/')}/{below}/{_NAME}"
    import platformdirs  # noqa: PLC0415 - as said

    make = platformdirs.user_config_dir if kind == "config" else platformdirs.user_data_dir
    try:
        return make(_NAME, appauthor=False)
    except RuntimeError:
        raise InvalidSetting(f"{_NO_HOME}: set HOME or XDG_{kind.upper()}_HOME") from None


def parts_of(place: str) -> SplitResult:
    """The parts of a URL. ``InvalidSetting``, in words without any part of it, for text that is none."""
    from urllib.parse import urlsplit  # noqa: PLC0415 - a path needs none, and it takes 2 ms to import

    try:
        parts = urlsplit(place)
        _ = parts.port  # parsed when asked for
    except ValueError:
        raise InvalidSetting(
            "this URL cannot be read: a port is a number up to 65535, an IPv6 address stands in [], and of a "
            "password : / ? # [ ] @ are written as %3A %2F %3F %23 %5B %5D %40"
        ) from None
    return parts


def shown(place: str) -> str:
    """A path as it is; a URL as scheme, host, port and path. Where a part may be one of the password, the scheme."""
    if "://" not in place:
        return place
    scheme = place.partition("://")[0]
    scheme = scheme if scheme.replace("+", "").isalnum() else ""
    try:
        parts = parts_of(place)
    except InvalidSetting:
        return f"{scheme}://…"
    host = parts.netloc.rpartition("@")[2]
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{scheme}://…"  # a password with a / or a ? in it, cut in two
    return f"{scheme}://{host}{parts.path}"
