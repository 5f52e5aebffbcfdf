"""A full medium refused to open SQLite's log, and so whole vaults whose sessions could be read."""

from __future__ import annotations

import logging

import pytest
from vaults import vault_at

from vaultsession import BackendUnavailable, RawKey
from vaultsession.backends.files import FilesBackend


def refuse(*_):
    raise BackendUnavailable("index.sqlite: disk I/O error")


@pytest.mark.parametrize("verb", ["remembered", "remember"])
def test_a_vault_whose_index_says_nothing_of_the_key_slots_opens_and_says_so(
    verb, open_files, vault_key, tmp_path, monkeypatch, caplog
):
    open_files().create("a", state={"n": 1})
    directory = vault_at(str(tmp_path / "vault"))
    directory.add_slot(directory.unlock([("the key", vault_key)]), RawKey.generate())
    if verb == "remember":
        monkeypatch.setattr(FilesBackend, "remembered", lambda *_: {})
    monkeypatch.setattr(FilesBackend, verb, refuse)
    with caplog.at_level(logging.WARNING):
        assert open_files().load("a").state == {"n": 1}
    assert "key slots" in caplog.text
