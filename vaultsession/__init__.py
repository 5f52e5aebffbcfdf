"""An encrypted, compressed, filesystem-first store for the sessions of AI assistants.

>>> from vaultsession import open_store
>>> store = open_store("sessions")  # a directory, or the URL of a server; its key is found, or made on first use
>>> with store:
...     alice = store.get("alice") or store.create("alice", title="Trip", ttl="30d")
...     seen = store.append("alice", {"role": "user", "content": "Where to?"})
...     with store.edit("alice") as session:  # loaded, and saved on exit: Conflict if someone else saved meanwhile
...         session.state["city"] = "Rome"
...     store.load("alice").state, store.messages("alice", last=1), [info.title for info in store.list(limit=10)]
({'city': 'Rome'}, [{'role': 'user', 'content': 'Where to?'}], ['Trip'])

Where to read on: ``help(open_store)`` has every setting, ``help(SessionStore)`` every verb; ``AsyncSessionStore`` is
its twin for asyncio, and ``Conversation`` a session that an agent answers. ``vaultsession.errors`` draws the tree of
errors; ``vaultsession --help`` lists the commands. README.md says what is protected and from whom, README.md in a
folder says more of that part, and ``format/FORMAT.md`` what lies on disk.

The tree is the map, from what people call down to what is pure::

    cli, integrations, testing   admin   store   engine   vault   backends   format   util   errors

A module imports from its own folder and from folders further right. Sessions are open above ``backends`` and sealed
below it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import (
    BackendUnavailable,
    Conflict,
    Damaged,
    DurabilityUnknown,
    InvalidDocument,
    InvalidSessionId,
    InvalidSetting,
    KeyUnavailable,
    LeaseTimeout,
    PartialFailure,
    RollbackDetected,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    SweepRefused,
    TooLarge,
    TrainingRefused,
    UnknownDictionary,
    UnknownKey,
    Unreadable,
    UnsupportedFormat,
    VaultError,
    VaultNotFound,
    WrongKey,
)
from .util.lazy import names_in

if TYPE_CHECKING:
    from .engine.search import Match
    from .store.aio import AsyncSessionStore, open_store_async
    from .store.bulk import Imported, Verified
    from .store.conversation import AsyncConversation, Conversation
    from .store.open import open_store
    from .store.session import Messages, Page, Session, SessionInfo, Snapshot
    from .store.settings import Settings
    from .store.steps import Step
    from .store.store import SessionStore
    from .store.turns import Reply
    from .vault.secret import Passphrase, RawKey

__version__ = "0.1.0"

__all__ = [
    "AsyncConversation",
    "AsyncSessionStore",
    "BackendUnavailable",
    "Conflict",
    "Conversation",
    "Damaged",
    "DurabilityUnknown",
    "Imported",
    "InvalidDocument",
    "InvalidSessionId",
    "InvalidSetting",
    "KeyUnavailable",
    "LeaseTimeout",
    "Match",
    "Messages",
    "Page",
    "PartialFailure",
    "Passphrase",
    "RawKey",
    "Reply",
    "RollbackDetected",
    "Session",
    "SessionExists",
    "SessionExpired",
    "SessionInfo",
    "SessionNotFound",
    "SessionStore",
    "Settings",
    "Snapshot",
    "Step",
    "SweepRefused",
    "TooLarge",
    "TrainingRefused",
    "UnknownDictionary",
    "UnknownKey",
    "Unreadable",
    "UnsupportedFormat",
    "VaultError",
    "VaultNotFound",
    "Verified",
    "WrongKey",
    "__version__",
    "open_store",
    "open_store_async",
]


_HOMES = {
    "AsyncConversation": "store.conversation",
    "AsyncSessionStore": "store.aio",
    "Conversation": "store.conversation",
    "Imported": "store.bulk",
    "Match": "engine.search",
    "Messages": "store.session",
    "Page": "store.session",
    "Passphrase": "vault.secret",
    "RawKey": "vault.secret",
    "Reply": "store.turns",
    "Session": "store.session",
    "SessionInfo": "store.session",
    "SessionStore": "store.store",
    "Settings": "store.settings",
    "Snapshot": "store.session",
    "Step": "store.steps",
    "Verified": "store.bulk",
    "open_store": "store.open",
    "open_store_async": "store.aio",
}
"""The modules of names that are imported on first use: a command's help needs no store, and few programs asyncio."""


__getattr__ = names_in(__name__, globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
