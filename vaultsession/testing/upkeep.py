"""What is done to a store without changing any session: nothing that a user sees may differ behind it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from ..store.store import SessionStore

_STORE = st.integers(0, 7)


class Upkeep(RuleBasedStateMachine):
    """Rules over ``opened``, the stores of one vault."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[SessionStore] = []

    @rule(which=_STORE)
    def drop_cache(self, which: int) -> None:
        """Forget every decrypted document."""
        self._store(which)._cache.clear()  # noqa: SLF001 - no verb of a store does that: it is never needed

    @rule(which=_STORE)
    def reindex(self, which: int) -> None:
        """Derive the index anew."""
        self._store(which).reindex()

    @rule(which=_STORE, prune=st.booleans())
    def rotate(self, which: int, prune: bool) -> None:
        """Seal every session under a new master key; perhaps delete the old ones."""
        store = self._store(which)
        done = store.rotate_key()
        if done.left:
            raise AssertionError(f"left under an old key: {done.left}")
        if prune:
            store.prune_keys()

    def _store(self, which: int) -> SessionStore:
        return self.opened[which % len(self.opened)]
