"""``import vaultsession`` loads what the core needs and no more. Names of modules only; timings live in benchmarks."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORBIDDEN = [
    "typer",
    "click",
    "rich",
    "keyring",
    "hypothesis",
    "pytest",
    "redis",
    "tenacity",
    "sqlalchemy",
    "asyncio",
    "pydantic",
    "opentelemetry",
    "typing_extensions",
    "yaml",
    "numpy",
]

_LOADED = "import sys; {}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"


def loaded(statement: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {_LOADED.format(statement)}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return set(ran.stdout.split())


def test_importing_the_package_loads_nothing_optional() -> None:
    found = loaded("from vaultsession import Page, RawKey, Session, SessionStore, Settings, open_store")
    assert {"vaultsession", "cryptography", "sqlite3"} <= found
    assert found & set(FORBIDDEN) == set()


def test_a_session_in_memory_needs_nothing_optional() -> None:
    found = loaded(
        "import vaultsession; s = vaultsession.open_store('memory://'); s.create('a'); s.load('a'); s.close()"
    )
    assert found & set(FORBIDDEN) == set()


def test_the_asynchronous_store_loads_asyncio_when_it_is_asked_for() -> None:
    assert "asyncio" in loaded("import vaultsession; vaultsession.AsyncSessionStore")


@pytest.mark.parametrize("name", ["hypothesis", "typer"])
def test_what_is_loaded_is_seen(name: str) -> None:
    assert name in loaded(f"import {name}")
