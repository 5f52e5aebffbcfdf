"""``NamedTuple`` as ``typing`` has it, made in a third of the time.

``typing`` compiles the text of each annotation, to find out that it is a type. A type checker knows that, and a process
that opens a vault makes sixty named tuples before its first byte: five milliseconds. Here nothing looks at annotations.
"""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple as NamedTuple  # noqa: PLC0414 - it is what others import from here
else:

    class _NamedTuples(type):
        """Turns the body of a class into a named tuple: its fields, their defaults, and what else it defines."""

        def __new__(cls, name, bases, body):  # noqa: ANN001, ANN204, ARG004 - seen at runtime alone
            fields = body.pop("__annotations__", {})
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body.pop("__module__"))  # noqa: PYI024 - as said
            made.__annotations__ = made.__new__.__annotations__ = fields
            for each, value in body.items():
                setattr(made, each, value)
            return made

    NamedTuple = type.__new__(_NamedTuples, "NamedTuple", (), {})
