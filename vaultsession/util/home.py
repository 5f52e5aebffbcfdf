"""Home: where the files of a user lie. A process may have no home: none in its environment, and no entry in passwd."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Literal

from ..errors import InvalidSetting

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
