"""A vault to look at: invented conversations of a few assistants, over some weeks, of every kind of part."""

from __future__ import annotations

import base64
import struct
import zlib
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

from vaultsession import SessionStore

TRIP = "alice/marrakesh"
"""The session that has every kind of part."""

GARDEN = "alice/garden"
"""The session whose container has every kind of record, a dead one among them."""

_TOPICS = (
    *("A trip to Marrakesh", "Why is my import slow?", "Plan the garden for spring", "Translate the lease"),
    *("Compare three heat pumps", "Stand-up notes", "Tests that fail on Tuesdays", "A birthday poem for Nour"),
    *("Sort out the tax folder", "Recipes without onions", "What does this regex do?", "Letters to the landlord"),
    *("Learning to sharpen knives", "Rename 4 000 photos", "Summary of the meeting", "Is this lease fair?"),
)
_USERS = ("alice", "bob", "carol")
_SAID = (
    "Could you look at this again? The second part is not what I meant.",
    "Here is the short version: **two** things matter, and the rest can wait.",
    "That works. What would you change if we had a week more?",
    "I would begin with the part that fails most often, and measure it first.",
)
_CODE = '''Here is a version that reads the file once:

```python
import csv
from collections import Counter
from pathlib import Path


def busiest_days(path: Path, most: int = 3) -> list[tuple[str, int]]:
    """The days with the most departures."""
    with path.open(newline="") as stream:
        days = Counter(row["day"] for row in csv.DictReader(stream))
    return days.most_common(most)
```

| train | leaves | arrives | price |
|---|---|---|--:|
| Al Boraq 1 | 07:00 | 10:20 | 24 € |
| Atlas 203 | 09:45 | 14:05 | 18 € |

1. Take the early one if you can.
2. The later one stops in *Settat*, where nothing is open.

> “The train is the only way to see the plain.” See the [timetable](https://example.org/trains).
'''


@cache
def picture(width: int = 360, height: int = 200) -> str:
    """A small PNG as base64: dunes at dusk, more or less."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        for x in range(width):
            dune = height * 0.62 + 18 * (((x / 61) % 2) - 1) ** 2 + x * 0.05
            if y > dune:
                rows += bytes((196 - (y - int(dune)) // 2, 130, 70))
            else:
                rows += bytes((235 - y // 3, 170 - y // 4, 120 + y // 3))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(rows), 9)), chunk(b"IEND", b""))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def trip(now: datetime) -> list[dict[str, Any]]:
    """A conversation with every kind of part."""
    begun = now - timedelta(minutes=42)

    def at(minutes: float) -> str:
        return (begun + timedelta(minutes=minutes)).isoformat()

    return [
        {"role": "system", "content": "You plan journeys by train. Be brief.", "timestamp": at(0)},
        {
            "role": "user",
            "content": "I want to see **Marrakesh** in March, from Casablanca, by train. What would you take?",
            "timestamp": at(0),
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Trains first, then the weather. March can be wet in the hills."},
                {"type": "text", "text": "Let me look at the trains, and at the weather."},
                {
                    "type": "tool_use",
                    "id": "c1",
                    "name": "search_trains",
                    "input": {"from": "Casablanca", "to": "Marrakesh", "month": "2027-03", "seats": 2},
                },
                {"type": "tool_use", "id": "c2", "name": "weather", "input": {"city": "Marrakesh"}},
            ],
            "timestamp": at(0.2),
        },
        {
            "role": "user",
            "type": "user",
            "timestamp": at(0.3),
            "message": {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "2 direct trains a day, from 18 €"},
                    {"type": "tool_result", "tool_use_id": "c2", "is_error": True, "content": "timeout after 10 s"},
                ],
            },
        },
        {"role": "assistant", "content": _CODE, "timestamp": at(1)},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Like in this picture? And في أي محطة أنزل؟"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture()}},
            ],
            "timestamp": at(40),
        },
        {
            "role": "assistant",
            "content": [
                {
                    "type": "output_text",
                    "text": "Yes, that is the plain south of Settat. Get off at the **last** stop: `Gare de Marrakech`.",
                    "annotations": [
                        {"type": "url_citation", "title": "Stations of the line", "url": "https://example.org/s"}
                    ],
                }
            ],
            "timestamp": at(41),
        },
    ]


def fill(store: SessionStore, now: datetime | None = None, sessions: int = 64) -> None:
    """Make so many, and the two that have a name: ``TRIP`` was changed last."""
    now = now or datetime.now(UTC)
    random = Random(7)
    for number in range(sessions, 0, -1):
        user = random.choice(_USERS)
        changed = now - timedelta(days=84 * (number / sessions) ** 2, minutes=random.randrange(600) + 60)
        said = [
            {"role": ("user", "assistant")[turn % 2], "content": random.choice(_SAID)}
            for turn in range(random.choice((2, 4, 8, 30)))
        ]
        store.create(
            f"{user}/chat-{number:03}",
            title=random.choice(_TOPICS),
            user_id=user,
            assistant_id="helper",
            labels={"client": random.choice(("web", "phone"))},
            messages=said,
            created_at=changed,
            updated_at=changed,
            ttl="30d" if number % 5 == 0 and changed > now - timedelta(days=29) else None,
        )
    _grow_garden(store, random)
    messages = trip(now)
    store.create(
        TRIP,
        title="A trip to Marrakesh",
        user_id="alice",
        assistant_id="helper",
        labels={"client": "web", "topic": "travel"},
        state={"language": "en", "travellers": 2, "budget": {"currency": "EUR", "most": 400}},
        messages=messages[:2],
        ttl="90d",
        sliding=True,
    )
    for message in messages[2:]:
        store.append(TRIP, message)
    store.touch(TRIP)


def _grow_garden(store: SessionStore, random: Random) -> None:
    def notes(words: int) -> dict[str, str]:
        said = ("".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=random.randrange(2, 9))) for _ in range(words))
        return {"role": "user", "content": " ".join(said)}

    session = store.create(GARDEN, title="Notes on the garden", user_id="alice", messages=[notes(900)], ttl="90d")
    session.messages = [notes(500) for _ in range(5)]
    store.save(session)
    for words in (200, 360, 140, 400):
        store.append(GARDEN, notes(words))
    store.touch(GARDEN)
    store.append(GARDEN, notes(220))
