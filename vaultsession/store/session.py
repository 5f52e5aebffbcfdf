"""Session and SessionInfo: a session as its user sees it.

Both show the same facts. A ``SessionInfo`` comes from a listing and cannot be changed. A ``Session`` also holds the
document, which belongs to the caller: change state, messages, title, owners, labels or limits, and save it. Nothing is
parsed before it is read, and nothing is shared with the store's cache or with another load.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, NamedTuple, Self, TypeVar, cast, overload

import orjson

from ..engine.operations import Edit
from ..engine.reader import Document
from ..errors import InvalidDocument
from ..format import document, payload
from ..format.head import Head, check_head, check_labels
from ..format.payload import Json
from ..util.clock import Duration, to_datetime, to_duration
from .typed_state import Shape, StateT

T = TypeVar("T")


class _Fact(Generic[T]):
    """A field of a session's head, to be read."""

    def __init__(self, name: str, doc: str) -> None:
        self._name = name
        self.__doc__ = doc

    @overload
    def __get__(self, session: None, owner: type) -> Self: ...
    @overload
    def __get__(self, session: SessionFacts, owner: type) -> T: ...
    def __get__(self, session: SessionFacts | None, owner: type) -> T | Self:
        if session is None:
            return self
        value: T = getattr(session._head, self._name)  # noqa: SLF001 - the field is a part of the session
        return value


class _Field(_Fact[T]):
    """A field that may be assigned; the next save writes it."""

    def __set__(self, session: Session[Any], value: T) -> None:
        change: dict[str, Any] = {self._name: value}
        session._head = check_head(session._head._replace(**change))  # noqa: SLF001 - as above


class SessionFacts:
    """What is known of a session without opening its document."""

    __slots__ = ("_head",)

    def __init__(self, head: Head) -> None:
        self._head = head

    id = _Fact[str]("id", "The session id.")

    @property
    def created_at(self) -> datetime:
        """When the session was created: aware, UTC."""
        return to_datetime(self._head.created)

    @property
    def updated_at(self) -> datetime:
        """When document, title, owners or labels last changed; extending its life leaves this as it is."""
        return to_datetime(self._head.updated)

    @property
    def expires_at(self) -> datetime | None:
        """When the session expires; None keeps it for ever."""
        return None if self._head.expires is None else to_datetime(self._head.expires)

    def facts(self) -> Json:
        """Everything known, ready for JSON: times as ISO 8601 text, the ttl in seconds."""
        head = self._head
        return {
            "id": head.id,
            "title": head.title,
            "user_id": head.user_id,
            "tenant_id": head.tenant_id,
            "assistant_id": head.assistant_id,
            "labels": dict(head.labels),
            "message_count": head.messages,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "expires_at": None if head.expires is None else to_datetime(head.expires).isoformat(),
            "ttl": None if head.ttl is None else head.ttl / 1_000_000,
            "sliding": head.sliding,
            "max_messages": head.max_messages,
        }


class SessionInfo(SessionFacts):
    """One row of a listing, or what a verb has left. Immutable.

    ``version`` names the document, as that of a ``Session`` does.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice", title="Trip", messages=[{"role": "user", "content": "hi"}])
    ...     [(info.id, info.title, info.message_count) for info in store.list()]
    [('alice', 'Trip', 1)]
    """

    __slots__ = ("_document",)

    def __init__(self, head: Head, document: bytes) -> None:
        self._head = head  # as ``super().__init__`` does: one is made by every write
        self._document = document

    @property
    def version(self) -> str:
        """The document's: another one after each change of it, and the same while its life is extended."""
        return self._document.hex()

    title = _Fact[str | None]("title", "The title.")
    user_id = _Fact[str | None]("user_id", "Whose session it is.")
    tenant_id = _Fact[str | None]("tenant_id", "Whose user that is.")
    assistant_id = _Fact[str | None]("assistant_id", "Which assistant answers it.")
    message_count = _Fact[int]("messages", "Messages in the history.")
    sliding = _Fact[bool]("sliding", "Whether reading and writing extend its life.")
    max_messages = _Fact[int | None]("max_messages", "How many messages are kept; older ones are dropped.")
    size = _Fact[int]("raw", "Bytes of JSON that a load of the whole session reads; fewer once compressed and sealed.")

    rewrites = _Fact[int](
        "rewrites",
        "Grows with each change of the history that did not only add to it: pop, clear, another save, import.",
    )

    def only_grew_since(self, earlier: SessionInfo) -> bool:
        """Whether the history begins with all that it held then: who has read that need only read what is behind it.

        False where that cannot be said: also of a session that was made anew, imported, or dropped old messages.
        """
        now, then = self._head, earlier._head
        same = (now.id, now.created, now.rewrites) == (then.id, then.created, then.rewrites)
        return same and now.messages >= then.messages

    @property
    def labels(self) -> dict[str, str]:
        """The labels, as a new dict."""
        return dict(self._head.labels)

    @property
    def ttl(self) -> timedelta | None:
        """The life span that was asked for."""
        return None if self._head.ttl is None else timedelta(microseconds=self._head.ttl)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionInfo):
            return NotImplemented
        return (self._head, self._document) == (other._head, other._document)

    def __hash__(self) -> int:
        return hash((self._head.id, self._head.updated))

    def __repr__(self) -> str:
        return f"<SessionInfo {self.id!r}, {self.message_count} messages, updated {self.updated_at:%Y-%m-%d %H:%M:%S}Z>"


class Page(list[SessionInfo]):
    """Sessions in order, and the cursor of the page behind them: None where there is none.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     saved = store.save_many({"id": name} for name in ("alice", "bob"))
    ...     page = store.list(limit=1)
    ...     while page:
    ...         print(page[0].id)
    ...         page = store.list(limit=1, after=page.after) if page.after else []
    bob
    alice
    """

    def __init__(self, infos: list[SessionInfo], after: str | None) -> None:
        super().__init__(infos)
        self.after = after


class Messages(list[Json]):
    """Messages of a history in order, and of which state of the session they are: all of one version.

    ``info`` is that of the session as it was read, ``first`` the place in the history of the first of them.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice", messages=[{"role": "user", "content": text} for text in "abc"])
    ...     page = store.messages("alice", last=1)
    ...     page, page.first, page.info.version == session.version
    ([{'role': 'user', 'content': 'c'}], 2, True)
    """

    def __init__(self, messages: list[Json], info: SessionInfo, first: int) -> None:
        super().__init__(messages)
        self.info = info
        self.first = first


class Snapshot(NamedTuple, Generic[StateT]):
    """The state of a session and the newest messages, of one version, which ``messages.info`` names.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice", state={"step": 1}, messages=[{"role": "user", "content": "hi"}])
    ...     store.snapshot("alice", last=5)
    Snapshot(state={'step': 1}, messages=[{'role': 'user', 'content': 'hi'}])
    """

    state: StateT
    messages: Messages


class Session(SessionFacts, Generic[StateT]):
    """A session and its document. It belongs to one thread at a time.

    ``version`` names the document that was loaded or last saved; ``store.save`` compares it with what is newest, and
    raises ``Conflict`` if someone else saved in between. ``state`` is of the store's ``state_type``, where it has one.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice", state={"step": 1})
    ...     session.state["step"] = 2
    ...     session.messages.append({"role": "user", "content": "hi"})
    ...     session.title = "Trip"
    ...     store.save(session).message_count
    1
    """

    __slots__ = ("_bodies", "_loaded", "_messages", "_new_ttl", "_shape", "_state", "version")

    title = _Field[str | None]("title", "The title.")
    user_id = _Field[str | None]("user_id", "Whose session it is.")
    tenant_id = _Field[str | None]("tenant_id", "Whose user that is.")
    assistant_id = _Field[str | None]("assistant_id", "Which assistant answers it.")
    sliding = _Field[bool]("sliding", "Whether reading and writing extend its life.")
    max_messages = _Field[int | None]("max_messages", "How many messages are kept; saving drops older ones.")

    def __init__(self, head: Head, version: str, bodies: Sequence[bytes], shape: Shape[StateT] | None = None) -> None:
        self._head = self._loaded = head
        self.version = version
        self._bodies = bodies
        self._shape = shape
        self._state: StateT | None = None
        self._messages: list[Json] | None = None
        self._new_ttl = False

    @property
    def state(self) -> StateT:
        """The state: a JSON object, or what stands for it in the store's ``state_type``; yours to change."""
        if self._state is None:
            self._state = self._shaped(document.state_of(self._bodies))
        return self._state

    @state.setter
    def state(self, value: StateT) -> None:
        if self._shape is not None:
            self._shape.write(value)  # refuses what does not fit
        elif type(value) is not dict:
            raise InvalidDocument(f"state: a JSON object is a dict, not {type(value).__name__}", path="state")
        self._state = value

    @property
    def messages(self) -> list[Json]:
        """The history, oldest first: a list of JSON objects, yours to change."""
        if self._messages is None:
            state, self._messages = document.parse(self._bodies)
            if self._state is None and self._shape is None:
                self._state = cast("StateT", state)
        return self._messages

    @messages.setter
    def messages(self, value: list[Json]) -> None:
        if type(value) not in (list, Messages):
            raise InvalidDocument(f"messages: a list of JSON objects, not {type(value).__name__}", path="messages")
        self._messages = value if type(value) is list else [*value]

    @property
    def message_count(self) -> int:
        """Messages in the history, without parsing them."""
        return self._head.messages if self._messages is None else len(self._messages)

    @property
    def labels(self) -> dict[str, str]:
        """The labels, as a new dict: assign one to change them."""
        return dict(self._head.labels)

    @labels.setter
    def labels(self, value: Mapping[str, str]) -> None:
        self._head = check_head(self._head._replace(labels=check_labels(value)))

    @property
    def ttl(self) -> timedelta | None:
        """The life span. Assigning one lets it begin anew at the next save; None keeps the session for ever."""
        return None if self._head.ttl is None else timedelta(microseconds=self._head.ttl)

    @ttl.setter
    def ttl(self, value: Duration | None) -> None:
        self._head = self._head._replace(ttl=None if value is None else to_duration(value, "ttl"))
        self._new_ttl = True

    def info(self) -> SessionInfo:
        """The facts alone, as of when the session was loaded or saved."""
        return SessionInfo(self._head, bytes.fromhex(self.version))

    def _is_changed(self) -> bool:
        """Whether a save would write anything else than what was loaded."""
        if self._new_ttl or self._head is not self._loaded:
            return True
        if self._state is None and self._messages is None:
            return False
        before = [orjson.dumps(document.stored_state_of(self._bodies)), *document.elements(self._bodies)]
        return payload.elements(self._plain_state(), self.messages, boxes=True) != before

    def _edit(self) -> Edit:
        """What a save writes."""
        return Edit(self._head, self._new_ttl, self.version, self._bodies, self._plain_state(), self.messages)

    def _merge(self, changes: Mapping[str, Any], unset: Collection[str]) -> None:
        """Set keys of the state, and unset others."""
        state = {**self._plain_state(), **changes}
        self.state = self._shaped({name: value for name, value in state.items() if name not in unset})

    def _follow(self, saved: Document) -> None:
        """Take over what a save of this session wrote, without the messages that did not fit."""
        self._head = self._loaded = saved.head
        self.version, self._bodies = saved.document.hex(), saved.bodies
        self._new_ttl = False
        if self._messages is not None:
            del self._messages[: len(self._messages) - saved.head.messages]

    def _plain_state(self) -> Json:
        return cast("Json", self.state) if self._shape is None else self._shape.write(self.state)

    def _shaped(self, state: Json) -> StateT:
        return cast("StateT", state) if self._shape is None else self._shape.read(state)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Session):
            return NotImplemented
        same = (self._head, self.version) == (other._head, other.version)
        return same and self._plain_state() == other._plain_state() and self.messages == other.messages

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"<Session {self.id!r}, {self.message_count} messages, version {self.version[:8]}>"
