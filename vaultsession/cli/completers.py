"""Completing ids: those of the newest sessions, from a vault that opens at once and without a question.

A completed id is put on a command line, where a shell reads it again, and an id may be chosen by anyone: only those
that mean nothing to a shell are offered.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import VaultError
from ..util.lazy import LazyModule
from .vault_options import VaultOptions, absolute

if TYPE_CHECKING:
    from ..admin.doctor import readonly
    from ..format import sealed
    from ..util import clock
    from ..vault import Vault, key_places, key_sources
    from ..vault import secret as secret_names
    from ..vault.key_sources import KeySource
    from ..vault.secret import Secret
else:  # only while a line is completed
    readonly, sealed = LazyModule(".admin.doctor.readonly"), LazyModule(".format.sealed")
    clock, secret_names = LazyModule(".util.clock"), LazyModule(".vault.secret")
    key_places, key_sources = LazyModule(".vault.key_places"), LazyModule(".vault.key_sources")

_NEWEST = 1000
"""Sessions that are looked through."""
_MOST = 100
"""Ids that are offered."""
_PLAIN = re.compile(r"[A-Za-z0-9_.@%+,/][A-Za-z0-9_.@%+,/:=-]*")


def complete_id(context: typer.Context, incomplete: str) -> list[str]:
    """Ids that begin so; none where anything goes wrong."""
    logging.getLogger("vaultsession").setLevel(logging.CRITICAL)
    outer = context.parent.params if context.parent is not None else {}
    given = {name: context.params.get(name) or outer.get(name) for name in ("vault", "key_file")}
    found = []
    with contextlib.suppress(Exception):
        for name in _ids(VaultOptions(**given)):
            if name.startswith(incomplete) and _PLAIN.fullmatch(name):
                found.append(name)
            if len(found) == _MOST:
                break
    return found


def _ids(where: VaultOptions) -> Iterator[str]:
    """Of the newest sessions; the vault is read, and never changed."""
    directory = where.directory()
    with readonly.opened_read_only(directory.path, _secrets(where, directory)) as opened:
        query = sealed.Query(alive_at=clock.SystemClock().now(), limit=_NEWEST)
        for row in opened.backend.scan(query):
            yield opened.reader.rows.open(row)[1].id


def _secrets(where: VaultOptions, directory: Vault) -> Iterator[tuple[str, Secret]]:
    """Keys that are there: nothing is asked for, no command is run, and no passphrase is derived from."""
    named = where.key_file or where.environ.get(secret_names.KEY_FILE)
    sources: list[KeySource] = [key_places.KeyFile(absolute(named))] if named else []
    sources.append(key_sources.EnvironmentKey(environ=where.environ))
    with contextlib.suppress(VaultError):
        sources.append(key_sources.KeySources(where.environ).key_file(directory.identity().vault_id))
    for source in sources:
        with contextlib.suppress(VaultError):
            secret = source.secret()
            if secret is not None:
                yield source.name, secret


SessionId = Annotated[str, typer.Argument(metavar="ID", help="The session.", autocompletion=complete_id)]
SessionIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID", help="The sessions; or --all, or filters.", autocompletion=complete_id),
]
