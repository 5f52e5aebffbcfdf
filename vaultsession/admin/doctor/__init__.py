"""Doctor: what is wrong with a vault, as findings. It changes nothing, and does without a key as far as it can."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ...backends.files.layout import FilesLayout
from ...errors import Damaged, KeyUnavailable, UnsupportedFormat, VaultError, VaultNotFound, WrongKey
from ...util.disk import Disk
from ...vault import Vault, VaultDirectory
from ...vault.identity import Identity
from ...vault.secret import Secret
from . import structure
from .contents import contents
from .findings import Finding, Remedy, Severity, error, info, warning
from .readonly import OpenedVault, ReadOnlyDisk, known_keys, opened_read_only
from .structure import structure_of

__all__ = [
    "Finding",
    "OpenedVault",
    "ReadOnlyDisk",
    "Remedy",
    "Severity",
    "examine",
    "known_keys",
    "opened_read_only",
    "structure_of",
]


def examine(
    path: str,
    candidates: Iterable[tuple[str, Secret]] | None = None,
    *,
    key_files: Iterable[str] = (),
    disk: Disk | None = None,
) -> Iterator[Finding]:
    """Every finding about the vault at ``path``, the structural ones first. ``VaultNotFound`` where there is none.

    ``candidates`` are the secrets that may open it, as ``Vault.unlock`` takes them; without one that fits only
    the structure is looked at, and a finding says so. ``key_files`` are files with secrets to look at as well.
    """
    disk = disk or ReadOnlyDisk()
    path = os.path.abspath(path)
    vault, layout = Vault(VaultDirectory(path, disk, allow_network=True)), FilesLayout(path)
    if not vault.exists():
        raise VaultNotFound(f"there is no vault at {path}")
    identity: Identity | None = None
    try:
        identity = vault.identity()
    except UnsupportedFormat as problem:
        yield error("vault-format", str(problem), "vault.json")
    except Damaged as problem:
        yield error("vault-facts", str(problem), "vault.json")
    except VaultError:
        pass  # it is not private, which the structure has a finding about
    reported = set()
    for finding in (
        *structure.directory(disk, path),
        *structure.keyring(disk, path, identity.vault_id if identity else None),
    ):
        reported.add(finding.place)
        yield finding
    yield from structure.dictionaries(disk, path)
    yield from structure.key_files(disk, path, key_files)
    yield from structure.writers(disk, layout)
    yield from structure.quarantine(disk, layout)
    yield from structure.sessions(disk, path, layout)
    if identity is not None:
        try:
            with opened_read_only(path, candidates or (), disk) as opened:
                yield from contents(disk, layout, opened, reported)
                return
        except KeyUnavailable as problem:
            reason = "no key was given" if candidates is None else str(problem)
            severity = warning if isinstance(problem, WrongKey) else info
            yield severity("no-key", f"only the structure was looked at: {reason}")
        except VaultError as problem:
            yield error("not-opened", f"the vault does not open: {problem}")
    yield from structure.containers(disk, layout)
