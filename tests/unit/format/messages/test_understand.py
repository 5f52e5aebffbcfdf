"""A message of every shape, and what it is: who speaks, when, and its parts."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.format.messages import understand
from vaultsession.format.messages.parts import (
    Citation,
    Event,
    Media,
    Message,
    Other,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

PNG = "iVBORw0KGgo="
AT = datetime(2026, 6, 18, 0, 57, 16, 711_000, tzinfo=UTC)
ISO = "2026-06-18T00:57:16.711Z"

SHAPES: dict[str, tuple[Any, Message]] = {
    "LangChain": ({"type": "human", "data": {"type": "human", "content": "hi"}}, Message("user", (Text("hi"),))),
    "LangChain: a call": (
        {"type": "ai", "data": {"content": "", "tool_calls": [{"name": "w", "args": {"x": 1}, "id": "c1"}]}},
        Message("assistant", (ToolCall("w", {"x": 1}, "c1"),)),
    ),
    "LangChain: a result": (
        {"type": "tool", "data": {"content": "42", "tool_call_id": "c1", "status": "error"}},
        Message("tool", (ToolResult((Text("42"),), "c1", None, True),)),
    ),
    "Pydantic AI: an entry": (
        {
            "id": "1",
            "parent_id": None,
            "kind": "message",
            "message": {
                "kind": "request",
                "parts": [
                    {"part_kind": "system-prompt", "content": "be kind"},
                    {
                        "part_kind": "user-prompt",
                        "timestamp": ISO,
                        "content": [
                            "hi",
                            {"kind": "binary", "data": PNG, "media_type": "image/png"},
                            {"kind": "image-url", "url": "https://x.org/a.png"},
                        ],
                    },
                ],
                "timestamp": ISO,
            },
        },
        Message(
            "user",
            (
                Text("be kind"),
                Text("hi"),
                Media("image/png", None, 8, PNG),
                Media("image", url="https://x.org/a.png"),
            ),
            AT,
        ),
    ),
    "Pydantic AI: a response": (
        {
            "kind": "response",
            "parts": [
                {"part_kind": "thinking", "content": "hm"},
                {"part_kind": "text", "content": "hey"},
                {"part_kind": "tool-call", "tool_name": "w", "args": '{"x": 1}', "tool_call_id": "c1"},
            ],
        },
        Message("assistant", (Thinking("hm"), Text("hey"), ToolCall("w", {"x": 1}, "c1"))),
    ),
    "Pydantic AI: a result": (
        {
            "kind": "request",
            "parts": [
                {"part_kind": "tool-return", "tool_name": "w", "content": "42", "tool_call_id": "c1"},
            ],
        },
        Message("tool", (ToolResult((Text("42"),), "c1", "w"),)),
    ),
    "Strands: a call": (
        {
            "agent_id": "a",
            "message_id": 1,
            "created_at": ISO,
            "message": {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "hm"}}},
                    {"text": "look"},
                    {"toolUse": {"name": "w", "input": {"x": 1}, "toolUseId": "c1"}},
                ],
            },
        },
        Message("assistant", (Thinking("hm"), Text("look"), ToolCall("w", {"x": 1}, "c1")), AT),
    ),
    "Strands: a result": (
        {
            "agent_id": "a",
            "message": {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"text": "42"}]}},
                ],
            },
        },
        Message("tool", (ToolResult((Text("42"),), "c1", None, False),)),
    ),
    "Strands: an image": (
        {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": {"data": PNG}}}}]},
        Message("user", (Media("image/png", None, 8, PNG),)),
    ),
    "a chat": ({"role": "user", "content": "hi"}, Message("user", (Text("hi"),))),
    "OpenAI chat: a call": (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"city": "Rabat"}'}}
            ],
        },
        Message("assistant", (ToolCall("w", {"city": "Rabat"}, "c1"),)),
    ),
    "OpenAI chat: an answer": (
        {"role": "tool", "tool_call_id": "c1", "name": "w", "content": "21 °C"},
        Message("tool", (ToolResult((Text("21 °C"),), "c1", "w"),)),
    ),
    "OpenAI chat: an image": (
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "what is it?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg"}},
            ],
        },
        Message(
            "user",
            (Text("what is it?"), Media("image/png", None, 8, PNG), Media("image", url="https://example.org/cat.jpg")),
        ),
    ),
    "OpenAI chat: arguments that are no JSON": (
        {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{city:"}},
        Message("assistant", (ToolCall("f", "{city:"),)),
    ),
    "Pi: a tool that failed, and says so in a text": (
        {"role": "toolResult", "toolCallId": "c1", "toolName": "bash", "content": "no such file", "isError": True},
        Message("tool", (ToolResult((Text("no such file"),), "c1", "bash", True),)),
    ),
    "OpenAI before: a function": (
        {"role": "function", "name": "f", "content": "1"},
        Message("tool", (ToolResult((Text("1"),), None, "f"),)),
    ),
    "OpenAI Responses: a call": (
        {"type": "function_call", "call_id": "c1", "name": "w", "arguments": "{}"},
        Message("assistant", (ToolCall("w", {}, "c1"),)),
    ),
    "OpenAI Responses: an output": (
        {"type": "function_call_output", "call_id": "c1", "output": "done"},
        Message("tool", (ToolResult((Text("done"),), "c1"),)),
    ),
    "OpenAI Responses: reasoning": (
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "first"}], "encrypted_content": "gAAA"},
        Message("assistant", (Thinking("first"),)),
    ),
    "OpenAI Responses: a citation": (
        {
            "type": "message",
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "see there",
                    "annotations": [{"type": "url_citation", "title": "There", "url": "https://example.org"}],
                }
            ],
        },
        Message("assistant", (Text("see there"), Citation("There", "https://example.org"))),
    ),
    "Anthropic: thinking and a call": (
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "x"},
                {"type": "redacted_thinking", "data": "y"},
                {"type": "tool_use", "id": "t1", "name": "w", "input": {"city": "Rabat"}},
            ],
        },
        Message("assistant", (Thinking("hm"), Thinking(""), ToolCall("w", {"city": "Rabat"}, "t1"))),
    ),
    "Anthropic: an answer with an image": (
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "t1",
                    "is_error": True,
                    "content": [
                        {"type": "text", "text": "no"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    ],
                }
            ],
        },
        Message("user", (ToolResult((Text("no"), Media("image/png", None, 8, PNG)), "t1", None, True),)),
    ),
    "Claude Code: an answer": (
        {
            "type": "user",
            "timestamp": ISO,
            "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "ok"}]},
        },
        Message("tool", (ToolResult((Text("ok"),), "t1"),), AT),
    ),
    "Claude Code: a remark": (
        {"type": "system", "subtype": "hook", "content": "ran", "timestamp": ISO},
        Message("system", (Event("system: hook", "ran"),), AT),
    ),
    "Claude Code: progress": (
        {"type": "progress", "data": {"type": "bash_progress"}, "timestamp": ISO, "uuid": "u"},
        Message("event", (Event("progress: bash_progress"),), AT),
    ),
    "Codex: a command": (
        {
            "type": "response_item",
            "timestamp": ISO,
            "payload": {"type": "function_call", "name": "exec", "arguments": '{"cmd": "ls"}', "call_id": "c"},
        },
        Message("assistant", (ToolCall("exec", {"cmd": "ls"}, "c"),), AT),
    ),
    "Codex: a patch": (
        {
            "type": "response_item",
            "timestamp": ISO,
            "payload": {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin", "call_id": "c"},
        },
        Message("assistant", (ToolCall("apply_patch", "*** Begin", "c"),), AT),
    ),
    "Codex: an event": (
        {"type": "event_msg", "timestamp": ISO, "payload": {"type": "turn_aborted", "reason": "interrupted"}},
        Message("event", (Event("turn_aborted", "interrupted"),), AT),
    ),
    "Copilot CLI: an answer": (
        {
            "type": "assistant.message",
            "timestamp": ISO,
            "id": "1",
            "parentId": "0",
            "data": {
                "content": "4",
                "reasoningText": "2 + 2",
                "toolRequests": [{"toolCallId": "t", "name": "bash", "arguments": {"command": "ls"}}],
            },
        },
        Message("assistant", (Thinking("2 + 2"), Text("4"), ToolCall("bash", {"command": "ls"}, "t")), AT),
    ),
    "Copilot CLI: a tool that failed": (
        {
            "type": "tool.execution_complete",
            "timestamp": ISO,
            "data": {"toolCallId": "t", "success": False, "error": {"message": "no such file"}},
        },
        Message("tool", (ToolResult((Text("no such file"),), "t", None, True),), AT),
    ),
    "Gemini CLI": (
        {
            "type": "gemini",
            "timestamp": ISO,
            "content": "written",
            "thoughts": [{"subject": "Plan", "description": "write it"}],
            "toolCalls": [
                {
                    "id": "w1",
                    "name": "write_file",
                    "args": {"path": "a"},
                    "status": "success",
                    "result": [{"functionResponse": {"id": "w1", "response": {"output": "ok"}}}],
                }
            ],
        },
        Message(
            "assistant",
            (
                Thinking("Plan\n\nwrite it"),
                Text("written"),
                ToolCall("write_file", {"path": "a"}, "w1"),
                ToolResult((Text("ok"),), "w1", "write_file", False),
            ),
            AT,
        ),
    ),
    "ADK: a call": (
        {
            "author": "shop",
            "invocation_id": "i",
            "timestamp": 1781744236.711,
            "content": {"role": "model", "parts": [{"functionCall": {"id": "f", "name": "buy", "args": {"n": 1}}}]},
        },
        Message("assistant", (ToolCall("buy", {"n": 1}, "f"),), AT),
    ),
    "ADK: an answer": (
        {
            "author": "shop",
            "invocation_id": "i",
            "content": {"role": "user", "parts": [{"function_response": {"name": "buy", "response": {"sold": True}}}]},
        },
        Message("tool", (ToolResult((Text('{\n  "sold": true\n}'),), None, "buy"),)),
    ),
    "ADK: a file": (
        {
            "author": "user",
            "invocation_id": "i",
            "content": {"role": "user", "parts": [{"inlineData": {"mimeType": "application/pdf", "data": PNG}}]},
        },
        Message("user", (Media("application/pdf", None, 8, PNG),)),
    ),
    "SWE-agent": (
        {"role": "assistant", "content": "", "thought": "t", "agent": "primary", "tool_calls": None},
        Message("assistant", ()),
    ),
    "Pi: a call": (
        {
            "type": "message",
            "timestamp": ISO,
            "message": {
                "role": "assistant",
                "content": [{"type": "toolCall", "id": "t", "name": "read", "arguments": {"path": "a"}}],
            },
        },
        Message("assistant", (ToolCall("read", {"path": "a"}, "t"),), AT),
    ),
    "Pi: an answer": (
        {
            "type": "message",
            "message": {
                "role": "toolResult",
                "toolCallId": "t",
                "toolName": "read",
                "content": [{"type": "text", "text": "x"}],
            },
        },
        Message("tool", (ToolResult((Text("x"),), "t", "read"),)),
    ),
    "Pi: what a person ran": (
        {"type": "message", "message": {"role": "bashExecution", "command": "ls", "output": "a"}},
        Message("user", (ToolCall("bash", "ls"), ToolResult((Text("a"),), None, "bash"))),
    ),
    "ShareGPT": ({"from": "human", "value": "hi"}, Message("user", (Text("hi"),))),
    "ShareGPT: a call": (
        {"from": "function_call", "value": '{"name": "w", "arguments": {"city": "Rabat"}}'},
        Message("assistant", (ToolCall("w", {"city": "Rabat"}),)),
    ),
    "ShareGPT: an observation": ({"from": "observation", "value": "21"}, Message("tool", (ToolResult((Text("21"),)),))),
    "typed parts": (
        {"role": "assistant", "content": [{"type": "reasoning", "value": "so"}, {"type": "text", "value": "yes"}]},
        Message("assistant", (Thinking("so"), Text("yes"))),
    ),
    "OASST: a tree": (
        {
            "message_id": "1",
            "role": "prompter",
            "text": "why?",
            "replies": [{"message_id": "2", "role": "assistant", "text": "because", "replies": []}],
        },
        Message("user", (Text("why?"),), None, (Message("assistant", (Text("because"),)),)),
    ),
    "a text alone": ("hi", Message("user", (Text("hi"),))),
    "nothing that is known": ({"colour": "red"}, Message("event", (Other({"colour": "red"}),))),
    "a block that nobody knows": (
        {"role": "user", "content": [{"type": "smell", "of": "roses"}]},
        Message("user", (Other({"type": "smell", "of": "roses"}),)),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_is_understood(name: str) -> None:
    record, message = SHAPES[name]
    assert understand(record) == message


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1781744236.711, AT),
        (1781744236711, AT),
        (ISO, AT),
        ("2026-06-18T02:57:16.711+02:00", AT),
        ("2026-06-18 00:57:16.711", AT),
        ("yesterday", None),
        (math.inf, None),
        (-1e300, None),
        (True, None),
        ([], None),
    ],
)
def test_times_are_read_where_they_can_be(value: Any, moment: datetime | None) -> None:
    assert understand({"role": "user", "content": "x", "timestamp": value}).at == moment


NAMES = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "message",
        "payload",
        "data",
        "parts",
        "author",
        "invocation_id",
        "from",
        "value",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "toolCalls",
        "thoughts",
        "result",
        "replies",
        "message_id",
        "summary",
        "output",
        "source",
        "image_url",
        "file",
        "annotations",
        "functionResponse",
        "function_call",
        "response",
        "attachments",
        "toolRequests",
        "timestamp",
        "tool_call_ids",
        "input_audio",
        "resource",
    ]
)
KINDS = st.sampled_from(
    [
        "user",
        "assistant",
        "tool",
        "gemini",
        "text",
        "image",
        "file",
        "tool_use",
        "tool_result",
        "reasoning",
        "function_call",
        "function_call_output",
        "response_item",
        "tool.execution_complete",
        "assistant.message",
        "resource",
        "input_audio",
        "message",
        "thinking",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | KINDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=25,
)


@given(JSON)
def test_nothing_raises_and_all_is_a_message(value: Any) -> None:
    found = understand(value)
    assert isinstance(found, Message)
    assert isinstance(found.role, str)
    for part in found.parts:
        assert isinstance(part, Text | Thinking | ToolCall | ToolResult | Media | Citation | Event | Other)
