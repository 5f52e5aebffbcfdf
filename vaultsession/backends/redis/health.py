"""What is wrong with a server, in words, by what it says of itself; and what its settings give up.

Decision (2026-11): what a crash of the server may take is a note and no problem: it was chosen, and an operator who is
woken by a probe cannot change it. An evicting policy is a problem, although nothing is lost yet: it removes sessions in
normal running, without an error to anyone.
"""

from __future__ import annotations

import time
from typing import Any

from ...errors import BackendUnavailable
from .server import Server

_SLOW = 0.25
"""Seconds for one round trip above which a server is said to be slow."""


def problems(server: Server) -> tuple[dict[str, str | None], dict[str, str]]:
    """Each component, and its problem: ``redis`` (answers), ``role``, ``memory`` (evicts), ``persistence`` (fails).

    And the remarks on those that are well. A server that may not be asked about itself, as some that are let do not
    allow, is taken to be well.
    """
    began = time.perf_counter()
    try:
        server.ask("PING")
        taken = time.perf_counter() - began
        nodes = server.info()
    except BackendUnavailable as error:
        return {"redis": str(error)}, {}
    found = {
        "redis": f"a round trip takes {taken * 1000:.0f} ms" if taken > _SLOW else None,
        "role": _first(nodes, _role),
        "memory": _first(nodes, _eviction),
        "persistence": _first(nodes, _persistence),
    }
    kept = _first(nodes, _not_kept)
    return found, {} if kept is None else {"persistence": kept}


def refuse_replica(server: Server) -> None:
    """``BackendUnavailable`` for a server that cannot be written to."""
    if problem := _first(server.info(), _role):
        raise BackendUnavailable(f"{server.where} is {problem}")


def _first(nodes: list[dict[str, Any]], problem_of: Any) -> str | None:  # noqa: ANN401 - one of the functions below
    return next((problem for node in nodes if (problem := problem_of(node)) is not None), None)


def _role(node: dict[str, Any]) -> str | None:
    if node.get("role") != "slave" or not node.get("slave_read_only", 1):
        return None
    return f"a read-only replica of {node.get('master_host')}:{node.get('master_port')}: give the URL of its primary"


def _eviction(node: dict[str, Any]) -> str | None:
    policy = str(node.get("maxmemory_policy", "noeviction"))
    if policy == "noeviction" or not node.get("maxmemory"):
        return None
    return f"maxmemory-policy {policy} removes sessions when memory is full: set it to noeviction"


def _persistence(node: dict[str, Any]) -> str | None:
    if node.get("aof_enabled", 0) and node.get("aof_last_write_status", "ok") != "ok":
        return "the last write to the append-only file failed: is the server's disk full?"
    return None


def _not_kept(node: dict[str, Any]) -> str | None:
    if node.get("aof_enabled", 1):
        return None
    return "appendonly is off: a crash of the server loses what was written since its last snapshot"
