"""OpenTelemetry: a span and a duration for each verb, with ids in spans alone and content nowhere; off by default."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, Tracer

from vaultsession import AsyncSessionStore, InvalidDocument, InvalidSetting, SessionNotFound, open_store
from vaultsession.util.tracing import Telemetry


class Collected:
    """What a process would send to its collector."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider([self._reader])
        self.tracer: Tracer = self._provider.get_tracer("test")
        self.telemetry = Telemetry(self.tracer, self._meters.get_meter("test"))

    def spans(self) -> list[Any]:
        return list(self._exporter.get_finished_spans())

    def points(self) -> dict[tuple[str, str | None], int]:
        data = self._reader.get_metrics_data()
        assert data is not None
        (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
        assert (metric.name, metric.unit) == ("vaultsession.verb.duration", "s")
        return {
            (point.attributes["vaultsession.verb"], point.attributes.get("error.type")): point.count
            for point in metric.data.data_points
        }

    def close(self) -> None:
        self._provider.shutdown()
        self._meters.shutdown()


@pytest.fixture
def collected() -> Iterator[Collected]:
    made = Collected()
    yield made
    made.close()


def test_each_verb_is_a_span_with_its_id_and_a_duration_without(collected: Collected) -> None:
    with open_store("memory://", tracing=collected.telemetry) as store:
        session = store.create("a", state={"x": "hunter2"})
        store.load("a")
        store.save(session)
        store.count()
    spans = collected.spans()
    assert [span.name for span in spans] == [f"vaultsession.{name}" for name in ("create", "load", "save", "count")]
    assert [span.attributes.get("vaultsession.session.id") for span in spans] == ["a", "a", "a", None]
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}
    assert collected.points() == {("create", None): 1, ("load", None): 1, ("save", None): 1, ("count", None): 1}


def test_a_failure_is_told_by_its_type_and_never_by_what_was_refused(collected: Collected) -> None:
    with open_store("memory://", tracing=collected.telemetry) as store:
        with pytest.raises(SessionNotFound):
            store.load("a")
        with pytest.raises(InvalidDocument):
            store.create("b", labels={"hunter2": 5})  # type: ignore[dict-item]  # the message would quote it
    missing, refused = collected.spans()
    assert (missing.status.status_code, missing.attributes["error.type"]) == (StatusCode.ERROR, "SessionNotFound")
    assert refused.attributes["error.type"] == "InvalidDocument"
    assert "hunter2" not in refused.to_json()
    assert refused.events == ()
    assert collected.points() == {("load", "SessionNotFound"): 1, ("create", "InvalidDocument"): 1}


def test_a_verb_within_a_verb_is_a_span_within_a_span(collected: Collected) -> None:
    with open_store("memory://", tracing=collected.telemetry) as store:
        store.create("a")
        store.update("a", lambda draft: draft.state.update(n=store.count()))
    spans = {span.name.removeprefix("vaultsession."): span for span in collected.spans()}
    assert spans["count"].parent.span_id == spans["update"].context.span_id


def test_spans_of_an_asynchronous_store_belong_to_the_callers_span(collected: Collected) -> None:
    async def test() -> None:
        async with AsyncSessionStore(open_store("memory://", tracing=collected.telemetry)) as store:
            with collected.tracer.start_as_current_span("request"):
                await store.create("a")

    asyncio.run(test())
    spans = {span.name: span for span in collected.spans()}
    assert spans["vaultsession.create"].parent.span_id == spans["request"].context.span_id


def test_the_setting_turns_it_on_for_what_the_process_has_installed(collected: Collected, monkeypatch: Any) -> None:
    monkeypatch.setattr(Telemetry, "installed", classmethod(lambda cls: collected.telemetry))
    monkeypatch.setenv("VAULTSESSION_TELEMETRY", "1")
    with open_store("memory://") as store:
        store.count()
    with open_store("memory://", telemetry=False) as store:
        store.count()
    assert [span.name for span in collected.spans()] == ["vaultsession.count"]


def test_without_a_provider_nothing_happens_and_nothing_fails() -> None:
    with open_store("memory://", telemetry=True) as store:
        store.create("a")


def test_without_the_package_the_setting_is_refused_with_what_to_install(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(InvalidSetting, match=r"vaultsession\[telemetry\]"):
        open_store("memory://", telemetry=True)


def test_a_store_without_telemetry_imports_none() -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; import vaultsession; s = vaultsession.open_store('memory://');"
        "s.create('a'); s.close(); print('opentelemetry' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "False"
