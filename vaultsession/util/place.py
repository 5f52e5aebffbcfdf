"""Places as people may see them: a path, or a URL without its user, its password and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidSetting

if TYPE_CHECKING:
    from urllib.parse import SplitResult


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
