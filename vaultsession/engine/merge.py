"""A session that went on in two places, put together: what is new on our side goes behind what the other side has.

The messages that our side added since both were the same are appended, the keys of the state and the facts that it
changed are set. What it popped, trimmed or cleared stays: someone else has gone on from there. Where the other side
was removed, a new session begins with what was added; where both sides were never the same, all of ours was added.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import Any

import orjson

from ..backends.fallback import Fork
from ..errors import Damaged
from ..format import document, payload, record
from ..format.document import Change
from ..format.head import Head
from ..format.payload import Json
from ..format.sealed import IndexRow, Write
from ..util.named_tuple import NamedTuple
from .reader import Reader
from .writer import Writer

_FACTS = ("user_id", "tenant_id", "assistant_id", "title", "labels", "ttl", "sliding", "max_messages")


class _Document(NamedTuple):
    head: Head | None
    state: Json
    messages: list[bytes]


_NOTHING = _Document(None, {}, [])


def three_way_merge(reader: Reader, writer: Writer, fork: Fork) -> Write | None:
    """What shall follow the other side's newest; None where our side has nothing new. Raises ``Unreadable``."""
    ours = _document(reader, fork.key, fork.ours)
    if ours.head is None:
        raise Damaged(f"what waits of {fork.key} holds no document")
    before = _NOTHING if fork.base is None else _document(reader, fork.key, fork.base)
    added = added_since(before.messages, ours.messages)
    changed, dropped = changes_since(before.state, ours.state)
    if not isinstance(fork.theirs, IndexRow):
        if not added and not changed:
            return None
        moment = writer.now()
        head = ours.head._replace(created=moment, updated=moment)
        bodies = writer.pack_document([orjson.dumps(changed), *added])
        return writer.new_container(fork.key, fork.theirs, head, bodies, life="imported")
    opened = reader.opened(fork.theirs)
    head = _with_facts(opened.head, before.head, ours.head)
    # What the readers of either side have read may be no beginning of what follows: also if ours took away alone.
    rewrote = bool(added) or (before.head is not None and ours.head.rewrites != before.head.rewrites)
    if not rewrote and not changed and not dropped and head == opened.head:
        return None
    rewrites = max(head.rewrites, ours.head.rewrites)
    addition = writer.pack(payload.join([b"{}", *added]), len(added))
    change, fitted = writer.with_trim(
        head, addition, partial(_history, reader, fork), Change(set=changed, unset=dropped)
    )
    opened = opened._replace(head=head._replace(rewrites=rewrites))
    return writer.delta_record(fork.theirs, opened, fitted, change, fork.fetch, rewritten=rewrote)


def _history(reader: Reader, fork: Fork) -> list[bytes]:
    """The messages of the other side."""
    loaded = reader.load(fork.key, fork.fetch)
    return [] if loaded is None else document.elements(loaded.bodies)


def _document(reader: Reader, key: str, data: bytes) -> _Document:
    loaded = reader.load(key, partial(record.part, data))
    if loaded is None:
        return _NOTHING
    return _Document(loaded.head, document.stored_state_of(loaded.bodies), document.elements(loaded.bodies))


def added_since(before: list[bytes], after: list[bytes]) -> list[bytes]:
    """The messages that were added. ``before`` may have lost its oldest ones since, or been rewritten."""
    for first, message in enumerate(before):
        kept = len(before) - first
        if kept <= len(after) and message == after[0] and before[first:] == after[:kept]:
            return after[kept:]
    return _inserted(before, after)


def changes_since(before: Json, after: Json) -> tuple[Json, list[str]]:
    """The keys of the state that were set, with their values, and those that were unset."""
    changed = {
        name: value for name, value in after.items() if name not in before or _text(before[name]) != _text(value)
    }
    return changed, [name for name in before if name not in after]


def _inserted(before: list[bytes], after: list[bytes]) -> list[bytes]:
    """What stands in a history that was rewritten and did not stand in the old one, in order."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [
        message
        for kind, _, _, begin, end in matcher.get_opcodes()
        if kind in {"insert", "replace"}
        for message in after[begin:end]
    ]


def _with_facts(theirs: Head, before: Head | None, ours: Head) -> Head:
    """The other side's facts, with those that our side changed; what it never knew of, only where nothing is said."""
    if before is None:
        unsaid = {name for name in _FACTS if getattr(theirs, name) == Head._field_defaults[name]}
    else:
        unsaid = {name for name in _FACTS if getattr(before, name) != getattr(ours, name)}
    facts: dict[str, Any] = {name: getattr(ours, name) for name in unsaid}
    if before is not None and ours.expires != before.expires:
        lives = (theirs.expires, ours.expires)
        facts["expires"] = None if None in lives else max(expires for expires in lives if expires is not None)
    return theirs._replace(**facts)


def _text(value: object) -> bytes:
    """One spelling for each JSON value: 1, 1.0 and true are three."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
