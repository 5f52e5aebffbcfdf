"""Scribe: seals small sessions for a backend under test, in as few lines as that takes."""

# ruff: noqa: ANN401 - a backend is whatever claims to be one, and facts are the fields of a head

from __future__ import annotations

from typing import Any

from ..engine.reader import Reader
from ..errors import Conflict
from ..format import ContainerCipher, ids
from ..format.head import Head, encode
from ..format.keys import Keyring
from ..format.record import DELTA, FOOTER_SIZE, FULL, HEADER_SIZE, LINK_AND_FOOTER, first_link, records_from
from ..format.sealed import Current, Decision, Delete, IndexRow, Update, Write

FIRST_GENERATION = 1_700_000_000_000_000


class Sealer:
    """What a store is to a backend: someone with the keys. ``describe`` is for the backend, the seals for ``commit``.

    Unless a keyring says otherwise keys are locators. Every record's body is a text, so that ``texts`` shows which
    commits a container holds, and in which order.
    """

    def __init__(self, keyring: Keyring | None = None) -> None:
        self.keyring = Keyring.generate(readable_names=False) if keyring is None else keyring
        self.reader = Reader(self.keyring)
        self.describe = self.reader.describe

    def key(self, name: str) -> str:
        """The key of a session."""
        return self.keyring.session_key(ids.parse(name))

    def user(self, name: str) -> bytes:
        """The tag of a user's sessions."""
        return self.keyring.tag("user", "", name)

    def label(self, name: str, value: str) -> bytes:
        """The tag of a label."""
        return self.keyring.tag("label", name, value)

    def create(self, key: str, text: str = "first", *, updated: int = 1, flush: bool = True, **facts: Any) -> Update:
        """A container of its own behind whatever is newest; ``facts`` are fields of ``Head``."""

        def update(newest: Current) -> Write:
            generation = FIRST_GENERATION if newest is None else newest.generation + 1
            cipher = ContainerCipher.create(self.keyring, ids.locator_of(key), generation=generation)
            head = Head(id=key, created=1, updated=updated, full=HEADER_SIZE, **facts)
            record = cipher.seal(FULL, 0, HEADER_SIZE, first_link(cipher.header), encode(head), body=text.encode())
            data = cipher.header + record
            return Write(self._row(key, cipher, 0, record, len(data), head), 0, data, flush)

        return update

    def append(self, text: str = "more", *, flush: bool = True, **changes: Any) -> Update:
        """One more record behind the newest, or the whole anew where nothing can be written behind it.

        ``changes`` are fields of ``Head``. ``Conflict`` where there is no session.
        """

        def update(newest: Current) -> Decision:
            if not isinstance(newest, IndexRow):
                raise Conflict("there is nothing to append to")
            known = self.reader.opened(newest)
            head = known.head._replace(**changes)
            if newest.torn:
                facts = {name: getattr(head, name) for name in ("user_id", "expires", "labels")}
                return self.create(newest.key, text, updated=head.updated, **facts)(newest)
            seq = newest.seq + 1
            record = known.cipher.seal(DELTA, seq, newest.size, newest.version, encode(head), body=text.encode())
            row = self._row(newest.key, known.cipher, seq, record, newest.size + len(record), head)
            self.reader.remember(row, head, known.cipher)
            return Write(row, newest.size, record, flush)

        return update

    def remove(self, key: str, *, flush: bool = True) -> Update:
        """A tombstone for what lives; nothing for what does not."""

        def update(newest: Current) -> Delete | None:
            if not isinstance(newest, IndexRow):
                return None
            return Delete(self.reader.rows.tombstone(key, newest.generation), flush)

        return update

    def texts(self, backend: Any, key: str) -> list[str] | None:
        """The bodies of a session, proved to be one chain from its first record to its newest; None: there is none."""
        container = backend.read(key)
        if container is None:
            return None
        cipher = self.reader.cipher(key, container.header)
        found: list[str] = []
        end = HEADER_SIZE
        for record in records_from(container, HEADER_SIZE):
            if record.seq != len(found):
                raise AssertionError(f"record {record.seq} stands where record {len(found)} is expected")
            cipher.open_head(record)
            found.append(cipher.open_body(record).decode())
            end = record.end
        if end != container.size:
            raise AssertionError(f"{container.size - end} bytes behind the last record")
        return found

    def texts_before_torn(self, backend: Any, key: str) -> list[str] | None:
        """The bodies up to the newest authentic record, whatever stands behind it."""
        row = backend.head(key)
        if row is None:
            return None
        container = backend.read(key)
        whole = records_from(container, HEADER_SIZE)
        cipher = self.reader.cipher(key, container.header)
        return [cipher.open_body(record).decode() for record in whole if record.end <= row.size]

    def _row(self, key: str, cipher: ContainerCipher, seq: int, record: bytes, size: int, head: Head) -> IndexRow:
        version = record[-LINK_AND_FOOTER:-FOOTER_SIZE]
        return self.reader.rows.seal(key, cipher.header, cipher.generation, seq, version, size, head, encode(head))
