"""Whose configuration, key files and links a process obeys: its own, root's, and for root those of the user of sudo."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vaultsession import BackendUnavailable, KeyUnavailable, RawKey, open_store
from vaultsession.store.configuration import Configuration
from vaultsession.vault import key_places
from vaultsession.vault.key_command import KeyCommand
from vaultsession.vault.key_places import KeyFile
from vaultsession.vault.key_sources import KeySources

ROOT, SERVICE, STRANGER = 0, 12345, 23456
KEY = RawKey(bytes(range(100, 132)))

pytestmark = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="files of other users are made by root"
)


def key_file(path: Path, *, owner: int = ROOT, group: int = ROOT, mode: int = 0o600) -> Path:
    path.write_text(KEY.text() + "\n")
    os.chown(path, owner, group)
    path.chmod(mode)
    return path


@pytest.fixture
def as_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the checks see in a process of the service; the kernel still lets root read."""
    monkeypatch.setattr(os, "geteuid", lambda: SERVICE)


def test_root_runs_no_command_of_another_users_configuration(tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    config = tmp_path / "config.toml"
    config.write_text(f'key_command = "touch {ran}"\n')
    os.chown(config, STRANGER, STRANGER)
    config.chmod(0o600)
    monkeypatch.setenv("VAULTSESSION_CONFIG", str(config))
    monkeypatch.delenv("SUDO_UID", raising=False)
    with pytest.raises(BackendUnavailable, match=f"owned by user {STRANGER}, and root takes only"):
        open_store(tmp_path / "vault")
    assert not ran.exists()
    monkeypatch.setenv("SUDO_UID", str(STRANGER + 1))
    with pytest.raises(BackendUnavailable, match="root takes only"):
        Configuration.of()
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert Configuration.of().file == str(config)


def test_root_takes_no_key_file_of_another_user(tmp_path, monkeypatch):
    path = key_file(tmp_path / "key", owner=STRANGER)
    monkeypatch.delenv("SUDO_UID", raising=False)
    with pytest.raises(KeyUnavailable, match="root takes only files of root"):
        KeyFile(str(path)).secret()
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert KeyFile(str(path)).secret() == KEY


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o644])
def test_a_service_takes_the_secret_that_root_gave_it(mode, tmp_path, as_service):
    """Docker's secrets have mode 0444, those of Kubernetes 0644, or 0440 and a group."""
    assert KeyFile(str(key_file(tmp_path / "key", group=SERVICE, mode=mode))).secret() == KEY


@pytest.mark.parametrize(("owner", "mode"), [(ROOT, 0o666), (ROOT, 0o460), (SERVICE, 0o644), (STRANGER, 0o444)])
def test_a_file_that_others_write_or_that_we_leave_open_is_refused(owner, mode, tmp_path, as_service):
    with pytest.raises(KeyUnavailable):
        KeyFile(str(key_file(tmp_path / "key", owner=owner, mode=mode))).secret()


def test_on_a_read_only_medium_nobody_can_take_rights_away(tmp_path, monkeypatch):
    path = key_file(tmp_path / "key", mode=0o444)
    with pytest.raises(KeyUnavailable, match="chmod 600"):
        KeyFile(str(path)).secret()  # root could
    monkeypatch.setattr(key_places.os, "statvfs", lambda _: type("Medium", (), {"f_flag": os.ST_RDONLY}))
    assert KeyFile(str(path)).secret() == KEY


def kubernetes(tmp_path: Path) -> Path:
    """A volume of secrets, as the kubelet writes it."""
    volume = tmp_path / "volume"
    (volume / "..2026_11_30").mkdir(parents=True)
    key_file(volume / "..2026_11_30" / "key", group=SERVICE, mode=0o440)
    (volume / "..data").symlink_to("..2026_11_30")
    (volume / "key").symlink_to("..data/key")
    volume.chmod(0o1777)
    return volume


def test_a_secret_of_kubernetes_is_reached_by_its_links(tmp_path, as_service):
    volume = kubernetes(tmp_path)
    assert KeyFile(str(volume / "key")).secret() == KEY
    os.lchown(volume / "key", SERVICE, SERVICE)
    assert KeyFile(str(volume / "key")).secret() == KEY


@pytest.mark.parametrize("link", ["key", "..data"])
def test_a_link_of_a_stranger_is_not_followed(link, tmp_path, as_service):
    volume = kubernetes(tmp_path)
    os.lchown(volume / link, STRANGER, STRANGER)
    with pytest.raises(KeyUnavailable, match="a link of another user"):
        KeyFile(str(volume / "key")).secret()


@pytest.mark.parametrize(("owner", "mode"), [(ROOT, 0o777), (ROOT, 0o775), (STRANGER, 0o755)])
def test_a_link_that_a_stranger_can_replace_is_not_followed(owner, mode, tmp_path, as_service):
    volume = kubernetes(tmp_path)
    os.chown(volume, owner, owner)
    volume.chmod(mode)
    with pytest.raises(KeyUnavailable, match="a link of another user"):
        KeyFile(str(volume / "key")).secret()


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(KeyUnavailable):
        KeyFile(str(tmp_path / "a")).secret()


def test_a_key_file_that_is_there_and_cannot_be_used_speaks_alone(tmp_path):
    sources = KeySources({}, config=str(tmp_path), ask_os_keyring=False)
    vault_id = bytes(16)
    path = Path(sources.key_file(vault_id).path)
    path.parent.mkdir()
    key_file(path, mode=0o644)
    with pytest.raises(KeyUnavailable) as caught:
        list(sources.candidates(None, vault_id))
    assert str(caught.value).startswith("key file ")
    assert "not set" not in str(caught.value)
    assert "chmod 600" in str(caught.value)
    assert len(caught.value.tried) > 1


def test_a_key_command_does_not_inherit_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("VAULTSESSION_KEY", KEY.text())
    code = f"import os; print('{KEY.text()}' if 'VAULTSESSION_KEY' not in os.environ else 'inherited')"
    script = tmp_path / "print.py"
    script.write_text(code)
    assert KeyCommand(f"{sys.executable} {script}").secret() == KEY
