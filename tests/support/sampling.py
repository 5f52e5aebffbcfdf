"""Which cases of an exhaustive test run in the quick part: those named here. The others are slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def sampled(cases: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """The cases, all of them; those that are not ``quick`` are marked slow.

    A quick case that is none of the cases is an error: else a case that was renamed would leave the quick part unseen.
    """
    cases, quick = list(cases), list(quick)
    if unknown := [case for case in quick if case not in cases]:
        raise ValueError(f"there are no such cases: {unknown}")
    return [case if case in quick else pytest.param(case, marks=pytest.mark.slow) for case in cases]
