"""To come."""

from ...backend import Engine
from ...errors import InvalidSetting


def connect(url: str) -> Engine:
    """Not there yet."""
    raise InvalidSetting(f"cannot open {url.split(':', maxsplit=1)[0]}:// yet")
