"""Measuring: how long each verb takes, as histograms that cost less than the call they measure.

Buckets are logarithmic, eight to every doubling, so that a percentile is told within 12 % of itself whether it is
microseconds or minutes. 0.4 µs per call, which is why it is always on.
"""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_log = logging.getLogger("vaultsession")

_FINE = 3
"""Bits behind the leading one that tell buckets apart."""

_BUCKETS = 64 << _FINE
_PERCENTILES = (50, 90, 99)


class Latency:
    """The durations of one kind of call. Safe from any thread; every call is counted."""

    __slots__ = ("_counts", "_lock", "calls", "errors", "longest")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.longest = 0
        self._counts = [0] * _BUCKETS
        self._lock = threading.Lock()

    def note(self, nanoseconds: int, *, failed: bool = False) -> None:
        """One more call. Longer than a century counts as a century."""
        shift = nanoseconds.bit_length() - _FINE - 1
        bucket = nanoseconds if shift < 0 else (shift + 1 << _FINE) + (nanoseconds >> shift) - (1 << _FINE)
        with self._lock:
            self.calls += 1
            self._counts[bucket if bucket < _BUCKETS else -1] += 1
            if failed:
                self.errors += 1
            self.longest = max(self.longest, nanoseconds)

    def summary(self) -> dict[str, float]:
        """``calls`` and ``errors``, and in milliseconds ``p50_ms``, ``p90_ms``, ``p99_ms`` and ``max_ms``."""
        with self._lock:
            counts, calls, errors, longest = list(self._counts), self.calls, self.errors, self.longest
        told: dict[str, float] = {"calls": calls, "errors": errors}
        seen, bucket = 0, -1
        for percent in _PERCENTILES:
            while seen * 100 < calls * percent:
                bucket += 1
                seen += counts[bucket]
            told[f"p{percent}_ms"] = min(_middle(bucket), longest) / 1e6 if calls else 0.0
        told["max_ms"] = longest / 1e6
        return told


class Tracing(Protocol):
    """Whoever wants to see each call as a span."""

    def span(self, verb: str, id: str | None) -> AbstractContextManager[None]:
        """Around one call of a verb, on a session where it is on one."""
        ...


class Watch:
    """What is seen of the verbs of one store. Safe from any thread."""

    def __init__(self, tracing: Tracing | None = None) -> None:
        self.tracing = tracing
        self._latencies: dict[str, Latency] = {}

    def latency(self, verb: str) -> Latency:
        """The histogram of a verb."""
        known = self._latencies.get(verb)
        return known if known is not None else self._latencies.setdefault(verb, Latency())

    def summary(self) -> dict[str, dict[str, float]]:
        """Of each verb that was called, by name."""
        return {verb: self._latencies[verb].summary() for verb in sorted(self._latencies)}


def verb(function: Callable[P, T]) -> Callable[P, T]:
    """A method of an object with a ``Watch`` as ``_watch``, measured under its own name, and traced if that is on."""
    name = function.__name__
    clock = time.perf_counter_ns

    @functools.wraps(function)
    def watched(*args: P.args, **kwargs: P.kwargs) -> T:
        watch: Watch = args[0]._watch  # type: ignore[attr-defined]  # noqa: SLF001 - the decorator is a part of its class
        latency = watch.latency(name)
        started = clock()
        try:
            if watch.tracing is None:
                result = function(*args, **kwargs)
            else:
                with watch.tracing.span(name, _id_of(args)):
                    result = function(*args, **kwargs)
        except BaseException as error:
            latency.note(clock() - started, failed=True)
            if _log.isEnabledFor(logging.DEBUG):
                _log.debug("%s of %r: %s", name, _id_of(args), type(error).__name__)
            raise
        latency.note(clock() - started)
        return result

    return watched


def _id_of(args: tuple[Any, ...]) -> str | None:
    """The id of the session that a verb is called on, which is its first argument, as a text or as a session."""
    first = args[1] if len(args) > 1 else None
    found = first if isinstance(first, str) else getattr(first, "id", None)
    return found if isinstance(found, str) else None


def _middle(bucket: int) -> int:
    shift = (bucket >> _FINE) - 1
    if shift < 0:
        return bucket
    return ((1 << _FINE) + (bucket & (1 << _FINE) - 1) << shift) + (1 << shift >> 1)
