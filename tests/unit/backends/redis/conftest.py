"""Someone with keys, for backends on a Redis."""

from __future__ import annotations

import pytest

from vaultsession.testing.sealer import Scribe


@pytest.fixture
def scribe() -> Scribe:
    return Scribe()
