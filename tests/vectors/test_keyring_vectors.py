"""The vectors of the keyring file and of a tenant's keys: what was written once opens, and gives what it is said to."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.vault import keyring_file
from vaultsession.vault.keyring_file import UnlockedKeyring
from vaultsession.vault.secret import Passphrase, RawKey
from vaultsession.vault.tenant_keys import TenantKeys

HERE = Path(__file__).parent / "v1"
FACTS = json.loads((HERE / "keyrings.json").read_text(encoding="utf-8"))
KEY = RawKey(bytes.fromhex(FACTS["raw_key"]))
NAMES = list(FACTS["keyrings"])


def keyring_of(facts: dict[str, Any]) -> Keyring:
    masters = tuple(
        MasterKey(bytes.fromhex(each["id"]), bytes.fromhex(each["secret"]), each["retired"])
        for each in facts["masters"]
    )
    return Keyring(
        bytes.fromhex(facts["vault_id"]),
        facts["readable_names"],
        facts["created"],
        bytes.fromhex(facts["naming_root"]),
        masters,
        facts["tenant_keys"],
    )


def opened(name: str) -> UnlockedKeyring:
    return keyring_file.parse((HERE / name).read_bytes()).unlock(KEY)


@pytest.mark.parametrize("name", NAMES)
def test_a_keyring_opens_with_each_of_its_secrets(name: str) -> None:
    facts = FACTS["keyrings"][name]
    unlocked = opened(name)
    assert unlocked.keyring == keyring_of(facts)
    assert (unlocked.counter, len(unlocked.slots)) == (facts["counter"], facts["slots"])
    assert unlocked.slot.label == "laptop"
    if facts["slots"] > 1:
        words = Passphrase(unicodedata.normalize("NFD", FACTS["passphrase"]))
        again = keyring_file.parse(unlocked.data).unlock(words)
        assert again.vault_key == unlocked.vault_key
        assert again.slot.label == "für den Safe"


def test_a_rotation_changed_the_vault_key_and_descends_from_the_one_before() -> None:
    one, two, rotated, pruned = map(opened, NAMES)
    assert one.vault_key == two.vault_key != rotated.vault_key == pruned.vault_key
    assert rotated.former == (two.descent_key,)
    assert keyring_file.parse(rotated.data).follows(two.descent_key)
    assert one.reopen(keyring_file.parse(pruned.data)).keyring == pruned.keyring


def test_the_keys_of_a_tenant_open_under_the_master_key_of_their_file() -> None:
    facts, keyring = FACTS["tenant"], opened("keyring_pruned.vsk").keyring
    held = TenantKeys.decode((HERE / "tenant.vst").read_bytes(), keyring, facts["name"])
    assert held.digest == TenantKeys.digest_of(keyring, facts["tenant_id"])
    found = [
        {
            "id": key.master.id.hex(),
            "secret": key.master.secret.hex(),
            "made_under": key.made_under.hex(),
            "state": int(key.state),
        }
        for key in held.keys
    ]
    assert found == facts["keys"]
    assert [each["state"] for each in found] == [2, 1, 0]
