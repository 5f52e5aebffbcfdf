"""A server that speaks as much of the APIs of OpenAI and Anthropic as the recipes need, and no model behind it.

It answers ``You said …``; a question with "Add" and two numbers in it is a call of the tool ``add``.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


class _Handler(BaseHTTPRequestHandler):
    server: ModelServer

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(asked)
        if refusal := _refusal(asked["messages"]):
            self._send(400, "application/json", json.dumps({"error": {"type": "invalid", "message": refusal}}))
        elif self.path.endswith("/chat/completions"):
            self._chat(asked)
        else:
            self._messages(asked)

    def _chat(self, asked: Json) -> None:
        base = {"id": "1", "created": 1, "model": asked["model"]}
        if not asked.get("stream"):
            choice = {"index": 0, "finish_reason": "stop", "message": _answer(asked["messages"])}
            self._send(200, "application/json", json.dumps({**base, "object": "chat.completion", "choices": [choice]}))
            return
        text = _answer(asked["messages"])["content"]
        chunks: list[Json] = [
            {**base, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": part}}]}
            for part in (text[:4], text[4:])
        ]
        chunks.append({**base, "object": "chat.completion.chunk", "choices": []})
        self._send(200, "text/event-stream", "".join(f"data: {json.dumps(c)}\n\n" for c in chunks) + "data: [DONE]\n\n")

    def _messages(self, asked: Json) -> None:
        text = _answer(asked["messages"])["content"]
        usage = {"input_tokens": 1, "output_tokens": 1}
        message = {"id": "1", "type": "message", "role": "assistant", "model": asked["model"], "content": []}
        events: list[Json] = [
            {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": part}}
                for part in (text[:4], text[4:])
            ),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
            {"type": "message_stop"},
        ]
        sent = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        self._send(200, "text/event-stream", sent)

    def _send(self, status: int, kind: str, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args: object) -> None:
        pass


class ModelServer(ThreadingHTTPServer):
    """``asked`` are the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[Json] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def model_server() -> Iterator[ModelServer]:
    """A server for as long as the context lasts."""
    with ModelServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _answer(messages: list[Json]) -> Json:
    newest = messages[-1]
    if newest["role"] == "tool":
        return {"role": "assistant", "content": f"It is {newest['content']}."}
    numbers = re.findall(r"\d+", newest["content"]) if "Add" in newest["content"] else []
    if not numbers:
        return {"role": "assistant", "content": f"You said {newest['content']}."}
    arguments = json.dumps({"a": int(numbers[0]), "b": int(numbers[1])})
    call = {"id": f"call-{len(messages)}", "type": "function", "function": {"name": "add", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _refusal(messages: list[Json]) -> str:
    """Why the real ones would refuse such messages."""
    called: set[str] = set()
    for message in messages:
        fields = {"role", "tool_calls"} if "tool_calls" in message else {"role", "content"}
        if not fields <= message.keys() <= {"role", "content", "tool_calls", "tool_call_id"}:
            return f"wrong fields: {sorted(message)}"
        if message["role"] == "tool" and message["tool_call_id"] not in called:
            return "a result without its call"
        called.update(call["id"] for call in message.get("tool_calls", ()))
    return ""
