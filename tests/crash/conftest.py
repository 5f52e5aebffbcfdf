"""What the crash lab needs: memory to lie in, an index thread that comes as late as it may, and a count at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from crash_lab import explored
from memory import in_memory

from vaultsession.backends.files.index import Index
from vaultsession.backends.files.writers import WriterMarkers


@pytest.fixture
def where() -> Iterator[Path]:
    """A directory in memory where there is one: nothing here depends on what a real medium does."""
    path = Path(tempfile.mkdtemp(prefix="vaultsession-", dir=in_memory()))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def late_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """No index thread: what it would do is done by the waiting caller, at the last moment. So every run is the same."""
    wait, close = WriterMarkers.wait, Index.close

    def start(self: Any, first: Any) -> None:
        self.owed = first

    def waiting(self: Any) -> None:
        if not self._flush_ended.is_set():
            self.flush()
        wait(self)

    def closing(self: Any) -> None:
        owed = getattr(self, "owed", None)
        if owed is not None and not owed.__self__._flush_ended.is_set():
            owed()
        close(self)

    monkeypatch.setattr(Index, "start", start)
    monkeypatch.setattr(WriterMarkers, "wait", waiting)
    monkeypatch.setattr(Index, "close", closing)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if explored:
        terminalreporter.section("crash states explored")
        for name, count in sorted(explored.items()):
            terminalreporter.line(f"{count:7} {name}")
        terminalreporter.line(f"{sum(explored.values()):7} in all")
