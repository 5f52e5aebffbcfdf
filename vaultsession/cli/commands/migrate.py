"""``vaultsession migrate``: a vault copied to another place, or sealed anew for one with other keys."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import typer
from typer import Argument, Option

from ...admin.migrate import MigrationReport, Trouble, losses, plan
from ...admin.migrate import migrate as migrate_vault
from ...admin.migrate import rekey as rekey_vault
from ...errors import InvalidSetting, KeyUnavailable, VaultNotFound, WrongKey
from ...store.settings import Settings
from ...util.clock import SystemClock
from ...util.disk import Disk
from ...vault import UnlockedVault, Vault
from ...vault.key_sources import KeySources
from ...vault.location import VaultLocation
from .. import exit_codes, output
from ..output import Form, JsonForm
from ..progress import WorkProgress, bar
from ..prompts import DryRun, FirstSecret, warn_of_loss
from ..vault_options import KEY_COMMAND, KEY_FILE, PASSPHRASE_FILE, VaultOptions, Where, takes_options

_LOST = frozenset({Trouble.DAMAGED, Trouble.DIFFERENT})
_FROM, _TO = "Key of FROM", "Key of TO, with --rekey"


@takes_options
def migrate(
    context: typer.Context,
    *,
    source: str = Argument(..., metavar="FROM", help="The vault: a path or a URL."),
    target: str = Argument(..., metavar="TO", help="Where it shall lie as well: a path or a URL."),
    rekey: bool = Option(False, "--rekey", help="Seal all anew, for a vault with other keys."),
    from_key_file: str | None = KEY_FILE("--from-key-file", rich_help_panel=_FROM),
    from_key_command: str | None = KEY_COMMAND("--from-key-command", rich_help_panel=_FROM),
    from_passphrase_file: str | None = PASSPHRASE_FILE("--from-passphrase-file", rich_help_panel=_FROM),
    to_key_file: str | None = KEY_FILE(
        "--to-key-file", rich_help_panel=_TO, help="A private file with the key; made if missing."
    ),
    to_key_command: str | None = KEY_COMMAND("--to-key-command", rich_help_panel=_TO),
    to_passphrase_file: str | None = PASSPHRASE_FILE("--to-passphrase-file", rich_help_panel=_TO),
    dry_run: DryRun = False,
    form: JsonForm,
) -> None:
    """Copy a vault to another place: files, Redis or a database, in any direction.

    Sealed bytes travel as they are, with identity and key slots; with the key at hand each is authenticated first.
    Without a key it copies all the same and proves nothing: name none, and answer a prompt with nothing.

    All is read back and compared. Nothing is removed from FROM; a run that was interrupted is repeated, and goes on.

    Exit code 3 where a session was left out or left as it is, 6 where one is damaged, 5 for a TO with another vault.
    """
    outer = context.obj if isinstance(context.obj, VaultOptions) else None
    before = VaultOptions(source, from_key_file, from_key_command, from_passphrase_file).under(outer)
    after = VaultOptions(target, to_key_file, to_key_command, to_passphrase_file)
    if after.names_a_key and not rekey:
        raise InvalidSetting("a copy opens with the key of FROM: another key takes --rekey")
    with (
        _locations(source, target) as (ours, theirs),
        bar("Migrating", interrupted="the same command goes on") as progress,
    ):
        if not ours.vault.exists():
            raise VaultNotFound(f"there is no vault at {ours.vault.path}: name the one to copy")
        if rekey and dry_run:
            raise InvalidSetting("--rekey cannot be looked at first: what it would write is known when it is sealed")
        known = (
            ours.vault.unlock(before.candidates(ours.vault, os.environ))
            if rekey
            else _unlocked_if_at_hand(before, ours.vault)
        )
        with _locations(source) as (looked_at,):  # an engine is closed with the backend that looked through it
            missing = losses(looked_at, known, rekey=rekey)
        output.say_some([f"To know before it begins: {each}." for each in missing])
        if known is not None and rekey:
            report = _rekeyed(ours, theirs, known, after, progress)
        else:
            report = plan(ours, theirs, known) if dry_run else migrate_vault(ours, theirs, known, progress=progress)
    record = {"from": ours.vault.path, "to": theirs.vault.path, "dry_run": dry_run, **report.fields()}
    problems = [{"session": each.key, "trouble": str(each.trouble), "reason": each.reason} for each in report.problems]
    if form is not Form.JSON:
        output.say_some([f"{each.trouble}: {each.key}: {each.reason}" for each in report.problems])
    output.facts(
        record,
        {"bytes": output.size(report.bytes)},
        form=form,
        json={**record, "missing": missing, "problems": problems},
    )
    lost = any(each.trouble in _LOST for each in report.problems)
    exit_codes.end(lost=lost, partial=bool(report.problems))


@contextlib.contextmanager
def _locations(*places: str) -> Iterator[list[VaultLocation]]:
    """The places, and let go of. Of what is written to files nothing is flushed before the end."""
    allow_network = Settings.from_environment().allow_network
    with contextlib.ExitStack() as stack:
        found = (VaultLocation.at(place, Disk(), durability="os", allow_network=allow_network) for place in places)
        yield [stack.enter_context(contextlib.closing(each)) for each in found]


def _unlocked_if_at_hand(where: Where, vault: Vault) -> UnlockedVault | None:
    """The vault unlocked; None where no key was named, and none was found."""
    try:
        return vault.unlock(where.candidates(vault, os.environ))
    except WrongKey:
        raise
    except KeyUnavailable:
        if KeySources().is_configured(where.key):
            raise
        return None


def _rekeyed(
    ours: VaultLocation,
    theirs: VaultLocation,
    vault: UnlockedVault,
    where: VaultOptions,
    progress: WorkProgress,
) -> MigrationReport:
    clock = SystemClock()
    sources = KeySources(environ={})  # what the environment names is the key of FROM
    if theirs.vault.exists():
        candidates = sources.candidates(where.key, theirs.vault.identity().vault_id)
        other = theirs.vault.unlock(candidates)
    else:
        first, keyring = FirstSecret(where, theirs.vault.path, sources), vault.keyring
        other = theirs.vault.create(
            first.secret, readable_names=keyring.readable_names, now=clock.now(), tenant_keys=keyring.tenant_keys
        )
        warn_of_loss(first.place)
    settings = Settings.from_environment()
    return rekey_vault(ours, theirs, vault, other, clock, settings=settings, progress=progress)
