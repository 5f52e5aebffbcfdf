"""``vaultsession doctor``: what is wrong with a vault, and which command mends it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...admin.doctor import Finding, Severity, examine
from ...errors import KeyUnavailable, VaultError
from ...vault import Vault
from ...vault.key_sources import KeySources
from ...vault.secret import Secret
from .. import exit_codes, output
from ..output import AnyForm, Form
from ..vault_options import VaultOptions, Where, takes_options

WELL = "Nothing was found: the vault is well."
STYLES = {"INFO": "cyan", "WARNING": "yellow", "ERROR": "bold red",
          "mended": "green", "planned": "cyan", "left": "yellow", "failed": "bold red"}  # fmt: skip


@takes_options
def doctor(where: Where, *, form: AnyForm) -> None:
    """Look for what is wrong with a vault.

    Nothing is changed, and without a key the structure alone is looked at.

    Exit code 0 where nothing but information was found, 3 for warnings, 6 for errors.
    """
    directory = where.directory()
    found: list[Finding] = []
    for finding in examine(directory.path, candidates(where, directory), key_files=_key_files(where, directory)):
        found.append(finding)
        if form is Form.JSONL:
            output.lines([finding.fields()])
        elif form is Form.TABLE:
            print_finding(finding)
    if form in (Form.JSON, Form.TSV):
        columns = ("severity", "name", "place", "sentence", "fix")
        fields = [finding.fields() for finding in found]
        output.show(fields, columns, form, json={"vault": directory.path, "findings": fields})
    elif form is Form.TABLE and not found:
        output.line(WELL)
    end(found)


def end(findings: Iterable[Finding]) -> None:
    """The exit code that findings mean."""
    worst = max((finding.severity for finding in findings), default=Severity.INFO)
    exit_codes.end(lost=worst >= Severity.ERROR, partial=worst >= Severity.WARNING)


def candidates(where: VaultOptions, directory: Vault) -> Iterator[tuple[str, Secret]]:
    """The secrets; what keeps the sources from being asked is a ``KeyUnavailable``."""
    try:
        yield from where.candidates(directory)
    except KeyUnavailable:
        raise
    except VaultError as problem:
        raise KeyUnavailable(str(problem)) from problem


def _key_files(where: VaultOptions, directory: Vault) -> Iterator[str]:
    """Files with secrets that this process would use."""
    yield from where.secret_files
    try:
        yield KeySources().key_file(directory.identity().vault_id).path
    except VaultError:
        return


def print_finding(finding: Finding, outcome: str = "", said: str = "") -> None:
    """A finding for people, with what came of mending it, else with its severity and the fix."""
    severity = finding.severity.name
    head = (f"{outcome or severity.lower()}  ", STYLES[outcome or severity]), (finding.name, "bold")
    output.data().print(output.styled(*head, (f"  {finding.place}" if finding.place else "", "dim")))
    output.paragraph(finding.sentence, indent=2)
    if outcome:
        output.paragraph(said, style=STYLES[outcome], indent=2)
    elif finding.fix:
        output.paragraph(f"fix: {finding.fix}", style="green", indent=2)
