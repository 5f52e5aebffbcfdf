"""``vaultsession reindex``: derive the index anew."""

from __future__ import annotations

import contextlib

from .. import output
from ..output import AsJson, Form
from ..vault_options import VaultOptions, takes_vault


@takes_vault
def reindex(where: VaultOptions, *, as_json: AsJson = False) -> None:
    """Derive the index anew.

    It comes from the sessions themselves, of which none is changed.
    """
    form = Form.chosen(as_json=as_json)
    with where.open() as store:
        with (
            output.notes().status("Reading every session's head …")
            if output.notes().is_terminal
            else contextlib.nullcontext()
        ):
            store.reindex()
        sessions = store.stats()["sessions"]
    if form is Form.JSON:
        output.document({"sessions": sessions})
    elif form is Form.TSV:
        output.tsv(("sessions",), [{"sessions": sessions}])
    else:
        output.line(f"the index lists {output.counted(sessions, 'session')}")
