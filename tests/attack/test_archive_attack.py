"""Sessions and files that are made to fool the archiver: nothing is lost, and nothing written where it does not belong."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archive_lab import LaterClock, append, event, lines, run, sealed_bytes, write

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.archive import restorer
from vaultsession.admin.archive.discovery import SHREDDED
from vaultsession.admin.archive.restorer import RestoredFile, Restorer
from vaultsession.admin.archive.run import ArchiveOptions, archive
from vaultsession.admin.importers import Skipped
from vaultsession.errors import InvalidSetting

DATA = lines(*map(event, range(3)))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=RawKey(bytes(range(32))), durability="os") as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


def restored(store: SessionStore, id: str, **options: Any) -> RestoredFile:
    found = Restorer(store, **options).restore(id)
    assert found is not None
    return found


def forge(store: SessionStore, source: Path, **facts: Any) -> None:
    """A session that says of itself what no archiver said."""
    write(source / "s.jsonl", DATA)
    run(store, source)
    store.update("s", {"archive": {**store.load("s").state["archive"], **facts}})


# -- a session that names another place --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("", "authorized_keys"),
        ("", "bashrc.sh"),
        ("", ".hidden/settings.json"),
        ("", "deep/.hidden.json"),
        (".claude", "settings.json"),
        (".claude/projects", "../settings.json"),
        (".claude/x/..", "settings.json"),
        (".", "settings.json"),
        ("", "projects/a/run.sh"),
    ],
)
def test_only_what_would_be_archived_is_put_back(
    store: SessionStore, source: Path, tmp_path: Path, root: str, name: str
) -> None:
    home = tmp_path / "home"
    (home / ".claude").mkdir(parents=True)
    forge(store, source, root=f"{home}/{root}" if root else str(home), name=name)
    environ = {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home / ".claude")}
    found = restored(store, "s", sources=[str(home)], environ=environ)
    assert (found.outcome, [*home.rglob("*.*")]) == ("left", [home / ".claude"])


def test_no_new_file_is_made_where_no_agent_keeps_any_unless_it_is_asked_for(
    store: SessionStore, source: Path, tmp_path: Path
) -> None:
    """A session that a writer of the vault made could put a package.json into any directory, with plain restore."""
    work = tmp_path / "work"
    forge(store, source, root=str(work), name="package.json")
    for sources in ((), (str(source),), (str(tmp_path / "wor"),)):
        found = restored(store, "s", sources=sources, environ={"HOME": str(tmp_path)})
        assert (found.outcome, work.exists()) == ("left", False)
    assert "--source" in found.problem
    found = restored(store, "s", sources=[str(work)], environ={"HOME": str(tmp_path)})
    assert (found.outcome, os.listdir(work)) == ("restored", ["package.json"])


@pytest.mark.parametrize("root", ["relative", "", "/tmp/\0"])
def test_a_root_that_is_no_place_is_refused(store: SessionStore, source: Path, root: str) -> None:
    forge(store, source, root=root)
    assert restored(store, "s", sources=["/"]).outcome == "left"
    assert not Path("relative").exists()


def test_what_belongs_to_a_session_goes_back_to_its_agent(store: SessionStore, source: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    forge(store, source, root=str(home), name="projects/-work/s.jsonl")
    assert restored(store, "s", environ={"CLAUDE_CONFIG_DIR": str(home)}).outcome == "restored"
    assert (home / "projects" / "-work" / "s.jsonl").read_bytes() == DATA


def test_a_directory_that_is_a_link_is_not_followed(store: SessionStore, source: Path, tmp_path: Path) -> None:
    write(source / "sub" / "s.jsonl", DATA)
    run(store, source)
    elsewhere, into = tmp_path / "elsewhere", tmp_path / "into"
    elsewhere.mkdir()
    into.mkdir()
    (into / "sub").symlink_to(elsewhere)
    (info,) = store.list()
    found = restored(store, info.id, into=str(into))
    assert (found.outcome, os.listdir(elsewhere)) == ("left", [])
    assert "link" in found.problem
    (tmp_path / "way").symlink_to(into)  # the directory that is named may be one
    (into / "sub").unlink()
    assert restored(store, found.id, into=str(tmp_path / "way")).outcome == "restored"


@pytest.mark.parametrize("mode", [0o4755, 0o2755, -1, 2**63 - 1])
def test_a_mode_has_permissions_alone(store: SessionStore, source: Path, tmp_path: Path, mode: int) -> None:
    forge(store, source, mode=mode)
    found = restored(store, "s", into=str(tmp_path / "to"))
    assert os.stat(found.path).st_mode & 0o7000 == 0


@pytest.mark.parametrize(
    "facts",
    [
        {"modified": 2**64 - 1}, {"size": -5}, {"start": -3}, {"end": "€"}, {"style": "nope"}, {"style": "indent-2"},
        {"layout": "nope"}, {"style": "text"}, {"layout": "document", "skeleton": [5]}, {"name": "\ud800.jsonl"},
    ],
)  # fmt: skip
def test_nonsense_ends_no_run(source: Path, tmp_path: Path, facts: dict[str, Any]) -> None:
    with open_store(tmp_path / "vault", key=RawKey(bytes(range(32))), durability="os", lossless=True) as store:
        forge(store, source, **facts)
        assert restored(store, "s", into=str(tmp_path / "to")).outcome == "left"
        append(source / "s.jsonl", lines(event(9)))
        (done,) = run(store, source, remove=True)
        assert done.removed != (source / "s.jsonl").exists()
        assert not done.removed or sealed_bytes(store, done.id) == DATA + lines(event(9))


# -- what is in the place of a file ------------------------------------------------------------------------------------


def test_a_pipe_in_its_place_stays(store: SessionStore, source: Path) -> None:
    file = write(source / "s.jsonl", DATA)
    run(store, source)
    file.unlink()
    os.mkfifo(file)
    assert restored(store, "s", sources=[str(source)], replace=True).outcome == "left"
    assert file.is_fifo()


def test_of_two_files_of_one_name_none_replaces_the_other(store: SessionStore, source: Path, tmp_path: Path) -> None:
    for name in "ab":
        write(source / name / "s.jsonl", lines(event(ord(name))))
        run(store, source / name)
    restorer, ids = Restorer(store, into=str(tmp_path / "to"), replace=True), [info.id for info in store.list()]
    found = [restorer.restore(name) for name in ids]
    assert [each and each.outcome for each in found] == ["restored", "left"]
    assert (tmp_path / "to" / "s.jsonl").read_bytes() == sealed_bytes(store, ids[0])


def test_what_is_written_while_its_file_is_put_back_stays(
    store: SessionStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(source / "s.jsonl", DATA)
    run(store, source)
    file.write_bytes(DATA[:50])
    whole = restorer.write_all

    def written_to_meanwhile(*given: Any) -> None:
        whole(*given)
        append(file, b"precious")

    monkeypatch.setattr(restorer, "write_all", written_to_meanwhile)
    assert restored(store, "s", sources=[str(source)]).outcome == "left"
    assert file.read_bytes() == DATA[:50] + b"precious"


# -- files with the names of a run that ended --------------------------------------------------------------------------


def found_with(store: SessionStore, source: Path, **options: Any) -> list[object]:
    wanted = ArchiveOptions(sources=(str(source),), **options)
    return list(archive(store, wanted, environ={}, clock=LaterClock()))


@pytest.mark.parametrize("options", [{}, {"remove": True}, {"remove": True, "shred": True}])
def test_a_file_that_was_never_sealed_is_not_shredded(
    store: SessionStore, source: Path, options: dict[str, bool]
) -> None:
    planted = write(source / f"s.jsonl{SHREDDED}", DATA)
    (found,) = found_with(store, source, **options)
    assert isinstance(found, Skipped)
    assert planted.read_bytes() == DATA


def test_shredding_goes_on_only_with_the_file_alone(store: SessionStore, source: Path, tmp_path: Path) -> None:
    file = write(source / "s.jsonl", DATA)
    run(store, source)
    planted = source / f"s.jsonl{SHREDDED}"
    file.rename(planted)
    (found,) = found_with(store, source)
    assert isinstance(found, Skipped)
    os.link(planted, tmp_path / "precious")
    (found,) = found_with(store, source, remove=True, shred=True)
    assert isinstance(found, Skipped)
    assert (tmp_path / "precious").read_bytes() == DATA
    (tmp_path / "precious").unlink()
    assert found_with(store, source, remove=True, shred=True) == []
    assert not planted.exists()


# -- contents that look like facts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [
        b'"archive":{"a":1}',
        b'"archive":{"root":"/","name":"etc/x.json","mode":1,"modified":1,"accessed":1}',
        b'"archive@0":{"document":["compact",0,0,"x"]}',
        b'"archive@5":{"document":["compact",0,0,"x"]},"archive":null',
        b'"state":{"archive":{"a":1},"archive@9":{"document":["python"]}}',
    ],
)
def test_fields_of_a_file_are_no_facts_of_the_archive(
    store: SessionStore, source: Path, tmp_path: Path, more: bytes
) -> None:
    data = b'{"messages":[{"role":"user","content":"hi"}],' + more + b"}"
    write(source / "x.json", data)
    run(store, source)
    found = restored(store, "x", into=str(tmp_path / "to"))
    assert (found.outcome, Path(found.path).read_bytes()) == ("restored", data)


def test_no_file_says_when_its_session_ends(store: SessionStore, source: Path) -> None:
    for number, moment in enumerate((b"2001", b"2101")):
        head = b'{"expires_at":"%s-01-01T00:00:00Z","ttl":5,"sliding":true,"max_messages":1,"messages":' % moment
        write(source / f"x{number}.json", head + b'[{"role":"user"},{"role":"user"}]}')
    assert [each.outcome for each in run(store, source)] == ["archived", "archived"]
    assert [(info.expires_at, info.ttl, info.message_count) for info in store.list()] == [(None, None, 2)] * 2


def test_a_document_that_goes_on_as_text_is_replaced(store: SessionStore, source: Path) -> None:
    file = write(source / "x.json", b'{"id":"x.json","messages":[{"role":"user","content":"hi"}]}')
    before = file.read_bytes()
    run(store, source)
    append(file, b"\ntorn {")
    (foreseen,) = run(store, source, dry_run=True)
    (done,) = run(store, source)
    assert [each.outcome for each in (foreseen, done)] == ["replaced", "replaced"]
    assert sealed_bytes(store, "x.json") == before + b"\ntorn {"
    assert sealed_bytes(store, "x.json~before-1") == before


# -- what is no plaintext to be removed --------------------------------------------------------------------------------


def test_what_opens_the_vault_is_not_sealed_in_it(store: SessionStore, source: Path, tmp_path: Path) -> None:
    key = write(source / "key.json", b"the key")
    (tmp_path / "other").symlink_to(key)
    assert run(store, source, remove=True, keys=(str(tmp_path / "other"),)) == []
    assert key.exists()


@pytest.mark.parametrize("name", ["", "vault.json", "sessions"])
def test_nothing_of_a_vault_is_archived(store: SessionStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "vault" / "sessions").mkdir(exist_ok=True)
    with pytest.raises(InvalidSetting, match="vault"):
        found_with(store, tmp_path / "vault" / name, remove=True)


def test_a_name_that_looks_like_that_of_an_earlier_one(store: SessionStore, source: Path) -> None:
    write(source / "s~before-1.jsonl", DATA)
    file = write(source / "t.jsonl", DATA)
    run(store, source)
    write(file, lines(event(7)))
    run(store, source)
    assert [Restorer(store).is_earlier(name) for name in ("s~before-1", "t", "t~before-1")] == [False, False, True]


@pytest.mark.parametrize("place", ["memory", "sqlite"])
def test_nothing_is_removed_that_may_lie_in_memory_alone(source: Path, tmp_path: Path, place: str) -> None:
    file = write(source / "s.jsonl", DATA)
    url = "memory://" if place == "memory" else f"sqlite:///{tmp_path / 'sessions.db'}"
    options: Any = {} if place == "memory" else {"fallback": "memory", "key": RawKey(bytes(range(32)))}
    with open_store(url, **options) as store:
        with pytest.raises(InvalidSetting, match="memory"):
            found_with(store, source, remove=True)
        assert file.exists()
        assert run(store, source)[0].outcome == "archived"
