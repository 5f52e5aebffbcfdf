"""The whole error tree. Branches follow what the caller does next.

::

    VaultError
    ├── InvalidSessionId      the caller's id; nothing was touched
    ├── InvalidDocument       the caller's data; the message names the path in the document
    ├── InvalidSetting        the caller's configuration; names the field and where it came from
    ├── SessionNotFound       absent
    │   └── SessionExpired    absent because its time ran out
    ├── SessionExists         create met a session of that id
    ├── Conflict              someone saved first: reload and retry
    ├── LeaseTimeout          another process answers this session
    ├── Unreadable            a record is there and cannot be given to you
    │   ├── Damaged           authentication, structure or witness failed
    │   │   └── RollbackDetected   authentic, but older than what is known to be flushed
    │   ├── UnknownKey        sealed under a key that this keyring does not hold
    │   ├── UnknownDictionary compressed with a dictionary that this vault has lost
    │   └── UnsupportedFormat a format, suite or flag of another version (.found, .supported)
    ├── TooLarge              a bound, before or after inflation
    ├── SweepRefused          the clock is implausibly far ahead: nothing was removed
    ├── TrainingRefused       too little to learn from, or nothing to gain
    ├── VaultNotFound         there is no vault at that path, or what is there is not one
    ├── KeyUnavailable        no key source answered; lists what was tried
    │   └── WrongKey          a key was found and opens no slot of this vault
    ├── BackendUnavailable    the storage said no; wraps the OSError or client error
    ├── DurabilityUnknown     the write may or may not have reached the disk
    └── PartialFailure        some of many; .failures says which and why, the others are done

Every error pickles: the message is the only positional argument and everything else is an attribute. Ids and paths may
appear in messages; content and key material never.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar


class VaultError(Exception):
    """Base of everything that this package raises on purpose.

    >>> from vaultsession import SessionNotFound, VaultError, open_store
    >>> with open_store("memory://") as store:
    ...     try:
    ...         store.load("nobody")
    ...     except VaultError as error:
    ...         print(type(error).__name__, isinstance(error, SessionNotFound))
    SessionNotFound True
    """


class InvalidSessionId(VaultError, ValueError):
    """The id is empty, too long, or not valid Unicode. Nothing was touched."""


class InvalidDocument(VaultError, ValueError):
    """The document holds something that JSON cannot give back unchanged. Nothing was touched.

    ``path`` names the place, as in ``messages[3].content.score``, and ``index`` the message, counted from 0 in what the
    verb was given; None where it is not in one.
    """

    def __init__(self, message: str, *, path: str = "", index: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.index = index


class InvalidSetting(VaultError, ValueError):
    """A setting has a value that it cannot have. Nothing was opened."""


class SessionNotFound(VaultError, LookupError):
    """There is no session of this id."""


class SessionExpired(SessionNotFound):
    """The session's time ran out; it is absent and will be swept."""


class SessionExists(VaultError):
    """``create`` met a living session of the same id."""


class Conflict(VaultError):
    """Someone saved first. Load the session again and repeat the change."""


class LeaseTimeout(VaultError, TimeoutError):
    """Another holder kept the session's turn lease for longer than the caller would wait."""


class Unreadable(VaultError):
    """A record is there and cannot be given to you. Nothing was changed or removed."""


class Damaged(Unreadable):
    """Authentication, structure or the witness failed: these bytes are not what was written.

    ``lost`` is the row of a session that was acknowledged and whose container is gone; None where one is there.
    """

    def __init__(self, message: str, *, lost: object = None) -> None:
        super().__init__(message)
        self.lost = lost


class RollbackDetected(Damaged):
    """What is there is authentic, but older than what this vault knows to have been flushed."""


class UnknownKey(Unreadable):
    """Sealed under a master key that this keyring does not hold. Locked, not damaged.

    ``destroyed`` where it was the key of a tenant, and was destroyed: erased, not locked.
    """

    def __init__(self, message: str, *, destroyed: bool = False) -> None:
        super().__init__(message)
        self.destroyed = destroyed


class UnknownDictionary(Unreadable):
    """Compressed with a dictionary that this vault does not hold, or holds damaged. Locked, not damaged itself."""


class UnsupportedFormat(Unreadable):
    """Written by another version: ``found`` is what the bytes say, ``supported`` what this version reads."""

    def __init__(self, message: str, *, found: object = None, supported: object = None) -> None:
        super().__init__(message)
        self.found = found
        self.supported = supported


class TooLarge(VaultError):
    """A bound was exceeded, before or after inflation. Nothing was written."""


class SweepRefused(VaultError):
    """The clock stands implausibly far beyond the newest change of the whole vault. Nothing was removed."""


class TrainingRefused(VaultError):
    """There is too little to learn a dictionary from, or nothing to gain by one. Nothing was kept."""


class VaultNotFound(VaultError):
    """There is no vault at that path, or what lies there is not one."""


class KeyUnavailable(VaultError):
    """No key source answered. ``tried`` lists each source and what it said."""

    def __init__(self, message: str, *, tried: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.tried = tried


class WrongKey(KeyUnavailable):
    """A key was found, and it opens no slot of this vault."""


class BackendUnavailable(VaultError):
    """The storage said no: the ``OSError`` or client error is the ``__cause__``."""


class DurabilityUnknown(VaultError):
    """A flush failed and the state could not be written anew: the write may or may not survive a power cut."""


class PartialFailure(VaultError):
    """Of many sessions some failed; everything else was done. ``failures`` has the error of each by its id.

    ``done`` is what the verb would have returned, with the successful ones alone.
    """

    def __init__(self, message: str, *, failures: Mapping[str, VaultError] | None = None, done: object = None) -> None:
        super().__init__(message)
        self.failures = dict(failures or {})
        self.done = done

    @classmethod
    def of(cls, what: str, failures: Mapping[str, VaultError], done: object = None) -> PartialFailure:
        """The error that says what could not be done ("saved"), and of one session why."""
        id, first = next(iter(failures.items()))  # noqa: A001 - the word that every user of a session store knows
        count = f"{len(failures)} session{'' if len(failures) == 1 else 's'}"
        return cls(f"{count} could not be {what}; {id!r}: {first}", failures=failures, done=done)


E = TypeVar("E", bound=VaultError)


def without_frames(error: E) -> E:
    """The error itself, to be kept: its frames, and those of its causes, would keep descriptors open."""
    each: BaseException | None = error
    while each is not None:
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
    return error
