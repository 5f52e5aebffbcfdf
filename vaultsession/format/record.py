"""Format 1: constants, layout, and finding one's way through a container without a key. Pure.

FORMAT.md beside this file is normative; the code follows its order. Nothing here authenticates anything: a record that
this module finds is a claim, and ``cipher`` proves or refuses it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import Damaged, UnsupportedFormat
from ..util.named_tuple import NamedTuple
from .head import LARGEST_HEAD
from .sealed import GENERATIONS, VERSION_SIZE, Container

MAGIC = b"VSF1"
FORMAT = 1

SUITE_AES_GCM = 1
SUITE_CHACHA = 2
SUITE_AES_GCM_SIV = 3
SUITES = {"aes-256-gcm": SUITE_AES_GCM, "chacha20-poly1305": SUITE_CHACHA, "aes-256-gcm-siv": SUITE_AES_GCM_SIV}

PADDED = 0x0001
"""Flag: the bodies of this container carry their length in front and padding behind."""
KNOWN_FLAGS = PADDED

FULL = 1
DELTA = 2
HEAD = 3
KINDS = {FULL: "FULL", DELTA: "DELTA", HEAD: "HEAD"}

TAG_SIZE = 16
NONCE_SIZE = 12
SALT_SIZE = 24

HEADER = struct.Struct("<4sBBH8sQ24s32s")
HEADER_SIZE = HEADER.size
KEY_ID = slice(8, 16)
"""Where in the header the id of its key stands."""
COMMITTED_SIZE = 24
"""Bytes of the header that go into the derivation as they are: everything before the salt."""

FRAME = struct.Struct("<IIBBHQ12s")
FRAME_SIZE = FRAME.size
BOUND_SIZE = 20
"""Bytes of the frame that are associated data: everything before the nonce."""

FOOTER = struct.Struct("<II")
FOOTER_SIZE = FOOTER.size
FOOTER_MASK = 0xFFFFFFFF
"""The second half of a footer is the first one, which is the size of its record, with all bits inverted."""
LINK_AND_FOOTER = VERSION_SIZE + FOOTER_SIZE
"""The bytes in front of a record that prove what it follows."""

SMALLEST_RECORD = FRAME_SIZE + TAG_SIZE + FOOTER_SIZE
LARGEST_RECORD = 128 << 20
LARGEST_CONTAINER = 4 << 30

_NO_BODY_TAG = bytes(TAG_SIZE)


class Header(NamedTuple):
    """The 80 bytes at the front, parsed. Never modified in place."""

    suite: int
    flags: int
    key_id: bytes
    generation: int
    salt: bytes
    commitment: bytes


class Record(NamedTuple):
    """One record as its bytes claim it. ``link`` is the tag of the record before it, or ``commitment[:16]``.

    ``bound`` are the bytes of its frame that head and body are bound to.
    """

    offset: int
    kind: int
    codec: int
    seq: int
    bound: bytes
    nonce: bytes
    body: bytes
    head: bytes
    link: bytes

    @property
    def tag(self) -> bytes:
        """The version of the session as of this record."""
        return self.head[-TAG_SIZE:]

    @property
    def body_tag(self) -> bytes:
        """The tag of the body, which the head covers; zeros where there is no body."""
        return self.body[-TAG_SIZE:] if self.body else _NO_BODY_TAG

    @property
    def size(self) -> int:
        """Bytes of the whole record in the file."""
        return FRAME_SIZE + len(self.body) + len(self.head) + FOOTER_SIZE

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.size


def parse_header(data: bytes) -> Header:
    """The header of format 1. ``Damaged`` for what is none, ``UnsupportedFormat`` for that of another version."""
    if len(data) < HEADER_SIZE:
        raise Damaged(f"a container begins with {HEADER_SIZE} bytes of header; here are {len(data)}")
    magic, version, suite, flags, key_id, generation, salt, commitment = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Damaged("this is not a session container: the first bytes are not VSF1")
    if version != FORMAT:
        raise UnsupportedFormat(f"container format {version} is of another version", found=version, supported=FORMAT)
    if suite not in (SUITE_AES_GCM, SUITE_CHACHA, SUITE_AES_GCM_SIV):
        raise UnsupportedFormat(f"suite {suite} is of another version", found=suite, supported=(1, 2, 3))
    if flags & ~KNOWN_FLAGS:
        raise UnsupportedFormat(f"flags {flags:#06x} are of another version", found=flags, supported=KNOWN_FLAGS)
    if generation >= GENERATIONS:
        raise Damaged("a header with a generation that none has")
    return Header(suite, flags, key_id, generation, salt, commitment)


def first_link(header: bytes) -> bytes:
    """What the first record follows: the front half of the commitment."""
    return header[COMMITTED_SIZE + SALT_SIZE :][:VERSION_SIZE]


def record_at(container: Container, offset: int) -> Record | None:
    """The whole record that begins there, or None: lengths that do not fit, or a footer that does not agree.

    None also where these bytes begin too late to hold it and the link in front of it.
    """
    at = offset - container.offset
    data = container.data
    if at < 0 or len(data) - at < SMALLEST_RECORD:
        return None
    head_size, body_size, kind, codec, reserved, seq, nonce = FRAME.unpack_from(data, at)
    body = at + FRAME_SIZE
    head = body + body_size
    footer = head + head_size
    size = footer + FOOTER_SIZE - at
    if not (TAG_SIZE <= head_size <= LARGEST_HEAD and size <= LARGEST_RECORD and footer + FOOTER_SIZE <= len(data)):
        return None
    if reserved or 0 < body_size < TAG_SIZE or FOOTER.unpack_from(data, footer) != (size, size ^ FOOTER_MASK):
        return None
    if offset == HEADER_SIZE:
        link = first_link(container.header)
    elif at >= LINK_AND_FOOTER:
        link = data[at - LINK_AND_FOOTER : at - FOOTER_SIZE]
    else:
        return None
    bound = data[at : at + BOUND_SIZE]
    return Record(offset, kind, codec, seq, bound, nonce, data[body:head], data[head:footer], link)


def claimed_size(frame: bytes) -> int | None:
    """How long the record that begins with this frame would be; None where no record is."""
    if len(frame) < FRAME_SIZE:
        return None
    head_size, body_size, *_ = FRAME.unpack_from(frame)
    size = FRAME_SIZE + body_size + head_size + FOOTER_SIZE
    return size if TAG_SIZE <= head_size <= LARGEST_HEAD and size <= LARGEST_RECORD else None


def ends_so(footer: bytes, size: int) -> bool:
    """Whether these are the footer of a record of that size."""
    return footer == FOOTER.pack(size, size ^ FOOTER_MASK)


def record_before(container: Container, end: int) -> Record | None:
    """The record that ends there by its footer; None where none does, or where it begins before these bytes.

    ``needs_more`` distinguishes the two.
    """
    size = _footer_size(container, end)
    return None if size is None else record_at(container, end - size)


def needs_more(container: Container, end: int) -> int | None:
    """The offset from which the record that ends there could be read, if these bytes begin too late for it."""
    size = _footer_size(container, end)
    if size is None:
        return None
    start = max(HEADER_SIZE, end - size - LINK_AND_FOOTER)
    return start if start < container.offset else None


def part(data: bytes, start: int = 0) -> Container:
    """Those bytes of a whole container as a backend gives them, from ``start`` on (negative: that many last bytes)."""
    size = len(data)
    offset = min(size, max(HEADER_SIZE, size + start if start < 0 else start))
    return Container(data[:HEADER_SIZE], offset, data[offset:])


def version_at(container: Container, end: int) -> bytes:
    """The version of the record that ends there, as the bytes claim it; fewer bytes where they begin later."""
    at = end - container.offset - LINK_AND_FOOTER
    return container.data[at : at + TAG_SIZE] if at >= 0 else b""


def records_from(container: Container, offset: int) -> Iterator[Record]:
    """Whole records, one behind the other, until the first place where none begins."""
    while record := record_at(container, offset):
        yield record
        offset = record.end


def _footer_size(container: Container, end: int) -> int | None:
    at = end - container.offset - FOOTER_SIZE
    if not 0 <= at <= len(container.data) - FOOTER_SIZE:
        return None
    size, inverse = FOOTER.unpack_from(container.data, at)
    plausible = size ^ inverse == FOOTER_MASK and SMALLEST_RECORD <= size <= LARGEST_RECORD
    return size if plausible and size <= end - HEADER_SIZE else None
