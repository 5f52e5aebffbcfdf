"""Records: one line of an agent's transcript, or one message of a model API, as a ``Message``.

Which shape it is stands in the record itself: the names that it has, and no guess about the session around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from .. import lossless
from .content import ITEMS, answer_of, media_of, parts_of
from .frameworks import is_of_langchain, is_of_pydantic_ai, langchain, pydantic_ai
from .parts import (
    Event,
    Json,
    Media,
    Message,
    Other,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    arguments_of,
    base64_size,
    each_of,
    mappings,
    moment_of,
    role_of,
    text_of,
    word,
)

Record = Mapping[str, Json]


def understand(record: Json) -> Message:
    """What one message of a session is. Raises nothing."""
    if isinstance(record, str):
        return Message("user", (Text(record),))
    if not isinstance(record, Mapping):
        return Message("event", (Other(record),))
    shown = lossless.readable(record)
    return _reader_of(shown)(shown)


def _reader_of(record: Record) -> Callable[[Record], Message]:
    return next(read for is_so, read in _SHAPES if is_so(record))


def _has_inner_role(record: Record) -> bool:
    inner = record.get("message")
    return isinstance(inner, Mapping) and isinstance(inner.get("role"), str)


def _is_of_copilot(record: Record) -> bool:
    kind = record.get("type")
    has_data = isinstance(kind, str) and isinstance(record.get("data"), Mapping)
    return has_data and "content" not in record and ("parentId" in record or "." in str(kind))


# -- messages of model APIs --------------------------------------------------------------------------------------------


def _chat(record: Record) -> Message:
    """``role`` and ``content``: OpenAI's chat and messages of its Responses, Anthropic, SWE-agent, OASST."""
    role = role_of(record["role"])
    parts: list[Part] = [
        Thinking(record[name]) for name in ("reasoning_content", "reasoning") if word(record.get(name))
    ]
    content = record["content"] if "content" in record else record.get("text")
    if role == "tool":
        ids = record.get("tool_call_ids")
        call = (
            record.get("tool_call_id")
            or record.get("toolCallId")
            or (ids[0] if isinstance(ids, list) and ids else None)
        )
        name, failed = record.get("name") or record.get("toolName"), record.get("isError", record.get("is_error"))
        parts.append(answer_of(content, call, name, failed))
    else:
        parts += parts_of(content)
    if record.get("refusal"):
        parts.append(Text(text_of(record["refusal"])))
    if word(record.get("command")) and "output" in record:  # what a person ran in Pi
        parts += (ToolCall("bash", record["command"]), answer_of(record["output"], name="bash"))
        role = "user"
    parts += _calls(record)
    replies = tuple(map(understand, each_of(record.get("replies")))) if "message_id" in record else ()
    return Message(role, tuple(parts), moment_of(record), replies)


def _calls(record: Record) -> Iterator[Part]:
    """The calls that stand beside the content: OpenAI's, and those of before."""
    for call in each_of(record.get("tool_calls")):
        if isinstance(call, Mapping):
            inner = next((call[name] for name in ("function", "custom") if isinstance(call.get(name), Mapping)), call)
            value = inner.get("arguments", inner.get("input", inner.get("args")))
            yield ToolCall(word(inner.get("name")) or "tool", arguments_of(value), word(call.get("id")))
        else:
            yield Other(call)
    call = record.get("function_call")
    if isinstance(call, Mapping):
        yield ToolCall(word(call.get("name")) or "function", arguments_of(call.get("arguments")))


def _item(record: Record) -> Message:
    """An item of OpenAI's Responses API without a role."""
    role = "tool" if str(record["type"]).endswith("_output") else "assistant"
    return Message(role, tuple(parts_of(record)), moment_of(record))


def _sharegpt(record: Record) -> Message:
    word_for, value = record["from"], record["value"]
    if word_for == "function_call":
        call = arguments_of(value)
        if isinstance(call, Mapping):
            return Message("assistant", (ToolCall(word(call.get("name")) or "tool", call.get("arguments")),))
        return Message("assistant", (ToolCall("tool", call),))
    role = role_of(word_for)
    return Message(role, (answer_of(value),) if role == "tool" else tuple(parts_of(value)), moment_of(record))


# -- records of agents -------------------------------------------------------------------------------------------------


def _enveloped(record: Record) -> Message:
    """A message within a record: Claude Code and Pi."""
    inner = _chat(record["message"])
    role = inner.role
    if role == "user" and inner.parts and all(isinstance(part, ToolResult) for part in inner.parts):
        role = "tool"  # results come back in the user's name
    return Message(role, inner.parts, moment_of(record) or inner.at)


def _codex(record: Record) -> Message:
    """A line of a Codex rollout. What was said stands there as a response item; events say it again."""
    payload: Record = record["payload"]
    if record.get("type") == "response_item":
        inner = understand(payload)
        return inner._replace(at=moment_of(record) or inner.at)
    kind = word(payload.get("type")) or word(record.get("type")) or "event"
    said = next((payload[name] for name in ("message", "text", "reason", "query") if word(payload.get(name))), "")
    return Message("event", (Event(kind, said),), moment_of(record))


def _copilot(record: Record) -> Message:
    """An event of the Copilot CLI."""
    kind, data = str(record["type"]), record["data"]
    at = moment_of(record)
    if kind in ("user.message", "assistant.message", "system.message"):
        parts: list[Part] = [Thinking(data["reasoningText"])] if word(data.get("reasoningText")) else []
        parts += parts_of(data.get("content"))
        for each in mappings(data.get("attachments")):
            parts.append(media_of(each.get("path") or each.get("url"), "file", word(each.get("displayName"))))
        for call in mappings(data.get("toolRequests")):
            parts.append(
                ToolCall(word(call.get("name")) or "tool", call.get("arguments"), word(call.get("toolCallId")))
            )
        return Message(kind.partition(".")[0], tuple(parts), at)
    if kind == "tool.execution_complete":
        result = data.get("result") or data.get("error")
        content = result.get("content", result.get("message")) if isinstance(result, Mapping) else result
        success = data.get("success")
        failed = not success if isinstance(success, bool) else None
        return Message("tool", (answer_of(content, data.get("toolCallId"), data.get("toolName"), failed),), at)
    said = next((data[name] for name in _SAID if word(data.get(name))), "")
    return Message("event", (Event(kind, said),), at)


_SAID = ("message", "content", "reason", "toolName", "hookType", "newModel", "hookName", "hookEvent")


def _gemini(record: Record) -> Message:
    """A message of the Gemini CLI, with its thoughts, its calls and their results."""
    parts: list[Part] = [
        Thinking("\n\n".join(filter(None, (word(each.get("subject")), word(each.get("description"))))))
        for each in mappings(record.get("thoughts"))
    ]
    parts += _of_google(record["content"]) if isinstance(record["content"], list) else parts_of(record["content"])
    for call in mappings(record.get("toolCalls")):
        parts.append(ToolCall(word(call.get("name")) or "tool", call.get("args"), word(call.get("id"))))
        shown = (
            call.get("resultDisplay") if isinstance(call.get("resultDisplay"), str) else _responses(call.get("result"))
        )
        if shown is not None:
            failed = call["status"] == "error" if word(call.get("status")) else None
            parts.append(answer_of(shown, call.get("id"), call.get("name"), failed))
    return Message(role_of(record["type"]), tuple(parts), moment_of(record))


def _responses(result: Json) -> Json:
    """What functions answered, out of the parts that hold it."""
    if not isinstance(result, list):
        return result
    found = [each["functionResponse"].get("response") for each in result if isinstance(each, Mapping) and
             isinstance(each.get("functionResponse"), Mapping)]  # fmt: skip
    return [_output(each) for each in found] if len(found) > 1 else _output(found[0]) if found else result


def _output(response: Json) -> Json:
    return response["output"] if isinstance(response, Mapping) and set(response) == {"output"} else response


def _adk(record: Record) -> Message:
    """An event of Google's ADK."""
    content = record.get("content")
    at = moment_of(record)
    if not isinstance(content, Mapping) or not isinstance(content.get("parts"), list):
        actions = record.get("actions")
        changed = {name: value for name, value in actions.items() if value} if isinstance(actions, Mapping) else {}
        return Message("event", (Event(record["author"], text_of(changed) if changed else ""),), at)
    parts = tuple(_of_google(content["parts"]))
    role = "user" if record["author"] == "user" else "assistant"
    is_answer = bool(parts) and not any(isinstance(part, Text | Thinking | ToolCall | Media) for part in parts)
    return Message("tool" if is_answer else role, parts, at)


def _of_google(parts: Iterable[Json]) -> Iterator[Part]:
    """Parts of Google's models, in either spelling of their names."""
    for part in parts:
        if not isinstance(part, Mapping):
            yield Text(part) if isinstance(part, str) else Other(part)
        elif word(part.get("text")):
            yield Thinking(part["text"]) if part.get("thought") is True else Text(part["text"])
        elif "text" not in part:
            known = {name: value for name, value in _snaked(part).items() if isinstance(value, Mapping)}
            name = next((name for name in _GOOGLE if name in known), None)
            yield Other(dict(part)) if name is None else _GOOGLE[name](_snaked(known[name]))


def _snaked(record: Record) -> Record:
    return {re.sub("(?=[A-Z])", "_", name).lower(): value for name, value in record.items()}


def _blob(blob: Record) -> Part:
    data = word(blob.get("data")) or ""
    return Media(word(blob.get("mime_type")) or "file", word(blob.get("display_name")), base64_size(data), data)


def _code_result(result: Record) -> Part:
    failed = result["outcome"] != "OUTCOME_OK" if word(result.get("outcome")) else None
    return answer_of(result.get("output"), name="code", is_error=failed)


_GOOGLE: dict[str, Callable[[Record], Part]] = {
    "function_call": lambda call: ToolCall(word(call.get("name")) or "tool", call.get("args"), word(call.get("id"))),
    "function_response": lambda answer: answer_of(
        _output(answer.get("response")), answer.get("id"), answer.get("name")
    ),
    "inline_data": _blob,
    "file_data": lambda file: Media(word(file.get("mime_type")) or "file", url=word(file.get("file_uri"))),
    "executable_code": lambda code: ToolCall("code", code.get("code")),
    "code_execution_result": _code_result,
}


def _noted(record: Record) -> Message:
    """A record by which an agent remembers something: Claude Code, Pi, the Gemini CLI."""
    kind = str(record["type"])
    data = record.get("data")
    subtype = word(record.get("subtype")) or (word(data.get("type")) if isinstance(data, Mapping) else None)
    name = f"{kind}: {subtype}" if subtype else kind
    said = next((record[each] for each in _REMARKS if word(record.get(each))), "")
    return Message("system" if kind == "system" else "event", (Event(name, said),), moment_of(record))


_REMARKS = (
    *("content", "summary", "text", "operation", "title", "customTitle", "aiTitle", "lastPrompt", "prUrl", "modelId"),
    *("thinkingLevel", "permissionMode", "cwd"),
)


def _unknown(record: Record) -> Message:
    content = record.get("content", record.get("text"))
    if isinstance(content, str | list) and content:
        return Message("event", tuple(parts_of(content)), moment_of(record))
    return Message("event", (Other(dict(record)),), moment_of(record))


_SHAPES: tuple[tuple[Callable[[Record], bool], Callable[[Record], Message]], ...] = (
    (lambda record: isinstance(record.get("type"), str) and isinstance(record.get("payload"), Mapping), _codex),
    (_has_inner_role, _enveloped),
    (_is_of_copilot, _copilot),
    (is_of_langchain, langchain),
    (is_of_pydantic_ai, pydantic_ai),
    (lambda record: isinstance(record.get("role"), str), _chat),
    (lambda record: isinstance(record.get("from"), str) and "value" in record, _sharegpt),
    (
        lambda record: (
            isinstance(record.get("author"), str) and not {"invocation_id", "invocationId"}.isdisjoint(record)
        ),
        _adk,
    ),
    (lambda record: record.get("type") in ("user", "gemini") and "content" in record, _gemini),
    (lambda record: isinstance(record.get("type"), str) and record["type"] in ITEMS, _item),
    (lambda record: isinstance(record.get("type"), str), _noted),
    (lambda _: True, _unknown),
)
"""How a shape is told, and read. The first that fits counts."""
