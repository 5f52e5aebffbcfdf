"""Which cases of an exhaustive test run in the quick part: those named here, or every n-th. The others are slow."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], quick: Container[Any] | Callable[[int], bool]) -> list[Any]:
    """The cases, all of them; those that are not ``quick`` (by value, by name, or by place) are marked slow."""

    def is_quick(place: int, case: Any) -> bool:
        if callable(quick):
            return bool(quick(place))
        return case in quick or getattr(case, "__name__", None) in quick

    return [
        case if is_quick(place, case) else pytest.param(case, marks=pytest.mark.slow)
        for place, case in enumerate(cases)
    ]
