"""What a message is, whatever assistant wrote it: who speaks, when, and its parts. Pure, and without any framework.

``understand`` takes one message as the store keeps it: the record of an agent's transcript, or the argument of a model
API. It raises nothing: what it does not know is a part ``Other``, with all that stood there.
"""

from .records import understand

__all__ = ["understand"]
