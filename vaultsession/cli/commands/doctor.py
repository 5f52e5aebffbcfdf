"""``vaultsession doctor``: what is wrong with a vault, and which command mends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from ...errors import KeyUnavailable, VaultError
from .. import exit_codes, output
from ..output import AsJson, AsJsonLines, Form
from ..vault_options import VaultOptions, takes_vault

if TYPE_CHECKING:
    from ...admin.doctor import Finding
    from ...vault import Vault
    from ...vault.secret import Secret

_STYLES = {"INFO": "cyan", "WARNING": "yellow", "ERROR": "bold red"}


@takes_vault
def doctor(where: VaultOptions, *, as_json: AsJson = False, as_jsonl: AsJsonLines = False) -> None:
    """Look for what is wrong with a vault.

    Nothing is changed, and without a key the structure alone is looked at.

    Exit code 0 where nothing but information was found, 3 for warnings, 6 for errors.
    """
    from ...admin.doctor import Severity, examine  # noqa: PLC0415 - the store is dear to import, and --help does without

    form = Form.chosen(as_json=as_json, as_jsonl=as_jsonl)
    directory = where.directory()
    worst = 0
    told: list[Finding] = []
    for finding in examine(directory.path, candidates(where, directory), key_files=_key_files(where, directory)):
        worst = max(worst, finding.severity)
        told.append(finding)
        if form is Form.JSONL:
            output.line(output.to_json(finding.fields()))
        elif form is Form.TABLE:
            _tell(finding)
    fields = [finding.fields() for finding in told]
    if form is Form.JSON:
        output.document({"vault": directory.path, "findings": fields})
    elif form is Form.TSV:
        output.tsv(("severity", "name", "place", "sentence", "fix"), fields)
    elif form is Form.TABLE and not told:
        output.line("Nothing was found: the vault is well.")
    if worst >= Severity.ERROR:
        raise typer.Exit(exit_codes.INTEGRITY)
    if worst >= Severity.WARNING:
        raise typer.Exit(exit_codes.PARTIAL)


def candidates(where: VaultOptions, directory: Vault) -> Iterator[tuple[str, Secret]]:
    """The secrets, with whatever keeps the sources from being asked told as there being none."""
    try:
        yield from where.candidates(directory)
    except KeyUnavailable:
        raise
    except VaultError as problem:
        raise KeyUnavailable(str(problem)) from problem


def _key_files(where: VaultOptions, directory: Vault) -> Iterator[str]:
    """Files with secrets that this process would use."""
    import os  # noqa: PLC0415 - only here

    from ...store.configuration import environment  # noqa: PLC0415 - as above
    from ...vault.key_sources import KeySources  # noqa: PLC0415 - as above
    from ...vault.secret import KEY_FILE, PASSPHRASE_FILE  # noqa: PLC0415 - as above

    environ = environment()
    named = (where.key_file, where.passphrase_file, environ.get(KEY_FILE), environ.get(PASSPHRASE_FILE))
    yield from (os.path.abspath(os.path.expanduser(path)) for path in named if path)
    try:
        yield KeySources().key_file(directory.identity().vault_id).path
    except VaultError:
        return


def _tell(finding: Finding) -> None:
    console = output.data()
    severity = finding.severity.name
    head = Text(f"{severity.lower()}  ", style=_STYLES[severity])
    head.append(finding.name, style="bold")
    if finding.place:
        head.append(f"  {output.escaped(finding.place)}", style="dim")
    console.print(head)
    output.paragraph(Text(output.escaped(finding.sentence)), indent=2)
    if finding.fix:
        output.paragraph(Text(f"fix: {output.escaped(finding.fix)}", style="green"), indent=2)
