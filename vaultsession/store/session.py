"""Session and SessionInfo: a session as its user sees it.

Both show the same facts. A ``SessionInfo`` comes from a listing and stays as it is. A ``Session`` also holds the
document, which belongs to whoever loaded it: change state, messages, title, owners, labels or limits, and save it.
Nothing is parsed before it is touched, and nothing is shared with the store's cache or with another load.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast, overload

from ..errors import InvalidDocument
from ..format import document
from ..format.head import Head, check_head, check_labels
from ..format.payload import Json
from ..util.clock import Duration, to_datetime, to_duration
from .typed_state import Shape, StateT

T = TypeVar("T")


class SessionFacts:
    """What is known of a session without opening its document."""

    __slots__ = ("_head",)

    def __init__(self, head: Head) -> None:
        self._head = head

    @property
    def id(self) -> str:
        """The session id."""
        return self._head.id

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
    """One row of a listing. Immutable.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice", title="Trip", messages=[{"role": "user", "content": "hi"}])
    ...     [(info.id, info.title, info.message_count) for info in store.list()]
    [('alice', 'Trip', 1)]
    """

    __slots__ = ()

    @property
    def title(self) -> str | None:
        """The title."""
        return self._head.title

    @property
    def user_id(self) -> str | None:
        """Whose session it is."""
        return self._head.user_id

    @property
    def tenant_id(self) -> str | None:
        """Whose user that is."""
        return self._head.tenant_id

    @property
    def assistant_id(self) -> str | None:
        """Which assistant answers it."""
        return self._head.assistant_id

    @property
    def labels(self) -> dict[str, str]:
        """The labels, as a new dict."""
        return dict(self._head.labels)

    @property
    def message_count(self) -> int:
        """Messages in the history."""
        return self._head.messages

    @property
    def ttl(self) -> timedelta | None:
        """The life span that was asked for."""
        return None if self._head.ttl is None else timedelta(microseconds=self._head.ttl)

    @property
    def sliding(self) -> bool:
        """Whether reading and writing extend its life."""
        return self._head.sliding

    @property
    def max_messages(self) -> int | None:
        """How many messages are kept; older ones are dropped."""
        return self._head.max_messages

    @property
    def size(self) -> int:
        """Bytes of JSON that a load of the whole session reads; compressed and sealed it is smaller."""
        return self._head.raw

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


class _Field(Generic[T]):
    """A fact that the holder of a session may change; the next save writes it."""

    def __init__(self, name: str, doc: str) -> None:
        self._name = name
        self.__doc__ = doc

    @overload
    def __get__(self, session: None, owner: type) -> _Field[T]: ...
    @overload
    def __get__(self, session: Session[Any], owner: type) -> T: ...
    def __get__(self, session: Session[Any] | None, owner: type) -> T | _Field[T]:
        if session is None:
            return self
        value: T = getattr(session._head, self._name)  # noqa: SLF001 - the field is a part of the session
        return value

    def __set__(self, session: Session[Any], value: T) -> None:
        change: dict[str, Any] = {self._name: value}
        session._head = check_head(session._head._replace(**change))  # noqa: SLF001 - as above


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

    __slots__ = ("_bodies", "_messages", "_new_ttl", "_shape", "_state", "version")

    title = _Field[str | None]("title", "The title.")
    user_id = _Field[str | None]("user_id", "Whose session it is.")
    tenant_id = _Field[str | None]("tenant_id", "Whose user that is.")
    assistant_id = _Field[str | None]("assistant_id", "Which assistant answers it.")
    sliding = _Field[bool]("sliding", "Whether reading and writing extend its life.")
    max_messages = _Field[int | None]("max_messages", "How many messages are kept; saving drops older ones.")

    def __init__(self, head: Head, version: str, bodies: Sequence[bytes], shape: Shape[StateT] | None = None) -> None:
        self._head = head
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
            state, self._messages = document.whole(self._bodies)
            if self._state is None and self._shape is None:
                self._state = self._shaped(state)
        return self._messages

    @messages.setter
    def messages(self, value: list[Json]) -> None:
        if type(value) is not list:
            raise InvalidDocument(f"messages: a list of JSON objects, not {type(value).__name__}", path="messages")
        self._messages = value

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
        self._head = self._head._replace(ttl=None if value is None else to_duration(value))
        self._new_ttl = True

    def info(self) -> SessionInfo:
        """The facts alone, as of when the session was loaded or saved."""
        return SessionInfo(self._head)

    def pending(self) -> tuple[Head, bool]:
        """What a save would write beside the document, and whether the ttl was assigned: for the store."""
        return self._head, self._new_ttl

    def known_bodies(self) -> Sequence[bytes]:
        """The document as it was when this version of it was loaded or saved: for the store."""
        return self._bodies

    def plain_state(self) -> Json:
        """The state as a JSON object: for the store."""
        return cast("Json", self.state) if self._shape is None else self._shape.write(self.state)

    def merge(self, changes: Mapping[str, Any]) -> None:
        """Set keys of the state: for the store."""
        self.state = self._shaped({**self.plain_state(), **changes})

    def follow(self, saved: Session[Any]) -> None:
        """Take over what was just saved from this session, without the messages that did not fit: for the store."""
        self._head, self.version, self._new_ttl = saved._head, saved.version, False
        self._bodies = saved._bodies
        if self._messages is not None:
            del self._messages[: len(self._messages) - saved._head.messages]

    def _shaped(self, state: Json) -> StateT:
        return cast("StateT", state) if self._shape is None else self._shape.read(state)

    def __repr__(self) -> str:
        return f"<Session {self.id!r}, {self.message_count} messages, version {self.version[:8]}>"
