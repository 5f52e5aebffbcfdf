"""``vaultsession reindex``: derive the index anew."""

from __future__ import annotations

import contextlib

from .. import output
from ..output import JsonForm
from ..vault_options import Where, takes_options


@takes_options
def reindex(where: Where, *, form: JsonForm) -> None:
    """Derive the index anew.

    It comes from the sessions themselves, of which none is changed.
    """
    with where.open() as store:
        notes = output.notes()
        with notes.status("Reading every session's head …") if notes.is_terminal else contextlib.nullcontext():
            store.reindex()
        sessions = store.stats()["sessions"]
    output.result({"sessions": sessions}, form, f"the index lists {output.counted(sessions, 'session')}")
