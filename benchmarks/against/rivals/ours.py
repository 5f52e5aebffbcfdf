"""vaultsession itself, with the defaults of ``open_store`` and a key that is given."""

from __future__ import annotations

from collections.abc import Iterable

from vaultsession import Session, open_store  # what they need is imported with them, and not by the first call

from ..rival import Filling, Message, Rival

KEY = bytes(range(32))
_HELD = 64


class Ours(Rival):
    """A store; sessions that were saved are held as their user holds them, and saved as they are."""

    def __init__(self, directory: str, *, cold: bool, durability: str = "sync") -> None:
        self._directory = directory
        more = {"cache_bytes": 0} if cold else {}
        self._store = open_store(f"{directory}/vault", key=KEY, durability=durability, **more)
        self._held: dict[str, Session] = {}

    def create(self, id: str, messages: list[Message]) -> None:
        self._store.create(id, messages=messages)

    def save(self, id: str, messages: list[Message]) -> None:
        session = self._held.get(id) or self._store.get(id)
        if session is None:
            session = self._store.save(id, messages=messages)
        else:
            session.messages[:] = messages
            self._store.save(session)
        if len(self._held) > _HELD:
            self._held.clear()
        self._held[id] = session

    def load(self, id: str) -> list[Message]:
        return self._store.load(id).messages

    def append(self, id: str, messages: list[Message]) -> None:
        self._held.pop(id, None)  # what is held is stale now: whoever saves next loads first
        self._store.append(id, *messages)

    def last(self, id: str, n: int) -> list[Message]:
        return self._store.messages(id, last=n)

    def page(self, user: str, n: int) -> int:
        return len(self._store.list(user_id=user, limit=n))

    def count(self, user: str) -> int:
        return self._store.count(user_id=user)

    def expiring(self, id: str, messages: list[Message]) -> None:
        self._store.create(id, messages=messages, ttl=0.000001)  # a microsecond: over when this returns

    def sweep(self) -> int:
        return self._store.sweep()

    def fill(self, sessions: Iterable[Filling]) -> None:
        with open_store(f"{self._directory}/vault", key=KEY, durability="os", cache_bytes=0) as store:
            for each in sessions:
                store.create(each.id, user_id=each.user, messages=each.messages)

    def close(self) -> None:
        self._store.close()


ADAPTER = Ours
