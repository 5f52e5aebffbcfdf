"""``vaultsession web``: the conversations of a vault in a browser of this machine."""

from __future__ import annotations

import sys
import threading

from typer import Option

from ...errors import InvalidSetting
from .. import output
from ..vault_options import Where, takes_options

_EXTRA = ("starlette", "uvicorn", "jinja2", "markdown_it", "nh3", "pygments")


@takes_options
def web(
    where: Where,
    *,
    port: int = Option(0, "--port", metavar="N", min=0, max=65535, show_default=False, help="Else one that is free."),
    no_browser: bool = Option(False, "--no-browser", help="Only print the address."),
    write: bool = Option(
        False, "--write", help="With what changes sessions: title, labels, fork, touch, export, delete."
    ),
) -> None:
    """Read the conversations of a vault in a browser.

    The page is served on a loopback port, to whoever has the address that is printed, until Ctrl-C; nothing leaves the
    machine. A passphrase is asked for here and never in the page. Like any reading, opening a conversation extends a
    sliding session; nothing else is changed without --write.
    """
    try:
        from ...web import server  # noqa: PLC0415 - an extra, and dear
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise InvalidSetting("the page needs more packages: pip install 'vaultsession[web]'") from None
    with server.Bound(port) as bound, where.open() as store, server.browser(bound.address) as show:

        def opened() -> None:
            if not show():
                output.say("vaultsession: there is no browser to open: take the address to one of this machine.")

        def begun() -> None:
            output.line(bound.address)
            sys.stdout.flush()
            output.say("The page is there until Ctrl-C. Whoever has the address reads the sessions.", style="dim")
            if not no_browser:  # some browsers run in the terminal, and end when they are left
                threading.Thread(target=opened, name="vaultsession-browser", daemon=True).start()

        server.serve(store, bound, writable=write, begun=begun)
