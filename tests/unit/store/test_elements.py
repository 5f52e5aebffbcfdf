"""Documents as the JSON of their elements: kept as they are given, for ever, and read from where they lie."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from vaultsession import Conflict, RawKey, SessionExists, SessionStore, open_store
from vaultsession.store.elements import Elements

GIVEN = [b'{"role":"user","content":"h\xc3\xa9"}', b'{"n":1.5}']


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(
        tmp_path / "vault", key=RawKey(bytes(range(32))), durability="os", ttl="1h", max_messages=1
    ) as opened:
        yield opened


def test_elements_are_messages(store: SessionStore) -> None:
    elements = Elements(store)
    info = elements.put("a", {"k": 1}, GIVEN, {"title": "T", "labels": {"x": "y"}}, replace=False)
    assert (info.title, info.message_count, info.expires_at) == ("T", 2, None)
    assert store.messages("a") == [{"role": "user", "content": "hé"}, {"n": 1.5}]
    read = elements.read("a")
    assert read is not None
    assert (read.elements, read.state, read.info.version) == (GIVEN, {"k": 1}, info.version)
    with pytest.raises(SessionExists):
        elements.put("a", {}, (), {}, replace=False)
    assert elements.put("a", {}, GIVEN[:1], {}, replace=True).message_count == 1


def test_what_is_appended_is_compared_and_not_trimmed(store: SessionStore) -> None:
    elements = Elements(store)
    info = elements.put("a", {}, GIVEN, {}, replace=False)
    assert elements.append("a", [{"m": 1}], {"k": 2}, if_version=info.version).message_count == 3
    with pytest.raises(Conflict):
        elements.append("a", [{"m": 2}], {}, if_version=info.version)
    read = elements.read("a")
    assert read is not None
    assert (read.elements, read.state) == ([*GIVEN, b'{"m":1}'], {"k": 2})


def test_nothing_is_read_of_what_is_gone(store: SessionStore) -> None:
    elements = Elements(store)
    elements.put("a", {}, GIVEN, {}, replace=False)
    store.delete("a")
    assert elements.read("a") is None
    assert elements.read("b") is None
