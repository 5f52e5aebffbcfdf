"""Someone with keys, for backends on a Redis."""

from __future__ import annotations

import pytest

from vaultsession.testing.sealer import Sealer


@pytest.fixture
def scribe() -> Sealer:
    return Sealer()
