"""Home: where the files of a user lie. A process may have no home: none in its environment, and no entry in passwd."""

from __future__ import annotations

import os
from typing import Literal

import platformdirs

from ..errors import InvalidSetting

_NO_HOME = "this user has no home directory"


def expanded(path: str) -> str:
    """A path that people wrote, with their home in the place of ``~``. ``InvalidSetting`` where there is none."""
    if "\0" in path:
        raise InvalidSetting("a path holds no NUL")
    found = os.path.expanduser(path)
    if found == path and path.split(os.sep, 1)[0] == "~":
        raise InvalidSetting(f"{path}: {_NO_HOME}; give a path without ~, or set HOME")
    return found


def user_directory(kind: Literal["config", "data"]) -> str:
    """Our directory among the user's, as the platform has them. ``InvalidSetting`` where the user has none."""
    make = platformdirs.user_config_dir if kind == "config" else platformdirs.user_data_dir
    try:
        return make("vaultsession", appauthor=False)
    except RuntimeError:
        raise InvalidSetting(f"{_NO_HOME}: set HOME or XDG_{kind.upper()}_HOME") from None
