"""``import vaultsession`` loads what the core needs and no more. Names of modules only; timings live in benchmarks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vaultsession

FORBIDDEN = [
    "typer",
    "click",
    "rich",
    "keyring",
    "hypothesis",
    "pytest",
    "redis",
    "sqlalchemy",
    "asyncio",
    "pydantic",
    "opentelemetry",
    "typing_extensions",
    "yaml",
    "numpy",
    *(["filelock"] if hasattr(os, "fork") else []),  # where there is no flock
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


RARE = {
    *(
        "store.aio",
        "store.bulk",
        "vault.tenant_keys",
        "engine.merge",
        "engine.verify",
        "store.conversation",
        "engine.erasure",
        "vault.key_command",
        "vault.key_places",
        "admin.migrate",
        "vault.os_keyring",
        "admin.restore",
    ),
    *(
        "admin.repair",
        "backends.replication",
        "engine.rotation",
        "engine.search",
        "store.steps",
        "engine.sweeper",
        "engine.trainer",
        "format.jsonl",
        "store.turns",
        "store.health",
        "format.tool_calls",
    ),
    *("backends.memory", "backends.fallback", "backends.mirror", "vault.engine_metadata", "vault.replication"),
}


def test_what_few_processes_do_is_not_imported_by_those_that_save_and_load(tmp_path: Path) -> None:
    statement = f"""
import sys, vaultsession
with vaultsession.open_store({str(tmp_path / "vault")!r}, key=bytes(range(32))) as store:
    store.create("a", messages=[{{"role": "user"}}])
    store.append("a", {{"role": "user"}})
    store.load("a").messages
    store.list()
print(*sorted(name for name in sys.modules if name.startswith("vaultsession.")))
"""
    path = f"import sys; sys.path[:0] = {sys.path!r}\n"
    ran = subprocess.run([sys.executable, "-I", "-c", path + statement], check=True, capture_output=True, text=True)
    found = {name.removeprefix("vaultsession.") for name in ran.stdout.split()}
    assert {"store.store", "engine.operations", "vault.directory"} <= found
    assert found & RARE == set()


def test_a_vault_is_used_without_logging_patterns_and_a_second_openssl(tmp_path: Path) -> None:
    key = bytes(range(32))
    vaultsession.open_store(tmp_path / "vault", key=key).close()  # to make one is news, which is logged
    statement = f"""
import sys
sys.path[:0] = {sys.path!r}
before = set(sys.modules)
import orjson, zstandard, re._compiler  # which have patterns of their own
patterns, compiled = [], re._compiler.compile
re._compiler.compile = lambda *given: (patterns.append("a-pattern"), compiled(*given))[1]
import vaultsession
with vaultsession.open_store({str(tmp_path / "vault")!r}, key={key!r}) as store:
    store.create("a", messages=[{{"role": "user"}}])
    store.append("a", {{"role": "user"}})
    store.load("a").messages
    try:
        store.load("absent")
    except vaultsession.SessionNotFound:
        pass
print(*sorted(set(sys.modules) - before), *patterns)
"""
    ran = subprocess.run([sys.executable, "-I", "-c", statement], check=True, capture_output=True, text=True)
    found = set(ran.stdout.split())
    assert "cryptography.hazmat.bindings._rust" in found
    dear = {
        "a-pattern",
        "logging",
        "hashlib",
        "hmac",
        "cryptography.hazmat.backends",
        "cryptography.hazmat.primitives.ciphers",
    }
    assert found & dear == set()


def test_the_rare_modules_are_where_they_are_said_to_be() -> None:
    assert {name for name in RARE if importlib.util.find_spec(f"vaultsession.{name}") is None} == set()


def test_the_asynchronous_store_loads_asyncio_when_it_is_asked_for() -> None:
    assert "asyncio" in loaded("import vaultsession; vaultsession.AsyncSessionStore")


@pytest.mark.parametrize("name", ["hypothesis", "typer"])
def test_what_is_loaded_is_seen(name: str) -> None:
    assert name in loaded(f"import {name}")
