"""``vaultsession chat``: a session, talked with. Every turn is in the vault before the next prompt."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..completers import complete_id
from ..output import AsJsonLines, Form
from ..vault_options import VaultOptions, takes_vault

if TYPE_CHECKING:
    from ...store.fields import ConversationOptions
    from ...store.store import SessionStore
    from ...store.turns import Reply
    from ..chat.agents import Named


@takes_vault
def chat(
    where: VaultOptions,
    *,
    id: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]", show_default=False, help="The session; a new one by default.", autocompletion=complete_id
        ),
    ] = None,
    agent: Annotated[
        str | None,
        typer.Option(
            "--agent", metavar="MODULE:CALLABLE", show_default=False, help="Who answers; by default an offline echo."
        ),
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", show_default=False, help="Told to the agent at first.")
    ] = None,
    window: Annotated[
        int | None, typer.Option("--window", min=1, show_default=False, help="Messages that the agent sees; else all.")
    ] = None,
    as_jsonl: AsJsonLines = False,
) -> None:
    """Talk with an agent; every turn is kept.

    The agent is a Python callable, asynchronous or not: from the list of messages to text, a message, or a stream of
    text. Several windows may share a session: they are answered one after another, and each sees what the others said.
    In it, /help lists the commands. Piped: each line of stdin is a message, and stdout has the replies.
    """
    from ..chat.agents import agent_named, is_asynchronous  # noqa: PLC0415 - --help does without what talking needs
    from ..chat.chat_loop import COMMANDS, ChatLoop  # noqa: PLC0415 - as above
    from ..chat.echo import echo  # noqa: PLC0415 - as above
    from ..chat.line_input import Piped, Typed  # noqa: PLC0415 - as above

    form = Form.chosen(as_json=False, as_jsonl=as_jsonl)
    answering = echo if agent is None else agent_named(agent)
    is_person = sys.stdin.isatty() and form is Form.TABLE
    habits: ConversationOptions = {"system": system, "window": window, "lease": True}
    with where.open() as store:
        voice = (_Awaited if is_asynchronous(answering) else _Voice)(store, answering, habits)
        try:
            ChatLoop(store, voice.reply, Typed(COMMANDS) if is_person else Piped(), form).run(id)
        finally:
            voice.close()


class _Voice:
    """An agent, asked for one reply at a time."""

    def __init__(self, store: SessionStore, agent: Named, habits: ConversationOptions) -> None:
        self._store, self._agent, self._habits = store, agent, habits

    def reply(self, id: str, said: str | None, on_text: Callable[[str], object], patience: float | None) -> Reply:
        """The answer to what is said, or with None to what is there; ``LeaseTimeout`` behind so many seconds."""
        chat = self._store.conversation(id, agent=self._agent, **self._how(patience))
        return chat.answer(on_text=on_text) if said is None else chat.send(said, on_text=on_text)

    def close(self) -> None:
        """Nothing is held."""

    def _how(self, patience: float | None) -> Any:  # noqa: ANN401 - Habits, which a checker cannot follow into Unpack
        return {**self._habits, "lease_timeout": patience}


class _Awaited(_Voice):
    """An asynchronous agent, on a loop of its own. Ctrl-C cancels its task."""

    def __init__(self, store: SessionStore, agent: Named, habits: ConversationOptions) -> None:
        super().__init__(store, agent, habits)
        import asyncio  # noqa: PLC0415 - dear, and most agents are not asynchronous

        from ...store.aio import AsyncSessionStore  # noqa: PLC0415 - as above

        self._runner = asyncio.Runner()
        self._awaited = AsyncSessionStore(store)

    def reply(self, id: str, said: str | None, on_text: Callable[[str], object], patience: float | None) -> Reply:
        """See ``_Voice.reply``."""
        chat = self._awaited.conversation(id, agent=self._agent, **self._how(patience))
        return self._runner.run(chat.answer(on_text=on_text) if said is None else chat.send(said, on_text=on_text))

    def close(self) -> None:
        """End the loop and its threads."""
        self._runner.run(self._awaited.close())
        self._runner.close()
