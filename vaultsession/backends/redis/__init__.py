"""RedisBackend: sealed sessions on a Redis server or cluster, shared by all that reach it.

The same bytes as on every backend: a container is one string, extended with APPEND. What a key is called and what it
holds stands in ``layout``, what each script does atomically in ``scripts``. Needs Redis 5 or later, or what speaks as
it does.

**What a server promises.** A commit returns when the server has executed it. Whether it survives a crash of the server
is the server's configuration: ``appendfsync always`` loses nothing that was acknowledged, ``everysec`` up to a second,
snapshots alone whatever came after the last one, and a failover whatever the replica had not received. ``wait=N`` in
the URL makes a commit wait until N replicas have it, and raise ``DurabilityUnknown`` where they have not.
"""

from .backend import RedisBackend
from .engine import RedisEngine, connect

__all__ = ["RedisBackend", "RedisEngine", "connect"]
