"""``vaultsession restore``: files of archived sessions, put back."""

from __future__ import annotations

from collections import Counter

from typer import Option

from ...admin.archive.restorer import RestoreOutcome, Restorer
from ...errors import InvalidSetting
from .. import exit_codes, output
from ..completers import SessionIds
from ..filters import Changed, Chosen
from ..output import Form, JsonForm
from ..progress import bar
from ..vault_options import Where, absolute, takes_options


@takes_options
def restore(
    where: Where,
    *,
    ids: SessionIds = None,
    everything: bool = Option(False, "--all", help="Every archived session."),
    wanted: Chosen,
    period: Changed,
    into: str | None = Option(None, "--to", metavar="DIR", help="Below this directory, and not where the files were."),
    sources: list[str] | None = Option(
        None, "--source", metavar="DIR", help="Also below this path, which was named to `archive`. May be repeated."
    ),
    replace: bool = Option(False, "--replace", help="Also over another file that is there, unless it is newer."),
    form: JsonForm,
) -> None:
    """Put the files of archived sessions back, byte for byte.

    Each goes where it was, with its mode and times, so that its agent finds it: `claude --resume`, `codex resume`. A
    session says itself where that was, so a file that no agent kept goes back only below a --source. The session stays
    in the vault. A file that is there already is left as it is, unless it is the beginning of what is
    put back.

    Exit code 3 where a file could not be put back: the others are. 4 where an ID is not there.
    """
    if (bool(ids) + everything + bool(wanted or period)) != 1:
        raise InvalidSetting("say what to restore: the ids of sessions, or filters such as --since, or --all")
    done = []
    with where.open(cache_bytes=0) as store, bar("Restoring", shown=form is Form.TABLE) as progress:
        restorer = Restorer(
            store, into=None if into is None else absolute(into), sources=sources or (), replace=replace
        )
        if ids:
            names = list(dict.fromkeys(ids))
        else:
            listed = store.list(**wanted)
            names = [info.id for info in period.within(listed, newest_first=True) if not restorer.is_earlier(info.id)]
        for number, name in enumerate(names, 1):
            found = restorer.restore(name)
            if found is not None:
                done.append(found)
            elif ids:
                raise InvalidSetting(f"{name} is no session that was archived: `vaultsession export` writes it")
            progress(number, len(names))
    counts = Counter(each.outcome for each in done)
    totals = {str(each): counts[each] for each in RestoreOutcome}
    problems = [{"id": each.id, "place": each.path, "reason": each.problem} for each in done if each.problem]
    size = sum(each.size for each in done if each.outcome is RestoreOutcome.RESTORED)
    if form is not Form.JSON:
        output.say_some([f"{each['place'] or each['id']}: {each['reason']}" for each in problems])
    if form is Form.TABLE:
        output.line(f"{output.listed(totals)}; {output.size(size)}" if done else "nothing was found to restore")
    else:
        files = [{"id": each.id, "path": each.path, "outcome": str(each.outcome), "bytes": each.size} for each in done]
        output.facts(
            {**totals, "bytes": size}, form=form, json={**totals, "bytes": size, "files": files, "problems": problems}
        )
    exit_codes.end(partial=bool(problems))
