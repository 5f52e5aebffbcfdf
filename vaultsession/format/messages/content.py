"""Content: a text, or a list of blocks as model APIs have them, as parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from .parts import (
    Citation,
    Json,
    Media,
    Other,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    arguments_of,
    base64_size,
    mappings,
    text_of,
    word,
)

Block = Mapping[str, Json]


def parts_of(content: Json) -> Iterator[Part]:
    """The parts of a content: of a text, of a list of blocks, or of one block."""
    if content is None or content == "":
        return
    if isinstance(content, str):
        yield Text(content)
    elif isinstance(content, list):
        for block in content:
            yield from _of_block(block)
    else:
        yield from _of_block(content)


def result_of(content: Json, call: Json = None, name: Json = None, is_error: Json = None) -> ToolResult:
    """What a tool answered. A part of it that no result has is shown as what stands there."""
    parts = tuple(
        part if isinstance(part, Text | Media | Citation | Other) else Other(part._asdict())
        for part in parts_of(content)
    )
    return ToolResult(parts, word(call), word(name), is_error if isinstance(is_error, bool) else None)


def answer_of(value: Json, call: Json = None, name: Json = None, is_error: Json = None) -> ToolResult:
    """What a tool answered where that may be any JSON: blocks as such, all else in words."""
    if isinstance(value, list) and all(isinstance(each, Mapping) and "type" in each for each in value):
        return result_of(value, call, name, is_error)
    return result_of(text_of(value), call, name, is_error)


def media_of(url: Json, kind: str, name: str | None = None) -> Media:
    """An image or a file by its URL, whose data may stand in it. ``kind`` where the URL does not say its type."""
    if not isinstance(url, str):
        return Media(kind, name)
    if url.startswith("data:"):
        head, _, data = url.partition(",")
        return Media(head[5:].partition(";")[0] or kind, name, base64_size(data), data)
    return Media(kind, name, url=url)


def _of_block(block: Json) -> Iterator[Part]:
    if isinstance(block, str):
        yield Text(block)
        return
    if not isinstance(block, Mapping):
        yield Other(block)
        return
    kind = block.get("type")
    read = _BLOCKS.get(kind) if isinstance(kind, str) else None
    if read is not None:
        yield from read(block)
    elif kind is None and isinstance(block.get("text"), str):
        yield from _text(block)
    elif kind is None and (name := next((name for name in _BEDROCK if isinstance(block.get(name), Mapping)), None)):
        yield _BEDROCK[name](block[name])
    else:
        yield Other(dict(block))


def _text(block: Block) -> Iterator[Part]:
    said = block.get("text") or block.get("value")
    if said:
        yield Text(text_of(said))
    for note in mappings(block.get("annotations") or block.get("citations")):
        title = word(note.get("title")) or word(note.get("document_title")) or word(note.get("filename"))
        url = word(note.get("url"))
        yield Citation(title or url or word(note.get("cited_text")) or text_of(dict(note)), url)


def _thinking(block: Block) -> Iterator[Part]:
    """Anthropic's and Pi's ``thinking``, and the summaries of OpenAI's reasoning."""
    if isinstance(block.get("summary"), list):
        said = (*mappings(block["summary"]), *mappings(block.get("content")))
        yield Thinking("\n\n".join(text_of(each.get("text")) for each in said))
        return
    value: Json = next(
        (block[name] for name in ("thinking", "reasoning", "text", "content", "value") if name in block), None
    )
    yield Thinking(text_of(value))


def _tool_call(block: Block) -> Iterator[Part]:
    """Anthropic's ``tool_use``, Pi's ``toolCall``, and the items of OpenAI's Responses API."""
    kind = str(block["type"])
    name = word(block.get("name")) or word(block.get("toolName")) or kind.removesuffix("_call")
    places = ("input", "arguments", "args", "action", "query", "code", "value")
    value: Json = next((block[place] for place in places if block.get(place) is not None), {})
    call = word(block.get("call_id")) or word(block.get("tool_use_id")) or word(block.get("id"))
    yield ToolCall(name, arguments_of(value), call)


def _tool_result(block: Block) -> Iterator[Part]:
    """Anthropic's ``tool_result``, and the outputs of OpenAI's Responses API."""
    value: Json = next((block[name] for name in ("content", "output", "result") if name in block), None)
    call = block.get("tool_use_id") or block.get("call_id") or block.get("toolCallId")
    yield answer_of(value, call, block.get("name"), block.get("is_error", block.get("isError")))


def _image(block: Block) -> Iterator[Part]:
    """An image of any API: by a source, by a URL, or by its data."""
    source = block.get("source")
    if isinstance(source, Mapping):
        yield _of_source(source, "image", None)
    elif isinstance(block.get("image_url"), Mapping):
        yield media_of(block["image_url"].get("url"), "image")
    elif isinstance(block.get("data"), str):
        kind = word(block.get("mimeType")) or word(block.get("mime_type")) or "image"
        yield Media(kind, None, base64_size(block["data"]), block["data"])
    else:
        yield media_of(block.get("image_url") or block.get("url"), "image", word(block.get("file_id")))


def _file(block: Block) -> Iterator[Part]:
    """A file or a document of any API."""
    name = word(block.get("filename")) or word(block.get("title")) or word(block.get("name"))
    source, inner = block.get("source"), block.get("file")
    if isinstance(source, Mapping):
        yield _of_source(source, "file", name)
    elif isinstance(inner, Mapping):
        named = word(inner.get("filename")) or word(inner.get("file_id"))
        yield media_of(inner.get("file_data") or inner.get("url"), "file", named)
    else:
        yield media_of(block.get("file_data") or block.get("file_url") or block.get("url"), "file", name)


def _audio(block: Block) -> Iterator[Part]:
    inner = block.get("input_audio") or block.get("audio")
    if isinstance(inner, Mapping) and isinstance(inner.get("data"), str):
        yield Media(f"audio/{inner.get('format') or 'x'}", None, base64_size(inner["data"]), inner["data"])
    else:
        yield Media("audio")


def _resource(block: Block) -> Iterator[Part]:
    """A resource of the Model Context Protocol: its text, or a file."""
    inner = block.get("resource")
    inner = inner if isinstance(inner, Mapping) else block
    if isinstance(inner.get("text"), str):
        yield Text(inner["text"])
    else:
        kind, data = word(inner.get("mimeType")) or "file", word(inner.get("blob"))
        yield Media(kind, word(inner.get("name")), base64_size(data) if data else None, data, word(inner.get("uri")))


def _search_result(block: Block) -> Iterator[Part]:
    url = word(block.get("url")) or word(block.get("source"))
    yield Citation(word(block.get("title")) or url or "", url)


def _of_source(source: Block, kind: str, name: str | None) -> Part:
    """Where Anthropic says what an image or a document is."""
    stated = word(source.get("media_type")) or kind
    data = source.get("data")
    if isinstance(data, str):
        if source.get("type") == "text":
            return Media(stated, name, len(data.encode()), None)
        return Media(stated, name, base64_size(data), data)
    return Media(stated, name or word(source.get("file_id")), url=word(source.get("url")))


_CALLS = (
    *("function_call", "custom_tool_call", "local_shell_call", "web_search_call", "file_search_call", "mcp_call"),
    *("code_interpreter_call", "computer_call", "tool_search_call", "image_generation_call", "shell_call"),
    "apply_patch_call",
)
_OUTPUTS = (
    *("function_call_output", "custom_tool_call_output", "local_shell_call_output", "computer_call_output"),
    *("shell_call_output", "apply_patch_call_output"),
)
ITEMS = frozenset(("reasoning", *_CALLS, *_OUTPUTS, "tool_search_output"))
"""Items of OpenAI's Responses API that have no role: blocks that stand alone."""

_BLOCKS: dict[str, Callable[[Block], Iterable[Part]]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "summary_text"), _text),
    "refusal": lambda block: [Text(text_of(block.get("refusal")))],
    **dict.fromkeys(("thinking", "reasoning", "reasoning_text"), _thinking),
    "redacted_thinking": lambda _: [Thinking("")],
    **dict.fromkeys(("tool_use", "server_tool_use", "mcp_tool_use", "toolCall", "tool_call"), _tool_call),
    **dict.fromkeys(_CALLS, _tool_call),
    **dict.fromkeys(("tool_result", "mcp_tool_result", *_OUTPUTS), _tool_result),
    **dict.fromkeys(("web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"), _tool_result),
    **dict.fromkeys(("image", "image_url", "input_image"), _image),
    **dict.fromkeys(("file", "input_file", "document"), _file),
    **dict.fromkeys(("input_audio", "audio"), _audio),
    **dict.fromkeys(("resource", "resource_link"), _resource),
    **dict.fromkeys(("search_result", "web_search_result"), _search_result),
    "tool_search_output": lambda block: [result_of(text_of(block.get("tools")), block.get("call_id"))],
    "tool_reference": lambda block: [Citation(word(block.get("tool_name")) or text_of(dict(block)))],
}

# -- Bedrock's blocks, as Strands keeps them: without a type, named by their only field --------------------------------


def _bedrock_result(result: Block) -> Part:
    parts: list[Json] = [
        {"type": "text", **each} if "text" in each else each.get("json", dict(each))
        for each in mappings(result.get("content"))
    ]
    failed = result["status"] == "error" if word(result.get("status")) else None
    content = parts[0]["text"] if len(parts) == 1 and isinstance(parts[0], Mapping) and "text" in parts[0] else parts
    return answer_of(content, result.get("toolUseId"), None, failed)


def _bedrock_thought(block: Block) -> Part:
    said = block.get("reasoningText")
    return Thinking(word(said.get("text")) or "" if isinstance(said, Mapping) else "")


def _bedrock_media(kind: str) -> Callable[[Block], Part]:
    def attached(block: Block) -> Part:
        source = block.get("source")
        data = source.get("bytes") if isinstance(source, Mapping) else None
        encoded = word(data.get("data")) if isinstance(data, Mapping) else None
        media = f"{kind}/{word(block.get('format')) or '*'}"
        return Media(media, word(block.get("name")), None if encoded is None else base64_size(encoded), encoded)

    return attached


_BEDROCK: dict[str, Callable[[Block], Part]] = {
    "toolUse": lambda call: ToolCall(word(call.get("name")) or "tool", call.get("input"), word(call.get("toolUseId"))),
    "toolResult": _bedrock_result,
    "reasoningContent": _bedrock_thought,
    "image": _bedrock_media("image"),
    "document": _bedrock_media("application"),
    "video": _bedrock_media("video"),
}
