"""The metadata of a vault in an engine, beside the sessions: FORMAT.md, §11.4.

Each value is replaced by compare-and-swap: of two that create or change at once one tries again, and no crash comes
between identity and keys. An engine answers for its own durability; there is no second copy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from ..backends.protocol import Engine
from ..errors import BackendUnavailable, Conflict, Damaged, DurabilityUnknown, VaultNotFound
from ..util.lazy import log
from .identity import Identity
from .metadata import DICTIONARY, OLDER, TENANT, VAULT, Copy, MetadataStore, check_name, parse_list, split

_TRIES = 100
_LISTS = {DICTIONARY: "dictionaries", TENANT: "tenants"}


class EngineMetadata(MetadataStore):
    """The values of an engine. Immutable; safe from any thread, process and host."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def where(self) -> str:
        return self.engine.where

    def exists(self) -> bool:
        return self.engine.metadata(VAULT) is not None

    def read(self, name: str) -> tuple[Copy, ...]:
        data = self.engine.metadata(check_name(name))
        if data is None and name == VAULT:
            raise VaultNotFound(f"there is no vault at {self.where}: make one with `vaultsession init`")
        return (Copy(name, data),) if data else ()

    def names(self, prefix: str) -> tuple[str, ...]:
        """The names that are listed: of each that is there, and of tenants that nearly were.

        Lists are not sealed: each value proves itself. ``Damaged`` for one that this package does not write.
        """
        title = _LISTS[prefix]
        names = parse_list(prefix, self.engine.metadata(title) or b"")
        if names is None:
            raise Damaged(f"the list of the vault's {title} is not what this package writes: restore it from a backup")
        return names

    def create(self, make: Callable[[], bytes]) -> bytes:
        if self.exists():
            raise Conflict(f"{self.where}: there is a vault already: open it")
        value = make()
        if self.engine.put_metadata(VAULT, value, None):
            return value
        raise Conflict(f"{self.where}: another process made a vault in this moment: open it")

    def put_if(self, name: str, data: bytes, expected: Sequence[Copy]) -> bool:
        """Compare and swap. What an engine still keeps of the old value, in its logs say, is its own affair."""
        before = expected[0].data if expected else None
        check_name(name)
        if name.startswith(TENANT) and before is None:
            self._list(TENANT, name)
        if not self.engine.put_metadata(name, data, before):
            return False
        if name.startswith(DICTIONARY):
            self._list(DICTIONARY, name)
        return True

    def keep_older(self, value: bytes) -> None:
        """As a value of its own; should another process keep one in this moment, that one serves as well."""
        self.engine.put_metadata(OLDER, value, self.engine.metadata(OLDER))

    def delete(self, name: str) -> None:
        """Take it off its list and replace it by the empty value, which is none: its number is not given to another."""
        self._list(DICTIONARY, name, listed=False)
        for _ in range(_TRIES):
            data = self.engine.metadata(name)
            if not data or self.engine.put_metadata(name, b"", data):
                return
        raise DurabilityUnknown(f"{self.where}: {name} was changed by others {_TRIES} times in a row")

    def etag(self) -> object:
        """The value itself: one round trip."""
        return self.engine.metadata(VAULT)

    def _list(self, prefix: str, name: str, *, listed: bool = True) -> None:
        """Put a name on its list, or take it off, which is sorted by length and then as text: numbers ascend."""
        title = _LISTS[prefix]
        for _ in range(_TRIES):
            before = self.engine.metadata(title)
            names, one = set((before or b"").split()), {name.removeprefix(prefix).encode()}
            names = names | one if listed else names - one
            lines = b"".join(each + b"\n" for each in sorted(names, key=lambda each: (len(each), each)))
            if lines == (before or b"") or self.engine.put_metadata(title, lines, before):
                return
        raise DurabilityUnknown(f"{self.where}: the {title} were listed by others {_TRIES} times in a row")


class RememberedMetadata(EngineMetadata):
    """The values of an engine that may come back without any: what was proved or put last is kept in memory.

    Sessions are nothing without it. Older values would bring back secrets that were revoked meanwhile.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.last: dict[str, bytes] = {}

    def proved(self, value: bytes) -> None:
        self.last[VAULT] = value

    def create(self, make: Callable[[], bytes]) -> bytes:
        self.last[VAULT] = value = super().create(make)
        return value

    def put_if(self, name: str, data: bytes, expected: Sequence[Copy]) -> bool:
        done = super().put_if(name, data, expected)
        if done:
            self.last[name] = data
        return done

    def delete(self, name: str) -> None:
        super().delete(name)
        self.last.pop(name, None)

    def remember_all(self) -> None:
        """Keep the dictionaries and the keys of tenants that are there: each proves itself when it is used."""
        for name in (*self.names(DICTIONARY), *self.names(TENANT)):
            for copy in self.read(name):
                if copy.data is not None:
                    self.last[name] = copy.data

    def put_back(self) -> None:
        """Give an engine that is empty what it had. ``BackendUnavailable`` where another vault is there now."""
        value = self.last[VAULT]
        with contextlib.suppress(Conflict):
            self.create(lambda: value)
            for name in self.last.keys() - {VAULT}:
                super().put_if(name, self.last[name], ())
            log.warning("%s came back without the metadata of this vault: it was put back", self.where)
            return
        if Identity.decode(self.identity()).vault_id != Identity.decode(split(value)[0]).vault_id:
            raise BackendUnavailable(f"{self.where}: another vault is there now: restore the one that was there")
