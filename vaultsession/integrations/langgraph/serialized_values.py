"""SerializedValues: values of channels as a log has them, by the serializer of a saver."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ...format.binary_text import bytes_of, text_of
from ...format.thread_log import RecordDraft, Value
from .list_memory import ListMemory

_MSGPACK = "msgpack"
_FIX_ARRAY, _ARRAY_16, _ARRAY_32 = 0x90, b"\xdc", b"\xdd"


class SerializedValues:
    """Dumps values for records, and loads them. Lists go by their elements, where the serializer is LangGraph's own."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self._serde = serde
        self._splits = type(serde) is JsonPlusSerializer

    def dump(self, value: Any) -> Value:
        """A value as a text."""
        kind, data = self._serde.dumps_typed(value)
        text = text_of(data)
        return text if kind == _MSGPACK else [kind, text]

    def load(self, value: Value) -> Any:
        """The value again, of what a log resolves it to."""
        if type(value) is str:
            return self._serde.loads_typed((_MSGPACK, bytes_of(value)))
        if type(value) is not dict:
            kind, text = value
            return self._serde.loads_typed((kind, bytes_of(text)))
        if "text" in value:
            return self._serde.loads_typed((_MSGPACK, bytes_of(value["text"])))
        texts = value["texts"]
        return self._serde.loads_typed((_MSGPACK, _array(len(texts)) + bytes_of(*texts)))

    def of_channel(self, drafted: RecordDraft, channel: str, value: Any) -> Value:
        """A value for a record: a list by its elements, where the serializer writes them as they stand in a list."""
        if type(value) is not list or not self._splits:
            return self.dump(value)
        place = drafted.space, channel
        memory: ListMemory | None = drafted.log.memory.get(place)
        count, ranges = 0, []
        if memory is not None and (not memory.ranges or memory.ranges[0] >= drafted.floor) and memory.holds(value):
            count, ranges = memory.count, memory.ranges
        texts = self._texts(value[count:])
        if texts is None:
            return self.dump(value)
        if not count and memory is not None:
            done, kept = drafted.prefix(texts, memory.ranges)
            ranges = drafted.ranges(texts[done:], kept)
        else:
            ranges = drafted.ranges(texts, ranges)
        memory = memory if count and memory is not None else ListMemory()
        if memory.follow(value, ranges):
            drafted.log.memory[place] = memory
        else:
            drafted.log.memory.pop(place, None)
        return {"ranges": ranges}

    def of_write(self, drafted: RecordDraft, value: Any) -> Value:
        """A written value for a record: elements by themselves, since a checkpoint's list will have them."""
        if not self._splits:
            return self.dump(value)
        is_list = type(value) is list
        texts = self._texts(value if is_list else [value])
        if texts is None or value is None or isinstance(value, bytes | bytearray):
            return self.dump(value)
        return {"ranges": drafted.ranges(texts)} if is_list else drafted.at(texts[0])

    def _texts(self, elements: list[Any]) -> list[str] | None:
        """Each element as it stands in a list; None where the serializer writes one in another way."""
        texts = []
        for element in elements:
            kind, data = self._serde.dumps_typed([element])
            if kind != _MSGPACK:
                return None
            texts.append(text_of(data[1:]))
        return texts


def _array(count: int) -> bytes:
    """What MessagePack puts before the elements of a list."""
    if count < 16:  # noqa: PLR2004 - of the format
        return bytes([_FIX_ARRAY | count])
    return _ARRAY_16 + count.to_bytes(2, "big") if count < 1 << 16 else _ARRAY_32 + count.to_bytes(4, "big")
