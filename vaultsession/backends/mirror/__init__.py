"""Mirrored: a primary that decides, and a follower that is brought to what the primary has.

``backend`` the verbs · ``backlog`` what is still to be looked at, bounded · ``mirror`` the thread that follows ·
``status`` what it says of itself
"""

from .backend import MirrorBackend
from .replicator import Follower, Replicator
from .status import MirrorStatus

__all__ = ["Follower", "MirrorBackend", "MirrorStatus", "Replicator"]
