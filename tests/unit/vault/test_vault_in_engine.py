"""A vault whose papers lie in an engine: here one that is a dict, so that each race can be played."""

from __future__ import annotations

import pytest
from papers import Papers

from vaultsession import Passphrase, RawKey
from vaultsession.errors import Conflict, Damaged, KeyUnavailable, RollbackDetected, VaultNotFound, WrongKey
from vaultsession.format.keys import MasterKey
from vaultsession.vault import EngineVault

KEY = RawKey(bytes(range(32)))
OTHER = RawKey(bytes(range(1, 33)))


@pytest.fixture
def metadata() -> Papers:
    return Papers()


@pytest.fixture
def vault(papers: Papers) -> EngineVault:
    return EngineVault(papers)


def test_what_was_made_opens_with_its_key_and_no_other(vault: EngineVault) -> None:
    assert not vault.exists()
    made = vault.create(KEY, readable_names=False, label="mine", now=7)
    assert vault.exists()
    assert vault.identity().vault_id == made.keyring.vault_id
    assert [slot.label for slot in vault.slots()] == ["mine"]
    opened = vault.unlock([("a wrong one", OTHER), ("the right one", KEY)])
    assert (opened.keyring, opened.source) == (made.keyring, "the right one")
    with pytest.raises(WrongKey, match="papers://here does not open with a wrong one"):
        vault.unlock([("a wrong one", OTHER)])
    with pytest.raises(KeyUnavailable):
        vault.unlock([])


def test_the_candidates_may_depend_on_which_vault_it_is(vault: EngineVault) -> None:
    made, asked = vault.create(KEY), []

    def candidates(vault_id: bytes) -> list[tuple[str, RawKey]]:
        asked.append(vault_id)
        return [("key", KEY)]

    assert vault.unlock(candidates).keyring == made.keyring
    assert asked == [made.keyring.vault_id]


def test_there_is_one_creator(vault: EngineVault, papers: Papers) -> None:
    def slowly(vault_id: bytes) -> RawKey:
        EngineVault(papers).create(OTHER)
        return KEY

    with pytest.raises(Conflict, match="another process made a vault"):
        vault.create(slowly)
    with pytest.raises(Conflict, match="already"):
        vault.create(KEY)
    vault.unlock([("the quicker one's", OTHER)])


def test_slots_and_keys_change_and_others_see_it(vault: EngineVault) -> None:
    made = vault.create(KEY)
    elsewhere = vault.unlock([("key", KEY)])
    changed = vault.add_slot(made, Passphrase("correct horse battery"), label="words", now=1)
    assert [slot.label for slot in vault.slots()] == ["", "words"]
    fresh = MasterKey.generate()
    vault.replace_keys(elsewhere, lambda masters: [fresh, *masters])  # made of the newest, not of what it knew
    now = vault.reload(changed)
    assert now.keyring.first == fresh
    assert len(now.slots) == 2
    fewer = vault.remove_slot(now, now.slots[0].id)
    assert [slot.label for slot in fewer.slots] == ["words"]
    with pytest.raises(WrongKey):
        vault.unlock([("key", KEY)])


def test_a_paper_that_was_set_back_is_told(vault: EngineVault, papers: Papers) -> None:
    made = vault.create(KEY)
    old = dict(papers.kept)
    changed = vault.add_slot(made, OTHER)
    papers.kept = old
    with pytest.raises(RollbackDetected, match="from change 2 to 1"):
        vault.reload(changed)
    with pytest.raises(RollbackDetected):
        vault.add_slot(changed, OTHER)


def test_no_altered_byte_of_the_paper_is_believed(vault: EngineVault, papers: Papers) -> None:
    vault.create(KEY)
    good = papers.kept["vault"]
    for place in range(len(good)):
        papers.kept["vault"] = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
        with pytest.raises((Damaged, WrongKey)):
            vault.unlock([("key", KEY)])
    for size in range(0, len(good), 7):
        papers.kept["vault"] = good[:size]
        with pytest.raises(Damaged):
            vault.unlock([("key", KEY)])


def test_papers_of_two_vaults_do_not_mix(papers: Papers) -> None:
    one, two = Papers(), Papers()
    EngineVault(one).create(KEY)
    EngineVault(two).create(KEY)
    facts, slots = one.kept["vault"].split(b"\n", 1)[0], two.kept["vault"].split(b"\n", 1)[1]
    papers.kept["vault"] = facts + b"\n" + slots
    with pytest.raises(Damaged, match="another vault"):
        EngineVault(papers).unlock([("key", KEY)])


def test_without_a_paper_there_is_no_vault(vault: EngineVault) -> None:
    for verb in (vault.identity, vault.slots, lambda: vault.unlock([("key", KEY)])):
        with pytest.raises(VaultNotFound, match="papers://here"):
            verb()
