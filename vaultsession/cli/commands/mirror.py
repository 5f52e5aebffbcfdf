"""``vaultsession mirror``: the copy of a vault at a second place, compared, brought level, proved, restored from."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from ...admin.restore import MirroredSession, Proof, needs, restore_metadata
from ...admin.restore import restore as restore_sessions
from ...admin.restore import verify as verify_sessions
from ...backends.protocol import Backend
from ...backends.replication import Gap, Outcome, differing, follow
from ...engine.reader import Reader
from ...errors import BackendUnavailable, InvalidSetting, VaultError, VaultNotFound
from ...format.sealed import ReadHead
from ...store.mirror import MirrorMetadata, refuse_same
from ...util.disk import Disk
from ...vault import UnlockedVault, Vault
from ...vault.location import VaultLocation
from ...vault.replication import lacking_dictionaries
from .. import exit_codes, output
from ..output import HELP_STYLE, Column, Form, JsonForm
from ..progress import WorkProgress, bar
from ..vault_options import VaultOptions, Where, takes_options

app = typer.Typer(help="The mirror of a vault at a second place.", no_args_is_help=True, rich_markup_mode=HELP_STYLE)

MirrorPlace = Annotated[
    str | None, typer.Option("--mirror", metavar="PLACE", help="Path or URL of the mirror; else $VAULTSESSION_MIRROR.")
]

_COLUMNS = (
    Column("key", style="bold"),
    Column("found"),
    Column("records", right=True, wide=True),
    Column("bytes", show=output.size, right=True, wide=True),
    Column("problem"),
)
_Both = tuple[VaultLocation, VaultLocation, Reader, UnlockedVault]
_TENANTS = (
    "the keys of tenants, and a mirror holds none: put tenants/ back from its own backup, into "
    "the restored vault, and run this again"
)
_INTERRUPTED = "the same command goes on"
_UNPROVED = "what the vault has of it was not made with its keys: the mirror's was left as it is"
_FRESHNESS = (
    "What was restored is authentic; that it is the newest cannot be proved: a mirror can withhold the end of a "
    "session. Compare with any other copy that you have."
)


@app.command("status")
@takes_options
def status(where: Where, *, mirror: MirrorPlace = None, form: JsonForm) -> None:
    """Compare the mirror with the vault. Nothing is changed, at either place.

    Exit code 0 where they are level, 3 where they are not, 1 where the mirror is out of reach.
    """
    with _both(where, mirror) as (ours, theirs, reader, opened):
        metadata = _metadata(ours.vault, theirs.vault)
        lacking, wants = 0, list[str]()
        counts: Counter[Gap] = Counter()
        if metadata != "missing":
            lacking = len(lacking_dictionaries(ours.vault, theirs.vault, opened))
            wants = list(needs(ours.vault, theirs.vault, opened))
            with _backends(ours, theirs, reader) as (source, follower):
                counts = Counter(gap for _, gap in differing(source, follower))
        else:
            with contextlib.closing(ours.backend(reader.describe)) as source:
                counts[Gap.MISSING] = source.stats()["sessions"]
        place = theirs.vault.path
    level = metadata == "level" and not lacking and not any(counts[gap] for gap in Gap if gap is not Gap.EXTRA)
    record = {"mirror": place, "level": level, "key_slots": metadata, **{str(gap): counts[gap] for gap in Gap}}
    output.facts(record, form=form, json={**record, "needs": wants})
    _say_needs(form, wants)
    exit_codes.end(partial=not level)


@app.command("sync")
@takes_options
def sync(where: Where, *, mirror: MirrorPlace = None, form: JsonForm) -> None:
    """Bring the mirror to what the vault has.

    Sessions travel sealed. On the mirror nothing is removed or replaced but by what was made with the keys of the
    vault; what is newer there is left.

    Exit code 0 where they are level then, 3 where a session could not be brought level.
    """
    counts: Counter[str] = Counter()
    failed: list[dict[str, str]] = []
    with _both(where, mirror) as (ours, theirs, reader, opened):
        level = MirrorMetadata(ours.vault, opened, reader)
        metadata = level.bring_to(theirs.vault)
        with (
            _backends(ours, theirs, reader, level.read_head) as (source, follower),
            bar("Syncing", interrupted=_INTERRUPTED) as progress,
        ):
            for number, (key, _) in enumerate(differing(source, follower), 1):
                try:
                    outcome = follow(source, follower, key, accept=level.accept)
                    counts[str(outcome)] += 1
                    if outcome is Outcome.UNPROVED:
                        failed.append({"key": key, "problem": _UNPROVED})
                except BackendUnavailable:
                    raise
                except VaultError as error:
                    failed.append({"key": key, "problem": str(error)})
                progress(number)
        place = theirs.vault.path
    if metadata is Outcome.AHEAD:
        failed.append({"key": "", "problem": "the key slots of the mirror are newer, or were changed otherwise"})
    done = {"mirror": place, **{name: counts[name] for name in ("appended", "replaced", "removed", "ahead", "extra")}}
    output.facts({**done, "failed": len(failed)}, form=form, json={**done, "failed": failed})
    for each in failed if form is not Form.JSON else ():
        output.say(f"{each['key']}: {each['problem']}")
    exit_codes.end(partial=bool(failed or counts["ahead"]))


@app.command("verify")
@takes_options
def verify(where: Where, *, mirror: MirrorPlace = None, form: JsonForm) -> None:
    """Open and authenticate every record of every session of the mirror, and compare it with the vault.

    Nothing is changed, at either place.

    Exit code 6 where a session of the mirror is damaged, 3 where one is behind, ahead, torn or locked.
    """
    with (
        _both(where, mirror) as (ours, theirs, reader, opened),
        bar("Verifying", interrupted="nothing was changed") as progress,
    ):
        if not theirs.vault.exists():
            raise VaultNotFound(f"there is no mirror at {theirs.vault.path}: `vaultsession mirror sync` makes one")
        with _backends(ours, theirs, reader) as (source, follower):
            proofs = list(_counted(verify_sessions(source, follower, reader), progress))
        lacking = lacking_dictionaries(ours.vault, theirs.vault, opened)
        wants = list(needs(ours.vault, theirs.vault, opened))
    _show_proofs(form, proofs, wants, partial=bool(lacking))


@app.command("restore")
@takes_options
def restore(where: Where, *, mirror: MirrorPlace = None, form: JsonForm) -> None:
    """Make a lost vault of its mirror, in an empty directory: the one that --vault names.

    Each session is authenticated, record by record, before it is put in place; what does not authenticate is named and
    left out. One that was interrupted goes on where it is repeated.

    Exit code 0 where all was restored, 3 where a session was left out.
    """
    disk = Disk()
    with contextlib.ExitStack() as stack:
        theirs = stack.enter_context(contextlib.closing(VaultLocation.at(_place(where, mirror), disk)))
        ours = stack.enter_context(contextlib.closing(VaultLocation.at(where.path, disk)))
        opened = restore_metadata(theirs.vault, ours.vault, where.candidates(theirs.vault))
        reader = Reader.of_vault(ours.vault, opened)
        wants = [_TENANTS] if opened.keyring.tenant_keys and not ours.vault.tenants() else []
        _say_needs(form, wants)
        source, target = stack.enter_context(_backends(theirs, ours, reader))
        progress = stack.enter_context(bar("Restoring", interrupted=_INTERRUPTED))
        proofs = list(_counted(restore_sessions(source, target, reader), progress))
    output.say(f"vaultsession: {_FRESHNESS}")
    _show_proofs(form, proofs, wants, restored=sum(proof.restored for proof in proofs))


def _place(where: VaultOptions, mirror: str | None) -> str:
    place = where.settings.mirror if mirror is None else mirror
    if not place:
        raise InvalidSetting("which mirror? give --mirror, or set VAULTSESSION_MIRROR")
    refuse_same(place, where.path)
    return place


@contextlib.contextmanager
def _both(where: VaultOptions, mirror: str | None) -> Iterator[_Both]:
    """The vault, unlocked, and where its mirror is."""
    place, disk, allow = _place(where, mirror), Disk(), where.settings.allow_network
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(contextlib.closing(VaultLocation.at(where.path, disk, allow_network=allow)))
        if not ours.vault.exists():
            raise VaultNotFound(f"there is no vault at {ours.vault.path}: `vaultsession mirror restore` makes one")
        opened = ours.vault.unlock(where.candidates(ours.vault))
        theirs = stack.enter_context(contextlib.closing(VaultLocation.at(place, disk, allow_network=allow)))
        yield ours, theirs, Reader.of_vault(ours.vault, opened), opened


@contextlib.contextmanager
def _backends(
    one: VaultLocation, other: VaultLocation, reader: Reader, read_head: ReadHead | None = None
) -> Iterator[tuple[Backend, Backend]]:
    with (
        contextlib.closing(one.backend(reader.describe)) as first,
        contextlib.closing(other.backend(read_head or reader.describe)) as second,
    ):
        yield first, second


def _metadata(ours: Vault, theirs: Vault) -> str:
    if not theirs.exists():
        return "missing"
    if theirs.identity().vault_id != ours.identity().vault_id:
        raise InvalidSetting(f"{theirs.path} holds another vault than {ours.path}: choose another place")
    return "level" if theirs.metadata() == ours.metadata() else "different"


def _counted(proofs: Iterable[Proof], progress: WorkProgress) -> Iterator[Proof]:
    for number, proof in enumerate(proofs, 1):
        progress(number)
        yield proof


def _say_needs(form: Form, wants: list[str]) -> None:
    if form is not Form.JSON:
        output.say_some([f"a restore needs {each}" for each in wants])


def _show_proofs(
    form: Form, proofs: list[Proof], wants: list[str], *, restored: int | None = None, partial: bool = False
) -> None:
    """What was found, and the exit code that says so."""
    records = list(map(asdict, proofs))
    problems = [record for record in records if record["problem"]]
    counts = Counter(proof.found for proof in proofs)
    totals = {str(each): counts[each] for each in MirroredSession} | (
        {} if restored is None else {"restored": restored}
    )
    document = {"sessions": len(proofs), **totals, "problems": problems, "needs": wants}
    sentence = output.listed(totals) or "no sessions"
    output.show_problems(records, problems, _COLUMNS, form, json=document, sentence=sentence)
    if restored is None:
        _say_needs(form, wants)
    exit_codes.end(lost=bool(counts[MirroredSession.DAMAGED] and restored is None), partial=bool(problems) or partial)
