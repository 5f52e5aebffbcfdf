"""From documents to sealed bytes: what shall follow the newest. Holds keys, touches no storage.

Every method here is called inside a backend's critical section, with the newest row in hand, and returns what to write:
one more record, or a whole container where dead bytes or small records have piled up, where the tail is torn, or where
nothing of the old may stay. Compression has happened before, outside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Literal

import orjson

from ..errors import Damaged, InvalidDocument, TooLarge, Unreadable
from ..format import ContainerCipher, document, payload
from ..format.dictionaries import SHIPPED, shipped
from ..format.diff import Difference, smaller_delta
from ..format.document import NO_CHANGE, Bodies, Change
from ..format.head import Head, encode
from ..format.ids import locator_of
from ..format.payload import CODEC_DICTIONARY, LARGEST_BODY, Packed
from ..format.record import (
    DELTA,
    FOOTER_SIZE,
    FULL,
    HEAD,
    HEADER_SIZE,
    LARGEST_CONTAINER,
    LINK_AND_FOOTER,
    SUITE_AES_GCM,
    first_link,
)
from ..format.sealed import Current, Delete, IndexRow, ReadRange, Write
from ..util.clock import Clock
from .merge_policy import RUN, dead_after, dead_after_save, is_wasteful, is_worn, mergeable, overhead
from .reader import Document, OpenHead, Reader

_MOST_REWRITES = 1 << 62
"""What the count of rewrites begins with at most, so that it can grow."""

Life = Literal["same", "new", "imported"]
"""What a container of its own begins: nothing, the life of a session, or that of one that has a past elsewhere."""


class Draft:
    """A document that is about to be saved: whole, and where that is known to be enough as what differs.

    ``rewrites``: whether it has other messages than the document that is known, and not only more.
    ``texts`` are the bodies that a reader will find, after it was sealed.
    """

    def __init__(
        self,
        known: Bodies,
        difference: tuple[Difference, Packed] | None,
        pack: Callable[[], list[Packed]],
        *,
        rewrites: bool,
    ) -> None:
        self.difference = difference
        self.rewrites = rewrites
        self.texts: tuple[bytes, ...] = ()
        self._known = known
        self._pack = pack
        self._whole = pack() if difference is None else None  # compressed before the critical section

    def whole(self) -> list[Packed]:
        """The document anew."""
        if self._whole is None:
            self._whole = self._pack()
        self.texts = tuple(body.text for body in self._whole)
        return self._whole

    def follows(self, addition: Packed) -> None:
        """What differs was sealed behind the document that is known."""
        self.texts = (*self._known, addition.text)


class Writer:
    """Seals under the first master key. Safe from any thread."""

    def __init__(
        self,
        reader: Reader,
        clock: Clock,
        *,
        level: int | None = 3,
        padded: bool = False,
        suite: int = SUITE_AES_GCM,
        largest_body: int = LARGEST_BODY,
        lossless: bool = False,
        pauses: bool = False,
    ) -> None:
        self._reader = reader
        self._keys = reader.keys
        self._clock = clock
        self.level = level
        self._padded = padded
        self._suite = suite
        self._largest_body = largest_body
        self.lossless = lossless
        self._losses: payload.Losses = {}
        self.pauses = pauses
        """Whether a thread merges, where there is a ``postpone``: see ``Compactor``."""
        self.postpone: Callable[..., bool] | None = None

    def pack(self, text: bytes, messages: int | None = None) -> Packed:
        """A body, compressed; its messages are counted unless their number is given. ``TooLarge``."""
        known = self._reader.dictionaries
        counted = text.count(b"\n") if messages is None else messages
        return self._packed(text, counted, known.of_all or known.current)

    def _packed(self, text: bytes, messages: int, dictionaries: Sequence[payload.Dictionary]) -> Packed:
        codec, data = payload.pack(
            text, level=self.level, limit=self._largest_body, dictionaries=dictionaries, losses=self._losses
        )
        return Packed(text, codec, data, messages, dictionaries)

    def _fitting(self, body: Packed, cipher: ContainerCipher) -> Packed:
        """The body with a dictionary that this container may refer to: its tenant's own, and none that is dropped.

        Asked once the container is known: bodies are compressed before that.
        """
        dictionaries = self._reader.dictionaries
        if self.level is None or (body.tried is dictionaries.of_all and not dictionaries.is_stale):
            return body
        own = dictionaries.own_of(cipher.sealed_as[0])
        number = payload.dictionary_of(body.data) if body.codec == CODEC_DICTIONARY else None
        if own is None:
            if number is None or any(each.number == number for each in dictionaries.current):
                return body
            return self._packed(body.text, body.messages, dictionaries.current)
        if number == own.number or (number in (None, SHIPPED) and len(body.text) > own.reach):
            return body
        return self._packed(body.text, body.messages, (own, shipped()))

    def pack_document(self, elements: Sequence[bytes], *, largest: int = document.SEGMENT) -> list[Packed]:
        """A whole document, given as its state and its messages, in records of about the ``largest`` size at most."""
        return [self.pack(payload.join(part), len(part) - 1) for part in document.parts(elements, largest=largest)]

    def draft(self, elements: Sequence[bytes], known: Bodies) -> Draft:
        """A document that is about to be saved; ``known`` is what it was when it was loaded."""
        found = smaller_delta(known, elements)
        difference = None if found is None else (found, self.pack(found.text, found.messages))
        was = document.elements(known) if found is None else []
        rewrites = elements[1 : len(was) + 1] != was if found is None else found.rewrites
        return Draft(known, difference, lambda: self.pack_document(elements), rewrites=rewrites)

    def new_container(
        self,
        key: str,
        newest: Current,
        head: Head,
        bodies: Sequence[Packed],
        *,
        life: Life = "same",
        unchanged: bytes | None = None,
    ) -> Write:
        """A container of its own: the document anew, and nothing of the old. Of ``head`` it keeps the facts.

        Two lives of an id never have the same count of rewrites, as far as the one is known when the other begins.

        ``unchanged`` is the version of a document that stays as it was, and goes on having it.
        """
        cipher = self._fresh(key, newest, head)
        parts, link, offset = [cipher.header], first_link(cipher.header), HEADER_SIZE
        rewrites, messages, raw, plain = head.rewrites, 0, 0, b""
        if life != "same":
            is_first = life == "new" and newest is None
            rewrites = 0 if is_first else self._rewrites(newest, cipher.generation)
        for seq, packed in enumerate(bodies):
            body = self._fitting(packed, cipher)
            messages, raw = messages + body.messages, raw + len(body.text)
            head = head._replace(
                messages=messages,
                raw=raw,
                records=seq + 1,
                dead=0,
                full=HEADER_SIZE,
                appended=0,
                rewrites=rewrites,
                document=unchanged,
            )
            plain = encode(head)
            kind = DELTA if seq else FULL
            record = cipher.seal(kind, seq, offset, link, plain, codec=body.codec, body=body.data)
            parts.append(record)
            link = record[-LINK_AND_FOOTER:-FOOTER_SIZE]
            offset += len(record)
        if offset > LARGEST_CONTAINER:
            raise TooLarge(f"a session of {offset} bytes; the bound is {LARGEST_CONTAINER}")
        return Write(self._row(key, cipher, len(bodies) - 1, link, offset, head, plain), 0, b"".join(parts))

    def full_record(self, newest: IndexRow, opened: OpenHead, head: Head, bodies: Sequence[Packed]) -> Write:
        """The document anew, as one more record where that is the cheaper way in the long run."""
        dead = newest.size - HEADER_SIZE
        living = sum(len(body.data) for body in bodies)
        is_stale = self._is_stale(opened, head.tenant_id)
        if len(bodies) > 1 or newest.torn or is_stale or is_wasteful(dead, living):
            return self.new_container(newest.key, newest, head, bodies)
        (body,) = bodies
        head = head._replace(
            messages=body.messages,
            raw=len(body.text),
            records=1,
            dead=0,
            full=newest.size,
            appended=0,
            document=None,
        )
        return self._record(newest, opened, FULL, head, body)

    def draft_record(self, newest: IndexRow, opened: OpenHead, head: Head, draft: Draft, *, known: bool) -> Write:
        """A draft behind the newest. Where that is ``known`` to be what it differs from, the difference may do."""
        if known and draft.difference is not None and not newest.torn and not self._is_stale(opened, head.tenant_id):
            difference, addition = draft.difference
            was = opened.head
            head = head._replace(
                messages=was.messages + difference.growth,
                raw=was.raw + len(addition.text),
                records=was.records + 1,
                dead=dead_after_save(newest, was, difference, addition),
                appended=was.appended + mergeable(newest, addition),
                full=was.full,
                document=None,
            )
            if not is_worn(newest.size + len(addition.data), head, opened.run):
                draft.follows(addition)
                return self._record(newest, opened, DELTA, head, addition)
        return self.full_record(newest, opened, head, draft.whole())

    def with_trim(
        self, head: Head, addition: Packed, history: Callable[[], Sequence[bytes]], change: Change = NO_CHANGE
    ) -> tuple[Change, Packed]:
        """The change that an addition makes, with what ``max_messages`` drops, and the body that says so.

        ``history`` gives the messages of the newest document, and is called only where something is to be dropped.
        """
        most, kept = head.max_messages, head.messages - change.pop
        if most is not None and kept + addition.messages > most:
            after = [*history()[:kept], *payload.split(addition.text)[1:]]
            change = change._replace(trim=document.surplus(after, most))
        if change == NO_CHANGE:
            return NO_CHANGE, addition
        try:
            operations = orjson.dumps(change.fields())
        except TypeError:  # what was accepted as a state may be too deep for one level more
            raise InvalidDocument("state: nested too deeply to be set", path="state") from None
        return change, self.pack(b"[" + operations + addition.text[len(b"[{}") :], addition.messages)

    def delta_record(
        self,
        newest: IndexRow,
        opened: OpenHead,
        addition: Packed,
        change: Change,
        fetch: ReadRange,
        *,
        known: Document | None = None,
        rewritten: bool = False,
    ) -> Write:
        """A ``fitted`` addition as one more record; the whole container merged where small ones piled up.

        ``rewritten``: messages that stood there before are gone, or are others.
        """
        was = opened.head
        messages, dead, small = was.messages + addition.messages, was.dead, 0
        if change is not NO_CHANGE:
            messages -= change.pop + change.trim
            dead = dead_after(newest, was, change, addition)
        if not (change.set or change.unset):
            small = mergeable(newest, addition)
        head = was.followed(
            messages=messages,
            raw=was.raw + len(addition.text),
            dead=dead,
            appended=was.appended + small,
            updated=self.now(was),
            expires=self.expiry(was),
            rewritten=rewritten,
        )
        record = partial(self._record, newest, opened, DELTA, head, addition)
        is_stale = newest.torn or self._is_stale(opened, was.tenant_id)
        if is_stale or self._is_due(newest.key, newest.size + len(addition.data), head, opened.run):
            merged = self._merged(newest, head, [*self._bodies(newest, fetch, known), addition.text])
            return merged if is_stale else merged._replace(instead=record)
        return record()

    def merge(self, bodies: Bodies) -> list[Packed]:
        """A document in as few records as it takes."""
        return [self.pack(text) for text in document.merged(bodies)]

    def compacted(
        self, newest: IndexRow, opened: OpenHead, fetch: ReadRange, known: Document, merged: Sequence[Packed]
    ) -> Write | None:
        """The same document, of the same version, in a new container; its bodies are the note.

        ``merged`` is what is ``known``; what was added since stands behind it. None where small records are few.
        """
        if not is_worn(newest.size, opened.head, RUN):
            return None
        bodies = self._bodies(newest, fetch, known)
        since = document.added(bodies, known.bodies)
        packed = self.merge(bodies) if since is None else [*merged, *map(self.pack, since)]
        written = self.new_container(newest.key, newest, opened.head, packed, unchanged=opened.document)
        return written._replace(note=tuple(each.text for each in packed))

    def head_record(
        self, newest: IndexRow, opened: OpenHead, head: Head, fetch: ReadRange, *, flush: bool = True
    ) -> Write:
        """Another head over the same document: its life extended, or its labels changed."""
        dead = head.dead + overhead(newest)  # whatever follows it says all that it says
        head = head._replace(records=head.records + 1, dead=dead, document=opened.document)

        def record() -> Write:
            return self._record(newest, opened, HEAD, head, None)._replace(flush=flush)

        if newest.torn or self._is_due(newest.key, newest.size, head, opened.run):
            merged = self._merged(newest, head, self._bodies(newest, fetch), unchanged=opened.document)
            return merged if newest.torn else merged._replace(instead=record)
        return record()

    def resealed(self, newest: IndexRow, opened: OpenHead, fetch: ReadRange, *, without: Collection[int] = ()) -> Write:
        """The same document in a container of its own, under the key of the moment; what was dead is left behind.

        Bodies are opened and sealed again as they are, neither inflated nor parsed, but for those that refer to a
        dictionary of ``without``. The document keeps its version.
        """
        living = self._reader.living(newest.key, fetch)
        if not living:
            raise Damaged(f"the container of {newest.key} is gone, though its row is there")
        cipher = self._fresh(newest.key, newest, opened.head)
        link, offset = first_link(cipher.header), HEADER_SIZE
        parts, plain, head = [cipher.header], b"", opened.head
        for seq, record in enumerate(living):
            head = record.head._replace(full=HEADER_SIZE, records=seq + 1, document=None)
            if seq == len(living) - 1:
                head = head._replace(document=opened.document)
            plain = encode(head)
            codec, body = record.codec, record.body
            if without and codec == CODEC_DICTIONARY and payload.dictionary_of(body) in without:
                text = payload.unpack(codec, body, limit=self._largest_body, find=self._reader.dictionaries.find)
                _, codec, body, *_ = self._fitting(self.pack(text), cipher)
            sealed = cipher.seal(record.kind, seq, offset, link, plain, codec=codec, body=body)
            parts.append(sealed)
            link = sealed[-LINK_AND_FOOTER:-FOOTER_SIZE]
            offset += len(sealed)
        return Write(self._row(newest.key, cipher, len(living) - 1, link, offset, head, plain), 0, b"".join(parts))

    def is_under_another_key(self, opened: OpenHead) -> bool:
        """Whether a new container of this session would be sealed under another key."""
        return opened.cipher.sealed_as[0] != self._keys.sealing(opened.head.tenant_id).id

    def delete(self, newest: IndexRow, *, flush: bool = True, shred: bool = False) -> Delete:
        """What removes a session: nothing of this generation or an earlier one will be believed again."""
        return Delete(self._reader.rows.tombstone(newest.key, newest.generation), flush, shred)

    def delete_erased(self, key: str, fetch: ReadRange, *, shred: bool = False, least: int = 0) -> Delete | None:
        """What removes a container whose key was destroyed, a backup come back say; None for any other.

        ``least`` is its generation, where a row has proved it: a clock may have been set back since.
        """
        container = fetch(-1)
        if container is None or not self._reader.is_erased(key, container.header):
            return None
        # What its own header says of the generation cannot be proved any more.
        return Delete(self._reader.rows.tombstone(key, max(least, self._clock.now())), shred=shred)

    def now(self, head: Head | None = None) -> int:
        """Now, and never before the last change of that head: a clock that was set back must not reorder a listing."""
        now = self._clock.now()
        return now if head is None else max(now, head.updated)

    def expiry(self, head: Head) -> int | None:
        """When a session that is used now expires."""
        return self.extended(head) if head.sliding else head.expires

    def extended(self, head: Head) -> int | None:
        """When it expires if its life begins anew now: never earlier than it does, whatever the clock says."""
        if head.ttl is None:
            return head.expires
        return max(self._clock.now() + head.ttl, head.expires or 0)

    def _bodies(self, newest: IndexRow, fetch: ReadRange, known: Document | None = None) -> Bodies:
        """The document that a row speaks of, inside its critical section: the one that is known, if it is that."""
        is_newest = known is not None and known.version == newest.version
        loaded = known if is_newest else self._reader.load(newest.key, fetch, known)
        if loaded is None:
            raise Damaged(f"the container of {newest.key} is gone, though its row is there")
        return loaded.bodies

    def _merged(self, newest: IndexRow, head: Head, bodies: Bodies, *, unchanged: bytes | None = None) -> Write:
        return self.new_container(newest.key, newest, head, self.merge(bodies), unchanged=unchanged)

    def _record(self, newest: IndexRow, opened: OpenHead, kind: int, head: Head, body: Packed | None) -> Write:
        plain = encode(head)
        seq = newest.seq + 1
        if body is None:
            record = opened.cipher.seal(kind, seq, newest.size, newest.version, plain)
        else:
            body = self._fitting(body, opened.cipher)
            place = (kind, seq, newest.size, newest.version)
            record = opened.cipher.seal(*place, plain, codec=body.codec, body=body.data)
        version = record[-LINK_AND_FOOTER:-FOOTER_SIZE]
        end = newest.size + len(record)
        if end > LARGEST_CONTAINER:
            raise TooLarge(f"a session of {end} bytes; the bound is {LARGEST_CONTAINER}")
        row = self._row(newest.key, opened.cipher, seq, version, end, head, plain, run=opened.run + 1)
        return Write(row, newest.size, record)

    def _fresh(self, key: str, newest: Current, head: Head) -> ContainerCipher:
        """The cipher of a container that is about to be made."""
        self._keys.refresh()  # a key that was retired meanwhile seals nothing more
        return ContainerCipher.create(
            self._keys.current,
            locator_of(key),
            generation=self._generation(key, newest),
            suite=self._suite,
            padded=self._padded,
            master=self._keys.sealing(head.tenant_id),
        )

    def _row(
        self,
        key: str,
        cipher: ContainerCipher,
        seq: int,
        version: bytes,
        size: int,
        head: Head,
        plain: bytes,
        *,
        run: int = 0,
    ) -> IndexRow:
        row = self._reader.rows.seal(key, cipher.header, cipher.generation, seq, version, size, head, plain)
        self._reader.remember(row, head, cipher, run=run)
        return row

    def _generation(self, key: str, newest: Current) -> int:
        """Above every earlier life of this id, also where the clock was set back. A forged tombstone says nothing."""
        if isinstance(newest, IndexRow):
            return newest.generation + 1
        if newest is None or not self._reader.rows.is_genuine(newest._replace(key=key)):
            return self._clock.now()
        return max(self._clock.now(), newest.generation + 1)

    def _rewrites(self, newest: Current, generation: int) -> int:
        """What the count of rewrites begins with in another life: above what it was, however often it had grown."""
        known = 0
        if isinstance(newest, IndexRow):
            with contextlib.suppress(Unreadable):  # of a row that was forged, or damaged, nothing is known
                known = self._reader.opened(newest).head.rewrites + 1
        return min(max(known, generation, self._clock.now()), _MOST_REWRITES)

    def _is_due(self, key: str, size: int, head: Head, run: int) -> bool:
        """Whether a container is merged by this write, and not by a thread behind it."""
        if self.postpone is None:
            return is_worn(size, head, run)
        if not is_worn(size, head, RUN):
            return False
        is_overdue = is_worn(size, head, run, postponed=True)
        return not self.postpone(key, is_overdue=is_overdue) and is_overdue

    def _is_stale(self, opened: OpenHead, tenant_id: str | None) -> bool:
        """Whether a new container would be sealed in another way: under another key, with another suite or padding."""
        keyring = self._keys.current  # of no tenant: asked here, where every write comes by
        own = tenant_id is not None and keyring.tenant_keys
        key = self._keys.sealing(tenant_id) if own else keyring.masters[0]
        return opened.cipher.sealed_as != (key.id, self._suite, self._padded)
