"""Fallback: a backend that goes on in memory while its server is away, and carries over what was written meanwhile."""

from .backend import Fallback
from .leases import FallbackLeases
from .remembered import part
from .waiting import Merge, Parted

__all__ = ["Fallback", "FallbackLeases", "Merge", "Parted", "part"]
