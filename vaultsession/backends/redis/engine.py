"""RedisEngine: a server that keeps a vault, opened by its URL before there is a keyring."""

from __future__ import annotations

from ...errors import BackendUnavailable, Damaged, UnsupportedFormat, VaultNotFound
from ...format.sealed import ReadHead
from ..protocol import LARGEST_VALUE
from .backend import RedisBackend
from .health import refuse_replica
from .layout import CLUSTER_SHARDS, SCHEMA, RedisLayout, parse_schema, schema_text
from .leases import RedisLeases
from .scripts import REPLACE, VALUE
from .server import AnswerLost, Server
from .url import RedisUrl


def connect(url: str) -> RedisEngine:
    """The engine of a redis:// or rediss:// URL; its options are listed in the module ``url``. Nothing is written yet.

    ``InvalidSetting`` for a URL that says something else; ``BackendUnavailable`` where the server is not reached,
    refuses the password, is a read-only replica or no Redis; ``UnsupportedFormat`` for keys of another version of this
    package, ``VaultNotFound`` for another application's under the same prefix.
    """
    location = RedisUrl.parse(url)
    server = Server(location)
    try:
        server.ask("PING")
        refuse_replica(server)
        shards = CLUSTER_SHARDS if location.cluster else 1
        return RedisEngine(server, RedisLayout(location.prefix, _shards(server, location.prefix) or shards))
    except BaseException:
        server.close()
        raise


class RedisEngine:
    """The sessions and metadata of one prefix on one server. Safe from any thread."""

    def __init__(self, server: Server, layout: RedisLayout) -> None:
        self._server = server
        self._layout = layout
        self._claimed = False

    @property
    def where(self) -> str:
        return self._server.where

    def metadata(self, name: str) -> bytes | None:
        return _get(self._server, self._layout.metadata(name))

    def put_metadata(self, name: str, data: bytes, expected: bytes | None) -> bool:
        """Replace it if it is what is expected; one script. What was lost on the way is looked for."""
        self._claim(again=True)  # it may have come back empty
        place = self._layout.metadata(name)
        words = (b"0" if expected is None else b"1", expected or b"", data)
        try:
            done, _ = self._server.commit(REPLACE, [place], *words)
        except AnswerLost:
            # Sent again it is done once: the second time finds what the first has left.
            _, done = self._server.commit(REPLACE, [place], *words)
        return bool(done)

    def backend(self, describe: ReadHead) -> RedisBackend:
        self._claim()
        return RedisBackend(self._server, self._layout, describe)

    def leases(self) -> RedisLeases:
        return RedisLeases(self._server, self._layout)

    def close(self) -> None:
        self._server.close()

    def _claim(self, *, again: bool = False) -> None:
        """Write of which version the keys are, unless that is there; and go by what is there."""
        if self._claimed and not again:
            return
        self._server.look(REPLACE, [self._layout.schema], b"0", b"", schema_text(self._layout.shards))
        shards = _shards(self._server, self._layout.prefix)
        if shards is None:
            raise BackendUnavailable(f"{self.where}: what was just written is gone: is something else clearing it?")
        self._layout = RedisLayout(self._layout.prefix, shards)
        self._claimed = True


def _shards(server: Server, prefix: str) -> int | None:
    """How many shards the keys under a prefix have, None where there are none yet."""
    place = RedisLayout(prefix, 1).schema
    try:
        text = _get(server, place)
        version, shards = (SCHEMA, None) if text is None else parse_schema(text)
    except (Damaged, ValueError):
        raise VaultNotFound(
            f"{server.where}: another application keeps {place}: give vaultsession a prefix of its own, as in "
            "?prefix=myapp"
        ) from None
    if version != SCHEMA:
        raise UnsupportedFormat(
            f"{server.where}: the keys are of version {version} of this package's schema",
            found=version,
            supported=SCHEMA,
        )
    return shards


def _get(server: Server, place: str) -> bytes | None:
    """A value. ``Damaged`` for a larger one than any that is ours."""
    found = server.look(VALUE, [place], LARGEST_VALUE)
    if found is not None and len(found) > LARGEST_VALUE:
        raise Damaged(f"{server.where}: {place} has more than {LARGEST_VALUE >> 20} MiB: restore it from a backup")
    return None if found is None else bytes(found)
