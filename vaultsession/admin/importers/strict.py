"""JSON from elsewhere, read such that nothing is lost on the way: what cannot be kept as it is, is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from ...format.payload import Json


def parse(data: bytes) -> Any:  # noqa: ANN401 - JSON is any of six types
    """What the bytes stand for. ``ValueError``, in words, for what is not UTF-8, no JSON, or JSON with a loss.

    A name that stands twice in one object, or NaN, would be one value for this reader and another for the next. Numbers
    come as they are spelled; a store refuses those that it cannot give back.
    """
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise ValueError(f"not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def objects(values: object) -> list[Json]:
    """The values as messages. ``ValueError`` unless they are a list of objects."""
    if not isinstance(values, list):
        raise ValueError(f"the messages are {named(values)}, not a list")  # noqa: TRY004 - of the data, not the code
    for number, value in enumerate(values):
        if not isinstance(value, dict):
            raise ValueError(f"messages[{number}] is {named(value)}, and a message is an object")  # noqa: TRY004 - as above
    return values


def named(value: object) -> str:
    """What JSON calls the value."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_number(spelled: str) -> NoReturn:
    raise ValueError(f"not JSON: {spelled} is no number")
