"""A database whose rows and pieces were changed by someone without a key: nothing is deleted, disclosed or made up."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from tampering import ACTS, CONTAINERS, HUGE, IDS, KEY, Index, Past, Scene, State, hold, look, outcome, within

from vaultsession import Damaged, SessionNotFound, SessionStore, Unreadable, VaultError, open_store
from vaultsession.backends.sql.sessions import TAIL

TABLES = ("sessions", "pieces", "tags", "metadata")


def opened(path: Path, **settings: object) -> SessionStore:
    return open_store(f"sqlite:///{path}", **{"key": KEY, "create": False, **settings})


def container_of(store: SessionStore, who: str) -> bytes:
    container = store._backend.read(store._key(who))
    return container.header + container.data


LOCATORS: dict[str, str] = {}
"""Of the vault that is tampered with; and of no other, since each has another key for names."""


def lived(path: Path) -> Past:
    """Two sessions of two users, each through several verbs and generations; alice's first life was ended."""
    past = Past()
    with opened(path, create=True) as store:

        def note(who: str) -> None:
            session = store.load(who)
            document = dict(session.state), list(session.messages)
            past.states.setdefault(who, []).append(State(container_of(store, who), document))

        def begin(who: str, n: int) -> None:
            facts = {"user_id": f"user of {who}", "title": f"title of {who}", "ttl": "30d"}
            store.create(
                who, **facts, state={"of": who, "n": n, "long": "x" * 9, "bulk": "".join(map(chr, range(256)))}
            )
            note(who)

        for who in IDS:
            begin(who, 0)
            store.append(who, {"n": 1, "of": who})
            note(who)
            if who == "alice":
                past.lives[who] = len(past.states[who])
                store.delete(who)
                begin(who, 2)
            for verb in (
                lambda who=who: store.append(who, {"n": 3, "of": who}, {"n": 4, "of": who}),
                lambda who=who: store.update(who, {"n": 5}),
                store.clear,
                lambda who=who: store.append(who, {"n": 6, "of": who}),
                lambda who=who: store.append(who, {"n": 7, "of": who}),
            ):
                verb(who)
                note(who)
    return past


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    directory = tmp_path_factory.mktemp("scene")
    vault, foreign, fork = (directory / f"{name}.db" for name in ("vault", "foreign", "fork"))
    past, others = lived(vault), lived(foreign)
    with opened(vault) as store:
        LOCATORS.update({who: store._key(who) for who in IDS})
    shutil.copy(vault, fork)
    forked = Past({who: list(states) for who, states in past.states.items()}, past.lives)
    with opened(fork) as store:
        for who in IDS:
            store.append(who, {"fork": True, "of": who})
            session = store.load(who)
            document = dict(session.state), list(session.messages)
            forked.states[who].append(State(container_of(store, who), document))
    return Scene(vault, past, others, forked, directory, directory)


@pytest.fixture
def vault(made: Scene, tmp_path: Path) -> Path:
    return Path(shutil.copy(made.vault, tmp_path / "vault.db"))


def execute(path: Path, *statements: tuple[str, tuple[object, ...]] | str) -> None:
    """``@alice`` and ``@bob`` in a statement stand for their locators."""
    for who in IDS:
        named = f"CAST('{LOCATORS[who]}' AS BLOB)"
        statements = tuple(
            each.replace(f"@{who}", named) if isinstance(each, str) else (each[0].replace(f"@{who}", named), each[1])
            for each in statements
        )
    connection = sqlite3.connect(path)
    try:
        with connection:
            for each in statements:
                if isinstance(each, str):
                    connection.executescript(each)
                else:
                    connection.execute(*each)
    finally:
        connection.close()


def dump(path: Path, *columns: str) -> dict[str, list[object]]:
    connection = sqlite3.connect(path)
    try:
        return {
            name: sorted(connection.execute(f"SELECT {what} FROM vaultsession_{name}"), key=repr)
            for name, what in (zip(TABLES, columns, strict=True) if columns else ((name, "*") for name in TABLES))
        }
    finally:
        connection.close()


def put(path: Path, contents: Index, *, as_piece: bool) -> None:
    """Into the rows, or into a piece beside them; all else that they say stays true."""
    for who, data in contents.items():
        at = f"WHERE locator = @{who}"
        if data is None:
            execute(path, f"DELETE FROM vaultsession_sessions {at}")
            continue
        execute(
            path, f"DELETE FROM vaultsession_pieces WHERE locator IN (SELECT locator FROM vaultsession_sessions {at})"
        )
        tail = (len(data), b"") if as_piece else (0, data)
        execute(path, (f"UPDATE vaultsession_sessions SET header = ?, begin = ?, tail = ? {at}", (data[:80], *tail)))
        if as_piece:
            piece = f"INSERT INTO vaultsession_pieces SELECT locator, generation, ?, ? FROM vaultsession_sessions {at}"
            execute(path, (piece, (len(data), data)))


def newest(made: Scene, tampering: str = "") -> dict[str, list[object]]:
    """What may be given out. Who kept the database may go on from a copy of it: to the keyless that is no change."""
    pasts = [made.past, made.forked] if tampering == "of a fork" else [made.past]
    return {who: [past.newest(who).document for past in pasts] for who in IDS}


@pytest.mark.sampled(16)
@pytest.mark.parametrize("as_piece", [False, True], ids=["in the row", "in a piece"])
@pytest.mark.parametrize("tampering", CONTAINERS)
def test_a_tampered_container_is_the_newest_or_an_error(
    tampering: str, as_piece: bool, made: Scene, vault: Path
) -> None:
    put(vault, CONTAINERS[tampering](made), as_piece=as_piece)
    before = dump(vault)
    with opened(vault) as store:
        hold(within(lambda: look(store)), newest(made, tampering))
    assert dump(vault) == before


@pytest.mark.sampled(12)
@pytest.mark.parametrize("tampering", CONTAINERS)
def test_a_store_that_is_open_meanwhile_is_not_misled(tampering: str, made: Scene, vault: Path) -> None:
    with opened(vault) as store:
        look(store)
        put(vault, CONTAINERS[tampering](made), as_piece=False)
        hold(within(lambda: look(store)), newest(made, tampering))


@pytest.mark.sampled(8)
@pytest.mark.parametrize("act", ACTS)
def test_no_verb_writes_over_what_cannot_be_read(act: str, made: Scene, vault: Path) -> None:
    for tampering in ("zeros", "cut by 9", "flipped at -20", "rolled back to state 3", "another session's"):
        put(vault, CONTAINERS[tampering](made), as_piece=False)
        before = dump(vault, "locator, header, tail", "*", "tag", "*")
        with opened(vault) as store:
            seen = within(lambda: outcome(lambda: ACTS[act](store)))
            assert act == "reindex" or isinstance(seen, Unreadable)
        assert dump(vault, "locator, header, tail", "*", "tag", "*") == before


def test_a_database_that_was_set_back_as_a_whole_is_told_by_whoever_saw_it_newer(made: Scene, vault: Path) -> None:
    with opened(vault) as store:
        old = dump(vault)
        store.append("alice", {"n": "newer"})
        columns = ", ".join("?" for _ in old["sessions"][0])
        execute(vault, "DELETE FROM vaultsession_sessions")
        for row in old["sessions"]:
            execute(vault, (f"INSERT INTO vaultsession_sessions VALUES ({columns})", tuple(row)))
        with pytest.raises(Damaged):
            store.load("alice")
        with pytest.raises(Damaged):
            store.append("alice", {"n": "behind what is old"})
        assert store.load("bob").messages == made.past.newest("bob").document[1]


def test_what_was_removed_does_not_come_back_to_whoever_removed_it(vault: Path) -> None:
    with opened(vault) as store:
        old = dump(vault)
        assert store.delete("alice")
        columns = ", ".join("?" for _ in old["sessions"][0])
        for row in old["sessions"]:
            execute(vault, (f"INSERT OR REPLACE INTO vaultsession_sessions VALUES ({columns})", tuple(row)))
        with pytest.raises(SessionNotFound):
            store.load("alice")
        store.create("alice", state={"again": True})
        assert store.load("alice").state == {"again": True}


# -- forged rows -------------------------------------------------------------------------------------------------------

S, T, P = "vaultsession_sessions", "vaultsession_tags", "vaultsession_pieces"

ROWS: dict[str, str] = {
    "alice expired long ago": f"UPDATE {S} SET expires = 1 WHERE locator = @alice",
    "all expired": f"UPDATE {S} SET expires = 1",
    "never expires": f"UPDATE {S} SET expires = NULL",
    "updated in the far future": f"UPDATE {S} SET updated = {HUGE}",
    "never updated": f"UPDATE {S} SET updated = NULL",
    "generations of the far past": f"UPDATE {S} SET generation = 0, seq = 0",
    "another version": f"UPDATE {S} SET version = zeroblob(16), seq = 0",
    "a version of another length": f"UPDATE {S} SET version = x'00'",
    "another size": f"UPDATE {S} SET size = {HUGE}",
    "a negative size": f"UPDATE {S} SET size = -1",
    "swapped heads": f"UPDATE {S} SET head = (SELECT head FROM {S} s WHERE s.locator <> {S}.locator)",
    "empty heads": f"UPDATE {S} SET head = x''",
    "no heads": f"UPDATE {S} SET head = NULL",
    "a head of text": f"UPDATE {S} SET head = 'text'",
    "a name that is a path": f"UPDATE {S} SET locator = CAST('../../outside/file' AS BLOB) WHERE locator = @alice",
    "a name with a null": f"UPDATE {S} SET locator = CAST(locator || x'00' AS BLOB)",
    "a name that is no text": f"UPDATE {S} SET locator = x'ff00ff' WHERE locator = @alice",
    "a name of another type": f"UPDATE {S} SET locator = 7 WHERE locator = @alice",
    "swapped rows": (
        f"UPDATE {S} SET locator = CAST(locator || x'00' AS BLOB);"
        f"UPDATE {S} SET locator = CASE locator WHEN CAST(@alice || x'00' AS BLOB) THEN @bob ELSE @alice END"
    ),
    "swapped tags": f"UPDATE {T} SET locator = (SELECT locator FROM {S} s WHERE s.locator <> {T}.locator)",
    "swapped tags in both tables": (
        f"UPDATE {S} SET tags = (SELECT tags FROM {S} s WHERE s.locator <> {S}.locator);"
        f"UPDATE {T} SET locator = (SELECT locator FROM {S} s WHERE s.locator <> {T}.locator)"
    ),
    "no tags": f"DELETE FROM {T}",
    "tags of another length": f"UPDATE {S} SET tags = x'00'",
    "everyone's tags on all": f"INSERT OR REPLACE INTO {T} SELECT t.tag, s.locator FROM {T} t, {S} s",
    "said to be removed": f"UPDATE {S} SET header = NULL",
    "forged tombstones": f"UPDATE {S} SET grave = {HUGE}, mac = zeroblob(16)",
    "tombstones of another type": f"UPDATE {S} SET grave = 'x', mac = 7",
    "no tombstones": f"UPDATE {S} SET grave = NULL, mac = NULL",
    "a header of another length": f"UPDATE {S} SET header = x'00'",
    "swapped headers": f"UPDATE {S} SET header = (SELECT header FROM {S} s WHERE s.locator <> {S}.locator)",
    "text for numbers": f"UPDATE {S} SET updated = 'soon', size = 'large'",
    "a generation of text": f"UPDATE {S} SET generation = 'first'",
    "fractions for numbers": f"UPDATE {S} SET updated = 1.5, expires = 1e300",
    "numbers for blobs": f"UPDATE {S} SET head = {HUGE}, tags = {HUGE}, version = {HUGE}",
    "a ghost": "",
    "another table": "CREATE TABLE more(x)",
    "a trigger": f"CREATE TRIGGER t AFTER UPDATE ON {S} BEGIN DELETE FROM {T}; END",
}
"""What somebody without a key can make the rows say. The container itself is whole in each."""


def _columns(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        names = [row[1] for row in connection.execute(f"PRAGMA table_info({S})")]
    finally:
        connection.close()
    return ", ".join(names)


def forge(path: Path, forgery: str) -> None:
    if forgery == "a ghost":
        names = _columns(path)
        execute(path, f"INSERT INTO {S} SELECT {names.replace('locator', 'zeroblob(32)')} FROM {S} LIMIT 1")
    else:
        execute(path, ROWS[forgery])


@pytest.mark.sampled(10)
@pytest.mark.parametrize("forgery", ROWS)
def test_forged_rows_delete_nothing_disclose_nothing_and_give_out_nothing_wrong(
    forgery: str, made: Scene, vault: Path
) -> None:
    forge(vault, forgery)
    before = dump(vault, "begin, tail", "*", "count(*) >= 0", "*")
    opening = within(lambda: outcome(lambda: opened(vault)))
    if isinstance(opening, VaultError):
        return
    with opening as store:
        hold(within(lambda: look(store)), newest(made))
        outcome(store.reindex)
        hold(within(lambda: look(store)), newest(made))
    assert dump(vault, "begin, tail", "*", "count(*) >= 0", "*") == before


FINAL = ("a trigger", "a name", "swapped rows")
"""Without its name a container is nobody's: that is as if it had been deleted."""


@pytest.mark.sampled(10)
@pytest.mark.parametrize("forgery", [name for name in ROWS if not name.startswith(FINAL)])
def test_what_forged_rows_hide_is_found_again_by_reindexing(forgery: str, made: Scene, vault: Path) -> None:
    forge(vault, forgery)
    with opened(vault) as store:
        store.reindex()
    with opened(vault) as store:
        for who in IDS:
            session = store.load(who)
            assert (session.state, session.messages) == made.past.newest(who).document
            assert [info.id for info in store.list(user_id=f"user of {who}")] == [who]
        assert sorted(info.id for info in store.list()) == sorted(IDS)
        assert store.sweep() == 0
        store.append("alice", {"n": "goes on"})
        assert store.messages("alice", last=1) == [{"n": "goes on"}]


@pytest.mark.slow
def test_long_sessions_lose_no_piece_unnoticed(vault: Path) -> None:
    with opened(vault, compression="none") as store:  # records that merging would not shrink are not merged
        for number in range(60):
            store.append("alice", {"n": number, "text": "".join(chr(33 + (number * k) % 90) for k in range(300))})
        whole = store.messages("alice")
    assert len(container_bytes(vault)) > 3
    for statement in (
        f"DELETE FROM {P} WHERE ending = (SELECT min(ending) FROM {P})",
        f"DELETE FROM {P} WHERE ending = (SELECT max(ending) FROM {P})",
        f"UPDATE {P} SET data = zeroblob(length(data)) WHERE ending = (SELECT max(ending) FROM {P})",
        f"UPDATE {P} SET ending = ending + 1 WHERE ending = (SELECT max(ending) FROM {P})",
        f"UPDATE {P} SET data = 'text'",
        f"DELETE FROM {P}",
        f"UPDATE {S} SET tail = x'' WHERE locator = @alice",
        f"UPDATE {S} SET begin = 0 WHERE locator = @alice",
        f"UPDATE {S} SET begin = NULL, tail = NULL WHERE locator = @alice",
    ):
        copy = Path(shutil.copy(vault, vault.with_name("copy.db")))
        execute(copy, statement)
        before = dump(copy)
        with opened(copy) as store:
            verbs = [store.load, store.messages]
            if "tail" in statement or "begin" in statement:  # else the newest record is whole, and may be followed
                verbs += [lambda who: store.append(who, {"n": "more"}), store.delete]
            for verb in verbs:
                with pytest.raises(Unreadable):
                    verb("alice")
        assert dump(copy) == before, statement
    with opened(vault) as store:
        assert store.messages("alice") == whole


def container_bytes(path: Path) -> list[object]:
    return dump(path, "locator", "ending, length(data)", "tag", "name")["pieces"]


def test_a_session_whose_row_is_gone_is_not_written_over(vault: Path) -> None:
    text = bytes(range(33, 127)).decode() * (TAIL // 40)
    with opened(vault) as store:
        store.append("alice", {"text": text[::7] + text[::3]})
        store.append("alice", {"text": "".join(chr(0x4E00 + (k * k) % 20000) for k in range(3 * TAIL))})
    execute(vault, f"DELETE FROM {S} WHERE locator = @alice")
    with opened(vault) as store:
        with pytest.raises(SessionNotFound):
            store.load("alice")
        with pytest.raises(Damaged, match="reindex"):
            store.create("alice")
        store.reindex()
        assert store.load("alice").messages[-1]["text"].startswith(chr(0x4E00))
