r"""Searching: matches in the texts of sessions, decrypted one session at a time and kept nowhere.

What is looked through are text values: every JSON string in the messages, and in the state, as it was before JSON
escaped it. Most of what is read holds no match, so bytes are looked at before anything is parsed: JSON spells each
character in one way whatever stands around it, so a text that is within a value is, spelled so, within its bytes.
Where that does not hold (``\u`` escapes, which the serialiser writes for control characters alone), or nothing can be
said from bytes (patterns), everything is parsed.

Decision (2026-11): one thread. With two on two cores a search took 1.2 to 2.4 times as long: what is not within zstd or
the cipher holds the interpreter lock, and that is most of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from ..errors import BackendUnavailable, InvalidSetting, PartialFailure, Unreadable, VaultError, without_frames
from ..format import document
from ..format.payload import Json
from .cache import SessionCache
from .listing import Listing
from .reader import Document, Reader

Needle = str | re.Pattern[str]

AROUND = 40
"""Characters of the text that an excerpt shows on each side of a match."""

_LONGEST_SHOWN = 400

_OTHER_CASES = {"k": "\u212a", "s": "\u017f", "i": "\u0130\u0131"}
"""Characters beyond ASCII that differ from an ASCII letter by case alone, as ``re.IGNORECASE`` sees it."""


@dataclass(frozen=True, slots=True)
class Match:
    """The first match within one text value.

    ``index`` is the place of the message in the history, as ``messages(offset=…)`` counts; None for the state. ``role``
    is that of the message, if it has one; ``path`` the place of the text, as in ``messages[3].content[0].text``.
    ``excerpt`` shows what stands around the match, which is ``excerpt[slice(*span)]``.

    >>> from vaultsession import open_store
    >>> with open_store("memory://") as store:
    ...     session = store.create("alice", messages=[{"role": "user", "content": "Where is Rome?"}])
    ...     [(match.id, match.path, match.excerpt[slice(*match.span)]) for match in store.search("Rome")]
    [('alice', 'messages[0].content', 'Rome')]
    """

    id: str
    index: int | None
    role: str | None
    path: str
    excerpt: str
    span: tuple[int, int]


class Probe:
    """What is looked for. ``InvalidSetting`` for an empty text, and for what is no text."""

    def __init__(self, needle: Needle, *, ignore_case: bool = False) -> None:
        if not isinstance(needle, str | re.Pattern) or not needle or isinstance(getattr(needle, "pattern", ""), bytes):
            raise InvalidSetting("needle: look for a str that is not empty, or for a compiled pattern of str")
        self._text = needle if isinstance(needle, str) and not ignore_case else None
        self._spelled = b""
        self._others: tuple[bytes, ...] = ()
        self._escapes: tuple[bytes, ...] = (b"\\u",)
        self._folded = ignore_case
        if isinstance(needle, re.Pattern):
            if ignore_case:
                raise InvalidSetting("ignore_case is for a text: give the pattern the flag re.IGNORECASE")
            self._pattern = needle
            return
        self._pattern = re.compile(re.escape(needle), re.IGNORECASE if ignore_case else 0)
        try:
            spelled = orjson.dumps(needle)[1:-1]
        except TypeError:
            raise InvalidSetting("the text to look for is no valid Unicode") from None
        if "/" in needle:
            self._escapes = (b"\\u", b"\\/")
        if not ignore_case:
            self._spelled = spelled
        elif needle.isascii():
            self._spelled = spelled.lower()
            others = "".join(_OTHER_CASES.get(letter, "") for letter in set(needle.lower()))
            self._others = tuple(other.encode() for other in others)

    def may_be_in(self, text: bytes) -> bool:
        """False only if no text value within this JSON matches."""
        if not self._spelled:
            return True
        if self._spelled in (text.lower() if self._folded else text) or any(each in text for each in self._escapes):
            return True
        return bool(self._others) and not text.isascii() and any(other in text for other in self._others)

    def find(self, text: str) -> tuple[int, int] | None:
        """Where the first match is."""
        if self._text is not None:
            start = text.find(self._text)
            return None if start < 0 else (start, start + len(self._text))
        found = self._pattern.search(text)
        return None if found is None else found.span()


class Search:
    """Looks through sessions. Safe from any thread."""

    def __init__(self, listing: Listing, cache: SessionCache, reader: Reader, key: Callable[[str], str]) -> None:
        self._listing = listing
        self._cache = cache
        self._reader = reader
        self._key = key

    def matches(
        self,
        probe: Probe,
        tags: tuple[bytes, ...],
        *,
        state: bool = False,
        limit: int | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> Iterator[Match]:
        """Matches in living sessions, those changed last first; at most ``limit``.

        ``PartialFailure`` behind the last one, for sessions that could not be read.
        """
        left = limit
        failures: dict[str, VaultError] = {}
        for number, head in enumerate(self._listing.each(tags, order="newest"), 1):
            try:
                loaded = self.loaded(head.id)
                if loaded is not None:
                    for match in _matches(probe, head.id, loaded.bodies, state=state):
                        yield match
                        left = None if left is None else left - 1
                        if left == 0:
                            return
            except (Unreadable, BackendUnavailable) as error:
                failures[head.id] = without_frames(error)
            if progress is not None:
                progress(number)
        if failures:
            raise PartialFailure.of("searched", failures)

    def loaded(self, id: str) -> Document | None:
        """The newest document, without a place in the cache and without extending its life."""
        key = self._key(id)
        known = self._cache.current(key)
        return known or self._cache.read(key, self._reader.load)


def _matches(probe: Probe, id: str, bodies: document.Bodies, *, state: bool) -> Iterator[Match]:
    if not any(map(probe.may_be_in, bodies)):
        return
    if state:
        for path, text, span in _found(probe, document.state_of(bodies), "state"):
            yield _match(id, None, None, path, text, span)
    for index, element in enumerate(document.elements(bodies)):
        if probe.may_be_in(element):
            message: Json = document.message_of(element)
            for path, text, span in _found(probe, message, f"messages[{index}]"):
                role = message.get("role")
                yield _match(id, index, role if isinstance(role, str) else None, path, text, span)


def _found(probe: Probe, value: Any, path: str) -> Iterator[tuple[str, str, tuple[int, int]]]:  # noqa: ANN401 - JSON
    """The texts below a container that match, in order, with their paths."""
    below = [_items(value, path)]  # and no recursion: what lies in a box may be nested as deeply as memory allows
    while below:
        for place, item in below[-1]:
            if isinstance(item, str):
                span = probe.find(item)
                if span is not None:
                    yield place, item, span
            elif isinstance(item, dict | list):
                below.append(_items(item, place))
                break
        else:
            below.pop()


def _items(value: Any, path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON
    """What stands in a container, with the path of each."""
    if isinstance(value, dict):
        return ((f"{path}.{name}", item) for name, item in value.items())
    return ((f"{path}[{number}]", item) for number, item in enumerate(value))


def _match(id: str, index: int | None, role: str | None, path: str, text: str, span: tuple[int, int]) -> Match:
    start, end = span
    first = max(0, start - AROUND)
    shown = min(end, start + _LONGEST_SHOWN)
    excerpt = text[first : shown + AROUND]
    return Match(id, index, role, path, excerpt, (start - first, shown - first))
