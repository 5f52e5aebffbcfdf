"""Health fit for a probe: it answers in bounded time, never raises, and asks no question twice."""

from __future__ import annotations

import threading

import pytest

from vaultsession import BackendUnavailable, SessionStore
from vaultsession.store.health import HealthProbe


def test_what_the_backend_says_is_told() -> None:
    assert HealthProbe(lambda: {"files": None, "index": "full"}).take(60) == {"files": None, "index": "full"}


@pytest.mark.parametrize(
    ("error", "told"),
    [(BackendUnavailable("no route"), "no route"), (RuntimeError("the store is closed"), "RuntimeError")],
)
def test_what_the_backend_raises_is_told(error: Exception, told: str) -> None:
    def ask() -> dict[str, str | None]:
        raise error

    assert HealthProbe(ask).take(60) == {"backend": told}


def test_a_backend_that_hangs_is_unwell_and_asked_once_until_it_answers() -> None:
    release, asked = threading.Event(), []

    def ask() -> dict[str, str | None]:
        asked.append(1)
        release.wait(60)
        return {"backend": None}

    pulse = HealthProbe(ask)
    for _ in range(3):
        assert "did not say" in str(pulse.take(0.01)["backend"])
    assert len(asked) == 1
    release.set()
    assert pulse.take(60) == {"backend": None}
    assert len(asked) <= 2, "an answer that comes before somebody waits for it is asked for anew"


def test_a_closed_store_is_unwell_and_raises_nothing(store: SessionStore) -> None:
    assert store.health()["ok"] is True
    store.close()
    health = store.health()
    assert (health["ok"], health["store"]) == (False, "closed")


def test_a_store_whose_backend_fails_is_unwell(store: SessionStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> dict[str, str | None]:
        raise BackendUnavailable("the server is away")

    monkeypatch.setattr(store._health, "_ask", gone)
    health = store.health()
    assert (health["ok"], health["backend"]) == (False, "the server is away")
