"""Health: what a store says of itself to a liveness probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..util.health import HealthProbe
from .fields import StoreInfo

_PROBE_SECONDS = 2.0
"""Seconds that a backend has to answer a health probe."""


def report(
    probe: HealthProbe,
    notes: Callable[[], Mapping[str, str]],
    origin: StoreInfo,
    *,
    closed: bool,
    sweeper: Mapping[str, str | None],
) -> dict[str, Any]:
    """Whether all is well, where the store lies, the source of its key, and each component: a problem, or a note.

    The notes are those of the look that the probe takes.
    """
    components = {**({"store": "closed"} if closed else probe.take(_PROBE_SECONDS)), **sweeper}
    noted = notes()
    return {
        "ok": all(problem is None for problem in components.values()),
        "where": origin.where,
        "key": origin.key,
        **{name: problem or noted.get(name, "ok") for name, problem in components.items()},
    }
