"""Parts of MessagePack as bytes: what a map or a list holds, without making anything of it."""

from __future__ import annotations

import struct

_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""How many bytes say the size of a bin or a str."""
_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_NUMBERS = dict(enumerate((">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q"), 0xCA))
_FIXED = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 0),
    **{kind: struct.calcsize(form) for kind, form in _NUMBERS.items()},
    **dict(enumerate((2, 3, 5, 9, 17), 0xD4)),
}


def pairs(data: bytes) -> list[tuple[str, bytes]]:
    """The names and values of a map whose keys are texts. ``ValueError`` for anything else."""
    count, at = _header(data, 0x80, 0xDE)
    found = []
    for _ in range(count):
        end = _end(data, at)
        name, at = scalar(data[at:end]), end
        if not isinstance(name, str):
            raise ValueError("a key that is no text")  # noqa: TRY004 - of the data, not the code
        end = _end(data, at)
        found.append((name, data[at:end]))
        at = end
    if at != len(data):
        raise ValueError("more than a map")
    return found


def elements(data: bytes) -> list[bytes] | None:
    """The elements of a list; None for anything else."""
    try:
        count, at = _header(data, 0x90, 0xDC)
    except ValueError:
        return None
    found = []
    for _ in range(count):
        end = _end(data, at)
        found.append(data[at:end])
        at = end
    return found


def map_of(items: list[tuple[str, bytes]]) -> bytes:
    """A map of such pairs."""
    return b"".join([b"\xdf", len(items).to_bytes(4, "big"), *(_text(name) + value for name, value in items)])


def scalar(data: bytes) -> str | float | None:
    """A text or a number. ``ValueError`` for anything else."""
    try:
        kind = data[0]
        if kind < 0x80 or kind >= 0xE0:  # noqa: PLR2004 - small numbers are their own type
            return kind if kind < 0x80 else kind - 256  # noqa: PLR2004 - as above
        if 0xA0 <= kind < 0xC0:  # noqa: PLR2004 - a short text
            return data[1 : 1 + (kind & 31)].decode()
        if kind in (0xD9, 0xDA, 0xDB):
            return data[1 + _SIZED[kind] :].decode()
        if kind in _NUMBERS:
            number: float = struct.unpack(_NUMBERS[kind], data[1:])[0]
            return number
    except (IndexError, struct.error) as error:
        raise ValueError(str(error)) from None
    raise ValueError("neither text nor number")


def _header(data: bytes, fixed: int, sized: int) -> tuple[int, int]:
    """How many items a map or a list has, and where they begin."""
    kind = data[0] if data else 0
    if fixed <= kind < fixed + 16:
        return kind & 15, 1
    if kind in (sized, sized + 1):
        width = 2 if kind == sized else 4
        return int.from_bytes(data[1 : 1 + width], "big"), 1 + width
    raise ValueError("neither a map nor a list")


def _end(data: bytes, at: int) -> int:
    """Where the value ends that begins there."""
    left = 1
    while left:
        left -= 1
        if at >= len(data):
            raise ValueError("a value that was cut")
        kind = data[at]
        at += 1
        if kind < 0x80 or kind >= 0xE0:  # noqa: PLR2004 - as above
            continue
        if kind < 0xA0:  # noqa: PLR2004 - small maps and lists
            left += (kind & 15) * (2 if kind < 0x90 else 1)  # noqa: PLR2004 - as above
        elif kind < 0xC0:  # noqa: PLR2004 - as above
            at += kind & 31
        elif kind in _FIXED:
            at += _FIXED[kind]
        elif kind in _SIZED or kind in _EXT:
            width = _SIZED.get(kind) or _EXT[kind]
            at += width + int.from_bytes(data[at : at + width], "big") + (kind in _EXT)
        elif kind >= 0xDC:  # noqa: PLR2004 - as above
            width = 2 if kind in (0xDC, 0xDE) else 4
            left += int.from_bytes(data[at : at + width], "big") * (2 if kind >= 0xDE else 1)  # noqa: PLR2004 - as above
            at += width
        else:
            raise ValueError("no MessagePack")
    if at > len(data):
        raise ValueError("a value that was cut")
    return at


def _text(text: str) -> bytes:
    data = text.encode()
    return b"\xdb" + len(data).to_bytes(4, "big") + data
