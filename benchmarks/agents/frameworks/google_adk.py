"""Sessions of Google's Agent Development Kit: a turn appends its messages, an event each. SQLite flushes commits."""

from __future__ import annotations

from typing import Any

from google.adk.events.event import Event
from google.adk.sessions.database_session_service import DatabaseSessionService
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai.types import Content, Part

from vaultsession import RawKey
from vaultsession.integrations.google_adk import VaultSessionService

from ...sample import Message
from ..store import KEY, SESSION, AsyncHistory, Store

FRAMEWORK = "google-adk"

NAME: Any = {"app_name": "bench", "user_id": "alice"}


class Events(AsyncHistory):
    """A session of any service. It is read when a process begins, and then appended to."""

    def __init__(self, service: Any) -> None:
        super().__init__()
        self._service = service
        self._session: Any = None

    def turn(self, messages: list[Message]) -> None:
        self.run(self._turn(messages))

    async def _turn(self, messages: list[Message]) -> None:
        if self._session is None:
            self._session = await self._read() or await self._service.create_session(**NAME, session_id=SESSION)
        for message in messages:
            content = Content(role="user", parts=[Part(text=str(message.get("content")))])
            event = Event(author="user", invocation_id="i", content=content)
            await self._service.append_event(self._session, event)

    async def _read(self) -> Any:
        return await self._service.get_session(**NAME, session_id=SESSION)

    def load(self) -> int:
        return len(self.run(self._read()).events)

    def close(self) -> None:
        self.run(self._service.close())
        super().close()


def _ours(directory: str, **settings: Any) -> Events:
    return Events(VaultSessionService.from_url(f"{directory}/vault", key=RawKey(KEY), **settings))


STORES = (
    Store("VaultSessionService", durable=True, encrypts=True, open=_ours),
    Store("VaultSessionService, os", durable=False, encrypts=True, open=lambda place: _ours(place, durability="os")),
    Store("SqliteSessionService", True, False, lambda place: Events(SqliteSessionService(f"{place}/sessions.db"))),
    Store(
        "DatabaseSessionService",
        durable=True,
        encrypts=False,
        open=lambda place: Events(DatabaseSessionService(f"sqlite+aiosqlite:///{place}/database.db")),
    ),
)
