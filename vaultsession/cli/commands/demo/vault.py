"""``vaultsession demo``: a vault, a conversation, what lies on disk, a changed byte, a listing, a sweep, timings."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator

from rich.text import Text

from ....backends.files import preallocation
from ....errors import Damaged
from ... import output
from ..ls import COLUMNS
from .stage import Stage, say, show, transcript

_ID = "alice/first-chat"
_SECRET = "Marrakesh"  # noqa: S105 - a word to look for, not a password
_FIRST_LIFE = (
    {"role": "user", "content": f"Hello! I am Alice, and I am planning a trip to {_SECRET}."},
    {"role": "assistant", "content": f"Noted, Alice. {_SECRET} is at its best in spring."},
)
_SECOND_LIFE = "What did I tell you about my plans?"
_HEX_BYTES = 48
_MOST_OPERATIONS = 300
_MOST_SECONDS = 0.4
_SHORT_TTL = 0.05


def _make(stage: Stage) -> None:
    stage.make()
    say(f"made in {stage.vault}")
    say("Its key is random and lies outside, in a file that only you can read.")


def _converse(stage: Stage) -> None:
    with stage.store() as store:
        store.create(_ID, user_id="alice", title="A trip", labels={"client": "demo"}, state={"language": "en"})
        store.append(_ID, *_FIRST_LIFE)
        messages = store.messages(_ID)
    say(f"First life, process {os.getpid()}: the store is opened, written and closed.")
    transcript(messages)
    say("Second life, a new process, which knows only what lies on disk:")
    child, _ = stage.run("append", _ID, "--content", _SECOND_LIFE)
    _, told = stage.run("show", _ID, "--jsonl")
    import orjson  # noqa: PLC0415 - the store is dear to import, and --help does without

    lines = told.splitlines()
    say(f"process {child} said one thing more, and the whole is {output.counted(len(lines), 'message')} now:")
    transcript([orjson.loads(line) for line in lines])


def _look(stage: Stage) -> None:
    found, total = 0, 0
    for path, size in _files(stage.vault):
        show(Text(f"{size:>7}  {os.path.relpath(path, stage.vault)}"))
        data = _read(path)
        total += len(data)
        found += sum(data.count(word.encode()) for word in (_SECRET, "Alice", _ID))
    say(f"The first bytes of {os.path.relpath(_file(stage), stage.vault)}:")
    for line in _hexdump(_read(_file(stage))[:_HEX_BYTES]):
        show(Text(line, style="dim"))
    say(f'Looked for "{_SECRET}", "Alice" and "{_ID}" in all {total} bytes: found {found} times.', "green")
    say("File names show a slug of the id; a vault made with --private-names does not.")


def _tamper(stage: Stage) -> None:
    path = _file(stage)
    before = _read(path)
    place = len(preallocation.without(before)) // 2
    say(f"Byte {place} of {len(before)} is changed from {before[place]:#04x} to {before[place] ^ 1:#04x}. Loading it:")
    _overwrite(path, place, before[place] ^ 1)
    try:
        with stage.store() as store:
            store.load(_ID)
        say("It was loaded. That should not happen: please report it.", "bold red")
    except Damaged as error:
        say(f"{type(error).__name__}: {error}", "red")
    _overwrite(path, place, before[place])
    with stage.store() as store:
        say(f"Changed back, it reads again: {output.counted(store.load(_ID).message_count, 'message')}.", "green")


def _list(stage: Stage) -> None:
    with stage.store() as store:
        store.create("alice/groceries", user_id="alice", title="Groceries", messages=[_FIRST_LIFE[0]])
        store.create("bob/standup", user_id="bob", title="Stand-up", ttl="7d")
        records = [info.facts() for info in store.list()]
        mine = store.count(user_id="alice")
    output.table(COLUMNS, records, indent=3)
    say(f"Read from the index, without opening a conversation. Of user alice: {mine}.")


def _sweep(stage: Stage) -> None:
    with stage.store() as store:
        store.create("bob/one-time-code", user_id="bob", ttl=_SHORT_TTL)
        say(f"A session with {_SHORT_TTL * 1000:.0f} ms to live: {store.count()} sessions.")
        time.sleep(2 * _SHORT_TTL)
        say(f"Now it has expired: {store.count()} sessions.")
        say(f"The sweep removes {store.sweep()}, and only what has expired.", "green")


def _measure(stage: Stage) -> None:
    from ....util.disk import Disk  # noqa: PLC0415 - as above

    message = _FIRST_LIFE[1]
    with stage.store() as store, stage.store(cache_bytes=0) as cold:
        store.create("timings")
        session = store.create("timings/whole", messages=[message] * 20)
        measured = (
            ("append a message", lambda: store.append("timings", message)),
            ("save 20 messages", lambda: store.save(session)),
            ("load them, cached", lambda: store.load("timings/whole").messages),
            ("load them from disk", lambda: cold.load("timings/whole").messages),
        )
        for name, act in measured:
            times = _times(act)
            show(Text(f"{name:<20}{statistics.median(times) * 1e6:>8.0f} µs   (median of {len(times)})"))
    kind = Disk().filesystem(stage.vault) or "this file system"
    say(f"Each write returned after its flush, here to {kind}. Each cached load asked the disk for anything newer.")


STEPS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("A vault", _make),
    ("A conversation over two process lives", _converse),
    ("What lies on disk", _look),
    ("One byte changed", _tamper),
    ("A listing", _list),
    ("A sweep", _sweep),
    ("Timings on this machine", _measure),
)


def _file(stage: Stage) -> str:
    """The file of the conversation."""
    names = os.listdir(os.path.join(stage.vault, "sessions"))
    return next(os.path.join(stage.vault, "sessions", name) for name in names if name.startswith("alice-first-chat~"))


def _times(act: Callable[[], object]) -> list[float]:
    """Seconds that each call took, of as many calls as fit."""
    times: list[float] = []
    end = time.perf_counter() + _MOST_SECONDS
    while len(times) < _MOST_OPERATIONS and (before := time.perf_counter()) < end:
        act()
        times.append(time.perf_counter() - before)
    return times


def _files(root: str) -> Iterator[tuple[str, int]]:
    for directory, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = os.path.join(directory, name)
            with contextlib.suppress(FileNotFoundError):
                yield path, os.path.getsize(path)


def _hexdump(data: bytes) -> Iterator[str]:
    width = 16 if output.data().width >= output.NARROW else 8
    for start in range(0, len(data), width):
        row = data[start : start + width]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)  # noqa: PLR2004 - printable ASCII
        yield f"{start:04x}  {row.hex(' '):<{3 * width}} {text}"


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _overwrite(path: str, place: int, byte: int) -> None:
    with open(path, "r+b") as stream:
        stream.seek(place)
        stream.write(bytes([byte]))
