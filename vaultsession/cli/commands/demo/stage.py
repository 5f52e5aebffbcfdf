"""What every demonstration stands on: a vault in a temporary directory, its key beside it, other processes, words.

Nothing of the user's is touched: no setting, variable or keyring is asked, unless a demonstration is about that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ... import output
from ..show import ROLES, spoken

if TYPE_CHECKING:
    from ....store.store import SessionStore
    from ....vault.os_keyring import OsKeyring
    from ....vault.secret import RawKey


@dataclass(frozen=True, slots=True)
class Stage:
    """A temporary directory, the vault in it, the private file with its key, and how to open it."""

    place: str

    @property
    def vault(self) -> str:
        """Where the vault is."""
        return os.path.join(self.place, "vault")

    @property
    def key_file(self) -> str:
        """Where its key is."""
        return os.path.join(self.place, "key")

    @property
    def key_options(self) -> tuple[str, ...]:
        """The options of a command that name the key; none where it is in the OS keyring."""
        return ("--key-file", self.key_file) if os.path.exists(self.key_file) else ()

    def make(self) -> None:
        """Make the vault, with a random key in its file."""
        from ....vault.secret import RawKey  # noqa: PLC0415 - the store is dear to import, and --help does without

        key = RawKey.generate()
        descriptor = os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as stream:
            stream.write(key.text() + "\n")
        self._create(key)

    def make_in_keyring(self) -> str:
        """The same with the key in the OS keyring, and the name of its entry there.

        ``KeyUnavailable`` where there is no keyring that keeps secrets safely; the vault is made all the same, with the
        key in its file.
        """
        from ....errors import KeyUnavailable  # noqa: PLC0415 - as above
        from ....vault.os_keyring import OsKeyring  # noqa: PLC0415 - as above
        from ....vault.secret import RawKey  # noqa: PLC0415 - as above

        made: list[OsKeyring] = []

        def kept(vault_id: bytes) -> RawKey:
            entry, key = OsKeyring(vault_id), RawKey.generate()
            entry.keep(key)
            made.append(entry)
            return key

        try:
            self._create(kept)
        except BaseException as error:
            for entry in made:
                entry.forget()
            if isinstance(error, KeyUnavailable):
                self.make()
            raise
        return made[0].name

    def forget(self) -> None:
        """Take the key out of the OS keyring, if it is there."""
        entry = None if self.key_options else self._entry()
        if entry is not None:
            entry.forget()

    def store(self, *, cache_bytes: int = 64 << 20) -> SessionStore:
        """The store, with settings of its own."""
        from ....store.open import open_store  # noqa: PLC0415 - as above
        from ....store.settings import Settings  # noqa: PLC0415 - as above
        from ....vault.key_places import KeyFile  # noqa: PLC0415 - as above

        key = KeyFile(self.key_file) if self.key_options else self._entry()
        return open_store(self.vault, key=key, settings=Settings(cache_bytes=cache_bytes), create=False)

    def process(self, *arguments: str) -> subprocess.Popen[bytes]:
        """This very program on the vault, in a process of its own."""
        command = [sys.executable, "-m", "vaultsession", "-V", self.vault, *self.key_options, *arguments]
        return subprocess.Popen(  # noqa: S603 - this very program
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )

    def run(self, *arguments: str, said: str = "") -> tuple[int, str]:
        """The same to its end, hearing ``said``; its process id and what it wrote."""
        process = self.process(*arguments)
        return process.pid, self.ended(process, said)

    def ended(self, process: subprocess.Popen[bytes], said: str | None = None) -> str:
        """What a process wrote until its end."""
        told, _ = process.communicate(None if said is None else said.encode())
        if process.returncode:
            raise RuntimeError(f"a second process ended with {process.returncode}")
        return told.decode()

    def _create(self, secret: RawKey | Callable[[bytes], RawKey]) -> None:
        from ....util.clock import SystemClock  # noqa: PLC0415 - as above
        from ....vault import Vault, VaultDirectory  # noqa: PLC0415 - as above

        Vault(VaultDirectory(self.vault)).create(secret, now=SystemClock().now())

    def _entry(self) -> OsKeyring | None:
        """The entry of the vault in the OS keyring; None where there is no vault."""
        from ....vault import Vault, VaultDirectory  # noqa: PLC0415 - as above
        from ....vault.os_keyring import OsKeyring  # noqa: PLC0415 - as above

        directory = Vault(VaultDirectory(self.vault))
        return OsKeyring(directory.identity().vault_id) if directory.exists() else None


def steps(stage: Stage, named: Sequence[tuple[str, Callable[[Stage], None]]]) -> None:
    """One step after the other, each below its title."""
    for number, (title, step) in enumerate(named, 1):
        show(Text(f"{number}  {title}", style="bold cyan"), 0)
        step(stage)
        output.line("")


def transcript(messages: Sequence[Mapping[str, Any]]) -> None:
    """What was said, a line each."""
    for message in messages:
        role, content, _ = spoken(message)
        line = Text(f"{role:<10}", style=ROLES.get(role, ""))
        line.append(output.escaped(content or ""), style="default")
        show(line, 5)


def say(text: str, style: str = "") -> None:
    """A sentence."""
    show(Text(output.escaped(text), style=style))


def show(text: Text, indent: int = 3) -> None:
    """A line, wrapped."""
    output.paragraph(text, indent=indent)


def _environment() -> dict[str, str]:
    """This environment without the settings of whoever runs it."""
    package = os.path.abspath(__file__)
    for _ in range(5):
        package = os.path.dirname(package)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("VAULTSESSION_")}
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, (package, environ.get("PYTHONPATH"))))
    return environ
