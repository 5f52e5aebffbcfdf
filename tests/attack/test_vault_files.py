"""Session files, key slots and facts swapped, spliced, replayed and rolled back in a whole vault.

A typed error, or a state that just this session was in; with what the index remembers, its newest alone.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tampering import (
    ACTS,
    CONTAINERS,
    IDS,
    KEY,
    STATES,
    Scene,
    everything,
    file_of,
    hold,
    look,
    opened,
    outcome,
    put,
    scene,
    within,
)
from vaults import vault_at

from vaultsession import Damaged, RawKey, RollbackDetected, SessionNotFound, VaultError, open_store
from vaultsession.format.keys import Keyring, MasterKey
from vaultsession.vault import keyring_file
from vaultsession.vault.identity import Identity

INDEX = ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm")
COPIES = ("keyring", "keyring.bak")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def vault(made: Scene, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.vault, tmp_path / "vault"))


def without_index(vault: Path, _: Scene) -> None:
    for name in INDEX:
        (vault / name).unlink(missing_ok=True)


def with_early_index(vault: Path, made: Scene) -> None:
    without_index(vault, made)
    shutil.copy(made.early_index, vault / INDEX[0])


def with_index(_: Path, __: Scene) -> None:
    """As it is."""


MEMORIES = {"as it is": with_index, "of the past": with_early_index, "removed": without_index}


def allowed(made: Scene, memory: str) -> dict[str, list[Any]]:
    """A store that remembers the newest returns that or nothing; else any state of this very session may come back.

    A tombstone that is forgotten with the index lets an earlier life come back as well. What follows the newest in a
    copy of the vault that went on by itself was written with the keys, and nothing here contradicts it.
    """
    states = {who: [state.document for state in made.past.states[who]] for who in IDS}
    newest = 1 if memory == "as it is" else STATES
    return {who: [*found[-newest:], made.forked.newest(who).document] for who, found in states.items()}


# -- containers --------------------------------------------------------------------------------------------------------


@pytest.mark.sampled(10)
@pytest.mark.parametrize("memory", MEMORIES)
@pytest.mark.parametrize("tampering", CONTAINERS)
def test_a_tampered_container_is_an_error_or_was_this_session(
    tampering: str, memory: str, made: Scene, vault: Path
) -> None:
    MEMORIES[memory](vault, made)
    put(vault, CONTAINERS[tampering](made))
    before = everything(vault / "sessions")
    with opened(vault) as store:
        hold(within(lambda: look(store)), allowed(made, memory))
        if "bob" not in CONTAINERS[tampering](made):
            session = store.load("bob")
            assert (session.state, session.messages) == made.past.newest("bob").document
    assert everything(vault / "sessions") == before


@pytest.mark.sampled(10)
@pytest.mark.parametrize("tampering", CONTAINERS)
def test_a_store_that_is_open_meanwhile_does_not_give_out_anything_else(
    tampering: str, made: Scene, vault: Path
) -> None:
    with opened(vault) as store, opened(vault, cache_bytes=0) as cold:
        for each in (store, cold):
            look(each)
        put(vault, CONTAINERS[tampering](made))
        for each in (store, cold):
            hold(within(lambda each=each: look(each)), allowed(made, "as it is"))


@pytest.mark.sampled(12)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    "tampering",
    [name for name in CONTAINERS if "state" not in name and "flipped" not in name] + ["rolled back to state 3"],
)
def test_what_is_written_to_a_tampered_session_is_refused_or_follows_its_newest(
    tampering: str, act: str, made: Scene, vault: Path
) -> None:
    put(vault, CONTAINERS[tampering](made))
    state, messages = (made.forked if tampering == "of a fork" else made.past).newest("alice").document
    with opened(vault) as store:
        result = within(lambda: outcome(lambda: ACTS[act](store)))
    with opened(vault) as store:
        loaded = outcome(lambda: store.load("alice"))
        if isinstance(loaded, VaultError):
            assert isinstance(result, VaultError) or act in ("delete", "reindex"), result
            return
        assert {**loaded.state, "new": True} in ({**state, "new": True}, {"new": True})
        assert loaded.messages[: len(messages)] in (messages, messages[:-1], [], [{"n": "new"}])
        assert [message for message in loaded.messages if message not in messages] in (
            [],
            [{"n": "new"}],
            [{"n": "new", "id": 1}],
        )
        assert outcome(lambda: store.load("bob").id) == "bob" or tampering in ("swapped", "both rolled back")


def test_a_rollback_that_the_index_knows_of_is_named_so(made: Scene, vault: Path) -> None:
    put(vault, {"alice": made.past.states["alice"][-2].data})
    with opened(vault) as store, pytest.raises(RollbackDetected):
        store.load("alice")


def test_the_other_branch_of_a_fork_is_damage_to_whoever_saw_this_one(made: Scene, vault: Path) -> None:
    with opened(vault) as store:
        store.append("alice", {"mine": True})
    put(vault, {"alice": made.forked.newest("alice").data})
    with opened(vault) as store, pytest.raises(Damaged):
        store.load("alice")


def test_an_earlier_life_stays_buried_where_the_tombstone_is_remembered(made: Scene, vault: Path) -> None:
    with opened(vault) as store:
        store.delete("alice")
    path = vault / "sessions" / file_of(made.vault, "alice").name
    for state in made.past.states["alice"]:
        path.write_bytes(state.data)
        path.chmod(0o600)
        with opened(vault) as store:
            with pytest.raises(SessionNotFound):
                store.load("alice")
            assert [info.id for info in store.list()] == ["bob"]
        assert path.read_bytes() == state.data
    with opened(vault) as store:
        store.create("alice", state={"anew": True})
        assert store.load("alice").state == {"anew": True}


def test_a_whole_vault_set_back_is_what_it_was(made: Scene, vault: Path) -> None:
    """Sessions, index and all: nothing on this medium shows it, and all that comes back was there once."""
    copy = Path(shutil.copytree(vault, vault.with_name("copy")))
    with opened(vault) as store:
        store.append("alice", {"lost": True})
    shutil.rmtree(vault)
    copy.rename(vault)
    with opened(vault) as store:
        assert store.load("alice").messages == made.past.newest("alice").document[1]


# -- key slots and facts -----------------------------------------------------------------------------------------------


def with_another_slot(vault: Path) -> dict[str, bytes]:
    """Change the key slots, let the index learn of it, and return both copies as they were."""
    before = {name: (vault / name).read_bytes() for name in COPIES}
    directory = vault_at(str(vault))
    directory.add_slot(directory.unlock([("the key", KEY)]), RawKey.generate())
    opened(vault).close()
    return before


def right(vault: Path, made: Scene) -> None:
    with opened(vault) as store:
        for who in IDS:
            session = store.load(who)
            assert (session.state, session.messages) == made.past.newest(who).document


def test_one_copy_of_the_key_slots_set_back_is_mended(made: Scene, vault: Path) -> None:
    before = with_another_slot(vault)
    newest = (vault / "keyring").read_bytes()
    for name in COPIES:
        (vault / name).write_bytes(before[name])
        right(vault, made)
        assert [(vault / each).read_bytes() for each in COPIES] == [newest, newest]


def test_both_copies_of_the_key_slots_set_back_are_noticed(made: Scene, vault: Path) -> None:
    for name, data in with_another_slot(vault).items():
        (vault / name).write_bytes(data)
    with pytest.raises(RollbackDetected):
        opened(vault)
    without_index(vault, made)  # and with the index gone they are what they were
    right(vault, made)


@pytest.mark.parametrize("names", [COPIES[:1], COPIES[1:], COPIES], ids=str)
def test_key_slots_of_another_vault_open_nothing_or_are_mended(
    names: tuple[str, ...], made: Scene, vault: Path
) -> None:
    for name in names:
        (vault / name).write_bytes((made.vault.parent / "foreign" / name).read_bytes())
    if names == COPIES:
        with pytest.raises(Damaged):
            opened(vault)
    else:
        right(vault, made)


@pytest.mark.parametrize("names", [("vault.json",), ("vault.json", *COPIES)], ids=str)
def test_facts_of_another_vault_open_nothing(names: tuple[str, ...], made: Scene, vault: Path) -> None:
    for name in names:
        (vault / name).write_bytes((made.vault.parent / "foreign" / name).read_bytes())
    before = everything(vault / "sessions")
    result = within(lambda: outcome(lambda: opened(vault)))
    if isinstance(result, VaultError):
        assert isinstance(result, Damaged)
    else:  # the other vault over our sessions: it has keys of its own, and opens none of them
        with result as store:
            assert all(isinstance(seen, VaultError) for name, seen in look(store).items() if name.startswith("load"))
    assert everything(vault / "sessions") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"readable", b"private"),
        lambda data: data.replace(b'"version":1', b'"version":2'),
        lambda data: data.replace(b'"version":1', b'"version":0'),
        lambda data: data[:-1],
        lambda _: b"",
        lambda _: b"{" * 4000,
        lambda _: b"[" * 4000,
        lambda data: data + b" " * 5000,
        lambda data: data.replace(b"T", b" "),
    ],
)
def test_changed_facts_are_a_typed_error(change: Callable[[bytes], bytes], vault: Path) -> None:
    facts = vault / "vault.json"
    facts.write_bytes(change(facts.read_bytes()))
    with pytest.raises(VaultError):
        opened(vault)


def test_without_facts_no_vault_is_made_over_sessions(vault: Path) -> None:
    (vault / "vault.json").unlink()
    before = everything(vault)
    for create in (True, False):
        with pytest.raises(VaultError):
            open_store(vault, key=KEY, create=create)
    assert everything(vault) == before


@pytest.mark.parametrize("name", COPIES)
def test_a_keyring_of_another_vault_key_with_a_higher_counter_does_not_win(name: str, made: Scene, vault: Path) -> None:
    """Forged by someone who knows the vault id, which is no secret, and wants his own slots to be believed."""
    identity = Identity.decode((vault / "vault.json").read_bytes())
    forged = Keyring(identity.vault_id, identity.readable_names, identity.created, bytes(32), (MasterKey.generate(),))
    data = keyring_file.create(forged, KEY).data
    for _ in range(5):
        data = keyring_file.parse(data).unlock(KEY).add_slot(RawKey.generate())
    (vault / name).write_bytes(data)
    # A holder of the key itself can forge slots for it: then the two copies say different things.
    result = within(lambda: outcome(lambda: opened(vault)))
    if not isinstance(result, VaultError):
        with result as store:
            hold(look(store), allowed(made, "as it is"))
