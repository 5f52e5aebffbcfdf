"""An encrypted, compressed, filesystem-first store for the sessions of AI assistants.

The house, floor by floor. A module imports only from lower floors; modules of one floor do not import each other, and
the modules inside one folder form no cycle. Imports inside functions and for types alone count. A test parses this
table and fails on any upward arrow and on any module that is not listed.

::

    floor  module         what it is
    0      errors         the whole error tree
    1      clock          the only reader of wall time
    1      ids            session ids: accepted or refused, and mapped to keys
    1      keys           the keyring and subkey derivation
    1      payload        values to strict JSON to zstd, and back
    1      secret         what opens a vault: a raw key, or a passphrase
    1      sealed         the values that cross the waist
    2      head           what the newest record says of its whole session
    2      document       a document as its bodies: state, history, changes
    2      slots          the keyring file: a vault key wrapped once per secret
    2      identity       what vault.json says: which vault this is, in the open
    2      oskeyring      a key in the keyring of the operating system
    2      keycommand     a key that a command prints
    2      leases         turn leases: one holder answers a session at a time
    3      backend        the protocols of backends and engines
    3      envelope       the container: format, records, chain, rows
    3      session        the session as its user sees it
    3      disk           the system calls, as one replaceable object
    3      cache          least recently used, bounded by bytes
    4      copies         the keyring file on disk, twice: which one serves, and how both are replaced
    5      backends       memory and files, servers and databases, and what stands in for one that is away
    5      keysources     where secrets come from
    5      vault          identity and key slots: creation, unlocking, changes; in a directory or in an engine
    6      sites          where a vault lies, by path or URL: the only module that names concrete backends
    6      settings       how a store behaves: argument, environment, default
    6      reading        from sealed bytes to documents, with the tail rules
    7      writing        from documents to sealed bytes, as functions of the newest
    7      listing        from filters to queries, from rows to what is read
    7      sweeper        the thread that removes what has expired
    7      coherent       the cache in front, valid exactly while the backend's version is the cached one
    8      carrying       a session that went on in two places, put together
    8      passes         what each verb does, from arguments to the backend and back
    9      store          SessionStore
    10     aio            AsyncSessionStore
    10     doctor         findings about a vault, as named values
    11     opening        open_store: from a path or URL, settings and keys to a store
    11     repair         what doctor found, mended: nothing that cannot be read is deleted
    12     testing        the test kit: contract, clock
    12     cli            the command line, one file per command
    13     __main__       python -m vaultsession
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    RollbackDetected,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    TooLarge,
    UnknownKey,
    Unreadable,
    UnsupportedFormat,
    VaultError,
    VaultNotFound,
    WrongKey,
)
from .listing import Page
from .opening import open_store, open_store_async
from .secret import Passphrase, RawKey
from .session import Session, SessionInfo
from .settings import Settings
from .store import SessionStore

if TYPE_CHECKING:
    from .aio import AsyncSessionStore

__version__ = "0.1.0"

__all__ = [
    "AsyncSessionStore",
    "BackendUnavailable",
    "Conflict",
    "Damaged",
    "DurabilityUnknown",
    "InvalidDocument",
    "InvalidSessionId",
    "InvalidSetting",
    "KeyUnavailable",
    "LeaseTimeout",
    "Page",
    "Passphrase",
    "RawKey",
    "RollbackDetected",
    "Session",
    "SessionExists",
    "SessionExpired",
    "SessionInfo",
    "SessionNotFound",
    "SessionStore",
    "Settings",
    "TooLarge",
    "UnknownKey",
    "Unreadable",
    "UnsupportedFormat",
    "VaultError",
    "VaultNotFound",
    "WrongKey",
    "__version__",
    "open_store",
    "open_store_async",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the signature that PEP 562 gives it
    """AsyncSessionStore on first use: asyncio takes a third of the time of an import, and a command needs none."""
    if name == "AsyncSessionStore":
        from .aio import AsyncSessionStore  # noqa: PLC0415 - on first use is what this is for

        return AsyncSessionStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
