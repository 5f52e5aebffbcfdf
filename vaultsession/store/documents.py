"""Documents: what operations on keys read and write, shown to users as sessions of an id and a ``state_type``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Generic, cast

from ..engine.operations import Existing, Operations
from ..engine.reader import Document
from ..format import ids
from ..format.head import Head
from ..format.keys import Keyring
from ..format.payload import Json
from ..util.clock import Clock
from .fields import Defaults, ImportedFields, SessionFields, forked_head, new_head
from .session import Session
from .typed_state import Shape, StateT


class Documents(Generic[StateT]):
    """Whole documents, by the ids of their sessions. Safe from any thread."""

    def __init__(
        self,
        operations: Operations,
        keyring: Keyring,
        clock: Clock,
        *,
        slugs: bool,
        defaults: Defaults,
        shape: Shape[StateT] | None,
        new_id: Callable[[int], str],
    ) -> None:
        self._operations = operations
        self._keyring = keyring
        self._slugs = slugs
        self._clock = clock
        self._defaults = defaults
        self._shape = shape
        self._new_id = new_id
        self.key = functools.lru_cache(8192)(self._derive_key)

    def load(self, id: str) -> Session[StateT]:
        """The living session. ``SessionNotFound``, ``SessionExpired``."""
        return self._shown(self._operations.load(self.key(id), id))

    def warm(self, id: str) -> Session[StateT] | None:
        """The living session where it is cached and the newest, and needs no extension."""
        loaded = self._operations.warm(self.key(id))
        return None if loaded is None else self._shown(loaded)

    def put(
        self, id: str | None, state: StateT | None, messages: Sequence[Json], fields: ImportedFields, *, replace: bool
    ) -> Session[StateT]:
        """Write a document that was given with its fields; under a new id where none is given."""
        head = self._new_head(id, fields)
        return self._shown(self._operations.put(self.key(head.id), head, self._plain(state), messages, replace=replace))

    def save(self, session: Session[StateT], *, overwrite: bool) -> Session[StateT]:
        """Write a loaded session, which then is what was written."""
        edit = session._edit()  # noqa: SLF001 - what a session shows to its store alone
        session._follow(self._operations.save(self.key(session.id), edit, overwrite=overwrite))  # noqa: SLF001 - as above
        return session

    def fork(self, id: str, new_id: str | None, until: int | None, fields: SessionFields) -> Session[StateT]:
        """Write the document of another session, or the beginning of it, under an id of its own."""
        now = self._clock.now()
        name = self._new_id(now) if new_id is None else new_id
        fork = self._operations.fork(
            self.key(id), id, self.key(name), lambda head: forked_head(head, name, fields, now), until=until
        )
        return self._shown(fork)

    def restore(self, head: Head, state: Json, messages: Sequence[Json], *, existing: Existing) -> str:
        """Write a document with the head that it had elsewhere: "made", "replaced" or "skipped"."""
        if self._shape is not None:
            self._shape.read(state)  # refuses what does not fit
        return self._operations.restore(self.key(head.id), head, state, messages, existing=existing)

    def empty(self, id: str) -> Head:
        """The head of a session that begins with no fields and no messages."""
        head = self._new_head(id, {})
        self._plain(None)  # refused where the state_type has no default
        return head

    def _new_head(self, id: str | None, fields: ImportedFields) -> Head:
        now = self._clock.now()
        return new_head(self._new_id(now) if id is None else id, fields, self._defaults, now)

    def _plain(self, state: StateT | None) -> Json:
        """The state as a JSON object; one that is not given is empty, or what the ``state_type`` begins with."""
        if self._shape is None:
            return {} if state is None else cast("Json", state)
        return self._shape.write(self._shape.read({}) if state is None else state)

    def _shown(self, loaded: Document) -> Session[StateT]:
        return Session(loaded.head, loaded.document.hex(), loaded.bodies, self._shape)

    def _derive_key(self, id: str) -> str:
        return self._keyring.session_key(ids.parse(id), slugs=self._slugs)
