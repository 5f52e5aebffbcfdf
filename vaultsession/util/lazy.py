"""Modules that are imported when something in them is asked for: what few processes do, the others do not pay for.

::

    if TYPE_CHECKING:
        from ..engine import rotation
    else:
        rotation = LazyModule(".engine.rotation")

Below, ``rotation.Rotating`` is the class for type checkers, and an import on its first use at runtime. For the
layers it is an import like any other.

Decision (2026-11): this, and neither imports in each function, which hide from the reader of a module what it stands
on, nor ``importlib.util.LazyLoader``, whose modules change their class while other threads use them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logging import Logger

_PACKAGE = __name__.partition(".")[0]


class LazyModule:
    """A module by its name; with a dot before it one of this package. Safe from any thread."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as of any module
        return getattr(importlib.import_module(self._name, _PACKAGE), name)

    def __repr__(self) -> str:
        return f"<lazy module {self._name}>"


def names_in(package: str, namespace: dict[str, Any], homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` (PEP 562) of a package that shows names of its modules without importing those at once.

    ``homes`` has the module of each name; a name that was asked for once is put into the ``namespace`` of the package.
    """

    def found(name: str) -> Any:  # noqa: ANN401 - the signature that PEP 562 gives it
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = namespace[name] = getattr(importlib.import_module(f".{home}", package), name)
        return value

    return found


class _LazyLogger:
    """The logger of the package; ``logging`` takes 4 ms to import, and few processes have something to say.

    Where nobody has imported it nobody has asked for more than warnings.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as of the logger
        if name in ("debug", "info") and "logging" not in sys.modules:
            return _say_nothing
        return getattr(importlib.import_module("logging").getLogger(_PACKAGE), name)


def _say_nothing(*_: object) -> None:
    pass


log: Logger = _LazyLogger()  # type: ignore[assignment]  # to be seen as what it stands for
