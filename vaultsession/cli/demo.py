"""``vaultsession demo``: what a newcomer runs first. A real vault, and everything said of it is measured or read.

Nothing of the user's is touched: the vault and its key lie in a temporary directory, and no setting, variable or
keyring is asked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from ..errors import Damaged
from . import output
from .ls import COLUMNS
from .show import ROLES, spoken

if TYPE_CHECKING:
    from ..store import SessionStore

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


@dataclass(frozen=True, slots=True)
class _Demo:
    """The vault, the private file with its key, and how to open it apart from the user's own settings."""

    vault: str
    key_file: str

    def store(self, *, cache_bytes: int = 64 << 20) -> SessionStore:
        from ..keysources import KeyFile  # noqa: PLC0415 - the store is dear to import, and --help does without
        from ..opening import open_store  # noqa: PLC0415 - as above
        from ..settings import Settings  # noqa: PLC0415 - as above

        return open_store(
            self.vault, key=KeyFile(self.key_file), settings=Settings(cache_bytes=cache_bytes), create=False
        )

    def file(self) -> str:
        """The file of the conversation."""
        names = os.listdir(os.path.join(self.vault, "sessions"))
        return next(
            os.path.join(self.vault, "sessions", name) for name in names if name.startswith("alice-first-chat~")
        )


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the vault and its key where they are.")] = False,
) -> None:
    """See a vault at work, in a few seconds.

    There is nothing to set up, and nothing is left behind.
    """
    began = time.perf_counter()
    place = tempfile.mkdtemp(prefix="vaultsession-demo-")
    shown = _Demo(os.path.join(place, "vault"), os.path.join(place, "key"))
    try:
        for number, (title, step) in enumerate(_STEPS, 1):
            _print(Text(f"{number}  {title}", style="bold cyan"), 0)
            step(shown)
            output.line("")
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
    if keep:
        _say("Kept. Look around with:")
        _say(f"  vaultsession ls -V {shown.vault} --key-file {shown.key_file}", "green")
    else:
        _say(
            f"All of it is gone again, after {time.perf_counter() - began:.1f} s. Yours begins with: vaultsession init"
        )


def _make(shown: _Demo) -> None:
    from ..clock import SystemClock  # noqa: PLC0415 - as above
    from ..secret import RawKey  # noqa: PLC0415 - as above
    from ..vault import VaultDirectory  # noqa: PLC0415 - as above

    key = RawKey.generate()
    with open(os.open(shown.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(key.text() + "\n")
    VaultDirectory(shown.vault).create(key, now=SystemClock().now())
    _say(f"made in {shown.vault}")
    _say("Its key is random and lies outside, in a file that only you can read.")


def _converse(shown: _Demo) -> None:
    with shown.store() as store:
        store.create(_ID, user_id="alice", title="A trip", labels={"client": "demo"}, state={"language": "en"})
        store.append(_ID, *_FIRST_LIFE)
        messages = store.messages(_ID)
    _say(f"First life, process {os.getpid()}: the store is opened, written and closed.")
    _transcript(messages)
    _say("Second life, a new process, which knows only what lies on disk:")
    child, _ = _child(shown, "append", _ID, "--content", _SECOND_LIFE)
    _, told = _child(shown, "show", _ID, "--jsonl")
    import orjson  # noqa: PLC0415 - as above

    lines = told.splitlines()
    _say(f"process {child} said one thing more, and the whole is {output.counted(len(lines), 'message')} now:")
    _transcript([orjson.loads(line) for line in lines])


def _look(shown: _Demo) -> None:
    found, total = 0, 0
    for path, size in _files(shown.vault):
        _print(Text(f"{size:>7}  {os.path.relpath(path, shown.vault)}"))
        data = _read(path)
        total += len(data)
        found += sum(data.count(word.encode()) for word in (_SECRET, "Alice", _ID))
    _say(f"The first bytes of {os.path.relpath(shown.file(), shown.vault)}:")
    for line in _hexdump(_read(shown.file())[:_HEX_BYTES]):
        _print(Text(line, style="dim"))
    _say(f'Looked for "{_SECRET}", "Alice" and "{_ID}" in all {total} bytes: found {found} times.', "green")
    _say("File names show a slug of the id; a vault made with --private-names does not.")


def _tamper(shown: _Demo) -> None:

    path = shown.file()
    before = _read(path)
    place = len(before) // 2
    _say(f"Byte {place} of {len(before)} is changed from {before[place]:#04x} to {before[place] ^ 1:#04x}. Loading it:")
    _overwrite(path, place, before[place] ^ 1)
    try:
        with shown.store() as store:
            store.load(_ID)
        _say("It was loaded. That should not happen: please report it.", "bold red")
    except Damaged as error:
        _say(f"{type(error).__name__}: {error}", "red")
    _overwrite(path, place, before[place])
    with shown.store() as store:
        _say(f"Changed back, it reads again: {output.counted(store.load(_ID).message_count, 'message')}.", "green")


def _list(shown: _Demo) -> None:
    with shown.store() as store:
        store.create("alice/groceries", user_id="alice", title="Groceries", messages=[_FIRST_LIFE[0]])
        store.create("bob/standup", user_id="bob", title="Stand-up", ttl="7d")
        records = [info.facts() for info in store.list()]
        mine = store.count(user_id="alice")
    output.table(COLUMNS, records, indent=3)
    _say(f"Read from the index, without opening a conversation. Of user alice: {mine}.")


def _sweep(shown: _Demo) -> None:
    with shown.store() as store:
        store.create("bob/one-time-code", user_id="bob", ttl=_SHORT_TTL)
        _say(f"A session with {_SHORT_TTL * 1000:.0f} ms to live: {store.count()} sessions.")
        time.sleep(2 * _SHORT_TTL)
        _say(f"Now it has expired: {store.count()} sessions.")
        _say(f"The sweep removes {store.sweep()}, and only what has expired.", "green")


def _measure(shown: _Demo) -> None:
    from ..disk import Disk  # noqa: PLC0415 - as above

    message = _FIRST_LIFE[1]
    with shown.store() as store, shown.store(cache_bytes=0) as cold:
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
            _print(Text(f"{name:<20}{statistics.median(times) * 1e6:>8.0f} µs   (median of {len(times)})"))
    kind = Disk().filesystem(shown.vault) or "this file system"
    _say(f"Each write returned after its flush, here to {kind}. Each cached load asked the disk for anything newer.")


_STEPS: tuple[tuple[str, Callable[[_Demo], None]], ...] = (
    ("A vault", _make),
    ("A conversation over two process lives", _converse),
    ("What lies on disk", _look),
    ("One byte changed", _tamper),
    ("A listing", _list),
    ("A sweep", _sweep),
    ("Timings on this machine", _measure),
)


def _child(shown: _Demo, *arguments: str) -> tuple[int, str]:
    """Run a command in a process of its own; its process id and what it wrote."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VAULTSESSION_")}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (package, environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", "vaultsession", "-V", shown.vault, "--key-file", shown.key_file, *arguments]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environ) as process:  # noqa: S603 - this very program
        told, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the second process ended with {process.returncode}")
    return process.pid, told.decode()


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


def _transcript(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        role, content, _ = spoken(message)
        line = Text(f"{role:<10}", style=ROLES.get(role, ""))
        line.append(output.escaped(content or ""), style="default")
        _print(line, 5)


def _say(text: str, style: str = "") -> None:
    _print(Text(output.escaped(text), style=style))


def _print(text: Text, indent: int = 3) -> None:
    output.paragraph(text, indent=indent)
