"""Which cases of an exhaustive test run in the quick part: those that are named, or every so many. The others are slow."""

from __future__ import annotations

from collections import defaultdict
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


def leave_out(items: Iterable[pytest.Item]) -> None:
    """Of each test marked ``sampled(every)``, mark those slow that are not every so many, by their names.

    A case that is collected alone is a sample of its own.
    """
    families: dict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is not None and item.get_closest_marker("slow") is None:
            families[item.nodeid.partition("[")[0], marker.args[0]].append(item)
    for (_, every), family in families.items():
        for number, item in enumerate(sorted(family, key=lambda item: item.nodeid)):
            if number % every:
                item.add_marker(pytest.mark.slow)
