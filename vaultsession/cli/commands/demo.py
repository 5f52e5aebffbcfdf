"""``vaultsession demo``: what a newcomer runs first. A real vault, and everything said of it is measured or read."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

from typer import Option

from ...backends.files import preallocation
from ...errors import Damaged, WrongKey
from ...format.messages import understand
from ...format.messages.plain import said
from ...store.open import open_store
from ...store.settings import Settings
from ...store.store import SessionStore
from ...util.clock import SystemClock
from ...vault import Vault, VaultDirectory
from ...vault.secret import RawKey
from .. import output
from ..prompts import key_in_file
from ..transcript import ROLES
from .ls import COLUMNS

_ID = "alice/first-chat"
_SECRET = "Marrakesh"  # noqa: S105 - a word to look for, not a password
_MESSAGES = (
    {"role": "user", "content": f"Hello! I am Alice, and I am planning a trip to {_SECRET}."},
    {"role": "assistant", "content": f"Noted, Alice. {_SECRET} is at its best in spring."},
)
_QUESTION = "What did I tell you about my plans?"
_HEX_BYTES = 48


def demo(keep: bool = Option(False, "--keep", help="Leave the vault and its key where they are.")) -> None:
    """See a vault at work, in a few seconds.

    There is nothing to set up, and nothing is left behind.
    """
    began = time.perf_counter()
    place = tempfile.mkdtemp(prefix="vaultsession-demo-")
    try:
        _Demo(place).run()
    finally:
        if not keep:
            shutil.rmtree(place, ignore_errors=True)
    if keep:
        _say("Kept. Look around with:")
        _say(f"  vaultsession ls -V {place}/vault --key-file {place}/key", "green")
    else:
        _say(
            f"All of it is gone again, after {time.perf_counter() - began:.1f} s. Yours begins with: vaultsession init"
        )


def never_ends(messages: list[dict[str, Any]]) -> Iterator[str]:
    """An agent that is killed before it has answered."""
    yield f"You have said {len(messages)} things, and …\n"
    time.sleep(3600)


class _Demo:
    """A vault in a temporary directory, with its key beside it. Nothing of the user's is read or changed."""

    def __init__(self, place: str) -> None:
        self._vault, self._key_file = f"{place}/vault", f"{place}/key"
        self._key, _ = key_in_file(self._key_file, self._vault)

    def run(self) -> None:
        """Each step below its title."""
        steps = (
            ("A vault", self._make),
            ("A conversation, and a crash", self._crash),
            ("What lies on disk", self._look),
            ("A wrong key", self._wrong_key),
            ("One byte changed", self._tamper),
            ("A listing", self._list),
            ("A search", self._search),
        )
        for number, (title, step) in enumerate(steps, 1):
            output.paragraph(f"{number}  {title}", style="bold cyan")
            step()
            output.line("")

    def _make(self) -> None:
        Vault(VaultDirectory(self._vault)).create(self._key, now=SystemClock().now())
        _say(f"made in {self._vault}")
        _say("Its key is random and lies outside, in a file that only you can read.")

    def _crash(self) -> None:
        with self._open() as store:
            store.create(_ID, user_id="alice", title="A trip", labels={"client": "demo"}, messages=_MESSAGES)
            _transcript(store.messages(_ID))
        command = [sys.executable, "-m", "vaultsession", "-V", self._vault, "--key-file", self._key_file]
        command += ["chat", _ID, "--agent", f"{__name__}:never_ends"]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("VAULTSESSION_")}
        root = os.path.abspath(__file__).rpartition(os.path.join("", "vaultsession", "cli", ""))[0]
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environ.get("PYTHONPATH"))))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ) as process:  # noqa: S603 - this very program
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the process has no pipes")
            process.stdin.write(f"{_QUESTION}\n".encode())
            process.stdin.flush()
            if not process.stdout.readline():
                raise RuntimeError("the second process has ended too early")
            process.send_signal(signal.SIGKILL)
        began = time.perf_counter()
        with self._open() as store:
            messages = store.messages(_ID)
        milliseconds = (time.perf_counter() - began) * 1000
        _say(f"Process {process.pid} heard one thing more, and was killed in the midst of its answer.")
        kept = output.counted(len(messages), "message")
        _say(f"Opened again and read in {milliseconds:.0f} ms: {kept}, the last of them")
        _transcript(messages[-1:])

    def _look(self) -> None:
        found = total = 0
        for directory, _, names in sorted(os.walk(self._vault)):
            for name in sorted(names):
                data = _read(path := os.path.join(directory, name))
                _say(f"{len(data):>7}  {os.path.relpath(path, self._vault)}")
                total += len(data)
                found += sum(data.count(word.encode()) for word in (_SECRET, "Alice", _ID))
        _say("The first bytes of the session:")
        for row in _hexdump(_read(self._session_file())[:_HEX_BYTES]):
            output.paragraph(row, style="dim", indent=3)
        _say(f'Looked for "{_SECRET}", "Alice" and "{_ID}" in all {total} bytes: found {found} times.', "green")
        _say("File names show a slug of the id; a vault made with --private-names does not.")

    def _wrong_key(self) -> None:
        try:
            self._open(RawKey.generate()).close()
            _say("It opened. That should not happen: please report it.", "bold red")
        except WrongKey as error:
            _say(f"{type(error).__name__}: {error}", "red")

    def _tamper(self) -> None:
        path = self._session_file()
        before = _read(path)
        place = len(preallocation.without(before)) // 2
        was, is_now = f"{before[place]:#04x}", f"{before[place] ^ 1:#04x}"
        _say(f"Byte {place} of {len(before)} is changed from {was} to {is_now}. Loading it:")
        _overwrite(path, place, before[place] ^ 1)
        with self._open() as store:
            try:
                store.load(_ID)
                _say("It was loaded. That should not happen: please report it.", "bold red")
            except Damaged as error:
                _say(f"{type(error).__name__}: {error}", "red")
        _overwrite(path, place, before[place])
        with self._open() as store:
            _say(f"Changed back, it reads again: {output.counted(store.load(_ID).message_count, 'message')}.", "green")

    def _list(self) -> None:
        with self._open() as store:
            store.create("alice/groceries", user_id="alice", title="Groceries", messages=_MESSAGES[:1])
            store.create("bob/standup", user_id="bob", title="Stand-up", ttl="7d")
            output.table(COLUMNS, [info.facts() for info in store.list()], indent=3)
            _say(f"Read from the index, without opening a conversation. Of user alice: {store.count(user_id='alice')}.")

    def _search(self) -> None:
        with self._open() as store:
            for match in store.search(_SECRET, user_id="alice"):
                start, end = match.span
                before, found, behind = match.excerpt[:start], match.excerpt[start:end], match.excerpt[end:]
                row = output.styled((f"{match.id}  {before}", ""), (found, "bold red"), (behind, ""))
                output.paragraph(row, indent=3)
        _say("Sessions are opened one at a time: no word of them lies in an index.")

    def _open(self, key: RawKey | None = None) -> SessionStore:
        return open_store(self._vault, key=key or self._key, settings=Settings(), create=False)

    def _session_file(self) -> str:
        sessions = os.path.join(self._vault, "sessions")
        return next(entry.path for entry in os.scandir(sessions) if entry.name.startswith("alice-first-chat~"))


def _say(text: str, style: str = "") -> None:
    output.paragraph(text, style=style, indent=3)


def _transcript(messages: list[dict[str, Any]]) -> None:
    for message in messages:
        known = understand(message)
        row = output.styled((f"{known.role:<10}", ROLES.get(known.role, "")), (said(known), ""))
        output.paragraph(row, indent=5)


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
