"""Fallback is held to the contract of every backend: while its server answers, and while it is away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fallback_lab import Outage, refuse

from vaultsession.backends import MemoryBackend
from vaultsession.backends.fallback import FallbackBackend
from vaultsession.errors import BackendUnavailable
from vaultsession.format.sealed import IndexRow, Query
from vaultsession.testing import BackendContract
from vaultsession.testing.clock import ManualClock
from vaultsession.testing.sealer import Sealer


class TestFallback(BackendContract):
    @pytest.fixture
    def backend(self, scribe: Sealer) -> Iterator[FallbackBackend]:
        backend = FallbackBackend(MemoryBackend(), scribe.describe, refuse, ManualClock())
        yield backend
        backend.close()


class TestFallbackWithoutItsServer(BackendContract):
    """The server never answers: memory keeps every promise that a server keeps."""

    @pytest.fixture
    def backend(self, scribe: Sealer) -> Iterator[FallbackBackend]:
        away = Outage(MemoryBackend())
        away.begin()
        backend = FallbackBackend(away, scribe.describe, refuse, ManualClock(0))
        yield backend
        backend.close()

    def test_totals_follow(self, backend: FallbackBackend, scribe: Sealer) -> None:
        """Those of memory; and health does not call it well."""
        key = scribe.key("a")
        row = backend.commit(key, scribe.create(key)).after
        assert isinstance(row, IndexRow)
        stats = backend.stats()
        assert (stats["sessions"], stats["bytes"], stats["fallback_waiting"]) == (1, row.size, 1)
        assert "1 sessions wait in memory" in (backend.health()["fallback"] or "")

    def test_rebuilding_the_index_changes_nothing(self, backend: FallbackBackend, scribe: Sealer) -> None:
        """It is the server's, and said not to have happened."""
        backend.commit(scribe.key("a"), scribe.create(scribe.key("a")))
        with pytest.raises(BackendUnavailable):
            backend.reindex()
        assert backend.count(Query()) == 1
