"""A vault copied to another place: its metadata and its sealed sessions, or its sessions sealed anew for another vault.

Nothing is removed from the source. What is there already, and the same, is compared and left; so a run that was
interrupted is repeated, and goes on.
"""

from __future__ import annotations

from .move import losses, migrate, plan, rekey
from .report import MigrationReport, Problem, Progress, Trouble
from .sealed_copy import copy

__all__ = ["MigrationReport", "Problem", "Progress", "Trouble", "copy", "losses", "migrate", "plan", "rekey"]
