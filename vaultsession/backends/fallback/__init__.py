"""Fallback: a backend that goes on in memory while its server is away, and carries over what was written meanwhile."""

from .backend import FallbackBackend
from .catch_up import Merge, Parted
from .container_cache import part
from .leases import FallbackLeases

__all__ = ["FallbackBackend", "FallbackLeases", "Merge", "Parted", "part"]
