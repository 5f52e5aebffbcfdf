"""A named tuple as ``typing`` makes one, in all that is asked of it."""

from __future__ import annotations

import copy
import inspect
import pickle
import typing
from pathlib import Path

from vaultsession.util.named_tuple import NamedTuple

PACKAGE = Path(__file__).parents[3] / "vaultsession"


def made_of(base: typing.Any) -> typing.Any:
    class Point(base):
        """A point."""

        x: int
        y: int = 2

        @property
        def total(self) -> int:
            return self.x + self.y

        @classmethod
        def of(cls, text: str) -> Point:
            return cls(*map(int, text.split()))

        @staticmethod
        def zero() -> int:
            return 0

    return Point


class Pair(NamedTuple):
    x: int
    y: int = 2


def facts(made: typing.Any) -> list[object]:
    point = made(1)
    return [
        tuple(point),
        repr(point).removeprefix(made.__name__),
        point._replace(y=5),
        point._asdict(),
        made.of("3 4").total,
        made.zero(),
        made._fields,
        made._field_defaults,
        made.__doc__,
        made.__module__,
        made.__qualname__.removesuffix(made.__name__),
        made.__mro__[1:],
        list(inspect.signature(made).parameters),
        typing.get_type_hints(made),
        hasattr(point, "__dict__"),
    ]


def test_it_is_what_typing_makes() -> None:
    assert facts(made_of(NamedTuple)) == facts(made_of(typing.NamedTuple))


def test_it_is_copied_and_pickled() -> None:
    assert pickle.loads(pickle.dumps(Pair(3))) == copy.copy(Pair(3)) == Pair(3)
    assert type(pickle.loads(pickle.dumps(Pair(3)))) is Pair


def test_what_each_process_imports_makes_no_other() -> None:
    folders = ("store", "engine", "vault", "format", "util", "backends/files")
    paths = [path for folder in folders for path in (PACKAGE / folder).glob("*.py")]
    others = {
        path.name
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.startswith("from typing import") and "NamedTuple" in line
    }
    assert others <= {"session.py"}  # of a generic one, which only typing makes
