"""Documents as the JSON of their elements: for what has its messages as JSON already, and reads them as such.

A message that is JSON as ``orjson`` spells it need not be parsed, spelled and parsed once more to be kept, and nothing
that is read here stays in the cache of the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import SessionNotFound
from ..format import document, payload
from ..format.payload import Json
from ..util.named_tuple import NamedTuple
from .fields import ImportedFields
from .session import SessionInfo
from .store import SessionStore

COLD_SEGMENT = 2 << 20
"""Bytes of JSON in a record of what is mostly kept, and seldom read: as far as zstd looks back at these levels.

Real transcripts take a fifth less than in records of 256 KiB, at the same time; the end of a long one is read in
milliseconds.
"""


class ElementDocument(NamedTuple):
    """A session as it was read: its facts, its state, and its messages as JSON."""

    info: SessionInfo
    state: Json
    elements: list[bytes]


class Elements:
    """The documents of a store. Safe from any thread."""

    def __init__(self, store: SessionStore[Any]) -> None:
        traits = store._backend.traits  # noqa: SLF001 - as below
        self.are_lasting = traits.durable and not traits.postpones
        """Whether what is written outlives this process, whatever happens to it."""
        self._operations = store._operations  # noqa: SLF001 - the store's own other side
        self._documents = store._documents  # noqa: SLF001 - as above

    def put(
        self, id: str, state: Json, elements: Sequence[bytes], fields: ImportedFields, *, replace: bool
    ) -> SessionInfo:
        """A session that never expires and is never trimmed, whatever the defaults of the store.

        Each element is what ``orjson.dumps`` gives for an object, byte for byte. ``SessionExists`` unless it may
        ``replace`` what is there.
        """
        head = self._documents._new_head(id, {**fields, "expires_at": None, "ttl": None})  # noqa: SLF001 - as above
        head = head._replace(sliding=False, max_messages=None)
        key = self._documents.key(head.id)
        first = payload.elements(state, ())
        written = self._operations.put_elements(
            key, head, [*first, *map(payload.boxed_element, elements)], replace=replace, largest=COLD_SEGMENT
        )
        self._operations.forget(key)
        return SessionInfo(written.head, written.document)

    def append(
        self, id: str, messages: Sequence[Json], state: Mapping[str, Any], *, if_version: str | None = None
    ) -> SessionInfo:
        """Messages and keys of the state in one record: ``SessionStore.append``."""
        info = self._documents.append(id, messages, {}, state=state, if_version=if_version)
        self._operations.forget(self._documents.key(id))
        return info

    def version(self, id: str) -> str | None:
        """The version of the living session; None where there is none."""
        try:
            return self._documents.info(id).version
        except SessionNotFound:
            return None

    def read(self, id: str) -> ElementDocument | None:
        """The living session, read from where it lies and not from a cache; None where there is none."""
        read = self._operations.read_afresh(self._documents.key(id))
        if read is None:
            return None
        info = SessionInfo(read.head, read.document)
        return ElementDocument(
            info, document.state_of(read.bodies), [*map(payload.unboxed_element, document.elements(read.bodies))]
        )
