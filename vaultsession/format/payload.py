r"""Bodies of records: values to strict JSON, JSON to zstd, and back, with bounds both ways. Pure.

A body is one JSON array with one element per line: the state or the operations first, then each message. The serialiser
writes no raw newline inside an element, so ``,\n`` is found only between elements, the last messages are found without
parsing the others, and the whole is parsed in one call. (JSON lines would have to be copied into an array first: 0.9 µs
for 20 KB, and where the copy lifts the heap over the allocator's trim threshold 50 µs more, measured with glibc.)

Nesting is bounded by the serialiser itself (254 levels, one of them used here): it refuses what is deeper, and what it
accepts its parser (1024 levels) gives back.
"""

from __future__ import annotations

import marshal
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import orjson
import zstandard

from ..errors import Damaged, InvalidDocument, TooLarge, UnknownDictionary, UnsupportedFormat
from ..util.named_tuple import NamedTuple
from . import lossless
from .survey import JsonSurvey, WhyNot

CODEC_NONE = 0
CODEC_ZSTD = 1
CODEC_DICTIONARY = 2
CODECS = frozenset({CODEC_NONE, CODEC_ZSTD, CODEC_DICTIONARY})

LEVELS = range(1, 4)
"""zstd levels on offer. Above 3 a turn costs more than its flush and shrinks hardly further."""

LARGEST_BODY = 128 << 20
"""Bytes of JSON in one record, after inflation."""

LARGEST_DOCUMENT = 4 << 30
"""Bytes of JSON that a verb puts into one session at once."""

DEEPEST = 253
"""Levels of nesting that a value may have; an element by itself is written with one more."""

_SMALL = 16 * 1024
"""Bytes of a body up to which all of it is inflated at once; dictionaries are for such alone."""
_FIRST = 4 * 1024
"""Bytes that are inflated at first where only the first element of a body is wanted."""

_WORTH_TRYING = 64
"""Bytes below which compression cannot win against its own frame header."""

SHORT_REACH = 4 * 1024
REACH = 8
"""A dictionary is tried on bodies of up to 4 KiB, or an eighth of its own size.

Measured on real conversations it takes 4 µs beside 6 of zstd alone for 2 KB, and 10 beside 14 for 8 KB. A larger body
mostly repeats itself, and would wait as long again for little.
"""

LOSSES = 8
EVERY = 16
"""A way to compress that made none of the last 8 bodies the smallest is tried on each 16th, until it does so again.

Replayed over real conversations it costs 0.13 % of their bytes at worst, and mostly none. It spares nearly every second
try, 9 µs of an append's 50: a turn is nearly always smaller with a dictionary than without (1.07 tries a turn, where
all would be 1.85), and text that resembles nothing a dictionary has seen nearly never.
"""

_STRICT = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

Json = dict[str, Any]
"""A JSON object."""

_OBJECTS = frozenset({dict})
_TEXT = frozenset({str})
_NESTED = frozenset({dict, list})
_PLAIN = frozenset({str, int, bool, type(None), float, dict, list})
"""What the serialiser either refuses or writes so that it comes back equal, where it is of just that type.

Of floats those that are finite: it writes null for the others. Keys it refuses unless they are of type str themselves.
"""

_LEVELS = 32
_AT_ONCE = 1 << 20
_BATCH = 4096
"""Levels, values on each of them, and messages, that are looked at together.

What is shared is there as often as it is named, so of more values not many may be.
"""

BOXED = b"{" + lossless.MARK
"""What the JSON of a message in a box begins with."""

_FRAME = zstandard.ZstdCompressor(level=1).compress(b"x")


class Packed(NamedTuple):
    """One body, compressed, and its text, since a record may have to be put together anew.

    ``tried`` are the dictionaries that it may refer to.
    """

    text: bytes
    codec: int
    data: bytes
    messages: int
    tried: Sequence[Dictionary]


class _Contexts(threading.local):
    """Those of one thread. They are not safe to share: one compressor used by two threads crashes the interpreter."""

    def __init__(self) -> None:
        self.compressors: dict[int, zstandard.ZstdCompressor] = {}
        self.decompressor: zstandard.ZstdDecompressor | None = None


_contexts = _Contexts()


def body(
    first: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    *,
    limit: int = LARGEST_BODY,
    boxes: bool = False,
) -> bytes:
    """The JSON of a body; see ``elements``. ``TooLarge`` where all of it together is beyond the limit."""
    return join(elements(first, messages, limit=limit, together=True, boxes=boxes))


def elements(
    first: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
    *,
    limit: int = LARGEST_BODY,
    together: bool = False,
    boxes: bool = False,
) -> list[bytes]:
    """The JSON of each element of a body, proved to come back equal, or ``InvalidDocument`` naming the place.

    ``first`` is the state; the paths in errors call it so. ``boxes``: what strict JSON does not carry is put into boxes
    (``lossless``), where else it is refused. ``TooLarge``, before anything is copied, where the text of one element has
    more characters than ``limit``, or that of all ``together``.
    """
    values = [first, *messages]
    is_plain = False
    try:
        is_known = _refuse_large(values, limit, together=together, deepest=None if boxes else DEEPEST + 1)
        dumps, box = orjson.dumps, lossless.BOX
        texts = [dumps(value, option=_STRICT) for value in values]
        is_plain = is_known or (_OBJECTS.issuperset(map(type, values)) and _come_back(texts, values))
        if is_plain and lossless.MARK not in texts[0] and True not in [box in message for message in messages]:
            return texts
    except (TypeError, ValueError, RecursionError):
        pass  # the walks below name the place
    spelled: list[Mapping[str, Any]] = [_spelled_state(first, boxes=boxes)]
    spelled += [_spelled_message(message, number, boxes=boxes) for number, message in enumerate(messages)]
    if not (boxes or is_plain):
        raise InvalidDocument("the document holds a value that JSON cannot give back unchanged")
    return [orjson.dumps(value) for value in spelled]


def changes(assigned: Mapping[str, Any], *, boxes: bool = False) -> Mapping[str, Any]:
    """Keys of the state that a DELTA sets, as they are stored; refused, or boxed, as by ``elements``."""
    (text,) = elements(assigned, (), boxes=boxes)
    if lossless.MARK in text:
        stored: Json = parse(text)
        return stored
    if boxes and not _is_plain(assigned):  # it is deep, and stands two levels deeper in the operations
        return _spelled_state(assigned, boxes=True)
    return assigned


def boxed_element(element: bytes) -> bytes:
    """The JSON of a message as it is stored: itself, unless it would be read as a box."""
    if lossless.MARK not in element or not lossless.is_box(message := parse(element)):
        return element
    return orjson.dumps(lossless.box(message))


def unboxed_element(element: bytes) -> bytes:
    """The JSON of a stored message as it was; as it is stored where JSON does not carry it."""
    if not element.startswith(BOXED):
        return element
    message = lossless.unbox(parse(element))
    return orjson.dumps(message) if _is_plain(message) else element


def _is_plain(value: object) -> bool:
    """Whether JSON gives the value back unchanged, a few levels deeper too."""
    try:
        text = orjson.dumps([[[[value]]]], option=_STRICT)
        marshal.dumps(value, 2)  # type: ignore[arg-type]  # as below
        return bool(orjson.loads(text) == [[[[value]]]])
    except (TypeError, ValueError, RecursionError):
        return False


def _spelled_state(state: Mapping[str, Any], *, boxes: bool) -> Json:
    """The state as it is stored, where some of it is not as it is given."""
    if not boxes:
        _refuse(state, "state", _why_not, DEEPEST)
    _refuse(state, "state", lossless.why_not, None)
    return {lossless.spell_key(name): _spelled(value) for name, value in state.items()}


def _spelled_message(message: Mapping[str, Any], number: int, *, boxes: bool) -> Mapping[str, Any]:
    """The message as it is stored."""
    path = f"messages[{number}]"
    try:
        if not boxes:
            _refuse(message, path, _why_not, DEEPEST)
        _refuse(message, path, lossless.why_not, None)
    except InvalidDocument as error:
        error.index = number
        raise
    spelled: Mapping[str, Any] = _spelled(message)
    return spelled


def _spelled(value: object) -> Any:  # noqa: ANN401 - JSON
    """A value as it is, or in a box where it would not be read as it is."""
    return value if _is_plain(value) and not lossless.is_box(value) else lossless.box(value)


def _refuse_large(values: Sequence[Mapping[str, Any]], limit: int, *, together: bool, deepest: int | None) -> bool:
    """``TooLarge`` for a value of more characters than ``limit``, or all ``together``. Whether JSON gives all back.

    False says only that this has to be looked at one by one. Nearly always a batch of values is looked at together.
    ``InvalidDocument`` for one that is nested deeper than the ``deepest``, or holds itself.
    """
    batch, survey, is_known, total = len(values) if together else _BATCH, None, True, 0
    for start in range(0, len(values), batch):
        size = _plain_size(values[start : start + batch], limit)
        if size is None:
            is_known, survey, left = False, survey or JsonSurvey(deepest=deepest), limit
            for number, value in enumerate(values[start : start + batch], start):
                place = f"messages[{number - 1}]" if number else "state"
                size = survey.size(value, place) if type(value) is dict else 0  # what is none is refused below
                left, total = (left if together else limit) - size, total + size
                if left < 0:
                    what = "together in one record" if together else "in one record"
                    raise TooLarge(f"{place}: more than {limit} bytes of JSON {what}")
        else:
            total += size
        if total > LARGEST_DOCUMENT:
            raise TooLarge(f"more than {LARGEST_DOCUMENT} bytes of JSON in one session")
    return is_known


def _plain_size(values: Sequence[Mapping[str, Any]], limit: int) -> int | None:
    """How many characters the values have, where JSON gives all of them back and they are within the limit.

    The fields of all values are looked at together, then what is nested in them, and so on: at the speed of C.
    """
    dicts: Sequence[Any] = values
    lists: Sequence[Any] = ()
    left = limit
    for _ in range(_LEVELS if _OBJECTS.issuperset(map(type, values)) else 0):
        count = sum(map(len, dicts)) + sum(map(len, lists))
        if count > left or (count > _AT_ONCE and _are_shared([*dicts, *lists])):
            break
        fields: list[Any] = list(chain.from_iterable(map(dict.values, dicts)))
        if lists:
            fields += chain.from_iterable(lists)
        kinds = set(map(type, fields))
        texts = fields if kinds == _TEXT else [field for field in fields if type(field) is str]
        left -= count + sum(map(len, texts))
        if left < 0 or not kinds <= _PLAIN:
            break
        if float in kinds and not all(map(math.isfinite, [field for field in fields if type(field) is float])):
            break
        if kinds.isdisjoint(_NESTED):
            return limit - left
        dicts = [field for field in fields if type(field) is dict]
        lists = [field for field in fields if type(field) is list]
    return None


def _are_shared(nested: Sequence[object]) -> bool:
    """Whether most of them are named more than once."""
    return 2 * len(set(map(id, nested))) < len(nested)


def _come_back(texts: Sequence[bytes], values: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the texts stand for dicts that equal the values. ``ValueError`` too where they do not."""
    for text, value in zip(texts, values, strict=True):
        # marshal accepts exact built-in types only: so it distinguishes an IntEnum or a StrEnum, which compare
        # equal to what comes back, from the int and the str that JSON gives.
        marshal.dumps(value, 2)  # type: ignore[arg-type]  # whether it can is the question
        if orjson.loads(text) != value:
            return False
    return True


def join(elements: Sequence[bytes]) -> bytes:
    """A body of elements that are JSON already."""
    if len(elements) < 2:  # noqa: PLR2004 - nothing to separate
        return b"[%b]" % b"".join(elements)
    return b",\n".join([b"[" + elements[0], *elements[1:-1], elements[-1] + b"]"])  # the long text is copied once


def split(text: bytes) -> list[bytes]:
    """The elements of a body, unparsed.

    Newlines are looked for, a single character being found several times as quickly as a pair: 256 KiB take 65 µs, and
    where ``bytes.split`` looks for the pair 220.
    """
    found, start, find = [], 1, text.find
    while (end := find(b"\n", start)) >= 0:
        found.append(text[start : end - 1])
        start = end + 1
    found.append(text[start:-1])
    return found


def last_of(text: bytes, count: int) -> list[bytes] | None:
    """The last ``count`` elements behind the first one of a body, unparsed; None where there are not so many.

    What stands before them is neither looked at nor copied: the last 20 messages take 4 µs, however long the body is.
    """
    found, end, find = [], len(text) - 1, text.rfind
    for _ in range(count):
        start = find(b"\n", 0, end)
        if start < 0:
            return None
        found.append(text[start + 1 : end])
        end = start - 1
    found.reverse()
    return found


def parse(text: bytes) -> Any:  # noqa: ANN401 - JSON is any of six types
    """What a body, or one element of it, stands for. From authenticated bytes; ``Damaged`` if it is not JSON."""
    try:
        return orjson.loads(text)
    except ValueError:
        raise Damaged("an authentic record does not hold JSON: it was not written by this package") from None


class Dictionary:
    """What bodies have in common, for zstd to refer to, under the number in it. Immutable; safe from any thread.

    ``content`` is a dictionary in zstd's own format. ``ValueError`` for anything else.
    """

    __slots__ = ("_contexts", "_digested", "_inflating", "_lock", "content", "number", "reach")

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reach = max(SHORT_REACH, len(content) // REACH)
        try:
            self._inflating = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_FULLDICT)
            self.number = self._inflating.dict_id()
            if not self.number:
                raise ValueError("no zstd dictionary with a number")
        except zstandard.ZstdError as error:
            raise ValueError(f"no zstd dictionary: {error}") from None
        self._digested: dict[int, zstandard.ZstdCompressionDict] = {}
        self._lock = threading.RLock()
        self._contexts = _Contexts()

    def compress(self, text: bytes, level: int) -> bytes:
        """One zstd frame that names the dictionary and declares its size."""
        compressor = self._contexts.compressors.get(level)
        if compressor is None:
            with self._lock:
                digested = self._digested.get(level)
                if digested is None:
                    digested = zstandard.ZstdCompressionDict(self.content, dict_type=zstandard.DICT_TYPE_FULLDICT)
                    digested.precompute_compress(level=level)
                    self._digested[level] = digested
            compressor = zstandard.ZstdCompressor(
                level=level, dict_data=digested, write_content_size=True, write_checksum=False
            )
            self._contexts.compressors[level] = compressor
        return compressor.compress(text)

    @property
    def decompressor(self) -> zstandard.ZstdDecompressor:
        """That of this thread. ``UnknownDictionary`` where zstd cannot use what the dictionary holds."""
        known = self._contexts.decompressor
        if known is not None:
            return known
        made = zstandard.ZstdDecompressor(dict_data=self._inflating)
        try:
            with self._lock:  # its first use digests the dictionary, which two threads must not do at once
                made.decompress(_FRAME)
        except zstandard.ZstdError:
            raise UnknownDictionary(f"dictionary {self.number} was not written by this package") from None
        self._contexts.decompressor = made
        return made


Losses = dict[Dictionary | None, int]
"""How often in a row each dictionary, and None, was not what made a body the smallest."""

Find = Callable[[int], Dictionary]
"""The dictionary of a number, or ``UnknownDictionary``."""


def pack(
    text: bytes,
    *,
    level: int | None,
    limit: int,
    dictionaries: Sequence[Dictionary] = (),
    losses: Losses | None = None,
) -> tuple[int, bytes]:
    """``(codec, bytes)`` of a body, the smallest of: as it is, zstd, and where it is small zstd with each dictionary.

    As it is where ``level`` is None. ``TooLarge`` above ``limit`` bytes, before anything is allocated.
    ``losses`` remembers how often in a row a way was not the best, and those that keep losing are mostly passed over;
    without it all are tried. It belongs to the caller; threads may share it, since a count that goes astray moves a
    try and nothing else.
    """
    if len(text) > limit:
        raise TooLarge(f"{len(text)} bytes of JSON in one record; the bound is {limit}")
    if level is None or len(text) < _WORTH_TRYING:
        return CODEC_NONE, text
    ways: list[Dictionary | None] = [None, *[each for each in dictionaries if len(text) <= each.reach]]
    counts: Losses = {} if losses is None or len(ways) == 1 else losses  # no rival, no loss
    fewest = min([counts.get(way, 0) for way in ways])
    codec, packed, best = CODEC_NONE, text, ways[0]
    for way in ways:
        lost = counts.get(way, 0)
        counts[way] = lost + 1  # until it wins
        if lost < LOSSES or lost == fewest or not lost % EVERY:  # never none: who lost least is tried
            squeezed = _compressor(level).compress(text) if way is None else way.compress(text, level)
            if len(squeezed) < len(packed):
                codec, packed, best = CODEC_ZSTD if way is None else CODEC_DICTIONARY, squeezed, way
    if codec != CODEC_NONE:
        counts[best] = 0
    return codec, packed


def _no_dictionary(number: int) -> Dictionary:
    raise UnknownDictionary(f"compressed with dictionary {number}, and there are none here")


def unpack(codec: int, data: bytes, *, limit: int, find: Find = _no_dictionary) -> bytes:
    """The body again. The declared size is checked before anything is allocated: zstandard itself would believe it.

    Called on authenticated bytes only. ``TooLarge``, ``Damaged``, ``UnsupportedFormat``, ``UnknownDictionary``.
    """
    if codec == CODEC_ZSTD:
        decompressor = _contexts.decompressor or _decompressor()
    elif codec == CODEC_DICTIONARY:
        decompressor = find(dictionary_of(data)).decompressor
    elif codec != CODEC_NONE:
        raise UnsupportedFormat(f"codec {codec} is of another version", found=codec, supported=sorted(CODECS))
    elif len(data) > limit:
        raise TooLarge(f"a record of {len(data)} bytes; the bound is {limit}")
    else:
        return data
    try:
        size = zstandard.get_frame_parameters(data).content_size
        if size > limit:  # "unknown" is 2**64 - 1, and refused with it
            raise TooLarge(f"a record of {size} bytes when inflated; the bound is {limit}")
        return decompressor.decompress(data, allow_extra_data=False)
    except zstandard.ZstdError:
        raise Damaged("an authentic record does not inflate: it was not written by this package") from None


def first_of(codec: int, data: bytes, *, limit: int, find: Find = _no_dictionary) -> bytes:
    """The beginning of a body, its first element and the newline behind that within it: no more is inflated.

    All of the body where it has no message. Errors as of ``unpack``, as far as it is looked at.
    """
    try:
        size = zstandard.get_frame_parameters(data).content_size if codec == CODEC_ZSTD else 0
        if not _SMALL < size <= limit:
            return unpack(codec, data, limit=limit, find=find)
        found = b""
        with _decompressor().stream_reader(data) as stream:
            while b"\n" not in found and (more := stream.read(max(_FIRST, len(found)))):
                found += more
        if b"\n" in found or len(found) == size:
            return found
    except zstandard.ZstdError:
        pass
    raise Damaged("an authentic record does not inflate: it was not written by this package")


def dictionary_of(data: bytes) -> int:
    """The number of the dictionary that a body of that codec was compressed with; ``UnsupportedFormat``."""
    try:
        number: int = zstandard.get_frame_parameters(data).dict_id
    except zstandard.ZstdError:
        number = 0
    if not number:
        raise UnsupportedFormat(
            f"a body of codec {CODEC_DICTIONARY} that names no dictionary is of another version",
            found=CODEC_DICTIONARY,
            supported=sorted(CODECS),
        )
    return number


def _compressor(level: int) -> zstandard.ZstdCompressor:
    made = _contexts.compressors.get(level)
    if made is None:
        made = zstandard.ZstdCompressor(level=level, write_content_size=True, write_checksum=False)
        _contexts.compressors[level] = made
    return made


def _decompressor() -> zstandard.ZstdDecompressor:
    made = _contexts.decompressor
    if made is None:
        made = _contexts.decompressor = zstandard.ZstdDecompressor()
    return made


def _refuse(value: object, path: str, why_not: WhyNot, deepest: int | None) -> None:
    """``InvalidDocument`` with the path to what does not fit."""
    if type(value) is not dict:
        raise InvalidDocument(f"{path}: a JSON object is a dict, not {type(value).__name__}", path=path)
    JsonSurvey(why_not, deepest=deepest).size(value, path)


def _why_not(value: object) -> str | None:
    """Why JSON does not give this leaf back unchanged, or None."""
    match value:
        case None | True | False:
            return None
        case str() if type(value) is str:
            return "a str with lone surrogates" if any("\ud800" <= each <= "\udfff" for each in value) else None
        case float() if type(value) is float:
            return None if math.isfinite(value) else f"JSON has no {value}"
        case int() if type(value) is int:
            return None if -(2**63) <= value < 2**64 else "an integer beyond 64 bits"
    return f"JSON gives no {type(value).__name__} back"
