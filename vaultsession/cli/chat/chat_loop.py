"""The loop of a chat: each line is a command, or a message that is answered."""

from __future__ import annotations

import os
import shlex
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from ...errors import InvalidSetting, LeaseTimeout, SessionNotFound, VaultError
from ...store.store import SessionStore
from ...store.turns import Reply
from ...store.watch import SessionWatch
from .. import exit_codes, output, transcript
from ..commands.ls import COLUMNS
from ..output import DEBUG, Form
from ..prompts import confirm
from .echo import echo
from .line_input import LineInput, TerminalInput
from .stream_text import StreamText

_SHOWN_AT_FIRST = 4
_LISTED = 10
_REMEMBERED = 200
_SOON = 0.5
"""Seconds to wait for another window's turn in silence."""

_HELP = (
    ("/help", "what you read here"),
    ("/count", "how many messages there are"),
    ("/list", "the newest sessions"),
    ("/switch ID", "go to another session; without ID to a new one"),
    ("/retry", "have answered what has no answer yet"),
    ("/clear", "remove the messages, keep the session"),
    ("/exit", "leave; so does Ctrl-D"),
    ("//text", "a message that begins with a slash"),
)
COMMANDS = tuple(name.split()[0] for name, _ in _HELP if not name.startswith("//"))

OnText = Callable[[str], object]
Ask = Callable[[str, str | None, OnText, float | None], Reply]
"""The reply in a session (id) to a message, or with None to those that are there; a function for its text as it comes;
seconds to wait for the lease of the session. ``LeaseTimeout``."""


class ChatLoop:
    """One session at a time. An error is a sentence for a person, who goes on, and the end of a pipe."""

    def __init__(self, store: SessionStore, ask: Ask, lines: LineInput, form: Form) -> None:
        self._store, self._ask, self._lines, self._form = store, ask, lines, form
        self._is_person = isinstance(lines, TerminalInput)
        self._watch: SessionWatch | None = None
        self._id = ""

    def run(self, id: str | None) -> None:
        """Until /exit or the last line."""
        self._enter(id)
        while True:
            self._show_others()
            try:
                line = self._lines.line().strip()
            except EOFError:
                break
            except KeyboardInterrupt:
                if not self._is_person:
                    raise
                output.say("Ctrl-D or /exit leaves.", style="dim")
                continue
            if line in ("/exit", "/quit"):
                break
            try:
                self._act(line)
            except VaultError as error:
                if not self._is_person:
                    raise
                advice = exit_codes.advice_for(error)
                output.say(f"{error} ({advice})" if advice else str(error), style="red")
        if self._is_person:
            named = f"{'-- ' if self._id.startswith('-') else ''}{shlex.quote(self._id)}"
            output.say(f"{self._counted()}. Go on with: vaultsession chat {named}", style="dim")

    def _act(self, line: str) -> None:
        command, _, argument = line.partition(" ")
        if line.startswith("//") or not line.startswith("/"):
            if line:
                self._say(line.removeprefix("/"))
        elif command == "/help":
            output.facts(dict(_HELP))
        elif command == "/count":
            output.line(self._counted())
        elif command == "/list":
            records = [info.facts() for info in self._store.list(limit=_LISTED)]
            output.show(records, COLUMNS, Form.TABLE if self._is_person else Form.TSV)
        elif command == "/switch":
            self._enter(argument.strip() or None)
        elif command == "/retry":
            self._retry()
        elif command == "/clear":
            self._clear()
        else:
            raise InvalidSetting(f"there is no {command}: /help lists what there is, and //text is said as /text")

    # -- going to a session --------------------------------------------------------------------------------------------

    def _enter(self, id: str | None) -> None:
        chat = self._store.conversation(id, agent=echo)
        self._id, self._watch = chat.session_id, None
        if not self._is_person:
            if id is None:
                output.say(f"vaultsession: a new session: {self._id}")
            self._follow(0)
            return
        output.say(f"{self._counted()}. /help shows the commands, Ctrl-D leaves.", style="dim")
        shown = self._follow(_SHOWN_AT_FIRST)
        said = [each.get("content") for each in chat.history(last=_REMEMBERED) if each.get("role") == "user"]
        self._lines.remember(text for text in said if isinstance(text, str))
        transcript.write(shown)
        if not chat.is_answered():
            output.say("The last message has no answer: /retry has it answered.", style="dim")

    def _follow(self, last: int) -> list[dict[str, Any]]:
        """The newest messages; what comes behind them is another window's. None where there is no session yet."""
        self._watch = watch = SessionWatch(self._store, self._id)
        try:
            return watch.begin(last)
        except SessionNotFound:
            self._watch = None
            return []

    def _show_others(self, own: Sequence[dict[str, Any]] = ()) -> None:
        """What came since the last look, but for what was said here."""
        if self._watch is None:
            return
        try:
            new = self._watch.look()
        except SessionNotFound:
            self._watch = None
            output.say("The session was removed or has expired: what is said next begins it anew.")
            return
        if own and new[-len(own) :] == list(own):
            del new[-len(own) :]
        if new and self._is_person:
            output.say(f"Said elsewhere, {output.counted(len(new), 'message')}:", style="dim")
            transcript.write(new)

    # -- commands ------------------------------------------------------------------------------------------------------

    def _counted(self) -> str:
        count = self._store.conversation(self._id, agent=echo).message_count()
        return f"{output.escaped(self._id)}: {output.counted(count, 'message')}"

    def _clear(self) -> None:
        if self._is_person:
            try:
                confirm(f"Remove the messages of {output.escaped(self._id)}?", yes=False)
            except (typer.Exit, typer.Abort):
                return
        self._store.conversation(self._id, agent=echo, lease=True, lease_timeout=_SOON).clear()
        self._follow(0)
        self._lines.remember(())
        output.line(self._counted())

    def _retry(self) -> None:
        if self._store.conversation(self._id, agent=echo).is_answered():
            output.say("Nothing waits for an answer.", style="dim")
        else:
            self._say(None)

    # -- turns ---------------------------------------------------------------------------------------------------------

    def _say(self, said: str | None) -> None:
        self._show_others()
        stream = StreamText(2 if self._is_person else 0)
        try:
            reply = self._reply(said, stream)
        except BaseException as error:
            stream.end()
            self._follow(0)
            if isinstance(error, KeyboardInterrupt) and self._is_person:
                output.say("Interrupted. What was said so far is kept.", style="dim")
            elif isinstance(error, VaultError) or not isinstance(error, Exception):
                raise
            else:
                self._agent_failed(error)
        else:
            stream.end()
            if self._form is Form.JSONL:
                output.lines(reply.messages)
            elif self._is_person:
                output.line("")
            if self._watch is None:
                self._follow(0)
            self._show_others((*([{"role": "user", "content": said}] if said is not None else []), *reply.messages))

    def _reply(self, said: str | None, stream: StreamText) -> Reply:
        def write(text: str) -> None:
            if self._form is Form.JSONL:
                return
            if self._is_person and not stream.begun:
                output.paragraph("assistant", style=transcript.speaking("assistant"))
            stream.write(text)

        try:
            return self._ask(self._id, said, write, _SOON)
        except LeaseTimeout:
            output.say("Another window is being answered: this one waits for its turn.", style="dim")
        return self._ask(self._id, said, write, None)

    def _agent_failed(self, error: Exception) -> None:
        if isinstance(error, BrokenPipeError) and not self._is_person:
            raise error
        if os.environ.get(DEBUG):
            traceback.print_exception(error)
        output.say(f"The agent failed ({type(error).__name__}: {error}). What you said is kept: /retry asks again.")
        if not self._is_person:
            raise typer.Exit(exit_codes.ERROR)
