"""Turn leases as keys that expire by themselves: each holds the token of its holder."""

from __future__ import annotations

from ..server_leases import LIFE, ServerLeases
from .layout import RedisLayout
from .scripts import HOLD, RELEASE
from .server import Server


class RedisLeases(ServerLeases):
    """The leases of one prefix. Safe from any thread."""

    def __init__(self, server: Server, layout: RedisLayout, *, life: float = LIFE) -> None:
        super().__init__(life=life)
        self._server = server
        self._layout = layout

    def _take(self, name: str, token: bytes) -> bool:
        return self._is_held(name, token, "take")

    def _renew(self, name: str, token: bytes) -> bool:
        return self._is_held(name, token, "renew")

    def _give_back(self, name: str, token: bytes) -> bool:
        return bool(self._server.repeat(RELEASE, [self._layout.lease(name)], token))

    def _is_held(self, name: str, token: bytes, how: str) -> bool:
        return bool(self._server.repeat(HOLD, [self._layout.lease(name)], token, int(self.life * 1000), how))
