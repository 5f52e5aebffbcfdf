"""What is new in a session since the last look, by any writer. A look at an unchanged session costs one stat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..format import payload
from ..util.lazy import LazyModule

if TYPE_CHECKING:
    import difflib

    from .store import SessionStore
else:  # only where a history was cut or rewritten
    difflib = LazyModule("difflib")

_REMEMBERED = 64


class SessionWatch:
    """Looks at one session again and again. ``SessionNotFound`` from any look at one that is not there.

    A look extends no life as long as nothing is new. ``count``: the messages of the history, as of the last look.
    """

    def __init__(self, store: SessionStore, id: str) -> None:
        self._store = store
        self._id = id
        self._version = ""
        self.count = 0
        self._tail: list[bytes] = []

    def begin(self, last: int) -> list[dict[str, Any]]:
        """The newest messages; what comes later is new."""
        messages, _ = self._read(last)
        return messages[max(0, len(messages) - last) :]

    def look(self) -> list[dict[str, Any]]:
        """The messages that came since the last look, oldest first.

        Where messages were removed or changed as well, those behind the last one that is still known.
        """
        if self._store.info(self._id).version == self._version:
            return []
        before = self._tail
        messages, texts = self._read(0)
        return messages[_known(before, texts) :]

    def _read(self, last: int) -> tuple[list[dict[str, Any]], list[bytes]]:
        """The newest messages, and each as JSON: ``last``, those that have come, and some more to know them by."""
        later = _REMEMBERED + 1
        while later > _REMEMBERED:  # so many came between the two that those before them would be missed
            count = self._store.info(self._id).message_count
            grown = max(0, count - self.count)
            messages = self._store.messages(self._id, last=_REMEMBERED + (grown if self._version else last))
            later = messages.info.message_count - count
        _, *texts = payload.elements({}, messages, boxes=True)
        self._version, self.count = messages.info.version, messages.info.message_count
        self._tail = texts[-_REMEMBERED:]
        return messages, texts


def _known(before: list[bytes], after: list[bytes]) -> int:
    """How many at the beginning of ``after`` are in ``before``, or stand before one that is."""
    for skipped in range(len(before)):  # nothing but appended, or pushed out at the other end
        if before[skipped:] == after[: len(before) - skipped]:
            return len(before) - skipped
    blocks = difflib.SequenceMatcher(None, before, after, autojunk=False).get_matching_blocks()
    return max((block.b + block.size for block in blocks if block.size), default=0)
