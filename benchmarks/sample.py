"""Synthetic conversations: English-like text whose words follow Zipf's law, so that it compresses as chats do."""

from __future__ import annotations

import random
from typing import Any

Message = dict[str, Any]

_SYLLABLES = [
    "ka",
    "lo",
    "mi",
    "ren",
    "ta",
    "vo",
    "su",
    "ne",
    "pri",
    "do",
    "ga",
    "sel",
    "un",
    "tor",
    "ba",
    "fi",
    "che",
    "mar",
    "il",
    "os",
    "wen",
    "dra",
    "que",
    "ly",
]


def _vocabulary(chance: random.Random, size: int = 4000) -> list[str]:
    return ["".join(chance.choices(_SYLLABLES, k=chance.choice((1, 2, 2, 3, 3, 4)))) for _ in range(size)]


class Author:
    """Writes messages, the same ones for the same seed."""

    def __init__(self, seed: int = 7) -> None:
        self._chance = random.Random(seed)
        self._words = _vocabulary(random.Random(1))
        self._weights = [1 / rank for rank in range(1, len(self._words) + 1)]

    def text(self, size: int) -> str:
        """About so many characters."""
        words = self._chance.choices(self._words, self._weights, k=max(1, size // 6))
        return " ".join(words).capitalize() + "."

    def turn(self, size: int = 1500) -> list[Message]:
        """A question and its answer: ``size`` bytes of JSON together."""
        question = size // 4
        return [
            {"role": "user", "content": self.text(question - 30)},
            {"role": "assistant", "content": self.text(size - question - 35)},
        ]

    def history(self, size: int, turn: int = 1500) -> list[Message]:
        """Turns until there are about ``size`` bytes of JSON."""
        found: list[Message] = []
        for _ in range(max(1, round(size / turn))):
            found += self.turn(turn)
        return found
