"""Fallback: a backend that goes on in memory while its server is away, and carries over what was written meanwhile."""

from .backend import FallbackBackend
from .leases import FallbackLeases
from .pending_session import Fork, Merge

__all__ = ["FallbackBackend", "FallbackLeases", "Fork", "Merge"]
