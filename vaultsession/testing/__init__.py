"""The test kit, for the tests of whoever uses this package or writes a backend for it.

``clock`` a clock that stands still · ``seeded`` ids that are the same in every run · ``faulty`` and ``lossy`` disks
that fail, and that lose what was not flushed, with ``medium`` and ``powercut``, which say what a power cut may leave ·
``contract`` what every backend is held to, in parts ``session_promises`` and ``listing_promises``, with ``scribe``,
who seals for it · ``strategies`` and ``machine`` for Hypothesis, which only these two import: random documents, and a
state machine that a store must agree with
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clock import ManualClock
from .faulty_disk import FaultyDisk
from .lossy_disk import LossyDisk
from .seeded import SeededIds

if TYPE_CHECKING:
    from .contract import BackendContract
    from .state_machine import SessionMachine

__all__ = ["BackendContract", "FaultyDisk", "LossyDisk", "ManualClock", "SeededIds", "SessionMachine"]


def __getattr__(name: str) -> object:
    """``BackendContract`` needs pytest and ``SessionMachine`` Hypothesis: each is imported when it is asked for."""
    if name == "SessionMachine":
        from .state_machine import SessionMachine  # noqa: PLC0415 - see above

        return SessionMachine
    if name != "BackendContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pytest  # noqa: PLC0415 - see above

    # An assertion that fails then says what it compared, as in a test file.
    pytest.register_assert_rewrite(
        *(f"{__name__}.{part}" for part in ("contract", "session_promises", "listing_promises"))
    )
    from .contract import BackendContract  # noqa: PLC0415 - see above

    return BackendContract
