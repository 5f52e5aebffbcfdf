"""Adds vectors of the keyring file and of a tenant's keys: ``python tests/vectors/make_keyrings_v1.py``.

A vector is made once and never again: files that are there are left alone. ``keyrings.json`` says what each gives.
"""

# ruff: noqa: E402 - run as a script, it makes the package and the other script importable first

from __future__ import annotations

import json
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), *("..",) * 2), os.path.dirname(__file__)]

from make_v1 import HERE, KEYRING, MOMENT

from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.vault import keyring_file
from vaultsession.vault.keyring_file import UnlockedKeyring
from vaultsession.vault.secret import LEAST_MEMORY, LEAST_PASSES, Cost, Passphrase, RawKey
from vaultsession.vault.tenant_keys import TenantKeys

KEY, WORDS = RawKey(bytes(range(160, 192))), "clé é"
CHEAP = Cost(LEAST_MEMORY, LEAST_PASSES, 1)
NEW = MasterKey(b"vsf1-3rd", bytes(range(128, 160)))


def next_of(unlocked: UnlockedKeyring, data: bytes) -> UnlockedKeyring:
    return unlocked.reopen(keyring_file.parse(data))


def said(keyring: Keyring) -> dict[str, object]:
    """The keyring as JSON."""
    masters = [{"id": m.id.hex(), "secret": m.secret.hex(), "retired": m.retired} for m in keyring.masters]
    return {
        "vault_id": keyring.vault_id.hex(),
        "naming_root": keyring.naming_root.hex(),
        "readable_names": keyring.readable_names,
        "tenant_keys": keyring.tenant_keys,
        "created": keyring.created,
        "masters": masters,
    }


def main() -> None:
    """Write what is missing."""
    first = keyring_file.create(KEYRING._replace(tenant_keys=True), KEY, label="laptop", now=MOMENT)
    two = next_of(first, first.add_slot(Passphrase(WORDS, CHEAP), label="für den Safe", now=MOMENT + 1))
    retired = [master._replace(retired=True) for master in two.keyring.masters]
    rotated = next_of(two, two.replace_masters([NEW, *retired]))
    pruned = next_of(rotated, rotated.replace_masters([NEW]))
    tenant = TenantKeys(TenantKeys.digest_of(rotated.keyring, "acme")).grown(retired[0].id).destroyed()
    tenant = tenant.grown(retired[0].id).grown(NEW.id)
    made = {
        "keyring_one_slot.vsk": first.data,
        "keyring_two_slots.vsk": two.data,
        "keyring_rotated.vsk": rotated.data,
        "keyring_pruned.vsk": pruned.data,
        "tenant.vst": tenant.encode(pruned.keyring),
    }
    facts = {
        "raw_key": KEY.secret.hex(),
        "passphrase": WORDS,
        "keyrings": {
            f"keyring_{name}.vsk": {"counter": each.counter, "slots": len(each.slots), **said(each.keyring)}
            for name, each in (("one_slot", first), ("two_slots", two), ("rotated", rotated), ("pruned", pruned))
        },
        "tenant": {
            "tenant_id": "acme",
            "name": tenant.name,
            "keys": [
                {
                    "id": key.master.id.hex(),
                    "secret": key.master.secret.hex(),
                    "made_under": key.made_under.hex(),
                    "state": int(key.state),
                }
                for key in tenant.keys
            ],
        },
    }
    made["keyrings.json"] = (json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode()
    if not os.path.exists(os.path.join(HERE, "keyrings.json")):
        for name, data in made.items():
            with open(os.path.join(HERE, name), "wb") as file:
                file.write(data)


if __name__ == "__main__":
    main()
