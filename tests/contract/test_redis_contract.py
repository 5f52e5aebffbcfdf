"""RedisBackend is held to the contract of every backend, on a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from redis_lab import Place
from servers import redis_cluster

from vaultsession.backends.redis import RedisBackend, connect
from vaultsession.testing import BackendContract
from vaultsession.testing.sealer import Sealer

Opening = Callable[[], RedisBackend]


class TestRedis(BackendContract):
    @pytest.fixture
    def reopen(self, place: Place, scribe: Sealer) -> Opening:
        return lambda: place.backend(scribe)

    @pytest.fixture
    def backend(self, reopen: Opening) -> RedisBackend:
        return reopen()


@pytest.fixture(scope="session")
def cluster_url() -> Iterator[str]:
    with redis_cluster() as nodes:
        yield nodes[0].url_of(cluster="true")


@pytest.mark.slow
class TestRedisCluster(BackendContract):
    """Three nodes share the slots."""

    @pytest.fixture
    def reopen(self, cluster_url: str, scribe: Sealer, request: pytest.FixtureRequest) -> Iterator[Opening]:
        opened: list[RedisBackend] = []
        prefix = f"test-{abs(hash(request.node.name))}"

        def opening() -> RedisBackend:
            engine = connect(f"{cluster_url}&prefix={prefix}")
            opened.append(engine.backend(Sealer(scribe.keyring).describe))
            return opened[-1]

        yield opening
        for backend in opened:
            backend.close()

    @pytest.fixture
    def backend(self, reopen: Opening) -> RedisBackend:
        return reopen()
