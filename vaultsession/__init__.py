"""An encrypted, compressed, filesystem-first store for the sessions of AI assistants.

The house, floor by floor. A module imports only from lower floors; modules of one floor do not import each other, and
the modules inside one folder form no cycle. Imports inside functions, deferred ones and those for types alone count. A
test parses this table and fails on any upward arrow and on any module that is not listed.

::

    floor  module         what it is
    0      errors         the whole error tree
    0      deferred       modules that are imported when something in them is asked for
    1      clock          the only reader of wall time
    1      ids            session ids: accepted or refused, and mapped to keys
    1      keys           the keyring and subkey derivation
    1      payload        values to strict JSON to zstd, and back
    1      secret         what opens a vault: a raw key, or a passphrase
    1      sealed         the values that cross the waist
    1      measuring      how long each verb takes
    1      statx          what a path names, without its times
    1      pulse          how a backend is, in bounded time
    1      sidebyside     the same work over many items, in several threads where that pays
    1      telemetry      calls as OpenTelemetry spans and durations
    2      typed          states as dataclasses, TypedDicts or models
    2      head           what the newest record says of its whole session
    2      dictionaries   the dictionaries of trained compression, sealed, opened and found by their numbers
    2      document       a document as its bodies: state, history, changes
    2      slots          the keyring file: a vault key wrapped once per secret
    2      tenants        the keys of one tenant, in a small file of their own
    2      identity       what vault.json says: which vault this is, in the open
    2      oskeyring      a key in the keyring of the operating system
    2      keycommand     a key that a command prints
    2      leases         turn leases: one holder answers a session at a time
    2      steps          what an agent says, gathered into messages
    3      difference     what a document that is saved has in common with the one that was loaded
    3      backend        the protocols of backends and engines
    3      livekeys       the keyring as it is now, although other processes may change it
    3      envelope       the container: format, records, chain, rows
    3      session        the session as its user sees it
    3      disk           the system calls, as one replaceable object
    3      cache          least recently used, bounded by bytes
    4      tailrules      the verdicts on the newest authentic record of a container
    4      copies         the keyring file on disk, twice: which one serves, and how both are replaced
    4      keyplaces      a key in a variable or a file, a passphrase in a person's memory
    4      facts          what a session is given when it begins, and what sessions are asked for by
    4      transfer       sessions as JSON lines, for other programs and other times
    4      turns          a turn of a conversation: how it goes, what is seen, written and taken back
    5      conversation   a session that an agent answers, over the verbs of a store
    4      replication    one session of a backend brought to what another has, sealed bytes only
    5      backends       memory and files, servers and databases, and what stands in for one that is away
    5      keysources     where secrets come from
    5      vault          identity and key slots: creation, unlocking, changes; in a directory or in an engine
    6      sites          where a vault lies, by path or URL: the only module that names concrete backends
    6      settings       how a store behaves: argument, environment, default
    6      reading        from sealed bytes to documents, with the tail rules
    7      unlocked       from an unlocked vault to whoever reads its sessions
    7      configuration  the configuration file, beneath the environment
    7      writing        from documents to sealed bytes, as functions of the newest
    7      listing        from filters to queries, from rows to what is read
    7      mirroring      where the mirror of a vault lies, and how it is opened
    7      sweeper        the thread that removes what has expired
    7      coherent       the cache in front, valid exactly while the backend's version is the cached one
    7      checkup        every record of a session opened, and a verdict
    8      passes         what each verb does, from arguments to the backend and back
    8      searching      matches in the texts of sessions, decrypted one at a time
    8      rotating       new master keys, and every session sealed under them; old ones pruned
    8      erasing        a tenant's keys destroyed, and its sessions removed
    8      carrying       a session that went on in two places, put together
    8      training       learning a dictionary from the sessions of a vault
    9      many           the verbs over many sessions
    10     store          SessionStore
    11     aio            AsyncSessionStore
    10     doctor         findings about a vault, as named values
    11     importing      what people have, as sessions: readers of other formats
    12     opening        open_store: from a path or URL, settings and keys to a store
    12     migration      a vault copied to another place, or sealed anew for one
    12     recovery       what a mirror holds, proved with the keys; a lost vault made of it
    12     repair         what doctor found, mended: nothing that cannot be read is deleted
    13     testing        the test kit: contract, clock
    13     cli            the command line, one file per command
    13     integrations   this store as other frameworks know it, one file per framework, each removable
    14     __main__       python -m vaultsession
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .deferred import names_in
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

if TYPE_CHECKING:
    from .aio import AsyncSessionStore
    from .conversation import AsyncConversation, Conversation
    from .listing import Page
    from .many import Imported, Verified
    from .opening import open_store, open_store_async
    from .searching import Match
    from .secret import Passphrase, RawKey
    from .session import Session, SessionInfo
    from .settings import Settings
    from .steps import Step
    from .store import SessionStore
    from .turns import Reply

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
    "AsyncConversation": "conversation",
    "AsyncSessionStore": "aio",
    "Conversation": "conversation",
    "Imported": "many",
    "Match": "searching",
    "Page": "listing",
    "Passphrase": "secret",
    "RawKey": "secret",
    "Reply": "turns",
    "Session": "session",
    "SessionInfo": "session",
    "SessionStore": "store",
    "Settings": "settings",
    "Step": "steps",
    "Verified": "many",
    "open_store": "opening",
    "open_store_async": "opening",
}
"""Where the names are that are imported on first use: the help of a command needs no store, and few need asyncio."""


__getattr__ = names_in(__name__, globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
