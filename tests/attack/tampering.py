"""A vault with a past, an attacker who writes to its files without a key, and what may come of it.

The suite is functions over lists: ``CONTAINERS`` say which bytes stand under which id, and know nothing of files, so
that any place that sealed bytes come back from can be given them; ``ROWS`` are statements over an index. ``look`` and
``act`` are every verb, and ``hold`` is the law: a typed error, or a state that just this session was in.
"""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from vaultsession import RawKey, SessionStore, VaultError, open_store
from vaultsession.format import record

KEY = RawKey(bytes(range(220, 252)))
PATIENCE = 60
IDS = ("alice", "bob")
STATES = 8
"""States that alice was in, two of them in a life that was ended."""

Document = tuple[dict[str, Any], list[dict[str, Any]]]


class State(NamedTuple):
    """One moment of one session."""

    data: bytes
    document: Document


@dataclass
class Past:
    """Every state that each session was in, oldest first; its present is the last."""

    states: dict[str, list[State]] = field(default_factory=dict)
    lives: dict[str, int] = field(default_factory=dict)
    """How many of the states belong to a life that was ended by a removal."""

    def newest(self, who: str) -> State:
        return self.states[who][-1]


def within(act: Callable[[], Any]) -> Any:
    """The result, or the error, of what must come to an end: a hang is a failure."""
    result: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(act())
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"
    if failure:
        raise failure[0]
    return result[0]


def outcome(act: Callable[[], Any]) -> Any:
    """A value, or the ``VaultError``. Nothing else is caught."""
    try:
        return act()
    except VaultError as error:
        return error.with_traceback(None)


# -- a vault with a past -----------------------------------------------------------------------------------------------


def opened(path: Path, **settings: Any) -> SessionStore:
    return open_store(path, **{"key": KEY, "create": False, **settings})


def file_of(vault: Path, who: str) -> Path:
    (path,) = vault.glob(f"sessions/{who}~*.vss")
    return path


def lived(vault: Path) -> Past:
    """Two sessions of two users, each through several verbs and generations; alice's first life was ended."""
    past = Past()
    with open_store(vault, key=KEY) as store:

        def note(who: str) -> None:
            session = store.load(who)
            state = State(file_of(vault, who).read_bytes(), (dict(session.state), list(session.messages)))
            past.states.setdefault(who, []).append(state)

        for who in IDS:
            store.create(who, user_id=f"user of {who}", title=f"title of {who}", ttl="30d", state={"of": who, "n": 0})
            note(who)
            store.append(who, {"n": 1, "of": who})
            note(who)
            if who == "alice":
                past.lives[who] = len(past.states[who])
                store.delete(who)
                store.create(
                    who, user_id=f"user of {who}", title=f"title of {who}", ttl="30d", state={"of": who, "n": 2}
                )
                note(who)
            store.append(who, {"n": 3, "of": who}, {"n": 4, "of": who})
            note(who)
            store.update(who, {"n": 5})
            note(who)
            store.clear(who)
            note(who)
            store.append(who, {"n": 6, "of": who})
            note(who)
            store.append(who, {"n": 7, "of": who})
            note(who)
    assert len(past.states["alice"]) == STATES
    return past


@dataclass
class Scene:
    """A vault, its past, another vault under the same key, and a copy that went on by itself."""

    vault: Path
    past: Past
    foreign: Past
    forked: Past
    outside: Path
    early_index: Path
    """The index as it was when both sessions were young."""


def scene(directory: Path) -> Scene:
    vault, foreign, fork = directory / "vault", directory / "foreign", directory / "fork"
    past = lived(vault)
    others = lived(foreign)
    shutil.copytree(vault, fork)
    forked = Past({who: list(states) for who, states in past.states.items()}, past.lives)
    with opened(fork) as store:
        for who in IDS:
            store.append(who, {"fork": True, "of": who})
            state, messages = past.newest(who).document
            document = state, [*messages, {"fork": True, "of": who}]
            forked.states[who].append(State(file_of(fork, who).read_bytes(), document))
    early = directory / "early"
    shutil.copytree(vault, early)
    for who in IDS:
        file_of(early, who).write_bytes(past.states[who][past.lives.get(who, 0)].data)
    for name in ("index.sqlite", "index.sqlite-wal", "index.sqlite-shm"):
        (early / name).unlink(missing_ok=True)
    opened(early).close()
    outside = directory / "outside"
    (outside / "directory").mkdir(parents=True)
    (outside / "file").write_bytes(b"nobody's business")
    (outside / "file").chmod(0o600)
    return Scene(vault, past, others, forked, outside, early / "index.sqlite")


def everything(path: Path) -> dict[str, bytes | None]:
    """All names below a path, and the bytes of files."""
    return {str(each.relative_to(path)): each.read_bytes() if each.is_file() else None for each in path.rglob("*")}


# -- tampered containers -----------------------------------------------------------------------------------------------

Index = Mapping[str, bytes | None]
"""What stands under each id; None: nothing."""


def _records(data: bytes) -> list[bytes]:
    container = record.part(data)
    return [data[each.offset : each.end] for each in record.records_from(container, record.HEADER_SIZE)]


def _spliced(one: bytes, other: bytes, kept: int) -> bytes:
    return one[: record.HEADER_SIZE] + b"".join(_records(one)[:kept] + _records(other)[kept:])


def _own(change: Callable[[bytes], bytes | None]) -> Callable[[Scene], Index]:
    """Alice's newest, changed."""
    return lambda scene: {"alice": change(scene.past.newest("alice").data)}


def _old(number: int, change: Callable[[bytes, bytes], bytes]) -> Callable[[Scene], Index]:
    """Made of alice's newest and of an older state."""
    return lambda scene: {"alice": change(scene.past.newest("alice").data, scene.past.states["alice"][number].data)}


CONTAINERS: dict[str, Callable[[Scene], Index]] = {
    "swapped": lambda scene: {"alice": scene.past.newest("bob").data, "bob": scene.past.newest("alice").data},
    "another session's": lambda scene: {"alice": scene.past.newest("bob").data},
    "another session's older one": lambda scene: {"alice": scene.past.states["bob"][0].data},
    "removed": _own(lambda _: None),
    "emptied": _own(lambda _: b""),
    "zeros": _own(lambda data: bytes(len(data))),
    "a header alone": _own(lambda data: data[: record.HEADER_SIZE]),
    "both rolled back": lambda scene: {who: scene.past.states[who][-2].data for who in IDS},
    "rolled back with bytes behind": _old(-2, lambda _, old: old + b"and more"),
    "of another vault": lambda scene: {"alice": scene.foreign.newest("alice").data},
    "spliced with another vault": lambda scene: {
        "alice": _spliced(scene.past.newest("alice").data, scene.foreign.newest("alice").data, 1)
    },
    "of a fork": lambda scene: {"alice": scene.forked.newest("alice").data},
    "spliced with another session": lambda scene: {
        "alice": _spliced(scene.past.newest("alice").data, scene.past.newest("bob").data, 1)
    },
    "with another session's records behind": lambda scene: {
        "alice": scene.past.newest("alice").data + b"".join(_records(scene.past.newest("bob").data))
    },
    "with its own records behind": _own(lambda data: data + b"".join(_records(data))),
    "doubled": _own(lambda data: data + data),
    "without its first record": _own(lambda data: data[: record.HEADER_SIZE] + b"".join(_records(data)[1:])),
    "in another order": _own(lambda data: data[: record.HEADER_SIZE] + b"".join(reversed(_records(data)))),
    "with bytes behind": _own(lambda data: data + b"x" * 100),
    "with a hostile footer": _own(lambda data: data + b"\xff\xff\xff\x7f\x00\x00\x00\x80"),
    **{f"cut by {cut}": _own(lambda data, cut=cut: data[:-cut]) for cut in (1, 9, 40, 120, 200)},
    **{
        f"flipped at {place}": _own(lambda data, at=place: data[:at] + bytes([data[at] ^ 4]) + data[at:][1:])
        for place in (0, 5, 9, 17, 30, 60, 90, 130, -200, -60, -20, -4)
    },
    **{f"rolled back to state {n}": _old(n, lambda _, old: old) for n in range(STATES - 1)},
    **{
        f"newest header over state {n}": _old(n, lambda new, old: new[: record.HEADER_SIZE] + old[record.HEADER_SIZE :])
        for n in range(STATES - 1)
    },
    **{
        f"header of state {n} over the newest": _old(
            n, lambda new, old: old[: record.HEADER_SIZE] + new[record.HEADER_SIZE :]
        )
        for n in range(STATES - 1)
    },
    **{
        f"spliced with state {n} from {kept} on": _old(n, lambda new, old, kept=kept: _spliced(new, old, kept))
        for n in range(STATES - 1)
        for kept in (1, 2)
    },
}
"""What a writer without a key can put under the ids, by a name for it."""


def put(vault: Path, contents: Index) -> None:
    """Into the files of a vault."""
    paths = {who: file_of(vault, who) for who in contents}
    for who, data in contents.items():
        if data is None:
            paths[who].unlink()
        else:
            paths[who].write_bytes(data)


# -- tampered rows -----------------------------------------------------------------------------------------------------

HUGE = (1 << 63) - 1

ROWS: dict[str, str] = {
    "alice expired long ago": "UPDATE sessions SET expires = 1 WHERE key LIKE 'alice~%'",
    "all expired": "UPDATE sessions SET expires = 1; UPDATE tags SET expires = 1",
    "never expires": "UPDATE sessions SET expires = NULL",
    "updated in the far future": f"UPDATE sessions SET updated = {HUGE}",
    "generations of the far future": f"UPDATE sessions SET generation = {HUGE}, seq = {HUGE}",
    "generations of the far past": "UPDATE sessions SET generation = 0, seq = 0",
    "negative generations": "UPDATE sessions SET generation = -1",
    "another version": "UPDATE sessions SET version = zeroblob(16)",
    "a version of another length": "UPDATE sessions SET version = x'00'",
    "another size": f"UPDATE sessions SET size = {HUGE}",
    "a witness of the far future": "UPDATE sessions SET witness = x'7f" + "ff" * 31 + "'",
    "a witness beyond all": "UPDATE sessions SET witness = x'" + "ff" * 32 + "'",
    "a witness of the past": "UPDATE sessions SET witness = zeroblob(32)",
    "no witness": "UPDATE sessions SET witness = NULL",
    "a witness of another length": "UPDATE sessions SET witness = x'00'",
    "swapped heads": "UPDATE sessions SET blob = (SELECT blob FROM sessions s WHERE s.key <> sessions.key)",
    "one head for all": "UPDATE sessions SET blob = (SELECT blob FROM sessions LIMIT 1)",
    "empty heads": "UPDATE sessions SET blob = x''",
    "large heads": "UPDATE sessions SET blob = zeroblob(10000000)",
    "a head of text": "UPDATE sessions SET blob = 'text'",
    "swapped keys": (
        "CREATE TEMP TABLE t AS SELECT a.locator l, b.key k FROM sessions a, sessions b WHERE a.key <> b.key;"
        "UPDATE sessions SET key = (SELECT k FROM t WHERE l = locator)"
    ),
    "a key of elsewhere": "UPDATE sessions SET key = '../../outside/file'",
    "a key that is a path": "UPDATE sessions SET key = '/' || key",
    "a key with a null": "UPDATE sessions SET key = key || char(0)",
    "a key that is no text": "UPDATE sessions SET key = CAST(x'ff00ff' AS TEXT)",
    "another slug": "UPDATE sessions SET key = 'bob~' || substr(key, -32) WHERE key LIKE 'alice~%'",
    "another locator": "UPDATE sessions SET locator = substr(locator, 2) || '0'",
    "swapped tags": "UPDATE tags SET locator = (SELECT locator FROM sessions s WHERE s.locator <> tags.locator)",
    "swapped tags in both tables": (
        "UPDATE sessions SET tags = (SELECT tags FROM sessions s WHERE s.key <> sessions.key);"
        "UPDATE tags SET locator = (SELECT locator FROM sessions s WHERE s.locator <> tags.locator)"
    ),
    "no tags": "DELETE FROM tags",
    "tags of another length": "UPDATE sessions SET tags = x'00'",
    "everyone's tags on all": (
        "INSERT OR REPLACE INTO tags SELECT t.tag, s.updated, s.locator, s.expires FROM tags t, sessions s"
    ),
    "no rows": "DELETE FROM sessions; DELETE FROM tags",
    "alice without a row": "DELETE FROM sessions WHERE key LIKE 'alice~%'",
    "ghosts": (
        "INSERT INTO sessions SELECT replace(locator, substr(locator, 1, 1), 'z'), key, generation, seq, version,"
        " updated, expires, size, witness, tags, blob, mark FROM sessions"
    ),
    "a ghost of another key": (
        "INSERT INTO sessions SELECT '" + "0" * 32 + "', '" + "0" * 32 + "', generation, seq, version, updated, 1,"
        " size, witness, tags, blob, mark FROM sessions LIMIT 1"
    ),
    "forged tombstones": (f"INSERT OR REPLACE INTO tombstones SELECT locator, key, {HUGE}, zeroblob(32) FROM sessions"),
    "tombstones of another length": "INSERT OR REPLACE INTO tombstones SELECT locator, key, 1, x'' FROM sessions",
    "a genuine tombstone of another generation": f"UPDATE tombstones SET generation = {HUGE}",
    "a genuine tombstone of another session": (
        f"INSERT OR REPLACE INTO tombstones SELECT s.locator, s.key, {HUGE}, t.mac FROM sessions s, tombstones t"
    ),
    "a genuine tombstone under another locator": (
        "INSERT OR REPLACE INTO tombstones SELECT s.locator, t.key, t.generation, t.mac FROM sessions s, tombstones t"
    ),
    "tombstones and no rows": (
        f"INSERT OR REPLACE INTO tombstones SELECT locator, key, {HUGE}, zeroblob(32) FROM sessions;"
        "DELETE FROM sessions"
    ),
    "no tombstones": "DELETE FROM tombstones",
    "a trigger": "CREATE TRIGGER t AFTER UPDATE ON sessions BEGIN DELETE FROM sessions; END",
    "a view in the place of a table": "ALTER TABLE sessions RENAME TO s; CREATE VIEW sessions AS SELECT * FROM s",
    "another table": "CREATE TABLE more(x)",
    "a column more": "ALTER TABLE sessions ADD COLUMN more TEXT",
    "another application": "PRAGMA application_id = 7",
    "another version of the tables": "PRAGMA user_version = 99",
    "no meta": "DELETE FROM meta",
    "text for numbers": "UPDATE sessions SET updated = 'soon', size = 'large'",
    "blobs for numbers": "UPDATE sessions SET generation = x'00', expires = x'01'",
    "fractions for numbers": "UPDATE sessions SET updated = 1.5, expires = 1e300",
}


def execute(vault: Path, statements: str) -> None:
    connection = sqlite3.connect(vault / "index.sqlite")
    try:
        connection.executescript(statements)
    finally:
        connection.close()


# -- every verb --------------------------------------------------------------------------------------------------------


def look(store: SessionStore) -> dict[str, Any]:
    """Every verb that changes nothing, and ``sweep``, which has nothing to remove."""
    verbs: dict[str, Callable[[], Any]] = {}
    for who in IDS:
        verbs[f"load {who}"] = lambda who=who: store.load(who)
        verbs[f"messages {who}"] = lambda who=who: store.messages(who, last=1)
        verbs[f"exists {who}"] = lambda who=who: store.exists(who)
        verbs[f"list {who}"] = lambda who=who: list(store.list(user_id=f"user of {who}"))
    verbs["list"] = lambda: list(store.list())
    verbs["count"] = store.count
    verbs["sweep"] = store.sweep
    verbs["stats"] = store.stats
    verbs["health"] = store.health
    return {name: outcome(verb) for name, verb in verbs.items()}


def hold(seen: Mapping[str, Any], allowed: Mapping[str, list[Document]]) -> None:
    """Errors, or what just this session was. Whatever is listed is one of the sessions, as it once was."""
    for who in IDS:
        loaded = seen[f"load {who}"]
        if not isinstance(loaded, VaultError):
            assert (loaded.id, loaded.user_id, loaded.title) == (who, f"user of {who}", f"title of {who}")
            assert (loaded.state, loaded.messages) in allowed[who]
        messages = seen[f"messages {who}"]
        if not isinstance(messages, VaultError):
            assert messages in [document[1][-1:] for document in allowed[who]]
        _hold_listed(seen[f"list {who}"], (who,))
    _hold_listed(seen["list"], IDS)
    assert seen["sweep"] == 0 or isinstance(seen["sweep"], VaultError)


def _hold_listed(listed: Any, asked: tuple[str, ...]) -> None:
    """No user is shown the session of another."""
    if isinstance(listed, VaultError):
        return
    for info in listed:
        assert info.id in asked
        assert (info.user_id, info.title) == (f"user of {info.id}", f"title of {info.id}")


ACTS: dict[str, Callable[[SessionStore], Any]] = {
    "append": lambda store: store.append("alice", {"n": "new"}),
    "append or create": lambda store: store.append("alice", {"n": "new"}, create=True),
    "dedupe": lambda store: store.append("alice", {"n": "new", "id": 1}, dedupe=True),
    "merge": lambda store: store.update("alice", {"new": True}),
    "update": lambda store: store.update("alice", lambda draft: draft.state.update(new=True)),
    "touch": lambda store: store.touch("alice", "10d"),
    "pop": lambda store: store.pop("alice"),
    "clear": lambda store: store.clear("alice"),
    "save": lambda store: store.save("alice", state={"new": True}),
    "create": lambda store: store.create("alice", state={"new": True}),
    "delete": lambda store: store.delete("alice"),
    "reindex": lambda store: store.reindex(),
}
