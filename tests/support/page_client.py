"""Requests to the page in this process: what a browser sends, and what comes back. No socket, no thread of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode, urlsplit

from vaultsession import SessionStore
from vaultsession.web.access import Access
from vaultsession.web.app import create_app

PORT = 4711
HOST = f"127.0.0.1:{PORT}"


@dataclass
class Answer:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def __getitem__(self, name: str) -> str:
        (value,) = [value for each, value in self.headers if each == name.lower()]
        return value

    def all(self, name: str) -> list[str]:
        return [value for each, value in self.headers if each == name.lower()]

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def events(self) -> list[tuple[str, Any]]:
        found = []
        for block in self.text.split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.splitlines() if line.strip(":"))
            if lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found


class PageClient:
    """Asks an application. ``cookie`` is what the opening gave."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.cookie = ""
        self.token = ""

    def open(self, token: str) -> Answer:
        answer = self.get(f"/open?token={token}")
        self.cookie = answer["set-cookie"].partition(";")[0]
        return answer

    def get(self, path: str, fields: dict[str, Any] | None = None, **options: Any) -> Answer:
        return self.ask("GET", path + (f"?{urlencode(fields)}" if fields else ""), **options)

    def post(self, path: str, fields: dict[str, str], **options: Any) -> Answer:
        body = urlencode(fields).encode()
        headers = {
            "origin": f"http://{HOST}",
            "content-type": "application/x-www-form-urlencoded",
            "content-length": str(len(body)),
            **options.pop("headers", {}),
        }
        return self.ask("POST", path, body=body, headers=headers, **options)

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str | None] | None = None,
        body: bytes = b"",
        until: Callable[[Answer], bool] = lambda _: False,
        seconds: float = 20,
    ) -> Answer:
        """One request. The reader leaves where ``until`` is true of what has come so far."""
        given = {"host": HOST, **({"cookie": self.cookie} if self.cookie else {}), **(headers or {})}
        return asyncio.run(asyncio.wait_for(self._asked(method, path, given, body, until), seconds))

    async def _asked(
        self, method: str, path: str, headers: dict[str, Any], body: bytes, until: Callable[[Answer], bool]
    ) -> Answer:
        parts, answer, left = urlsplit(path), Answer(), asyncio.Event()
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if not sent:
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = [(name.decode(), value.decode("latin-1")) for name, value in message["headers"]]
            else:
                answer.body += message.get("body", b"")
                if not message.get("more_body"):
                    left.set()
            if until(answer):
                left.set()

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode(), value.encode()) for name, value in headers.items() if value is not None
            ],
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", PORT),
        }
        await self.app(scope, receive, send)
        return answer


def page_of(store: SessionStore, *, writable: bool = False) -> PageClient:
    """The page over a store, asked by a browser that was let in."""
    access = Access(PORT)
    client = PageClient(create_app(store, access, writable=writable))
    client.token = access.token
    assert client.open(access.token).status == 200
    return client


class Page(HTMLParser):
    """What a page has: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.elements if each == tag]
