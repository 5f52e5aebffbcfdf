"""Hypothesis strategies for what a store is given: ids, documents, messages, conversations.

Everything drawn here is accepted by every store, and comes back equal; what is called lossless is accepted by a
lossless store. Needs the extra ``testing``.
"""

from __future__ import annotations

from typing import Any

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{__name__} needs Hypothesis: pip install 'vaultsession[testing]'", name=error.name
    ) from error

from ..format.ids import LONGEST_ID
from ..format.payload import Json

HOSTILE_IDS = (
    "../../etc/passwd",
    "/absolute",
    "..",
    ".",
    "a/b",
    "a_b",
    "A",
    "a",
    "CON",
    "nul.txt",
    "with\0nul",
    "new\nline",
    "trailing ",
    "🙂" * 8,
    "\u00e9",
    "e\u0301",
    "\u202eright-to-left",
    "~" * 32,
    "0" * 32,
    "x" * LONGEST_ID,
)
"""Ids that have broken stores that made file names of them. All are legal, and all are different sessions."""

LIFE_SPANS = (60, 600, 3600)
"""Seconds that drawn sessions live."""

_ROLES = ("system", "user", "assistant", "tool")
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_WORDS = st.sampled_from(
    ["", "hello", "pop", "set", "unset", "trim", ",\n", '"', "\\", "\x00", "[]", "{}", "🙂", "नमस्ते"]
)


def session_ids() -> SearchStrategy[str]:
    """Session ids: ordinary ones, any text, and those that have broken stores before."""
    ordinary = st.from_regex(r"[a-z]{1,8}-[0-9]{1,6}", fullmatch=True)
    anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
    return st.one_of(ordinary, st.sampled_from(HOSTILE_IDS), anything)


def json_values(*, max_leaves: int = 8) -> SearchStrategy[Any]:
    """Whatever JSON gives back unchanged: null, booleans, 64-bit integers, finite floats, text, lists and objects."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        _WORDS,
        _TEXT,
    )
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(st.one_of(_WORDS, _TEXT), inner, max_size=4)
        ),
        max_leaves=max_leaves,
    )


def json_documents(*, max_leaves: int = 8) -> SearchStrategy[Json]:
    """JSON objects, as a session's state."""
    return st.dictionaries(st.one_of(_WORDS, _TEXT), json_values(max_leaves=max_leaves), max_size=4)


def lossless_values(*, max_leaves: int = 8) -> SearchStrategy[Any]:
    """What a lossless store gives back: bytes, any integer, float and text, keys that look like envelopes."""
    texts = st.one_of(_WORDS, st.text(max_size=20), st.text(st.sampled_from("\\u$d8\ud800\udfff"), max_size=6))
    names = st.one_of(texts, st.sampled_from(["$b", "$s", "$i", "$f", "$r", "$lossless", "$lossless:", "$$", "$s:"]))
    leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(max_size=20), texts)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)),
        max_leaves=max_leaves,
    )


def lossless_documents(*, max_leaves: int = 8) -> SearchStrategy[Json]:
    """Objects of such values, as a lossless store takes them for states and messages."""
    names = st.one_of(st.text(max_size=8), st.sampled_from(["role", "$lossless", "$lossless:a", "\ud800"]))
    return st.dictionaries(names, lossless_values(max_leaves=max_leaves), max_size=4)


def messages() -> SearchStrategy[Json]:
    """Messages: mostly a role and a content, some with an id, some of any shape, calls of a tool and their results."""
    spoken = st.fixed_dictionaries(
        {"role": st.sampled_from(_ROLES), "content": st.one_of(_WORDS, _TEXT)},
        optional={"id": st.sampled_from(["m1", "m2", "m3"]), "metadata": json_values(max_leaves=4)},
    )
    return st.one_of(spoken, json_documents(max_leaves=4), tool_messages())


def tool_messages() -> SearchStrategy[Json]:
    """A tool's call or its result, of few ids, so that they often belong together."""
    return st.builds(_tool_message, st.sampled_from(["c1", "c2"]), st.booleans())


def conversations(*, max_size: int = 12) -> SearchStrategy[list[Json]]:
    """Histories, oldest message first: a system prompt perhaps, then user and assistant in turn."""
    turns = st.lists(st.one_of(_WORDS, _TEXT), max_size=max_size)
    return st.builds(_conversation, st.booleans(), turns)


def owners() -> SearchStrategy[str | None]:
    """Few, so that filters find something; "alice" is also a label."""
    return st.sampled_from([None, "alice", "bob"])


def labels() -> SearchStrategy[dict[str, str]]:
    """Labels, few of them for the same reason."""
    return st.dictionaries(st.sampled_from(["shade", "alice"]), st.sampled_from(["red", "alice"]), max_size=2)


def facts() -> SearchStrategy[dict[str, Any]]:
    """What ``create`` and ``save`` take beside a document."""
    return st.fixed_dictionaries(
        {},
        optional={
            "user_id": owners(),
            "tenant_id": owners(),
            "assistant_id": owners(),
            "title": st.sampled_from([None, "", "A title"]),
            "labels": labels(),
            "ttl": st.sampled_from([None, *LIFE_SPANS]),
            "sliding": st.booleans(),
            "max_messages": st.sampled_from([None, 1, 3]),
        },
    )


def filters() -> SearchStrategy[dict[str, Any]]:
    """What ``list`` and ``count`` take."""
    owned = {"user_id": owners(), "tenant_id": owners(), "assistant_id": owners()}
    return st.fixed_dictionaries({}, optional={**owned, "labels": labels()})


def _tool_message(name: str, is_call: bool) -> Json:
    if is_call:
        return {"role": "assistant", "content": None, "tool_calls": [{"id": name, "type": "function"}]}
    return {"role": "tool", "tool_call_id": name, "content": "5"}


def _conversation(prompted: bool, turns: list[str]) -> list[Json]:
    start: list[Json] = [{"role": "system", "content": "Be brief."}] if prompted else []
    return start + [
        {"role": "assistant" if number % 2 else "user", "content": text} for number, text in enumerate(turns)
    ]
