"""A dictionary as training makes them, and what records are compressed with it rather than with the package's."""

from __future__ import annotations

import zstandard

from vaultsession import SessionStore
from vaultsession.format import payload

SAID = [{"role": "user", "content": f"What is my name? Remember number {n}, as we said before."} for n in range(3)]
_SAMPLES = [
    payload.body({}, [{**SAID[0], "content": SAID[0]["content"].replace("0", str(n * 7919))}]) for n in range(300)
]
CONTENT = zstandard.train_dictionary(2048, _SAMPLES, k=64, d=8).as_bytes()


def learned(store: SessionStore, tenant_id: str | None = None) -> int:
    """Keep it, as training does; its number."""
    return store._operations._reader.dictionaries.keep(CONTENT, 0, tenant_id).number


def numbers(store: SessionStore, name: str) -> set[int]:
    """The dictionaries that a session's living records refer to."""
    key, operations = store._key(name), store._operations
    living = operations._reader.living(key, operations._cache.fetch(key)) or []
    return {payload.dictionary_of(each.body) for each in living if each.codec == payload.CODEC_DICTIONARY}
