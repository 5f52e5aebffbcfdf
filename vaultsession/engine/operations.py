"""What each verb does: a straight pass from arguments to sealed bytes, or back.

A write is a function of the newest row, handed to the backend and called in its critical section; what it raises leaves
everything as it was. Each of them reads top to bottom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, TypeVar

import orjson

from ..backends.protocol import Backend
from ..errors import (
    BackendUnavailable,
    Conflict,
    Damaged,
    DurabilityUnknown,
    InvalidDocument,
    SessionExists,
    SessionExpired,
    SessionNotFound,
    VaultError,
)
from ..format import document, lossless, payload
from ..format.document import NO_CHANGE, Change
from ..format.head import Head
from ..format.payload import Json, Packed
from ..format.sealed import Commit, Current, Decision, Delete, IndexRow, Keep, LostRow, Update, Write
from ..util.clock import Clock
from ..util.lazy import log
from ..util.named_tuple import NamedTuple
from .cache import SessionCache
from .compaction import Compactor
from .merge_policy import RUN, is_worn
from .reader import Document, OpenHead, Reader
from .writer import Writer

Existing = Literal["error", "skip", "replace"]

T = TypeVar("T")

NEAR = 32
FAR = 2 * NEAR
FAR_FOR_STATE = 4 * FAR
LARGEST_AGAIN = 1 << 20
"""A pop that had to read more than 64 bodies for the newest 32 messages writes as many messages again, a MiB at most.
Where only the state is changed, each 64th change looks, and 256 bodies are far: a turn may well have some of them.

So the newest messages are read from few bodies after any number of pops. The more bodies were walked back over, the
more pops it takes until they are once more: a pop reads few bodies on average, and writes few messages.
"""

SLIDE_FRACTION = 20
"""A read extends a sliding session at most once per this fraction of its ttl."""


class Edit(NamedTuple):
    """A loaded document as it was changed: ``version`` and ``bodies`` are those that it was loaded with.

    ``new_ttl``: whether a ttl was assigned, so that its life begins anew.
    """

    head: Head
    new_ttl: bool
    version: str
    bodies: Sequence[bytes]
    state: Json
    messages: Sequence[Json]


class Operations:
    """The verbs over keys. Safe from any thread."""

    def __init__(
        self,
        backend: Backend,
        reader: Reader,
        writer: Writer,
        cache: SessionCache,
        clock: Clock,
    ) -> None:
        self._backend = backend
        self._reader = reader
        self._writer = writer
        self._cache = cache
        self._clock = clock
        self._compactor = Compactor(self.compact) if writer.pauses else None
        if self._compactor is not None:
            writer.postpone = self._compactor.postpone

    def close(self) -> None:
        """Merge nothing more. Idempotent."""
        if self._compactor is not None:
            self._compactor.stop()

    # -- reads ---------------------------------------------------------------------------------------------------------

    def load(self, key: str, name: str) -> Document:
        """The living document, and its life extended if it slides."""
        loaded = self._unless_lost(key, name, self._cache.loaded)
        if loaded is None:
            raise absent(name)
        expires = self._after_read(key, name, loaded.head)
        return loaded if expires == loaded.head.expires else loaded._replace(head=loaded.head._replace(expires=expires))

    def warm(self, key: str) -> Document | None:
        """The living document where it is cached and the newest, and needs no extension."""
        loaded = self._cache.current(key)
        if loaded is None:
            return None
        head = loaded.head
        return loaded if head.expires is None or (not head.sliding and self._clock.now() < head.expires) else None

    def messages(self, key: str, name: str, *, wanted: int, offset: int | None) -> tuple[Head, bytes, list[Json]]:
        """The head, the document's version and a page of the history, from what is cached, else from the tail."""
        read = self._unless_lost(key, name, partial(self._cache.page, wanted=wanted, offset=offset))
        if read is None:
            raise absent(name)
        head, version, found = read
        return self._extended(key, name, head), version, document.messages_of(found)

    def snapshot(self, key: str, name: str, *, wanted: int) -> tuple[Head, bytes, Json, list[Json]]:
        """The head, the document's version, its state and its newest messages."""
        read = self._unless_lost(key, name, partial(self._cache.snapshot, wanted=wanted))
        if read is None:
            raise absent(name)
        head, version, state, found = read
        return self._extended(key, name, head), version, state, document.messages_of(found)

    def exists(self, key: str) -> bool:
        """Whether a living session has the key."""
        try:
            return self._is_alive(self._backend.head(key))
        except Damaged as error:
            if self._has_expired(error.lost):
                return False
            raise

    def read_afresh(self, key: str) -> Document | None:
        """The living document from the storage, whatever is cached; it is not kept, and no life is extended."""
        read = self._cache.read(key, self._reader.load)
        return read if read is not None and self._is_alive(self._backend.head(key)) else None

    def forget(self, key: str) -> None:
        """Keep nothing of a session in memory."""
        self._cache.forget(key)

    def info(self, key: str, name: str) -> OpenHead:
        """What is known of the living session without its document. Its life is not extended."""
        return self._unless_lost(key, name, lambda key: self._living(self._backend.head(key), name))[1]

    # -- whole documents -----------------------------------------------------------------------------------------------

    def put(
        self, key: str, head: Head, state: Json, messages: Sequence[Json], *, replace: bool, erase: bool = False
    ) -> Document:
        """A document without a version to compare: made, or put in the place of what is there."""
        kept = document.trim(messages, head.max_messages)
        elements = payload.elements(state, kept, boxes=self._writer.lossless)
        return self._put(key, head, self._writer.pack_document(elements), replace=replace, erase=erase)

    def put_elements(
        self, key: str, head: Head, elements: Sequence[bytes], *, replace: bool, largest: int = document.SEGMENT
    ) -> Document:
        """The same of a state and messages that are JSON already, as ``payload.elements`` gives them.

        ``largest`` is the size of a record: larger ones are smaller when they are compressed, and read as a whole.
        """
        return self._put(key, head, self._writer.pack_document(elements, largest=largest), replace=replace)

    def fork(self, source: str, name: str, key: str, head_of: Callable[[Head], Head], *, until: int | None) -> Document:
        """The document of another session, or the beginning of it, under a head that is made of its head."""
        loaded = self.load(source, name)
        head = head_of(loaded.head)
        bodies = [self._writer.pack(text) for text in document.slice(loaded.bodies, until, head.max_messages)]
        return self._put(key, head, bodies, replace=False)

    def restore(
        self, key: str, head: Head, state: Json, messages: Sequence[Json], boxes: bool, *, existing: Existing
    ) -> Literal["made", "replaced", "skipped"]:
        """A document with the head that it had elsewhere: its times and its life span as they are.

        ``boxes``: it held there what strict JSON does not carry.
        """
        kept = document.trim(messages, head.max_messages)
        bodies = self._writer.pack_document(payload.elements(state, kept, boxes=boxes or self._writer.lossless))

        def update(newest: Current) -> Decision:
            is_alive = self._is_alive(newest)
            if is_alive and existing == "error":
                raise SessionExists(f"there is a session {head.id!r} already")
            if is_alive and existing == "skip":
                return Keep("skipped")
            return self._writer.new_container(key, newest, head, bodies, life="imported")._replace(
                note="replaced" if is_alive else "made"
            )

        self._cache.forget(key)
        outcome: Literal["made", "replaced", "skipped"] = self._backend.commit(key, update).note
        return outcome

    def _put(self, key: str, head: Head, bodies: Sequence[Packed], *, replace: bool, erase: bool = False) -> Document:
        def update(newest: Current) -> Write:
            if not isinstance(newest, IndexRow) or not self._is_alive(newest):
                return self._writer.new_container(key, newest, head, bodies, life="new")._replace(erase=erase)
            if not replace:
                raise SessionExists(f"there is a session {head.id!r} already")
            opened = self._reader.opened(newest)
            was = opened.head
            anew = head._replace(created=was.created, updated=self._writer.now(was), rewrites=was.rewrites + 1)
            if erase:
                return self._writer.new_container(key, newest, anew, bodies)._replace(erase=True)
            return self._writer.full_record(newest, opened, anew, bodies)

        return self._saved(key, update, lambda: tuple(body.text for body in bodies))

    def save(self, key: str, edit: Edit, *, overwrite: bool, erase: bool = False) -> Document:
        """A loaded document, compared and swapped on its version. ``erase``: nothing of what was there stays behind."""
        changed = edit.head
        messages = document.trim(edit.messages, changed.max_messages)
        draft = self._writer.draft(self._elements_of(edit, messages), edit.bodies)

        def update(newest: Current) -> Write:
            return written(newest)._replace(erase=erase)

        def written(newest: Current) -> Write:
            if not isinstance(newest, IndexRow):
                if not overwrite:
                    raise absent(changed.id)
                return self._writer.new_container(key, newest, self._reborn(changed), draft.whole(), life="new")
            opened = self._reader.opened(newest)
            known = opened.document.hex() == edit.version
            if not known and not overwrite:
                raise Conflict(f"session {changed.id!r} was saved by someone else since it was loaded")
            was = opened.head
            # The life span is the newest one, a touch being no reason to conflict; unless it was assigned.
            head = changed if edit.new_ttl else changed._replace(ttl=was.ttl, expires=was.expires)
            if not self._is_alive(newest):
                return self._writer.new_container(key, newest, self._reborn(head), draft.whole(), life="new")
            expires = self._fresh_expiry(head) if edit.new_ttl else self._writer.expiry(head)
            head = head._replace(
                created=was.created,
                updated=self._writer.now(was),
                expires=expires,
                rewrites=was.rewrites + (draft.rewrites or not known),
            )
            if erase:
                return self._writer.new_container(key, newest, head, draft.whole())
            return self._writer.draft_record(newest, opened, head, draft, known=known)

        return self._saved(key, update, lambda: draft.texts)

    def _elements_of(self, edit: Edit, messages: Sequence[Json]) -> list[bytes]:
        """A loaded document as it is to be stored: with what strict JSON does not carry, if it held such before."""
        try:
            return payload.elements(edit.state, messages, boxes=self._writer.lossless)
        except InvalidDocument:
            if not any(lossless.MARK in body for body in edit.bodies):
                raise
            return payload.elements(edit.state, messages, boxes=True)

    def remove(self, key: str, name: str, *, shred: bool = False, expected: str | None = None, least: int = 0) -> bool:
        """Remove at once; whether a living session was there, or an erased one. ``Conflict`` as of ``append``."""

        def update(newest: Current) -> Delete | Keep:
            if expected is not None and isinstance(newest, IndexRow):
                _compare(name, self._reader.opened(newest), expected)
            return self._removal(key, newest, shred=shred, least=least)

        return bool(self._backend.commit(key, update).note)

    def remove_each(self, keys: Sequence[str]) -> dict[str, bool | VaultError]:
        """``remove``, of many at once: by key whether it was there, or why it may be there still."""
        return _noted(self._backend.delete_many(keys, self._removal))

    def sweep(self, keys: Sequence[str], *, dry_run: bool) -> dict[str, bool | VaultError]:
        """Remove those whose newest head itself says that they have expired: by key whether it does, or what failed."""

        def update(key: str, newest: Current) -> Delete | Keep:
            if not isinstance(newest, IndexRow) or self._is_alive(newest):
                return Keep(note=False)
            self._cache.forget(key)
            # Not flushed: one that reappears after a power cut reappears expired.
            return Keep(note=True) if dry_run else self._writer.delete(newest, flush=False)._replace(note=True)

        return _noted(self._backend.delete_many(keys, update))

    def _removal(self, key: str, newest: Current, *, shred: bool = False, least: int = 0) -> Delete | Keep:
        """What removes a session, with a note whether it lives, or was erased."""
        self._cache.forget(key)
        if isinstance(newest, IndexRow):
            # Opened in any case: a forged generation would bury what is yet to come.
            self._reader.opened(newest)
            return self._writer.delete(newest, shred=shred)._replace(note=self._is_alive(newest))
        grave = self._writer.delete_erased(key, self._cache.fetch(key), shred=shred, least=least)
        return Keep(note=False) if grave is None else grave._replace(note=True)

    # -- parts of a document -------------------------------------------------------------------------------------------

    def append(
        self,
        key: str,
        name: str,
        messages: Sequence[Json],
        *,
        change: Change = NO_CHANGE,
        born: Head | None = None,
        dedupe: str | None = None,
        expected: str | None = None,
        accept: Callable[[Json], object] | None = None,
    ) -> OpenHead:
        """Messages behind the history, behind what ``change`` does to it and to the state: one record.

        ``born`` is the head of the session to make where there is none. ``Conflict`` where the document is not of the
        ``expected`` version. ``accept`` gets the state that a change of it makes, and may refuse it.
        """
        boxes, stored = self._writer.lossless, change
        packed = self._writer.pack(payload.body({}, messages, boxes=boxes), len(messages))
        if change.set or change.unset:
            assigned = payload.changes(change.set, boxes=boxes)
            stored = change._replace(set=assigned, unset=[*map(lossless.spell_key, change.unset)])
        known = self._cache.documents.peek(key)

        def update(newest: Current) -> Write | None:
            if born is not None and expected is None and not self._is_alive(newest):
                return self._begun(key, newest, born, messages, change, dedupe, accept)
            row, opened = self._living(newest, name)
            _compare(name, opened, expected)
            fetch, addition = partial(self._backend.read, key), packed
            names, fresh = None, messages
            if dedupe:
                names = self._cache.names(opened, dedupe)
                fresh = document.deduplicate(messages, names.found, dedupe)
                addition = self._writer.pack(payload.body({}, fresh, boxes=boxes), len(fresh))
            done, addition = self._with_again(row, opened, addition, stored)
            if not addition.messages and done == NO_CHANGE:
                return None
            if accept is not None and (change.set or change.unset):
                loaded = self._reader.load(key, fetch)
                state = document.state_of(loaded.bodies) if loaded else {}
                change.apply_to_state(state)
                accept(state)
            if stored is not NO_CHANGE or opened.head.max_messages is not None:
                done, addition = self._writer.with_trim(opened.head, addition, self._history(opened), done)
            rewritten = bool((change.pop and opened.head.messages) or done.trim)
            sealed = self._writer.delta_record(row, opened, addition, done, fetch, known=known, rewritten=rewritten)
            return sealed._replace(note=(addition.text, done, names, fresh))

        commit = self._backend.commit(key, update)
        opened = self._reader.opened(_row(commit))
        body, done, names, fresh = commit.note or (None, NO_CHANGE, None, ())
        if done.pop:
            self._cache.histories.forget(key)
        if names is not None and not (done.pop or done.trim):
            self._cache.follow_names(names, fresh, opened)
        self._cache.advance(known, commit.before, opened, body, done.trim)
        return opened

    def _begun(
        self,
        key: str,
        newest: Current,
        born: Head,
        messages: Sequence[Json],
        change: Change,
        dedupe: str | None,
        accept: Callable[[Json], object] | None,
    ) -> Write:
        """The session that an append makes."""
        if accept is not None:
            accept(dict(change.set))
        fresh = document.deduplicate(messages, (), dedupe) if dedupe else messages
        kept = document.trim(fresh, born.max_messages)
        elements = payload.elements(change.set, kept, boxes=self._writer.lossless)
        return self._writer.new_container(key, newest, born, self._writer.pack_document(elements), life="new")

    def pop(self, key: str, name: str, wanted: int) -> list[Json]:
        """The newest messages, removed."""
        known = self._cache.documents.get(key)

        def update(newest: Current) -> Write | None:
            row, opened = self._living(newest, name)
            popped, again = self._popped(row, opened, wanted, FAR)
            if not popped:
                return None
            addition = self._writer.pack(payload.join([b"{}", *again]), len(again))
            change = Change(pop=len(popped) + len(again))
            change, written = self._writer.with_trim(opened.head, addition, self._history(opened), change)
            sealed = self._writer.delta_record(row, opened, written, change, self._cache.fetch(key), rewritten=True)
            return sealed._replace(note=(popped, written.text))

        commit = self._backend.commit(key, update)
        if commit.note is None:
            return []
        popped, body = commit.note
        self._cache.histories.forget(key)
        self._cache.advance(known, commit.before, self._reader.opened(_row(commit)), body)
        return document.messages_of(popped)

    def _with_again(self, row: IndexRow, opened: OpenHead, addition: Packed, change: Change) -> tuple[Change, Packed]:
        """The change as far as there is something to pop, and what it adds, with what is to be written again."""
        if not change.pop and (row.seq % FAR or not (change.set or change.unset)):
            return change, addition
        popped, again = self._popped(row, opened, change.pop, FAR if change.pop else FAR_FOR_STATE)
        if again:
            elements = [b"{}", *again, *payload.split(addition.text)[1:]]
            addition = self._writer.pack(payload.join(elements), len(elements) - 1)
        return change._replace(pop=len(popped) + len(again)), addition

    def _popped(self, row: IndexRow, opened: OpenHead, wanted: int, far: int) -> tuple[list[bytes], list[bytes]]:
        """The newest messages, unparsed, and those before them that are to be written again.

        A reader of the tail walks back over what was popped, and over changes of the state. Where that has become
        ``far``, the messages before are written again behind it.
        """
        count = opened.head.messages
        n = min(wanted, count)
        found, walked = self._cache.newest(row, min(n + NEAR, count))
        popped = found[len(found) - n :]
        if walked <= far:
            return popped, []
        left, _ = self._cache.newest(row, min(n + walked, count))
        return popped, _fitting(left[: len(left) - n])

    def clear(self, key: str, name: str) -> OpenHead:
        """The state alone, in a container of its own: nothing of the history stays behind."""

        def update(newest: Current) -> Write:
            row, opened = self._living(newest, name)
            loaded = self._reader.load(key, self._cache.fetch(key))
            state = document.stored_state_of(loaded.bodies) if loaded else {}
            was = opened.head
            head = was._replace(
                updated=self._writer.now(was),
                expires=self._writer.expiry(was),
                rewrites=was.rewrites + (was.messages > 0),
            )
            bodies = self._writer.pack_document([orjson.dumps(state)])
            return self._writer.new_container(key, row, head, bodies)._replace(erase=True)

        self._cache.forget(key)
        return self._reader.opened(_row(self._backend.commit(key, update)))

    def touch(self, key: str, name: str, ttl: int | None) -> OpenHead:
        """Another expiry over the same document."""

        def update(newest: Current) -> Write | None:
            row, opened = self._living(newest, name)
            # A span that is given may shorten the life; what only extends it must not, where the clock was set back.
            head = opened.head if ttl is None else opened.head._replace(ttl=ttl, expires=None)
            return self._touched(row, opened, head) if head.ttl is not None else None

        return self._reader.opened(_row(self._commit_touch(key, update)))

    def compact(self, key: str) -> bool:
        """Merge a container in which small records have piled up; whether they have. The document stays as it is."""
        loaded = self._cache.read(key, partial(self._reader.load, known=self._cache.documents.peek(key)))
        if loaded is None or not is_worn(loaded.size, loaded.head, RUN):
            return False
        known, merged = loaded, self._writer.merge(loaded.bodies)

        def update(newest: Current) -> Write | None:
            if not isinstance(newest, IndexRow) or isinstance(newest, LostRow) or not self._is_alive(newest):
                return None
            return self._writer.compacted(newest, self._reader.opened(newest), self._cache.fetch(key), known, merged)

        commit = self._backend.commit(key, update)
        if commit.change is not None and self._cache.documents.peek(key) is not None:
            row = _row(commit)
            self._cache.keep(row, self._reader.opened(row), commit.note)
        return commit.change is not None

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _history(self, opened: OpenHead) -> Callable[[], Sequence[bytes]]:
        """What gives the messages of the document of a critical section, unparsed."""
        return lambda: self._cache.history(opened.row, opened.head.messages)

    def _saved(self, key: str, update: Update, texts_of: Callable[[], tuple[bytes, ...]]) -> Document:
        """Commit a whole document, and keep it. Forgotten before, so that a raise leaves no lie in the cache."""
        self._cache.forget(key)
        row = _row(self._backend.commit(key, update))
        return self._cache.keep(row, self._reader.opened(row), texts_of())

    def _after_read(self, key: str, name: str, head: Head) -> int | None:
        """Refuse what has expired, extend what slides, and return when the session expires now."""
        if head.expires is None:
            return None
        now = self._clock.now()
        if now >= head.expires:
            raise _expired(name)
        if head.sliding and head.ttl is not None and now + head.ttl - head.expires >= head.ttl // SLIDE_FRACTION:
            return self._slide(key, head.expires)
        return head.expires

    def _extended(self, key: str, name: str, head: Head) -> Head:
        """The head that was read, with the expiry that it has after that."""
        expires = self._after_read(key, name, head)
        return head if expires == head.expires else head._replace(expires=expires)

    def _slide(self, key: str, expires: int) -> int | None:
        """Extend a sliding session because it was read: not flushed, and no reason for the read to fail."""

        def update(newest: Current) -> Write | None:
            if not isinstance(newest, IndexRow) or not self._is_alive(newest):
                return None
            opened = self._reader.opened(newest)
            return self._touched(newest, opened, opened.head, flush=False)

        try:
            row = self._commit_touch(key, update).after
        except (BackendUnavailable, DurabilityUnknown) as error:
            log.warning("a sliding session could not be extended: %s", error)
            return expires
        return row.expires if isinstance(row, IndexRow) else expires

    def _touched(self, row: IndexRow, opened: OpenHead, head: Head, *, flush: bool = True) -> Write:
        head = head._replace(expires=self._writer.extended(head))
        return self._writer.head_record(row, opened, head, self._cache.fetch(row.key), flush=flush)

    def _commit_touch(self, key: str, update: Update) -> Commit:
        known = self._cache.documents.get(key)
        commit = self._backend.commit(key, update)
        if isinstance(commit.after, IndexRow):
            self._cache.advance(known, commit.before, self._reader.opened(commit.after), None)
        return commit

    def _living(self, newest: Current, name: str) -> tuple[IndexRow, OpenHead]:
        """The newest row, opened. ``SessionNotFound``, ``SessionExpired``."""
        if not isinstance(newest, IndexRow):
            raise absent(name)
        if not self._is_alive(newest):
            raise _expired(name)
        return newest, self._reader.opened(newest)

    def _unless_lost(self, key: str, name: str, read: Callable[[str], T]) -> T:
        """What is read. Of what has expired nothing is lost: ``SessionExpired`` where the container of such is gone."""
        try:
            return read(key)
        except Damaged as error:
            if self._has_expired(error.lost):
                raise _expired(name) from None
            raise

    def _has_expired(self, lost: object) -> bool:
        """Whether a session whose container is gone had expired, by a row that authenticates."""
        return isinstance(lost, LostRow) and not self._is_alive(lost)

    def _is_alive(self, newest: Current) -> bool:
        """Whether it lives, by a row that authenticates: a server's word for an expiry removes and replaces nothing."""
        if not isinstance(newest, IndexRow):
            return False
        if newest.expires is None or self._clock.now() < newest.expires:
            return True
        self._reader.opened(newest)
        return False

    def _fresh_expiry(self, head: Head) -> int | None:
        return None if head.ttl is None else self._clock.now() + head.ttl

    def _reborn(self, head: Head) -> Head:
        """The head of a session that begins anew."""
        now = self._clock.now()
        return head._replace(created=now, updated=now, expires=self._fresh_expiry(head))


def _compare(name: str, opened: OpenHead, expected: str | None) -> None:
    if expected is not None and opened.document.hex() != expected:
        raise Conflict(f"session {name!r} was changed by someone else since its version was read")


def absent(name: str) -> SessionNotFound:
    """The error that says so."""
    return SessionNotFound(f"there is no session {name!r}")


def _expired(name: str) -> SessionExpired:
    return SessionExpired(f"session {name!r} has expired")


def _row(commit: Commit) -> IndexRow:
    if not isinstance(commit.after, IndexRow):
        raise TypeError("the backend did not return the row that was written")
    return commit.after


def _noted(commits: Mapping[str, Commit | VaultError]) -> dict[str, bool | VaultError]:
    return {key: each if isinstance(each, VaultError) else each.note for key, each in commits.items()}


def _fitting(messages: list[bytes]) -> list[bytes]:
    """The newest of the messages that may be written again; none where those are too few to be worth it."""
    left, first = LARGEST_AGAIN, len(messages)
    while first and len(messages[first - 1]) <= left:
        first -= 1
        left -= len(messages[first])
    return messages[first:] if len(messages) - first > NEAR else []
