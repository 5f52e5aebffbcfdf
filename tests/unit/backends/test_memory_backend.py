"""What the memory backend adds to the contract: a bound."""

from __future__ import annotations

import pytest

from vaultsession.backends import MemoryBackend
from vaultsession.format.sealed import Query
from vaultsession.testing.sealer import Sealer


def test_the_least_recently_used_session_goes_first() -> None:
    scribe, backend = Sealer(), MemoryBackend(max_sessions=3)
    keys = [scribe.key(name) for name in "abcd"]
    for key in keys[:3]:
        backend.commit(key, scribe.create(key, user_id="alice"))
    assert backend.head(keys[0]) is not None
    backend.commit(keys[3], scribe.create(keys[3]))
    assert backend.head(keys[1]) is None
    assert backend.count(Query()) == 3
    assert {row.key for row in backend.scan(Query(tags=(scribe.user("alice"),)))} == {keys[0], keys[2]}
    backend.commit(keys[0], scribe.append())
    assert backend.count(Query()) == 3


def test_a_bound_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        MemoryBackend(max_sessions=0)
