"""Places that keys come from, as tests make them: a keyring in memory, a command that prints, a file, none at all."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from vaultsession.errors import KeyUnavailable


class Entries(dict):
    """A keyring backend in memory, under whatever name it shall have."""

    def get_password(self, service, username):
        return self.get((service, username))

    def set_password(self, service, username, password):
        self[service, username] = password

    def delete_password(self, service, username):
        del self[service, username]


def backend(name="keyring.backends.SecretService.Keyring", base=Entries):
    module, _, kind = name.rpartition(".")
    return type(kind, (base,), {"__module__": module, "__qualname__": kind})()


def print_command(text, then=""):
    return shlex.join([sys.executable, "-c", f"import sys; sys.stdout.write({text!r}); sys.stdout.flush(); {then}"])


class Nobody:
    name = "prompt on the terminal"

    def secret(self):
        raise KeyUnavailable("prompt on the terminal: there is no terminal")


def private_file(directory: Path, content: str | bytes, mode: int = 0o600, name: str = "key") -> str:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return str(path)
