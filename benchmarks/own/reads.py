"""What the stages of a cold load cost, over its size: where a regression would be.

As in ``stages``: the package's own functions, in turns with the whole verb on a store that keeps nothing between
calls, and "the rest" is what they do not explain (the index asked, the newest looked for). "open" opens and closes the
file and asks for its size, "read" is the pread of all of it, "head" finds the newest record and opens its head, "body"
decrypts, "inflate" and "parse" do as they say. "keys" is what a process does once for each container that it meets.
"warm" is the verb on a store that has the document: one stat, and its JSON parsed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import vaultsession
from vaultsession.engine.reader import LARGEST_BODY
from vaultsession.format import ContainerCipher, ids, payload
from vaultsession.format import head as heads
from vaultsession.format import record as v1
from vaultsession.format.head import Head
from vaultsession.format.ids import locator_of
from vaultsession.format.keys import Keyring
from vaultsession.format.payload import Json
from vaultsession.format.sealed import Container
from vaultsession.util.disk import CREATE, PRIVATE_FILE, READ, Disk, write_all

from ..harness import Report, interleaved, median
from ..sample import Author
from .stages import KEY, NOW, SIZES, show

_STAGES = ("open", "read", "head", "body", "inflate", "parse")


def run(report: Report, directory: str, scale: float) -> None:
    author, found = Author(), {}
    place = os.path.join(directory, "reads")
    with (
        vaultsession.open_store(place, key=KEY) as warm,
        vaultsession.open_store(place, key=KEY, cache_bytes=0) as cold,
    ):
        for name, size in SIZES.items():
            if not name.startswith("a turn"):
                history = author.history(size)
                warm.create(name.replace(" ", "-"), messages=history)
                rounds = max(10, int(scale * (1000 if size <= 20_000 else 200 if size <= 200_000 else 40)))
                found[name] = _measure(directory, name.replace(" ", "-"), history, warm, cold, rounds)
    show(report, found, _STAGES, ("keys", "warm"), kind="load")


def _measure(
    directory: str,
    name: str,
    messages: Sequence[Json],
    warm: vaultsession.SessionStore,
    cold: vaultsession.SessionStore,
    rounds: int,
) -> dict[str, float]:
    """Medians in microseconds of every stage, and of the whole verb."""
    disk, keyring, path = Disk(), Keyring.generate(created=NOW), os.path.join(directory, f"{name}.vss")
    locator = locator_of(ids.key(keyring.naming_key, ids.parse(name), readable=True))
    cipher = ContainerCipher.create(keyring, locator, generation=NOW)
    data = cipher.header + _record(cipher, messages)
    fd = disk.open(path, CREATE, PRIVATE_FILE)
    write_all(disk, fd, data, 0)
    container = Container(cipher.header, 0, data)
    record = v1.record_before(container, container.size)
    if record is None:
        raise LookupError("what was sealed a moment ago is not found")
    packed = cipher.open_body(record)
    text = payload.unpack(record.codec, packed, limit=LARGEST_BODY)

    def open_and_close() -> None:
        opened = disk.open(path, READ)
        disk.fstat(opened)
        disk.close(opened)

    def head() -> None:
        last = v1.record_before(container, container.size)
        if last is not None:
            heads.decode(cipher.open_head(last))

    times = interleaved(
        {
            "open": open_and_close,
            "read": lambda: disk.pread(fd, len(data), 0),
            "head": head,
            "body": lambda: cipher.open_body(record),
            "inflate": lambda: payload.unpack(record.codec, packed, limit=LARGEST_BODY),
            "parse": lambda: payload.parse(text),
            "whole": lambda: cold.load(name).messages,
            "keys": lambda: ContainerCipher.open(cipher.header, keyring, locator),
            "warm": lambda: warm.load(name).messages,
        },
        rounds,
    )
    disk.close(fd)
    return {stage: median(each) for stage, each in times.items()}


def _record(cipher: ContainerCipher, messages: Sequence[Json]) -> bytes:
    text = payload.body({}, messages)
    codec, packed = payload.pack(text, level=3, limit=LARGEST_BODY)
    head = Head("reads", NOW, NOW, messages=len(messages), raw=len(text), records=1, full=v1.HEADER_SIZE)
    link = v1.first_link(cipher.header)
    return cipher.seal(v1.FULL, 0, v1.HEADER_SIZE, link, heads.encode(head), codec=codec, body=packed)
