"""Telemetry: each verb as an OpenTelemetry span and as a point of a histogram. Needs ``opentelemetry-api`` and no more.

Off unless the setting ``telemetry`` is on or a ``Telemetry`` is passed as ``tracing``. Spans are named
``vaultsession.load`` and so on, and carry the id of the session and, of a failure, the type of its error: no message,
since it could quote what was refused. The histogram ``vaultsession.verb.duration`` has no ids.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..errors import InvalidSetting

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.trace import Tracer

SCOPE = "vaultsession"


class Telemetry:
    """Spans and durations, reported to a tracer and a meter. Safe from any thread."""

    def __init__(self, tracer: Tracer, meter: Meter) -> None:
        from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra: imported when used

        self._failed = Status(StatusCode.ERROR)
        self._tracer = tracer
        self._durations = meter.create_histogram(
            "vaultsession.verb.duration", unit="s", description="How long a verb of a session store took."
        )

    @classmethod
    def installed(cls) -> Telemetry:
        """Of the providers that this process has installed. ``InvalidSetting`` without the package."""
        try:
            from opentelemetry import metrics, trace  # noqa: PLC0415 - an extra: imported when used
        except ImportError:
            raise InvalidSetting("telemetry needs opentelemetry: pip install 'vaultsession[telemetry]'") from None
        return cls(trace.get_tracer(SCOPE), metrics.get_meter(SCOPE))

    @contextlib.contextmanager
    def span(self, verb: str, id: str | None) -> Iterator[None]:
        """Around one call of a verb."""
        attributes = {"vaultsession.verb": verb}
        named = attributes if id is None else {**attributes, "vaultsession.session.id": id}
        started = time.perf_counter()
        with self._tracer.start_as_current_span(
            f"{SCOPE}.{verb}", attributes=named, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                attributes["error.type"] = type(error).__name__
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(self._failed)
                raise
            finally:
                self._durations.record(time.perf_counter() - started, attributes)
