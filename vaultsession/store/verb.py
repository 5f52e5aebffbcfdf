"""Verb: a method of a store. What it is given is looked at before it begins, and how long it takes is measured.

A verb says in its annotations what its arguments are, and one table says what fits each of these: what does not is an
``InvalidSetting`` that names the argument, or ``InvalidSessionId``, and nothing was touched. Fields of a session are
looked at where its head is made, and documents where they become JSON: ``InvalidDocument``.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from ..errors import InvalidSetting
from ..format import ids
from ..util.lazy import log
from ..util.named_tuple import NamedTuple
from .session import Session

if TYPE_CHECKING:
    from ..util.metrics import Metrics

P = ParamSpec("P")
T = TypeVar("T")


class ArgumentKind(NamedTuple):
    """What an argument takes, in words, and whether a value is one."""

    takes: str
    fits: Callable[[Any], bool]


def _or_none(kind: ArgumentKind) -> ArgumentKind:
    return ArgumentKind(f"{kind.takes}, or None", lambda value: value is None or kind.fits(value))


def _is_many(value: object) -> bool:
    """Whether it is an iterable of other things: a text is one of texts, which nobody means."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | bytearray)


_COUNT = ArgumentKind(
    "a whole number from 0 to 2**63 - 1",
    lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63,
)
_TEXT = ArgumentKind("a str", lambda value: isinstance(value, str))
_IDS = ArgumentKind("an iterable of session ids", _is_many)
_CALLABLE = ArgumentKind("a function", callable)

_KINDS: Mapping[str, ArgumentKind] = {
    "str": _TEXT,
    "str | None": _or_none(_TEXT),
    "int": _COUNT,
    "int | None": _or_none(_COUNT),
    "bool": ArgumentKind("True or False", lambda value: isinstance(value, bool)),
    "bool | str": ArgumentKind(
        "True, False, or the name of a field of messages",
        lambda value: isinstance(value, bool) or (isinstance(value, str) and bool(value)),
    ),
    "float | None": _or_none(
        ArgumentKind(
            "a number of seconds",
            lambda value: isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value),
        )
    ),
    "Iterable[str]": _IDS,
    "Iterable[str] | None": _or_none(_IDS),
    "str | Iterable[str]": ArgumentKind(
        "the name of a key of the state, or an iterable of such",
        lambda value: isinstance(value, str) or _is_many(value),
    ),
    "Sequence[Json]": ArgumentKind(
        "a list of JSON objects", lambda value: isinstance(value, Sequence) and not isinstance(value, str | bytes)
    ),
    "Mapping[str, Any] | None": _or_none(ArgumentKind("a mapping", lambda value: isinstance(value, Mapping))),
    "Iterable[bytes]": ArgumentKind("a file opened for reading bytes, or an iterable of lines", _is_many),
    "Session[StateT] | str": ArgumentKind("a Session, or an id", lambda value: isinstance(value, Session | str)),
    "Iterable[Session[StateT] | DocumentFields]": ArgumentKind("an iterable of sessions, or of mappings", _is_many),
    "Collection[int]": ArgumentKind(
        "a collection of whole numbers",
        lambda value: isinstance(value, Collection) and all(type(each) is int for each in value),
    ),
    "Callable[[int], object] | None": _or_none(_CALLABLE),
    "Progress | None": _or_none(_CALLABLE),
    "OnText | None": _or_none(_CALLABLE),
    "Place": _or_none(
        ArgumentKind(
            "a path, a URL, an Engine",
            lambda value: isinstance(value, str | bytes | os.PathLike) or hasattr(value, "where"),
        )
    ),
    "str | os.PathLike[str] | None": _or_none(
        ArgumentKind("a path", lambda value: isinstance(value, str | os.PathLike))
    ),
    "Settings | None": _or_none(ArgumentKind("Settings", lambda value: hasattr(value, "replaced"))),
    "Clock | None": _or_none(ArgumentKind("a Clock", lambda value: hasattr(value, "now"))),
    "Callable[[int], str]": _CALLABLE,
    "Agent": ArgumentKind("a callable from messages to what it says", callable),
}


class Arguments:
    """What a function takes, of what its annotations say."""

    def __init__(self, function: Callable[..., object]) -> None:
        code = function.__code__
        self._positional = code.co_varnames[1 : code.co_argcount]
        self.is_id_alone = self._positional == ("id",)
        """Whether one id is all that it takes without a name, apart from messages."""
        self._kinds = kinds_of(function.__annotations__)

    def check(self, args: tuple[object, ...], kwargs: Mapping[str, object]) -> None:
        """``InvalidSetting``, or ``InvalidSessionId``, for what it does not take."""
        if len(args) > 1:
            refuse_unfit(self._kinds, zip(self._positional, args[1:], strict=False))
        if kwargs:
            refuse_unfit(self._kinds, kwargs.items())


def kinds_of(annotations: Mapping[str, Any]) -> Mapping[str, ArgumentKind]:
    """Of each name what it takes, where the table says so."""
    texts = {name: getattr(annotation, "__forward_arg__", annotation) for name, annotation in annotations.items()}
    return {name: _KINDS[text] for name, text in texts.items() if text in _KINDS}


def refuse_unfit(kinds: Mapping[str, ArgumentKind], given: Iterable[tuple[str, object]]) -> None:
    """``InvalidSetting``, or ``InvalidSessionId``, for the first value that does not fit its name."""
    for name, value in given:
        kind = kinds.get(name)
        if kind is not None and not kind.fits(value):
            if name in ("id", "new_id"):
                ids.parse(value)
            # Of which type, and not which: a message may stand there.
            raise InvalidSetting(f"{name} is {kind.takes}, not {_shown(value)}")


def _shown(value: object) -> str:
    if value is None or isinstance(value, float) or (isinstance(value, int) and value.bit_length() <= 256):  # noqa: PLR2004 - as long as a line
        return repr(value)
    return type(value).__name__


def checked(function: Callable[P, T]) -> Callable[P, T]:
    """A method that is told what its arguments are not, as a verb is, and that is not measured."""
    arguments = Arguments(function)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        arguments.check(args, kwargs)
        return function(*args, **kwargs)

    return called


def verb(function: Callable[P, T]) -> Callable[P, T]:
    """A method of an object with a ``Metrics`` as ``_watch``: checked, measured, and traced if that is on."""
    name = function.__name__
    arguments = Arguments(function)
    check_arguments, is_id_alone = arguments.check, arguments.is_id_alone
    clock = time.perf_counter_ns

    @functools.wraps(function)
    def watched(*args: P.args, **kwargs: P.kwargs) -> T:
        watch: Metrics = args[0]._watch  # type: ignore[attr-defined]  # noqa: SLF001 - the decorator is a part of its class
        latency = watch.known(name) or watch.latency(name)
        started = clock()
        try:
            if kwargs or not is_id_alone or len(args) == 1 or type(args[1]) is not str:
                check_arguments(args, kwargs)
            if watch.tracing is None:
                result = function(*args, **kwargs)
            else:
                with watch.tracing.span(name, _id_of(args)):
                    result = function(*args, **kwargs)
        except BaseException as error:
            latency.note(clock() - started)
            latency.errors += 1
            log.debug("%s of %r: %s", name, _id_of(args), type(error).__name__)
            raise
        latency.calls += 1  # as ``note``, which is a call
        latency.recent.append(clock() - started)
        return result

    return watched


def _id_of(args: tuple[Any, ...]) -> str | None:
    """The id of the session that a verb is called on, which is its first argument, as a text or as a session."""
    first = args[1] if len(args) > 1 else None
    found = first if isinstance(first, str) else getattr(first, "id", None)
    return found if isinstance(found, str) else None
