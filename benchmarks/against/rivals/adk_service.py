"""The session services of Google's ADK on SQLite: asynchronous, a transaction for each event.

``append_event`` wants the session object that was loaded, and refuses a stale one; the objects of the sessions used
last are kept, without their history, as between two turns. A history is replaced by removing the session and making it
anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.adk.events import Event
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai.types import Content, Part

from ..rival import Filling, Loop, Message, Rival

_APP = "app"
_HELD = 64


class AdkService(Rival):
    """``kind``: "sqlite", the service made for it, or "database", on SQLAlchemy. Messages are a role and a text."""

    takes_any_json = False

    def __init__(self, directory: str, *, cold: bool, kind: str) -> None:
        del cold
        self._loop = Loop()
        self._kind = kind
        self._held: dict[str, Any] = {}
        if kind == "sqlite":
            from google.adk.sessions.sqlite_session_service import SqliteSessionService  # noqa: PLC0415 - one of two

            self._service: Any = SqliteSessionService(f"{directory}/sessions.db")
        else:
            from google.adk.sessions import DatabaseSessionService  # noqa: PLC0415 - needs SQLAlchemy

            self._service = DatabaseSessionService(f"sqlite+aiosqlite:///{directory}/sessions.db")

    def create(self, id: str, messages: list[Message]) -> None:
        self._loop.run(self._create(id, messages, "user"))

    def save(self, id: str, messages: list[Message]) -> None:
        async def both() -> None:
            await self._service.delete_session(app_name=_APP, user_id="user", session_id=id)
            await self._create(id, messages, "user")

        self._loop.run(both())

    def append(self, id: str, messages: list[Message]) -> None:
        async def each() -> None:
            session = self._held.get(id) or await self._get(id, 0)
            self._hold(id, session)
            await self._append(session, messages)

        try:
            self._loop.run(each())
        except ValueError:  # stale: another process has appended
            self._held.pop(id, None)
            self._loop.run(each())

    def load(self, id: str) -> list[Message]:
        return [_ours(event) for event in self._loop.run(self._get(id)).events]

    def last(self, id: str, n: int) -> list[Message]:
        return [_ours(event) for event in self._loop.run(self._get(id, n)).events]

    def page(self, user: str, n: int) -> int:
        found = self._loop.run(self._service.list_sessions(app_name=_APP, user_id=user)).sessions
        return len(sorted(found, key=lambda each: each.last_update_time, reverse=True)[:n])

    def count(self, user: str) -> int:
        return len(self._loop.run(self._service.list_sessions(app_name=_APP, user_id=user)).sessions)

    def fill(self, sessions: Iterable[Filling]) -> None:
        for each in sessions:
            self._loop.run(self._create(each.id, each.messages, each.user))

    def close(self) -> None:
        if hasattr(self._service, "close"):
            self._loop.run(self._service.close())
        self._loop.close()

    async def _create(self, id: str, messages: list[Message], user: str) -> None:
        session = await self._service.create_session(app_name=_APP, user_id=user, session_id=id)
        self._hold(id, session)
        await self._append(session, messages)

    async def _append(self, session: Any, messages: list[Message]) -> None:
        for each in messages:
            role = "user" if each["role"] == "user" else "model"
            content = Content(role=role, parts=[Part(text=each["content"])])
            await self._service.append_event(session, Event(author=each["role"], content=content))
        session.events.clear()

    def _hold(self, id: str, session: Any) -> None:
        if id not in self._held and len(self._held) >= _HELD:
            self._held.pop(next(iter(self._held)))
        self._held[id] = session

    async def _get(self, id: str, recent: int | None = None) -> Any:
        config = None if recent is None else GetSessionConfig(num_recent_events=recent)
        return await self._service.get_session(app_name=_APP, user_id="user", session_id=id, config=config)


def _ours(event: Event) -> Message:
    return {"role": event.author, "content": event.content.parts[0].text}


ADAPTER = AdkService
