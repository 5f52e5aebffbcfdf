"""The test kit, for tests of applications that use a store, and of backends: README.md in this folder."""

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
    if name not in ("BackendContract", "SessionMachine"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return _contract() if name == "BackendContract" else _machine()
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{name} needs {error.name}: pip install 'vaultsession[testing]'", name=error.name
        ) from error


def _machine() -> object:
    from .state_machine import SessionMachine  # noqa: PLC0415 - see above

    return SessionMachine


def _contract() -> object:
    import pytest  # noqa: PLC0415 - see above

    # An assertion that fails then says what it compared, as in a test file.
    pytest.register_assert_rewrite(
        *(f"{__name__}.{part}" for part in ("contract", "session_promises", "listing_promises"))
    )
    from .contract import BackendContract  # noqa: PLC0415 - see above

    return BackendContract
