"""Documents: what operations on keys read and write, shown to users as sessions of an id and a ``state_type``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from reprlib import repr as shortened
from typing import TYPE_CHECKING, Any, Generic, cast

from ..engine.operations import Existing, Operations
from ..engine.reader import Document
from ..errors import Conflict, InvalidDocument, InvalidSetting, SessionExists, SessionNotFound
from ..format import document, ids, payload
from ..format.document import NO_CHANGE, Change
from ..format.head import Head
from ..format.keys import Keyring
from ..format.payload import Json
from ..util.clock import Clock
from .fields import Defaults, ImportedFields, SessionFields, forked_head, new_head
from .session import Messages, Session, SessionInfo, Snapshot
from .typed_state import Shape, StateT

if TYPE_CHECKING:
    from ..format.jsonl import Restored

_TRIES = 100


class Documents(Generic[StateT]):
    """Documents and parts of them, by the ids of their sessions. Safe from any thread."""

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
        self,
        id: str | None,
        state: StateT | None,
        messages: Sequence[Json],
        fields: ImportedFields,
        *,
        replace: bool,
        erase: bool = False,
    ) -> Session[StateT]:
        """Write a document that was given with its fields; under a new id where none is given."""
        head, plain = self._new_head(id, fields), self._plain(state)
        return self._shown(self._operations.put(self.key(head.id), head, plain, messages, replace=replace, erase=erase))

    def save(self, session: Session[StateT], *, overwrite: bool, erase: bool = False) -> Session[StateT]:
        """Write a loaded session, which then is what was written."""
        edit = session._edit()  # noqa: SLF001 - what a session shows to its store alone
        saved = self._operations.save(self.key(session.id), edit, overwrite=overwrite, erase=erase)
        session._follow(saved)  # noqa: SLF001 - as above
        return session

    def fork(self, id: str, new_id: str | None, until: int | None, fields: SessionFields) -> Session[StateT]:
        """Write the document of another session, or the beginning of it, under an id of its own."""
        now = self._clock.now()
        name = self._new_id(now) if new_id is None else new_id
        fork = self._operations.fork(
            self.key(id), id, self.key(name), lambda head: forked_head(head, name, fields, now), until=until
        )
        return self._shown(fork)

    def restore(self, read: Restored, *, existing: Existing) -> str:
        """Write a document with the head that it had elsewhere: "made", "replaced" or "skipped"."""
        if self._shape is not None:
            self._shape.read(read.state)  # refuses what does not fit
        return self._operations.restore(self.key(read.head.id), *read, existing=existing)

    def append(
        self,
        id: str,
        messages: Sequence[Json],
        fields: SessionFields,
        *,
        create: bool = False,
        dedupe: bool | str = False,
        pop: int = 0,
        state: Mapping[str, Any] | None = None,
        unset: str | Iterable[str] = (),
        if_version: str | None = None,
    ) -> SessionInfo:
        """Write messages and changes of the state as one record. ``SessionStore.append`` says what each is."""
        if fields and not create:
            raise InvalidSetting(f"{', '.join(fields)}: of a session that is made, so with create=True alone")
        names = (unset,) if isinstance(unset, str) else (*unset,)
        if names and not all(isinstance(name, str) for name in names):
            raise InvalidDocument(f"unset names keys of the state, not {shortened(names)}", path="state")
        born = self._new_head(id, cast("ImportedFields", fields)) if create else None
        if born is not None and state is None:
            self._plain(None)  # refused where the state_type has no default
        opened = self._operations.append(
            self.key(id),
            id,
            messages,
            change=_change(pop, state, names),
            born=born,
            dedupe=dedupe if isinstance(dedupe, str) else "id" if dedupe else None,
            expected=if_version,
            accept=None if self._shape is None else self._shape.read,
        )
        return SessionInfo(opened.head, opened.document)

    def messages(self, id: str, *, wanted: int, offset: int | None) -> Messages:
        """A page of the history."""
        head, version, found = self._operations.messages(self.key(id), id, wanted=wanted, offset=offset)
        first, _ = document.page(head.messages, wanted, offset)
        return Messages(found, SessionInfo(head, version), first)

    def snapshot(self, id: str, last: int) -> Snapshot[StateT]:
        """The state and the newest messages, read at once."""
        head, version, plain, messages = self._operations.snapshot(self.key(id), id, wanted=last)
        state = cast("StateT", plain) if self._shape is None else self._shape.read(plain)
        return Snapshot(state, Messages(messages, SessionInfo(head, version), head.messages - len(messages)))

    def update(
        self,
        id: str,
        changes: Mapping[str, Any] | Callable[[Session[StateT]], object],
        fields: SessionFields,
        *,
        unset: str | Iterable[str],
        create: bool,
        if_version: str | None,
    ) -> SessionInfo:
        """Keys of the state, or a function applied. ``SessionStore.update`` says what each is."""
        names = (unset,) if isinstance(unset, str) else (*unset,)
        if isinstance(changes, Mapping):
            if self._shape is None:
                return self.append(id, (), fields, create=create, state=changes, unset=names, if_version=if_version)
            return self._applied(id, lambda session: session._merge(changes, names), fields, create, if_version)  # noqa: SLF001 - what a session shows to its store alone
        if not callable(changes):
            raise InvalidDocument(f"changes is a mapping or a function, not {type(changes).__name__}")
        if names:
            raise InvalidSetting("unset goes with a mapping: a function changes the state itself")
        return self._applied(id, changes, fields, create, if_version)

    def _applied(
        self,
        id: str,
        function: Callable[[Session[StateT]], object],
        fields: SessionFields,
        create: bool,
        if_version: str | None,
    ) -> SessionInfo:
        """Apply a function to the loaded session and save it, again where someone else saved in between."""
        if fields and not create:
            raise InvalidSetting(f"{', '.join(fields)}: of a session that is made, so with create=True alone")
        for _ in range(_TRIES):
            try:
                session = self.load(id)
            except SessionNotFound:
                if not create or if_version is not None:
                    raise
                try:
                    return self._made(id, function, fields)
                except SessionExists:
                    continue
            if if_version is not None and session.version != if_version:
                raise Conflict(f"session {id!r} was changed by someone else since its version was read")
            function(session)
            if not session._is_changed():  # noqa: SLF001 - what a session shows to its store alone
                newest = self.info(id)
                if newest.version == session.version:
                    return newest
                continue  # what it found nothing to change in is the newest no more
            try:
                return self.save(session, overwrite=False).info()
            except Conflict:
                continue
        raise Conflict(f"session {id!r} was saved by others {_TRIES} times in a row while a function was applied to it")

    def _made(self, id: str, function: Callable[[Session[StateT]], object], fields: SessionFields) -> SessionInfo:
        """The session that a function makes of an empty one. ``SessionExists`` where somebody has made it meanwhile."""
        head = self._new_head(id, cast("ImportedFields", fields))
        session = Session(head, "", (payload.body(self._plain(None), ()),), self._shape)
        function(session)
        edit = session._edit()  # noqa: SLF001 - as above
        made = self._operations.put(self.key(id), edit.head, edit.state, edit.messages, replace=False)
        return SessionInfo(made.head, made.document)

    def info(self, id: str) -> SessionInfo:
        """What is known of the living session without its document."""
        opened = self._operations.info(self.key(id), id)
        return SessionInfo(opened.head, opened.document)

    def clear(self, id: str) -> SessionInfo:
        """Empty the history."""
        opened = self._operations.clear(self.key(id), id)
        return SessionInfo(opened.head, opened.document)

    def touch(self, id: str, ttl: int | None) -> SessionInfo:
        """Let the life begin anew; ``ttl`` in microseconds."""
        opened = self._operations.touch(self.key(id), id, ttl)
        return SessionInfo(opened.head, opened.document)

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


def _change(pop: int, state: Mapping[str, Any] | None, unset: Sequence[str]) -> Change:
    """What an append changes; ``NO_CHANGE`` itself where that is nothing, as mostly."""
    if state is None:
        return Change(pop, unset=unset) if pop or unset else NO_CHANGE
    return Change(pop, dict(state), unset)
