"""``vaultsession mirror``: the copy of a vault at a second place, compared, brought level, proved, restored from."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import BackendUnavailable, InvalidSetting, VaultError, VaultNotFound
from .. import exit_codes, output
from ..output import HELP_STYLE, AsJson, Column, Form
from ..progress import bar
from ..vault_options import VaultOptions, takes_vault

if TYPE_CHECKING:
    from ...admin.restore import Proof
    from ...backends.protocol import Backend
    from ...engine.reader import Reader
    from ...vault import Vault
    from ...vault.location import VaultLocation
    from ...vault.secret import Secret

app = typer.Typer(help="The mirror of a vault at a second place.", no_args_is_help=True, rich_markup_mode=HELP_STYLE)

MirrorPlace = Annotated[
    str | None,
    typer.Option("--mirror", metavar="PLACE", help="Path or URL of the mirror; else $VAULTSESSION_MIRROR."),
]

_GAPS = ("missing", "behind", "removed", "ahead", "extra", "unreadable")
_PROOFS = ("ok", "behind", "ahead", "torn", "locked", "damaged")
_COLUMNS = (
    Column("key", style="bold"),
    Column("found"),
    Column("records", right=True, wide=True),
    Column("bytes", show=output.size, right=True, wide=True),
    Column("problem"),
)
_FRESHNESS = (
    "What was restored is authentic; that it is the newest cannot be proved: a mirror can withhold the end of a "
    "session. Compare with any other copy that you have."
)


@app.command("status")
@takes_vault
def status(where: VaultOptions, *, mirror: MirrorPlace = None, as_json: AsJson = False) -> None:
    """Compare the mirror with the vault. Nothing is changed, at either place.

    Exit code 0 where they are level, 3 where they are not, 1 where the mirror is out of reach.
    """
    from ...backends.replication import differing  # noqa: PLC0415 - the store is dear to import, and --help does without

    form = Form.chosen(as_json=as_json)
    with _both(where, mirror) as (ours, theirs, reader):
        papers = _papers(ours.vault, theirs.vault)
        counts: Counter[str] = Counter()
        if papers != "missing":
            with _backends(ours, theirs, reader) as (source, follower):
                counts = Counter(str(gap) for _, gap in differing(source, follower))
        else:
            with contextlib.closing(ours.backend(reader.describe)) as source:
                counts["missing"] = source.stats()["sessions"]
        place = theirs.vault.path
    level = papers == "level" and not any(counts[gap] for gap in _GAPS if gap != "extra")
    _tell(form, {"mirror": place, "level": level, "key_slots": papers, **{gap: counts[gap] for gap in _GAPS}})
    if not level:
        raise typer.Exit(exit_codes.PARTIAL)


@app.command("sync")
@takes_vault
def sync(where: VaultOptions, *, mirror: MirrorPlace = None, as_json: AsJson = False) -> None:
    """Bring the mirror to what the vault has.

    Sessions travel sealed. On the mirror nothing is removed but what was removed here; what is newer there is left.

    Exit code 0 where they are level then, 3 where a session could not be brought level.
    """
    from ...backends.replication import Outcome, differing, follow  # noqa: PLC0415 - as above
    from ...vault.replication import follow_metadata  # noqa: PLC0415 - as above

    form = Form.chosen(as_json=as_json)
    counts: Counter[str] = Counter()
    failed: list[dict[str, str]] = []
    with _both(where, mirror) as (ours, theirs, reader):
        papers = follow_metadata(ours.vault, theirs.vault)
        with _backends(ours, theirs, reader) as (source, follower), bar("Syncing") as progress:
            for number, (key, _) in enumerate(differing(source, follower), 1):
                try:
                    counts[str(follow(source, follower, key))] += 1
                except BackendUnavailable:
                    raise
                except VaultError as error:
                    failed.append({"key": key, "problem": str(error)})
                progress(number, None)
        place = theirs.vault.path
    if papers is Outcome.AHEAD:
        failed.append({"key": "", "problem": "the key slots of the mirror are newer, or were changed otherwise"})
    told = {name: counts[name] for name in ("appended", "replaced", "removed", "ahead", "extra")}
    record: dict[str, object] = {"mirror": place, **told, "failed": failed if form is Form.JSON else len(failed)}
    _tell(form, record)
    if form is not Form.JSON:
        for each in failed:
            output.say(f"{each['key']}: {each['problem']}")
    if failed or counts["ahead"]:
        raise typer.Exit(exit_codes.PARTIAL)


@app.command("verify")
@takes_vault
def verify(where: VaultOptions, *, mirror: MirrorPlace = None, as_json: AsJson = False) -> None:
    """Open and authenticate every record of every session of the mirror, and compare it with the vault.

    Nothing is changed, at either place.

    Exit code 6 where a session of the mirror is damaged, 3 where one is behind, ahead, torn or locked.
    """
    from ...admin.restore import verify as verified  # noqa: PLC0415 - as above

    form = Form.chosen(as_json=as_json)
    with (
        _both(where, mirror) as (ours, theirs, reader),
        bar("Verifying") as progress,
    ):
        if not theirs.vault.exists():
            raise VaultNotFound(f"there is no mirror at {theirs.vault.path}: `vaultsession mirror sync` makes one")
        with _backends(ours, theirs, reader) as (source, follower):
            proofs = list(_counted(verified(source, follower, reader), progress))
    _tell_proofs(form, proofs)


@app.command("restore")
@takes_vault
def restore(where: VaultOptions, *, mirror: MirrorPlace = None, as_json: AsJson = False) -> None:
    """Make a lost vault of its mirror, in an empty directory: the one that --vault names.

    Each session is authenticated, record by record, before it is put in place; what does not authenticate is told and
    left out. One that was interrupted goes on where it is repeated.

    Exit code 0 where all was restored, 3 where a session was left out.
    """
    from ...admin.restore import restore as restored  # noqa: PLC0415 - as above
    from ...admin.restore import restore_metadata  # noqa: PLC0415 - as above
    from ...engine.vault_reader import reader_of  # noqa: PLC0415 - as above
    from ...util.disk import Disk  # noqa: PLC0415 - as above
    from ...vault.location import VaultLocation  # noqa: PLC0415 - as above

    form = Form.chosen(as_json=as_json)
    disk = Disk()
    with contextlib.ExitStack() as stack:
        theirs = VaultLocation.at(_place(where, mirror), disk)
        stack.callback(theirs.close)
        ours = VaultLocation.at(where.path, disk)
        stack.callback(ours.close)
        opened = restore_metadata(theirs.vault, ours.vault, _candidates(where, theirs.vault))
        reader = reader_of(ours.vault, opened)
        source, target = stack.enter_context(_backends(theirs, ours, reader))
        progress = stack.enter_context(bar("Restoring"))
        proofs = list(_counted(restored(source, target, reader), progress))
    output.say(f"vaultsession: {_FRESHNESS}")
    _tell_proofs(form, proofs, restored=sum(proof.restored for proof in proofs))


def _place(where: VaultOptions, mirror: str | None) -> str:
    from ...store.configuration import environment  # noqa: PLC0415 - as above
    from ...store.mirror import refuse_same  # noqa: PLC0415 - as above
    from ...store.settings import Settings  # noqa: PLC0415 - as above

    place = mirror or Settings.from_environment(environment()).mirror
    if not place:
        raise InvalidSetting("which mirror? give --mirror, or set VAULTSESSION_MIRROR")
    refuse_same(place, where.path)
    return place


def _candidates(where: VaultOptions, vault: Vault) -> Iterator[tuple[str, Secret]]:
    from ...store.configuration import environment  # noqa: PLC0415 - as above
    from ...vault.key_sources import KeySources  # noqa: PLC0415 - as above

    takes_passphrase = any(slot.takes_passphrase for slot in vault.slots())
    return KeySources(environment()).candidates(
        where.key(), vault.identity().vault_id, takes_passphrase=takes_passphrase
    )


@contextlib.contextmanager
def _both(where: VaultOptions, mirror: str | None) -> Iterator[tuple[VaultLocation, VaultLocation, Reader]]:
    """The vault, unlocked, and where its mirror is."""
    from ...engine.vault_reader import reader_of  # noqa: PLC0415 - as above
    from ...store.configuration import environment  # noqa: PLC0415 - as above
    from ...store.settings import Settings  # noqa: PLC0415 - as above
    from ...util.disk import Disk  # noqa: PLC0415 - as above
    from ...vault.location import VaultLocation  # noqa: PLC0415 - as above

    place, disk, allow = _place(where, mirror), Disk(), Settings.from_environment(environment()).allow_network
    with contextlib.ExitStack() as stack:
        ours = VaultLocation.at(where.path, disk, allow_network=allow)
        stack.callback(ours.close)
        if not ours.vault.exists():
            raise VaultNotFound(f"there is no vault at {ours.vault.path}: `vaultsession mirror restore` makes one")
        opened = ours.vault.unlock(_candidates(where, ours.vault))
        theirs = VaultLocation.at(place, disk, allow_network=allow)
        stack.callback(theirs.close)
        yield ours, theirs, reader_of(ours.vault, opened)


@contextlib.contextmanager
def _backends(one: VaultLocation, other: VaultLocation, reader: Reader) -> Iterator[tuple[Backend, Backend]]:
    with (
        contextlib.closing(one.backend(reader.describe)) as first,
        contextlib.closing(other.backend(reader.describe)) as second,
    ):
        yield first, second


def _papers(ours: Vault, theirs: Vault) -> str:
    if not theirs.exists():
        return "missing"
    if theirs.identity().vault_id != ours.identity().vault_id:
        raise InvalidSetting(f"{theirs.path} holds another vault than {ours.path}: choose another place")
    return "level" if theirs.metadata() == ours.metadata() else "different"


def _counted(proofs: Iterable[Proof], progress: object) -> Iterator[Proof]:
    for number, proof in enumerate(proofs, 1):
        if callable(progress):
            progress(number, None)
        yield proof


def _tell(form: Form, record: dict[str, object]) -> None:
    if form is Form.JSON:
        output.document(record)
    else:
        output.facts(record)


def _tell_proofs(form: Form, proofs: list[Proof], *, restored: int | None = None) -> None:
    """What was found, and the exit code that says so."""
    records = [
        {
            "key": proof.key,
            "found": str(proof.found),
            "records": proof.records,
            "bytes": proof.size,
            "problem": proof.problem,
            "restored": proof.restored,
        }
        for proof in proofs
    ]
    problems = [record for record in records if record["problem"]]
    counts = Counter(str(proof.found) for proof in proofs)
    totals: dict[str, object] = {"sessions": len(proofs), **{found: counts[found] for found in _PROOFS}}
    if restored is not None:
        totals["restored"] = restored
    if form is Form.JSON:
        output.document({**totals, "problems": problems})
    elif form is Form.TSV:
        output.tsv([column.name for column in _COLUMNS], records)
    else:
        if problems:
            output.table(_COLUMNS, problems)
        told = ", ".join(f"{number} {name}" for name, number in totals.items() if number and name != "sessions")
        output.line(told or "no sessions")
    if counts["damaged"] and restored is None:
        raise typer.Exit(exit_codes.INTEGRITY)
    if problems:
        raise typer.Exit(exit_codes.PARTIAL)
