"""Mirror: a primary that decides, and a follower that is brought to what the primary has."""

from .backend import MirrorBackend
from .replicator import Follower, Replicator
from .status import MirrorStatus

__all__ = ["Follower", "MirrorBackend", "MirrorStatus", "Replicator"]
