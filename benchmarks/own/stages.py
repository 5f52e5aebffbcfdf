"""What the stages of a durable write cost, over its size: where a regression would be.

Each stage is the package's own function, called with the data that the write hands it, in turns with the whole verb on
a store. Nothing inside the store is instrumented, so the whole is what its users pay; what the stages do not explain
("the rest") is arguments, checks, the newest looked up, and how much better a function runs alone and over and over.
"serialise" makes the JSON and proves it; "seal" is the record, its head and the row of the index; "lock" takes and
gives back the stripe, which nobody else wants; "write" is the one pwrite and "flush" the one fdatasync after such a
write. "index" happens behind, in a thread and in batches: a row's share of a transaction of 64, not part of the whole.

The saves replace one history by another, so that all of it is written; what a save that changes little costs is another
row. A record of more than 256 KB is written as a container of its own, with two flushes and a rename: they are in the
whole and not among the stages.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import vaultsession
from vaultsession.backends.files.index import Index
from vaultsession.backends.files.index_schema import create as create_index
from vaultsession.backends.files.layout import FilesLayout
from vaultsession.backends.files.locks import Stripes
from vaultsession.engine.reader import LARGEST_BODY, Reader
from vaultsession.format import ContainerCipher, ids, payload
from vaultsession.format import head as heads
from vaultsession.format import record as v1
from vaultsession.format.head import Head
from vaultsession.format.ids import locator_of
from vaultsession.format.keys import Keyring
from vaultsession.format.payload import Json
from vaultsession.format.sealed import IndexRow
from vaultsession.util.disk import CREATE, PRIVATE_DIRECTORY, PRIVATE_FILE, Disk, write_all

from ..harness import Report, Row, interleaved, median
from ..sample import Author

KEY = bytes(range(32))
SIZES = {"a turn of 1.5 KB": 1500, "2 KB": 2000, "20 KB": 20_000, "200 KB": 200_000, "2 MB": 2_000_000}
_STAGES = ("serialise", "compress", "seal", "lock", "write", "flush")
_BATCH = 64
NOW = 1_700_000_000_000_000


class Sealing(NamedTuple):
    """The record of a body, and the row that goes with it."""

    record: bytes
    row: IndexRow


def run(report: Report, directory: str, scale: float) -> None:
    author = Author()
    bench = Bench.made(os.path.join(directory, "stages"))
    found = {}
    with vaultsession.open_store(os.path.join(directory, "whole"), key=KEY) as store:
        for name, size in SIZES.items():
            messages = author.turn(size) if name.startswith("a turn") else author.history(size)
            others = author.history(size)
            whole = (
                _append(store, author, messages) if name.startswith("a turn") else _save(store, name, messages, others)
            )
            rounds = max(10, int(scale * (600 if size <= 20_000 else 100 if size <= 200_000 else 20)))
            found[name] = bench.measure(messages, whole, rounds)
    show(report, found, _STAGES, ("index",), kind="write")
    bench.close()


def _append(store: vaultsession.SessionStore, author: Author, messages: Sequence[Json]) -> Callable[[], object]:
    store.create("appended", messages=author.history(200_000))
    return lambda: store.append("appended", *messages)


def _save(
    store: vaultsession.SessionStore, name: str, messages: Sequence[Json], others: Sequence[Json]
) -> Callable[[], object]:
    session = store.create(name.replace(" ", "-"), messages=messages)
    histories = itertools.cycle((others, messages))

    def save() -> None:
        session.messages[:] = next(histories)
        store.save(session)

    return save


@dataclass
class Bench:
    """The parts of a vault, put together without a store."""

    disk: Disk
    reader: Reader
    cipher: ContainerCipher
    key: str
    stripes: Stripes
    index: Index
    fd: int
    end: int = 0

    @classmethod
    def made(cls, directory: str) -> Bench:
        """A directory with locks, an index and one file that grows."""
        disk, layout, reader = Disk(), FilesLayout(directory), Reader(Keyring.generate(created=NOW))
        for path in (directory, layout.locks, layout.sessions):
            disk.mkdir(path, PRIVATE_DIRECTORY)
        create_index(disk, layout.index)
        key = ids.key(reader.keyring.naming_key, ids.parse("stages"), readable=True)
        cipher = ContainerCipher.create(reader.keyring, locator_of(key), generation=NOW)
        index = Index(disk, layout, writable=True, durable=True)
        fd = disk.open(os.path.join(directory, "grown"), CREATE, PRIVATE_FILE)
        return cls(disk, reader, cipher, key, Stripes(disk, layout), index, fd)

    def measure(self, messages: Sequence[Json], whole: Callable[[], object], rounds: int) -> dict[str, float]:
        """Medians in microseconds of every stage, of the whole, and of a row's share of the index."""
        text = payload.body({}, messages)
        codec, packed = payload.pack(text, level=3, limit=LARGEST_BODY)
        head = Head("stages", NOW, NOW, messages=len(messages), raw=len(text), records=1, full=v1.HEADER_SIZE)
        record, _ = self._seal(self.key, head, codec, packed)
        rows = [self._seal(self._key_of(f"row-{number}"), head, codec, packed).row for number in range(_BATCH)]
        stripe = self.stripes.of(locator_of(self.key))

        def lock() -> None:
            with stripe.mutex, stripe:
                pass

        def write() -> None:
            write_all(self.disk, self.fd, record, self.end)
            self.end += len(record)

        def write_index() -> None:
            for row in rows:
                self.index.add(row, flushed=True)
            self.index.flush()

        times = interleaved(
            {
                "serialise": lambda: payload.body({}, messages),
                "compress": lambda: payload.pack(text, level=3, limit=LARGEST_BODY),
                "seal": lambda: self._seal(self.key, head, codec, packed),
                "lock": lock,
                "write": write,
                "flush": lambda: self.disk.fdatasync(self.fd),
                "whole": whole,
                "index": write_index,
            },
            rounds,
        )
        found = {name: median(each) for name, each in times.items()}
        found["index"] /= _BATCH
        return found

    def close(self) -> None:
        """Let go of the files."""
        self.index.close()
        self.stripes.close()
        self.disk.close(self.fd)

    def _key_of(self, name: str) -> str:
        return ids.key(self.reader.keyring.naming_key, ids.parse(name), readable=True)

    def _seal(self, key: str, head: Head, codec: int, packed: bytes) -> Sealing:
        plain = heads.encode(head)
        header = self.cipher.header
        record = self.cipher.seal(v1.FULL, 0, v1.HEADER_SIZE, v1.first_link(header), plain, codec=codec, body=packed)
        version = record[-v1.LINK_AND_FOOTER : -v1.FOOTER_SIZE]
        size = v1.HEADER_SIZE + len(record)
        row = self.reader.rows.seal(key, header, self.cipher.generation, 0, version, size, head, plain)
        return Sealing(record, row)


def show(
    report: Report, found: dict[str, dict[str, float]], stages: Sequence[str], beside: Sequence[str], *, kind: str
) -> None:
    """A line for each size: the stages, what they do not explain, the whole, and what is not part of it."""
    columns = (*stages, "the rest", "whole", *beside)
    print(f"\n{f'{kind}: us, medians':<20}" + "".join(f"{name:>11}" for name in columns))
    for size, medians in found.items():
        rest = medians["whole"] - sum(medians[name] for name in stages)
        shown = {**medians, "the rest": rest}
        print(f"{size:<20}" + "".join(f"{shown[name]:>11.1f}" for name in columns))
        report.rows += [Row(f"{kind}: {name} of {size}", shown[name], "us") for name in columns]
