"""A Redis server or cluster that answers or says why not: every failure of the client becomes an error of ours.

The client's own repetitions are switched off. What only looks is asked again once; what writes is not, since its answer
may have been lost after it was done: that is ``AnswerLost``, and the writer finds out.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from ...errors import BackendUnavailable, Damaged, DurabilityUnknown, TooLarge, VaultError
from .scripts import Script
from .url import RedisUrl

Word = bytes | str | int | float

T = TypeVar("T")

_CLIENT_FAILURES = (
    exceptions.RedisError,
    exceptions.RedisClusterException,
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
)
"""What redis-py raises, the last four where a server answers what no Redis would."""


class AnswerLost(BackendUnavailable):
    """The connection failed after the words may have been sent: what they asked for may or may not have been done."""


class Server:
    """One vault's way to its server. Safe from any thread."""

    def __init__(self, url: RedisUrl) -> None:
        self.where = url.where
        self.is_cluster = url.cluster
        self._timeout = url.timeout
        self._wait = url.wait
        self._closed = False
        with self._failures(repeatable=True):
            self._client = _client(url)
        self._pool = None if url.cluster else self._client.connection_pool

    def ask(self, *words: Word) -> Any:  # noqa: ANN401 - whatever the command answers
        """A command that only looks: asked once more where the connection was lost."""
        self.check_open()

        def run() -> object:
            with self._failures(repeatable=True):
                return self._client.execute_command(*words)

        return _twice(run)

    def look(self, script: Script, keys: Sequence[str | bytes], *arguments: Word) -> Any:  # noqa: ANN401 - as above
        """A script that may be run twice: asked once more where the connection was lost."""
        self.check_open()
        return self.repeat(script, keys, *arguments)

    def repeat(self, script: Script, keys: Sequence[str | bytes], *arguments: Word) -> Any:  # noqa: ANN401 - as above
        """The same once this is closed: for a lease that outlives its store."""
        return _twice(lambda: self._run(self._said, script, keys, *arguments))

    def commit(self, script: Script, keys: Sequence[str | bytes], *arguments: Word) -> Any:  # noqa: ANN401 - as above
        """A script, once. ``AnswerLost`` where it may have been run.

        ``DurabilityUnknown`` where fewer replicas have it than the URL asks for.
        """
        self.check_open()
        if not self._wait:
            return self._run(self._said, script, keys, *arguments)
        answer, reached = self._run(self._waited, script, keys, *arguments)
        if reached < self._wait and answer in (1, [1, 1]):
            raise DurabilityUnknown(
                f"{self.where}: it is written, and {reached} of {self._wait} replicas have it: wait for the others, or "
                "ask for fewer"
            )
        return answer

    def _run(self, say: Callable[..., T], script: Script, keys: Sequence[str | bytes], *arguments: Word) -> T:
        with self._failures():
            try:
                return say("EVALSHA", script.digest, len(keys), *keys, *arguments)
            except exceptions.NoScriptError:
                return say("EVAL", script.text, len(keys), *keys, *arguments)

    def names(self, pattern: str) -> Iterator[bytes]:
        """Names of keys, of every node; one may be given twice."""
        self.check_open()
        with self._failures(repeatable=True):
            yield from self._client.scan_iter(match=pattern, count=1000)

    def info(self) -> list[dict[str, Any]]:
        """What the server says of itself, each node of a cluster apart; empty where it may not be asked."""
        self.check_open()
        with self._failures(repeatable=True):
            try:
                if isinstance(self._client, RedisCluster):
                    found = self._client.info(target_nodes=RedisCluster.PRIMARIES)
                    # One node answers as a plain server does.
                    return [found] if "redis_version" in found else list(found.values())
                return [self._client.info()]
            except exceptions.NoPermissionError:
                return []

    def check_open(self) -> None:
        """``RuntimeError`` once it is closed."""
        if self._closed:
            raise RuntimeError("the store is closed")

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(*_CLIENT_FAILURES):
            if isinstance(self._client, RedisCluster):
                self._client.close()
                for node in self._client.nodes_manager.nodes_cache.values():
                    if node.redis_connection is not None:
                        node.redis_connection.close()
                        node.redis_connection.connection_pool.disconnect()
            else:
                self._client.close()
                self._client.connection_pool.disconnect()

    def _said(self, *words: Word) -> Any:  # noqa: ANN401 - whatever the command answers
        """The answer to a command, over a connection of the pool: half of what a round trip costs the client saved."""
        if self._pool is None:
            return self._client.execute_command(*words)
        connection = self._pool.get_connection()
        try:
            connection.send_packed_command([_packed(words)], check_health=False)
            return connection.read_response()
        finally:
            self._pool.release(connection)

    def _waited(self, *words: Word) -> tuple[Any, int]:
        """A command and WAIT, on one connection."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.execute_command(*words)
        # The server's patience is half of ours, so that its answer comes before we give up.
        pipeline.execute_command("WAIT", self._wait, max(1, int(self._timeout * 500)))
        answer, reached = pipeline.execute(raise_on_error=False)
        for said in (answer, reached):
            if isinstance(said, Exception):
                raise said
        return answer, reached

    @contextlib.contextmanager
    def _failures(self, *, repeatable: bool = False) -> Iterator[None]:
        try:
            yield
        except VaultError:
            raise
        except _CLIENT_FAILURES as error:
            raise self._ours(error, repeatable=repeatable) from error

    def _ours(self, error: Exception, *, repeatable: bool) -> VaultError:
        text = str(error)
        if isinstance(error, exceptions.AuthenticationError | exceptions.AuthenticationWrongNumberOfArgsError) or (
            text.startswith(("WRONGPASS", "NOAUTH"))
        ):
            return BackendUnavailable(f"{self.where} refuses the user or the password: check those in the URL")
        if isinstance(error, exceptions.ResponseError):
            return self._refusal(text)
        # A cluster's client asks for the nodes anew when an answer is lost: its last error says nothing of ours.
        never_sent = _was_never_sent(error) and not self.is_cluster
        kind = BackendUnavailable if repeatable or never_sent else AnswerLost
        if _is_timeout(error):
            return kind(
                f"{self.where} did not answer within {self._timeout:g} s: is the server running, and the URL right?"
            )
        if isinstance(error, exceptions.ConnectionError | exceptions.RedisClusterException | OSError):
            return kind(f"{self.where} is not reached ({text}): is the server running, and the URL right?")
        return kind(f"{self.where} answers what no Redis would ({type(error).__name__}): is it one?")

    def _refusal(self, text: str) -> VaultError:
        """What a server that was reached says no with."""
        if "READONLY" in text or "read only replica" in text:
            return BackendUnavailable(f"{self.where} is a read-only replica: give the URL of its primary")
        if "WRONGTYPE" in text:
            return Damaged(
                f"{self.where}: a key of this vault holds what another program wrote; nothing was changed: "
                "give each application a prefix of its own"
            )
        if "maximum allowed size" in text:
            return TooLarge(f"{self.where} keeps no string as large as this session would be ({text})")
        return BackendUnavailable(f"{self.where} refuses: {text}")


def _client(url: RedisUrl) -> Any:  # noqa: ANN401 - Redis and RedisCluster have no type in common
    common: dict[str, Any] = {
        "username": url.username,
        "password": url.password,
        "socket_timeout": url.timeout,
        "socket_connect_timeout": url.timeout,
        "socket_keepalive": True,
        "protocol": 2,
    }
    never = Retry(NoBackoff(), 0)
    if url.cluster:
        tls = {"ssl": True, **url.tls} if url.scheme == "rediss" else {}
        return RedisCluster(host=url.host, port=url.port, retry=never, **common, **tls)
    pool = redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        max_connections=url.pool_size,
        timeout=url.timeout,
        connection_class=redis.SSLConnection if url.scheme == "rediss" else redis.Connection,
        host=url.host,
        port=url.port,
        db=url.db,
        retry=never,
        **common,
        **url.tls,
    )
    return redis.Redis(connection_pool=pool)


def _packed(words: Sequence[Word]) -> bytes:
    """A command as it goes over the wire (RESP)."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts += (b"$%d\r\n" % len(data), data, b"\r\n")
    return b"".join(parts)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _is_timeout(error: BaseException) -> bool:
    return any(isinstance(cause, exceptions.TimeoutError | TimeoutError) for cause in _causes(error))


def _was_never_sent(error: BaseException) -> bool:
    """Whether there was no connection to send it over. Where that is not sure: False."""
    kinds = (ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError, exceptions.MaxConnectionsError)
    return any(isinstance(cause, kinds) for cause in _causes(error)) or "connecting to" in str(error)


def _twice(run: Callable[[], T]) -> T:
    try:
        return run()
    except BackendUnavailable as error:
        if not _is_about_the_connection(error):
            raise
    return run()


def _is_about_the_connection(error: BackendUnavailable) -> bool:
    """Whether asking again may help: a connection was lost. Not where time is up, or the server said no."""
    cause = error.__cause__
    return isinstance(cause, exceptions.ConnectionError | OSError) and not (
        _is_timeout(cause) or isinstance(cause, exceptions.AuthenticationError) or _was_never_sent(cause)
    )
