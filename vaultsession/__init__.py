"""An encrypted, compressed, filesystem-first store for the sessions of AI assistants.

The tree is the map, from what people call down to what is pure::

    cli, integrations, testing   admin   store   engine   vault   backends   format   util   errors

A module imports from its own folder and from folders further right; ``import-linter`` holds the layers. Sessions are
open above ``backends`` and sealed below it.
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
    from .store.aio import AsyncSessionStore
    from .store.bulk import Imported, Verified
    from .store.conversation import AsyncConversation, Conversation
    from .store.open import open_store, open_store_async
    from .store.session import Page, Session, SessionInfo
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
    "Step",
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
    "Page": "store.session",
    "Passphrase": "vault.secret",
    "RawKey": "vault.secret",
    "Reply": "store.turns",
    "Session": "store.session",
    "SessionInfo": "store.session",
    "SessionStore": "store.store",
    "Settings": "store.settings",
    "Step": "store.steps",
    "Verified": "store.bulk",
    "open_store": "store.open",
    "open_store_async": "store.open",
}
"""Where the names are that are imported on first use: the help of a command needs no store, and few need asyncio."""


__getattr__ = names_in(__name__, globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
