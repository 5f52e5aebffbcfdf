"""Exported files of earlier versions, which every later version reads. A file here is never changed."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vaultsession import Imported, open_store

V1 = Path(__file__).parent / "transfer_v1.jsonl"


def test_the_file_is_the_one_that_was_written_then() -> None:
    assert (
        hashlib.sha256(V1.read_bytes()).hexdigest()
        == "b41a645a8202fcf715b4edfc13de85a641e26ddec09bf53e0a116ebd1bd83a2b"
    )


def test_a_file_of_version_1_is_read() -> None:
    with open_store("memory://") as store:
        with V1.open("rb") as file:
            assert store.import_(file) == Imported(made=3)
        session = store.load("user-123")
        assert session.created_at == datetime(2026, 11, 20, 9, 0, 0, 1, tzinfo=UTC)
        assert session.updated_at == datetime(2026, 11, 20, 10, 30, 0, 250_000, tzinfo=UTC)
        assert session.expires_at == datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
        assert (session.ttl, session.sliding, session.max_messages) == (timedelta(days=1), True, 50)
        assert (session.title, session.labels) == ("Trip to Marrakesh", {"client": "desktop"})
        assert (session.user_id, session.tenant_id, session.assistant_id) == ("alice", "acme", "helper")
        assert session.state == {"language": "en", "deep": [{"x": 1.5}]}
        assert session.messages == [
            {"role": "user", "content": "line\none"},
            {"role": "assistant", "content": 'größe 🙂 \u2028 "quoted"'},
        ]
        plain = store.load("../hostile\0id")
        assert (plain.state, plain.messages, plain.expires_at, plain.user_id) == ({}, [], None, None)
        assert store.messages("from elsewhere") == [{"text": "no role"}]


def test_what_is_written_today_is_byte_for_byte_what_was_written_then() -> None:
    with open_store("memory://") as store:
        with V1.open("rb") as file:
            lines = file.readlines()
        store.import_(lines)
        plain = store.export(["../hostile\0id"])
        assert list(plain) == lines[1:2]
