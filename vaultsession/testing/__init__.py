"""The test kit, for tests of applications that use a store, and of backends: README.md in this folder."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .clock import ManualClock
from .faulty_disk import FaultyDisk
from .lossy_disk import LossyDisk
from .seeded import SeededIds

if TYPE_CHECKING:
    from .contract import BackendContract
    from .conversation_store import ConversationStoreContract
    from .state_machine import SessionMachine

__all__ = [
    "BackendContract",
    "ConversationStoreContract",
    "FaultyDisk",
    "LossyDisk",
    "ManualClock",
    "SeededIds",
    "SessionMachine",
]

_HOMES = {
    "BackendContract": ("contract", "session_promises", "listing_promises"),
    "ConversationStoreContract": ("conversation_store",),
    "SessionMachine": ("state_machine",),
}
"""What needs pytest, Hypothesis or Pydantic AI and is imported when asked for: its module, and others that assert."""


def __getattr__(name: str) -> object:
    """What ``_HOMES`` has."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = [f"{__name__}.{part}" for part in _HOMES[name]]
    try:
        if name != "SessionMachine":
            import pytest  # noqa: PLC0415 - an extra

            # An assertion that fails then says what it compared, as in a test file.
            pytest.register_assert_rewrite(*modules)
        return getattr(importlib.import_module(modules[0]), name)
    except ModuleNotFoundError as error:
        extra = "pydantic-ai" if (error.name or "").startswith("pydantic") else "testing"
        raise ModuleNotFoundError(
            f"{name} needs {error.name}: pip install 'vaultsession[{extra}]'", name=error.name
        ) from error
