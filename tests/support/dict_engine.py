"""An engine as far as a vault asks for one: its metadata, so that each race over them can be played."""

from __future__ import annotations

import threading


class DictEngine:
    """An engine that is a dict."""

    where = "engine://here"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.guard = threading.Lock()

    def metadata(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def put_metadata(self, name: str, data: bytes, expected: bytes | None) -> bool:
        with self.guard:
            if self.kept.get(name) != expected:
                return False
            self.kept[name] = data
            return True
