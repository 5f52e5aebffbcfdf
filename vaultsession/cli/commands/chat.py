"""``vaultsession chat``: a session, talked with. Every turn is in the vault before the next prompt."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from typer import Argument, Option

from ...store.fields import ConversationOptions
from ...store.store import SessionStore
from ...store.turns import Reply
from ...util.lazy import LazyModule
from ..chat.agents import NamedAgent, agent_named, is_asynchronous
from ..chat.chat_loop import COMMANDS, Ask, ChatLoop, OnText
from ..chat.echo import echo
from ..chat.line_input import PipedInput, TerminalInput
from ..completers import complete_id
from ..output import Form, LinesForm
from ..vault_options import Where, takes_options

if TYPE_CHECKING:
    import asyncio

    from ...store import aio
else:  # dear, and most agents are not asynchronous
    asyncio, aio = LazyModule("asyncio"), LazyModule(".store.aio")


@takes_options
def chat(
    where: Where,
    *,
    id: str | None = Argument(
        None, metavar="[ID]", help="The session; a new one by default.", autocompletion=complete_id
    ),
    agent: str | None = Option(
        None, "--agent", metavar="MODULE:CALLABLE", help="Who answers; by default an offline echo."
    ),
    system: str | None = Option(None, "--system", metavar="TEXT", help="Told to the agent at first."),
    window: int | None = Option(None, "--window", min=1, help="Messages that the agent sees; else all."),
    form: LinesForm,
) -> None:
    """Talk with an agent; every turn is kept.

    The agent is a Python callable, asynchronous or not: from the list of messages to text, a message, or a stream of
    text. Several windows may share a session: they are answered one after another, and each sees what the others said.
    In it, /help lists the commands. Piped: each line of stdin is a message, and stdout has the replies.
    """
    chosen = echo if agent is None else agent_named(agent)
    is_person = sys.stdin.isatty() and form is Form.TABLE
    options: ConversationOptions = {"system": system, "window": window, "lease": True}
    with where.open() as store, _asker(store, chosen, options) as ask:
        ChatLoop(store, ask, TerminalInput(COMMANDS) if is_person else PipedInput(), form).run(id)


@contextlib.contextmanager
def _asker(store: SessionStore, agent: NamedAgent, options: Any) -> Iterator[Ask]:  # noqa: ANN401 - ConversationOptions, which a checker cannot follow into Unpack
    """A function that has an agent answer. An asynchronous one runs on a loop of its own; Ctrl-C cancels its task."""
    opened: Any = store
    with contextlib.ExitStack() as stack:
        runner = stack.enter_context(asyncio.Runner()) if is_asynchronous(agent) else None
        if runner is not None:
            opened = aio.AsyncSessionStore(store)
            stack.callback(lambda: runner.run(opened.close()))

        def ask(id: str, said: str | None, on_text: OnText, lease_timeout: float | None) -> Reply:
            chat = opened.conversation(id, agent=agent, lease_timeout=lease_timeout, **options)
            turn: Any = chat.answer(on_text=on_text) if said is None else chat.send(said, on_text=on_text)
            reply: Reply = turn if runner is None else runner.run(turn)
            return reply

        yield ask
