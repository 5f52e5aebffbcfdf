"""Turn leases while the server that hands them out is away: threads still exclude each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from vaultsession.backends.fallback import FallbackLeases
from vaultsession.backends.leases import LocalLeases
from vaultsession.errors import BackendUnavailable, LeaseTimeout


class Server:
    """Hands out leases unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.leases = LocalLeases()

    @contextlib.contextmanager
    def lease(self, key: str, timeout: float | None) -> Iterator[None]:
        if self.away:
            raise BackendUnavailable("not reached")
        with self.leases.lease(key, timeout):
            yield


def test_a_lease_is_the_servers_while_it_answers() -> None:
    server = Server()
    leases = FallbackLeases(server)
    with leases.lease("a", 0), pytest.raises(LeaseTimeout), server.lease("a", 0):
        pass
    with server.lease("a", 0), pytest.raises(LeaseTimeout), leases.lease("a", 0):
        pass
    with leases.lease("a", None), leases.lease("b", 0):
        pass


def test_without_the_server_one_thread_at_a_time_and_it_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    server.away = True
    leases = FallbackLeases(server)
    for _ in range(2):
        with leases.lease("a", 0), pytest.raises(LeaseTimeout), leases.lease("a", 0):
            pass
    assert caplog.text.count("the threads of this process alone") == 1
    server.away = False
    with leases.lease("a", 0), pytest.raises(LeaseTimeout), server.lease("a", 0):
        pass


def test_what_is_raised_under_a_lease_passes_through_and_the_lease_ends() -> None:
    leases = FallbackLeases(Server())
    with pytest.raises(BackendUnavailable, match="of the caller"), leases.lease("a", 0):
        raise BackendUnavailable("of the caller")
    with leases.lease("a", 0):
        pass
