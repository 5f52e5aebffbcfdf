"""The order in which secrets are looked for, what is reported when nothing answers, and where a new key goes."""

from __future__ import annotations

import functools
import hashlib
import os
import stat
import sys

import pytest
from places import Nobody, backend, print_command, private_file
from vaults import vault_at

from vaultsession.errors import BackendUnavailable, InvalidSetting, KeyUnavailable
from vaultsession.util.disk import Disk
from vaultsession.vault.key_sources import Given, KeySources
from vaultsession.vault.os_keyring import OsKeyring
from vaultsession.vault.secret import Passphrase, RawKey

VAULT_ID = bytes(range(16))
KEY = RawKey(hashlib.sha512(b"the same in every process, since it names tests").digest()[:32])
posix = pytest.mark.skipif(os.name == "nt", reason="modes of files")


@pytest.fixture
def sources(tmp_path):
    def make(os_keyring=None, prompt=None, **environ):
        return KeySources(
            environ,
            config=str(tmp_path / "config"),
            os_keyring=os_keyring,
            ask_os_keyring=os_keyring is not None,
            prompt=prompt or Nobody(),
        )

    return make


@pytest.fixture
def private(tmp_path):
    return functools.partial(private_file, tmp_path)


# The order


def test_the_order_of_the_sources(sources, private):
    keys = [RawKey.generate() for _ in range(5)]
    kept = backend()
    kept.set_password("vaultsession", VAULT_ID.hex(), keys[3].text())
    known = sources(
        kept,
        Given(Passphrase("typed"), "prompt on the terminal"),
        VAULTSESSION_PASSPHRASE_FILE=private("words", name="words"),
        VAULTSESSION_KEY_COMMAND=print_command(keys[2].text()),
        VAULTSESSION_KEY_FILE=private(keys[1].text()),
        VAULTSESSION_KEY=keys[0].text(),
    )
    os.makedirs(os.path.join(known.config, "keys"))
    path = known.key_file(VAULT_ID).path
    with open(path, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(keys[4].text())
    found = list(known.candidates(None, VAULT_ID))
    secrets = [*keys[:3], Passphrase("words"), keys[4], keys[3], Passphrase("typed")]
    assert [secret for _, secret in found] == secrets
    assert [name.split()[0] for name, _ in found] == ["environment", "key", "key", "passphrase", "key", "OS", "prompt"]
    assert not any(key.text() in name for key in keys for name, _ in found)


def test_where_an_argument_is_given_nothing_else_is_asked(sources):
    known = sources(prompt=Given(Passphrase("typed")), VAULTSESSION_KEY="broken")
    assert list(known.candidates(KEY.text(), VAULT_ID)) == [("the key argument", KEY)]


def test_a_source_is_asked_only_when_those_before_it_did_not_fit(sources, tmp_path):
    witness = tmp_path / "ran"
    known = sources(VAULTSESSION_KEY=KEY.text(), VAULTSESSION_KEY_COMMAND=f"touch {witness}")
    first = next(known.candidates(None, VAULT_ID))
    assert first == ("environment variable VAULTSESSION_KEY", KEY)
    assert not witness.exists()


def test_nobody_is_asked_for_a_passphrase_that_the_vault_does_not_take(sources):
    known = sources(prompt=Given(Passphrase("typed")))
    with pytest.raises(KeyUnavailable):
        list(known.candidates(None, VAULT_ID, takes_passphrase=lambda: False))
    assert list(known.candidates(None, VAULT_ID, takes_passphrase=lambda: True))


class Importing:
    """Notes who imports the package ``keyring``, and refuses it to each."""

    def __init__(self):
        self.names = []

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "keyring":
            self.names.append(name)
            raise ImportError(name)


@pytest.fixture
def importing(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "keyring"]:
        monkeypatch.delitem(sys.modules, name)
    finder = Importing()
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    return finder


def test_the_package_keyring_is_not_imported_where_the_key_file_opens_the_vault(tmp_path, importing):
    directory = vault_at(str(tmp_path / "vault"))
    without = KeySources({}, config=str(tmp_path / "config"), ask_os_keyring=False, prompt=Nobody())
    made = directory.create(lambda vault_id: without.for_creation(None, vault_id, directory.path)[1])
    known = without._replace(ask_os_keyring=True)
    opened = directory.unlock(known.candidates(None, made.keyring.vault_id))
    assert opened.source.startswith("key file")
    assert importing.names == []
    os.unlink(known.key_file(made.keyring.vault_id).path)
    with pytest.raises(KeyUnavailable, match="not installed"):
        directory.unlock(known.candidates(None, made.keyring.vault_id))
    assert importing.names == ["keyring"]  # so the test would have seen it


@pytest.mark.parametrize("stray", ["another key", "no key", "shared"])
def test_a_key_file_that_does_not_open_the_vault_leaves_that_to_the_keyring_of_the_operating_system(
    sources, tmp_path, stray
):
    known = sources(backend())
    directory = vault_at(str(tmp_path / "vault"))
    made = directory.create(lambda vault_id: known.for_creation(None, vault_id, directory.path)[1])
    path = known.key_file(made.keyring.vault_id).path
    os.makedirs(os.path.dirname(path))
    with open(path, "w", encoding="ascii", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write("hunter2" if stray == "no key" else RawKey.generate().text())
    if stray == "shared":
        os.chmod(path, 0o644)
    opened = directory.unlock(known.candidates(None, made.keyring.vault_id))
    assert opened.source.startswith("OS keyring")
    assert opened.keyring == made.keyring


def test_when_nothing_answers_every_source_and_what_it_said_is_told(sources, monkeypatch):
    known = sources(backend("keyring.backends.fail.Keyring"))
    with pytest.raises(KeyUnavailable) as raised:
        list(known.candidates(None, VAULT_ID))
    said = raised.value.tried
    for number, part in enumerate(
        ["VAULTSESSION_KEY: not set", "KEY_FILE: not set", "KEY_COMMAND: not set", "PASSPHRASE_FILE: not set",
         "key file", "keyring.backends.fail.Keyring", "no terminal"]
    ):  # fmt: skip
        assert part in said[number]
        assert part in str(raised.value)


def test_an_empty_variable_is_not_set(sources):
    known = sources(
        VAULTSESSION_KEY="", VAULTSESSION_KEY_FILE="", VAULTSESSION_KEY_COMMAND="", VAULTSESSION_PASSPHRASE_FILE=""
    )
    with pytest.raises(KeyUnavailable, match="not set"):
        list(known.candidates(None, VAULT_ID))


@pytest.mark.parametrize(
    ("environ", "error"),
    [
        ({"VAULTSESSION_KEY": "hunter2"}, InvalidSetting),
        ({"VAULTSESSION_KEY_FILE": "/no/such/file"}, KeyUnavailable),
        ({"VAULTSESSION_KEY_COMMAND": "/no/such/program"}, KeyUnavailable),
        ({"VAULTSESSION_PASSPHRASE_FILE": "/no/such/file"}, KeyUnavailable),
    ],
)
def test_a_configured_source_that_fails_is_an_error_at_once(sources, environ, error):
    known = sources(prompt=Given(Passphrase("typed")), **environ)
    with pytest.raises(error):
        list(known.candidates(None, VAULT_ID))
    with pytest.raises(error):
        known.for_creation(None, VAULT_ID, "/elsewhere")


# Creation


def test_creation_takes_the_first_configured_source(sources, private, tmp_path):
    known = sources(VAULTSESSION_KEY_FILE=private(KEY.text()))
    source, secret = known.for_creation(None, VAULT_ID, str(tmp_path / "vault"))
    assert secret == KEY
    assert source.name.startswith("key file")
    source, secret = known.for_creation(Passphrase("words"), VAULT_ID, str(tmp_path / "vault"))
    assert (source.name, secret) == ("the key argument", Passphrase("words"))
    assert not os.path.exists(known.config)


def test_creation_prefers_the_keyring_of_the_operating_system(sources, tmp_path):
    known = sources(backend())
    source, secret = known.for_creation(None, VAULT_ID, str(tmp_path / "vault"))
    assert source == OsKeyring(VAULT_ID, known.os_keyring)
    assert source.secret() == secret
    assert not os.path.exists(known.config)
    assert next(known.candidates(None, VAULT_ID)) == (source.name, secret)


def test_creation_makes_a_private_key_file_where_there_is_no_keyring(sources, tmp_path):
    known = sources(backend("keyring.backends.fail.Keyring"))
    source, secret = known.for_creation(None, VAULT_ID, str(tmp_path / "vault"))
    assert source == known.key_file(VAULT_ID)
    assert VAULT_ID.hex() in source.name
    assert source.secret() == secret
    if os.name != "nt":
        assert stat.S_IMODE(os.stat(source.path).st_mode) == 0o600
        assert stat.S_IMODE(os.stat(os.path.dirname(source.path)).st_mode) == 0o700
    assert next(known.candidates(None, VAULT_ID)) == (source.name, secret)


def test_two_vaults_have_two_keys(sources, tmp_path):
    known = sources()
    first = known.for_creation(None, VAULT_ID, str(tmp_path / "a"))
    second = known.for_creation(None, VAULT_ID[::-1], str(tmp_path / "b"))
    assert first[1] != second[1]
    assert first[0].path != second[0].path


def test_a_key_file_is_never_overwritten(sources, tmp_path):
    known = sources()
    known.for_creation(None, VAULT_ID, str(tmp_path / "a"))
    kept = known.key_file(VAULT_ID).secret()
    with pytest.raises(BackendUnavailable):
        known.for_creation(None, VAULT_ID, str(tmp_path / "a"))
    assert known.key_file(VAULT_ID).secret() == kept


@pytest.mark.parametrize("vault", ["config", ".", "config/keys/vault", "config/keys", "link"])
def test_a_key_is_never_put_beside_the_data(sources, tmp_path, vault):
    (tmp_path / "link").symlink_to(tmp_path / "config")
    with pytest.raises(InvalidSetting, match="beside the data"):
        sources().for_creation(None, VAULT_ID, str(tmp_path / vault))
    assert not list(tmp_path.rglob("*.key"))


def test_a_vault_next_to_the_configuration_is_not_beside_the_key(sources, tmp_path):
    sources().for_creation(None, VAULT_ID, str(tmp_path / "config-vault"))


@posix
def test_a_directory_that_others_may_write_holds_no_key(sources, tmp_path):
    (tmp_path / "config" / "keys").mkdir(parents=True)
    (tmp_path / "config" / "keys").chmod(0o777)
    with pytest.raises(KeyUnavailable, match="chmod 700"):
        sources().for_creation(None, VAULT_ID, str(tmp_path / "vault"))


def test_the_key_is_flushed_with_every_directory_that_names_it(sources, tmp_path):
    class Recording(Disk):
        def __init__(self):
            self.flushed = []

        def fsync(self, fd):
            self.flushed.append(os.readlink(f"/proc/self/fd/{fd}"))
            super().fsync(fd)

    if not os.path.exists("/proc/self/fd"):
        pytest.skip("needs /proc to tell which file a descriptor is")
    disk = Recording()
    known = KeySources({}, disk, str(tmp_path / "deep" / "config"), ask_os_keyring=False)
    source, _ = known.for_creation(None, VAULT_ID, str(tmp_path / "vault"))
    keys = os.path.dirname(source.path)
    assert disk.flushed[:2] == [source.path, keys]
    assert set(disk.flushed[2:]) == {str(tmp_path), str(tmp_path / "deep"), str(tmp_path / "deep" / "config")}


def test_a_full_disk_is_the_storage_saying_no(sources, tmp_path):
    class Full(Disk):
        def pwrite(self, fd, data, offset):
            raise OSError(28, "No space left on device")

    known = KeySources({}, Full(), str(tmp_path / "config"), ask_os_keyring=False)
    with pytest.raises(BackendUnavailable, match="No space left"):
        known.for_creation(None, VAULT_ID, str(tmp_path / "vault"))
    assert not list(tmp_path.rglob("*.key"))
