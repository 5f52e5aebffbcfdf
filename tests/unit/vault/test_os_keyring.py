"""The keyring of the operating system: which kinds are trusted, and what is said of one that fails."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import threading

import pytest
from places import Entries, backend

from vaultsession.errors import InvalidSetting, KeyUnavailable
from vaultsession.util import deadline
from vaultsession.vault import os_keyring
from vaultsession.vault.key_sources import KeySources
from vaultsession.vault.os_keyring import OsKeyring
from vaultsession.vault.secret import RawKey

VAULT_ID = bytes(range(16))
KEY = RawKey(hashlib.sha512(b"the same in every process, since it names tests").digest()[:32])


@pytest.mark.parametrize("name", sorted(os_keyring.TRUSTED_KEYRINGS))
def test_a_trusted_keyring_keeps_the_key(name):
    entry = OsKeyring(VAULT_ID, backend(name))
    assert entry.secret() is None
    entry.keep(KEY)
    assert entry.secret() == KEY
    assert VAULT_ID.hex() in entry.name


@pytest.mark.parametrize(
    "name",
    [
        "keyrings.alt.file.PlaintextKeyring",
        "keyrings.alt.file.EncryptedKeyring",
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
        "keyring.backends.chainer.ChainerBackend",  # of nothing
        "evil.keyring.backends.macOS.Keyring",
    ],
)
def test_any_other_keyring_is_neither_read_nor_written(name):
    kept = backend(name)
    kept.set_password("vaultsession", VAULT_ID.hex(), KEY.text())
    entry = OsKeyring(VAULT_ID, kept)
    with pytest.raises(KeyUnavailable, match="not one that keeps secrets safely"):
        entry.secret()
    with pytest.raises(KeyUnavailable):
        entry.keep(RawKey.generate())
    assert len(kept) == 1


def test_a_subclass_of_a_trusted_keyring_is_another_keyring():
    trusted = type(backend())
    with pytest.raises(KeyUnavailable):
        OsKeyring(VAULT_ID, type("Sub", (trusted,), {"__module__": "elsewhere"})()).secret()


@pytest.mark.parametrize(
    ("second", "trusted"), [("keyring.backends.libsecret.Keyring", True), ("keyrings.alt.file.PlaintextKeyring", False)]
)
def test_a_chain_is_trusted_if_each_of_its_links_is(second, trusted):
    chain = backend("keyring.backends.chainer.ChainerBackend")
    chain.backends = [backend(), backend(second)]
    entry = OsKeyring(VAULT_ID, chain)
    if trusted:
        assert entry.secret() is None
    else:
        with pytest.raises(KeyUnavailable, match="PlaintextKeyring"):
            entry.secret()


def test_the_allow_list_names_classes_that_exist():
    pytest.importorskip("keyring")
    for name in (*os_keyring.TRUSTED_KEYRINGS, os_keyring._CHAINER):
        module, _, kind = name.rpartition(".")
        spec = importlib.util.find_spec(module)
        assert spec is not None
        with open(spec.origin, encoding="utf-8") as source:
            assert f"class {kind}(" in source.read()


def test_a_keyring_that_fails_or_forgets_says_so():
    class Failing(Entries):
        def get_password(self, service, username):
            raise RuntimeError("the bus is gone, and here is " + KEY.text())

    class Forgetful(Entries):
        def set_password(self, service, username, password):
            pass

    with pytest.raises(KeyUnavailable, match="RuntimeError") as raised:
        OsKeyring(VAULT_ID, backend(base=Failing)).secret()
    assert KEY.text() not in str(raised.value)
    with pytest.raises(KeyUnavailable):
        OsKeyring(VAULT_ID, backend(base=Failing)).keep(KEY)
    with pytest.raises(KeyUnavailable, match="did not give back"):
        OsKeyring(VAULT_ID, backend(base=Forgetful)).keep(KEY)


def test_an_entry_that_is_no_key_is_refused():
    kept = backend()
    kept.set_password("vaultsession", VAULT_ID.hex(), "hunter2")
    with pytest.raises(InvalidSetting, match="OS keyring"):
        OsKeyring(VAULT_ID, kept).secret()


def test_without_the_package_there_is_no_keyring(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(KeyUnavailable, match="not installed"):
        OsKeyring(VAULT_ID).secret()


def test_the_package_is_asked_for_its_backend(monkeypatch):
    keyring = pytest.importorskip("keyring")
    kept = backend()
    monkeypatch.setattr(keyring, "get_keyring", lambda: kept)
    OsKeyring(VAULT_ID).keep(KEY)
    assert kept["vaultsession", VAULT_ID.hex()] == KEY.text()

    def broken():
        raise ValueError("no such class")

    monkeypatch.setattr(keyring, "get_keyring", broken)
    with pytest.raises(KeyUnavailable, match="ValueError"):
        OsKeyring(VAULT_ID).secret()


def test_a_silent_keyring_is_waited_for_and_then_given_up(monkeypatch, tmp_path, caplog):
    """A desktop's keyring showed its dialog on a screen that nobody looked at: opening a store hung for ever."""
    released = threading.Event()

    class Silent(Entries):
        def get_password(self, service, username):
            released.wait(60)

        def set_password(self, service, username, password):
            released.wait(60)

    monkeypatch.setattr(os_keyring, "PATIENCE", 0.02)
    monkeypatch.setattr(deadline, "ANNOUNCED", 0.01)
    silent = backend(base=Silent)
    entry = OsKeyring(VAULT_ID, silent)
    try:
        for ask in (entry.secret, lambda: entry.keep(KEY)):
            with pytest.raises(KeyUnavailable, match=r"did not answer within 0\.02 s"):
                ask()
        assert "waiting for the keyring of the operating system" in caplog.text
        sources = KeySources(environ={}, config=str(tmp_path / "config"), os_keyring=silent)
        source, key = sources.for_creation(None, VAULT_ID, str(tmp_path / "vault"))
        assert source.name.startswith("key file")
        assert source.secret() == key
    finally:
        released.set()
