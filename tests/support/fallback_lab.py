"""A server that is away when a test says so, for backends that go on without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from vaultsession.backends.fallback import Fork
from vaultsession.backends.protocol import Backend, Traits
from vaultsession.errors import BackendUnavailable, DurabilityUnknown, VaultError
from vaultsession.format.sealed import Commit, Container, Current, Heads, IndexRow, Query, Update


class Outage(Backend):
    """A backend in front of another, for tests. ``losing``: commits arrive, and their answers do not.

    ``calls`` counts what was asked, answered or not. ``commit_fails`` is what
    commits raise; ``loses_one`` loses the answer of the next commit alone.
    """

    traits = Traits("redis", durable=True, waits=True, shared=True)

    def __init__(self, under: Backend) -> None:
        self.under = under
        self.away = self.losing = False
        self.arrives = True
        self.calls = 0
        self.commit_fails: VaultError | None = None
        self.loses_one: Literal["arrived", "lost"] | None = None

    def begin(self) -> None:
        self.away = True

    def end(self) -> None:
        self.away = self.losing = False

    def lose_answers(self, *, arrives: bool = True) -> None:
        """From now on commits answer nothing, whether they arrive or not; and nothing else is answered."""
        self.losing, self.arrives = True, arrives

    def _ask(self) -> None:
        self.calls += 1
        if self.away or self.losing:
            raise BackendUnavailable("redis://127.0.0.1 is not reached")

    def head(self, key: str) -> IndexRow | None:
        self._ask()
        return self.under.head(key)

    def read(self, key: str, start: int = 0, *, settled: bool = False) -> Container | None:
        self._ask()
        return self.under.read(key, start, settled=settled)

    def commit(self, key: str, update: Update) -> Commit:
        if not self.losing:
            self._ask()
            if self.commit_fails is not None:
                raise self.commit_fails
        once, self.loses_one = self.loses_one, None
        if not self.losing and once is None:
            return self.under.commit(key, update)
        if self.arrives if once is None else once == "arrived":
            self.under.commit(key, update)
        else:
            self._forgetful(key, update)
        raise DurabilityUnknown(f"whether {key} was written is not known")

    def _forgetful(self, key: str, update: Update) -> None:
        """Asked what shall follow, as for a commit that is lost on its way."""

        def lost(newest: Current) -> None:
            update(newest)

        self.under.commit(key, lost)

    def scan(self, query: Query) -> Heads:
        self._ask()
        return self.under.scan(query)

    def count(self, query: Query) -> int:
        self._ask()
        return self.under.count(query)

    def reindex(self) -> object:
        self._ask()
        return self.under.reindex()

    def stats(self) -> dict[str, int]:
        self._ask()
        return self.under.stats()

    def health(self) -> dict[str, str | None]:
        return {"redis": "not reached" if self.away or self.losing else None}

    def close(self) -> None:
        self.under.close()


class Breaking(Outage):
    """Goes away in the middle of a listing."""

    def __init__(self, under: Backend, rows: int) -> None:
        super().__init__(under)
        self._rows = rows

    def scan(self, query: Query) -> Heads:
        return self._some(super().scan(query))

    def _some(self, rows: Heads) -> Iterator[IndexRow]:
        for number, row in enumerate(rows):
            if number == self._rows:
                self.begin()
                self._ask()
            yield row


class Ticks:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float = 60.0) -> None:
        self.now += seconds


def refuse(fork: Fork) -> Any:
    """For tests in which nothing is to be merged."""
    raise AssertionError(f"{fork.key} went on in two places")
