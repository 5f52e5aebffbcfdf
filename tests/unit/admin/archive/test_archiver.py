"""Files become sessions, sessions follow their files, and nothing that is sealed is dropped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_lab import LONG_AGO, LaterClock, append, event, lines, outcomes, run, sealed_bytes, write

from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.archive import archiver as module
from vaultsession.admin.archive import original, part_writer
from vaultsession.admin.archive.discovery import discover
from vaultsession.admin.archive.run import ArchiveOptions, archive
from vaultsession.admin.importers import Skipped, place, read
from vaultsession.admin.importers.sources import File
from vaultsession.errors import InvalidSetting, LeaseTimeout

KEY = RawKey(bytes(range(32)))
SOON = LaterClock().now() // 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with open_store(tmp_path / "vault", key=KEY, durability="os") as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


def test_an_archived_session_is_the_one_that_an_import_makes(store: SessionStore, source: Path, tmp_path: Path) -> None:
    events = [*(event(number) for number in range(5)), {"type": "summary", "summary": "Sums", "leafUuid": "u2"}]
    write(source / "-home-me" / "s-1.jsonl", lines(*events))
    write(
        source / "chat.json",
        json.dumps({"id": "c", "title": "Chat", "messages": [{"role": "user", "content": "x"}]}).encode(),
    )
    assert outcomes(run(store, source)) == ["archived", "archived"]
    with open_store(tmp_path / "other", key=KEY, durability="os") as other:
        for found in read(str(source)):
            assert not isinstance(found, Skipped)
            place(other, found)
        for name in ("s-1", "c"):
            ours, theirs = store.load(name), other.load(name)
            assert ours.facts() == theirs.facts()
            assert ours.messages == theirs.messages
            assert {k: v for k, v in ours.state.items() if not k.startswith("archive")} == theirs.state
    assert store.load("s-1").labels == {"agent": "claude-code", "project": "/home/me/project"}
    assert [info.id for info in store.list(labels={"agent": "claude-code"})] == ["s-1"]


@pytest.mark.parametrize(
    "document",
    [
        json.dumps([{"role": "user", "content": "wörd"}]),
        json.dumps([{"role": "user", "content": "wörd"}], indent=2) + "\n",
        json.dumps({"sessionId": "g", "projectHash": "h", "messages": [{"id": "1", "type": "user", "content": "é"}]}, indent=2, ensure_ascii=False),
        json.dumps({"id": "g", "n": 1.0, "title": "T", "messages": [{"role": "user", "content": "é"}], "state": {"a": 1}}, indent="\t"),
        '{"id": "g", "n": 1.50, "messages": [ {"role": "user", "content": "x"} ] }',
        '{"id": "g", "id": "h", "messages": [{"role": "user", "content": "x"}]}',
        '{"alice": [{"role": "user", "content": "x"}], "bob": [{"role": "user", "content": "x"}]}',
        "no json",
        "",
        "[]",
        '"text"',
    ],
)  # fmt: skip
def test_any_document_comes_back(store: SessionStore, source: Path, document: str) -> None:
    file = write(source / "d.json", document.encode())
    (done,) = run(store, source)
    assert sealed_bytes(store, done.id) == file.read_bytes()


def test_a_session_that_grew_is_appended_to(store: SessionStore, source: Path) -> None:
    file = write(source / "s.jsonl", lines(*map(event, range(3))))
    run(store, source)
    first = store.info("s")
    append(file, lines(*map(event, range(3, 5))) + b'{"odd": 1.0e1}\n')
    (done,) = run(store, source)
    assert (done.outcome, done.added) == ("appended", len(lines(*map(event, range(3, 5)))) + 15)
    assert store.info("s").message_count == first.message_count + 3
    assert store.info("s").created_at == first.created_at
    assert sealed_bytes(store, "s") == file.read_bytes()
    assert outcomes(run(store, source)) == ["unchanged"]


def test_a_line_that_is_half_written_is_left_for_another_time(store: SessionStore, source: Path) -> None:
    file = write(source / "s.jsonl", lines(event(1)) + b'{"half', modified=SOON)
    run(store, source)
    assert sealed_bytes(store, "s") == lines(event(1))
    write(file, lines(event(1)) + b'{"half":1}\n', modified=SOON)
    run(store, source)
    assert store.messages("s")[-1] == {"half": 1}
    write(file, file.read_bytes() + b'{"torn')
    assert outcomes(run(store, source)) == ["appended"]
    assert sealed_bytes(store, "s") == file.read_bytes()


@pytest.mark.parametrize("ended", [b"", b"\n\n", b'{"torn'])
def test_growth_behind_an_odd_end(store: SessionStore, source: Path, ended: bytes) -> None:
    file = write(source / "s.jsonl", lines(event(1))[:-1] + ended)
    run(store, source)
    append(file, b"\n" + lines(event(2)))
    assert outcomes(run(store, source)) == ["appended"]
    assert sealed_bytes(store, "s") == file.read_bytes()
    assert store.messages("s")[-1] == event(2)


def test_what_was_sealed_is_kept_where_its_file_was_written_anew(store: SessionStore, source: Path) -> None:
    before = lines(*map(event, range(4)))
    file = write(source / "s.jsonl", before)
    run(store, source)
    write(file, lines(event(9)), modified=LONG_AGO + 9)
    assert outcomes(run(store, source)) == ["replaced"]
    assert sealed_bytes(store, "s") == lines(event(9))
    assert store.messages("s~before-1") == [event(number) for number in range(4)]
    assert sealed_bytes(store, "s~before-1") == before


def test_a_document_that_only_grew_leaves_no_copy(store: SessionStore, source: Path) -> None:
    messages = [{"role": "user", "content": str(number)} for number in range(4)]
    for count in (2, 4):
        file = write(
            source / "d.json", json.dumps({"id": "d", "messages": messages[:count]}).encode(), modified=LONG_AGO + count
        )
        run(store, source)
    assert sealed_bytes(store, "d") == file.read_bytes()
    assert [info.id for info in store.list()] == ["d"]
    write(file, json.dumps({"id": "d", "messages": messages[1:]}).encode(), modified=LONG_AGO + 9)
    run(store, source)
    assert sorted(info.id for info in store.list()) == ["d", "d~before-1"]


def test_a_large_file_is_parts(store: SessionStore, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in (original, part_writer):
        monkeypatch.setattr(each, "PART", 2_000)
    events = [event(number, text="x" * 300) for number in range(20)]
    file = write(source / "s.jsonl", lines(*events))
    run(store, source)
    assert len(list(store.list())) > 3
    assert sealed_bytes(store, "s") == file.read_bytes()
    append(file, lines(*[event(number, text="y" * 300) for number in range(20)]))
    assert outcomes(run(store, source)) == ["appended"]
    assert sealed_bytes(store, "s") == file.read_bytes()
    assert outcomes(run(store, source)) == ["unchanged"]
    write(file, lines(*events[1:]), modified=LONG_AGO + 99)
    assert outcomes(run(store, source)) == ["replaced"]
    assert sealed_bytes(store, "s") == file.read_bytes()


def test_an_archiver_that_remembers_reads_what_was_added(
    store: SessionStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in (original, part_writer):
        monkeypatch.setattr(each, "PART", 1_000)
    file = write(source / "s.jsonl", lines(*map(event, range(3))))
    remembering = module.Archiver(store, remembers=True)

    def archived() -> str:
        (found,) = discover((str(file),), {})
        assert not isinstance(found, Skipped)
        return str(remembering.archive(found).outcome)

    assert archived() == "archived"
    reads: list[str] = []
    read = remembering.elements.read
    monkeypatch.setattr(remembering.elements, "read", lambda name: reads.append(name) or read(name))
    for number in range(3, 20):
        append(file, lines(event(number)) + b'{"odd": 1.0}\n')
        assert archived() == "appended"
    assert len(reads) < 10  # for new parts alone
    assert sealed_bytes(store, "s") == file.read_bytes()
    with store.edit("s~3") as session:
        session.state["other"] = 1
    assert archived() == "unchanged"
    write(file.with_suffix(".new"), lines(*map(event, range(5, 90)))).rename(file)
    assert archived() == "replaced"
    assert sealed_bytes(store, "s") == file.read_bytes()


def test_two_files_of_one_name_are_two_sessions(store: SessionStore, source: Path) -> None:
    for folder in ("a", "b"):
        write(source / folder / "s.jsonl", lines(event(ord(folder))))
    ids = [done.id for done in run(store, source)]
    assert len(set(ids)) == 2
    assert [done.id for done in run(store, source)] == ids
    assert {sealed_bytes(store, each) for each in ids} == {lines(event(97)), lines(event(98))}


def test_a_session_of_another_kind_is_left_alone(store: SessionStore, source: Path) -> None:
    store.create("s", messages=[{"role": "user"}])
    write(source / "s.jsonl", lines(event(1)))
    (done,) = run(store, source)
    assert done.id.startswith("s-")
    assert store.messages("s") == [{"role": "user"}]


def test_every_agent_is_found_by_its_variable(store: SessionStore, tmp_path: Path) -> None:
    home = tmp_path / "home"
    session = "0b1c2d3e-0000-4000-8000-000000000001"
    wanted = {
        "claude/projects/-home-me/" + session + ".jsonl",
        "claude/projects/-home-me/" + session + "/subagents/agent-1.jsonl",
        "claude/projects/-home-me/" + session + "/subagents/agent-1.meta.json",
        "codex/sessions/2026/11/30/rollout-2026-11-30T10-00-00-u.jsonl",
        "gemini/.gemini/tmp/abc/chats/session-1.json",
        "copilot/session-state/0c/events.jsonl",
        "copilot/session-state/0c/workspace.yaml",
        "pi/sessions/--home-me--/1_u.jsonl",
    }
    passed_over = {
        "claude/projects/-home-me/memory/MEMORY.md", "claude/settings.json", "codex/auth.json", "gemini/.gemini/tmp/abc/logs.json",
        "claude/projects/-home-me/sessions-index.json", "pi/settings.json",
    }  # fmt: skip
    for name in wanted | passed_over:
        write(home / name, lines(event(1)))
    environ = {
        "HOME": str(tmp_path / "nowhere"), "CLAUDE_CONFIG_DIR": str(home / "claude"), "CODEX_HOME": str(home / "codex"),
        "GEMINI_CLI_HOME": str(home / "gemini"), "COPILOT_HOME": str(home / "copilot"), "PI_CODING_AGENT_DIR": str(home / "pi"),
    }  # fmt: skip
    found = list(discover((), environ))
    assert {os.path.relpath(each.path, home) for each in found if not isinstance(each, Skipped)} == wanted
    assert {
        os.path.relpath(each.path, home / "codex")
        for each in discover(("codex",), environ)
        if not isinstance(each, Skipped)
    } == {"sessions/2026/11/30/rollout-2026-11-30T10-00-00-u.jsonl"}
    done = list(archive(store, ArchiveOptions(), environ=environ))
    assert {each.outcome for each in done if not isinstance(each, Skipped)} == {"archived"}
    assert store.load("0c").labels["agent"] == "copilot-cli"


def test_links_fifos_and_vaults_are_not_read(store: SessionStore, source: Path, tmp_path: Path) -> None:
    write(source / "s.jsonl", lines(event(1)))
    (source / "link.jsonl").symlink_to(source / "s.jsonl")
    os.mkfifo(source / "fifo.jsonl")
    with open_store(source / "vault", key=KEY, durability="os"):
        pass
    write(source / "vault" / "s2.jsonl", lines(event(2)))
    found = list(archive(store, ArchiveOptions(sources=(str(source),)), environ={}))
    skipped = {os.path.basename(each.place): each.reason for each in found if isinstance(each, Skipped)}
    assert skipped == {"link.jsonl": "a link, and links are not followed", "fifo.jsonl": "no regular file"}
    assert [info.id for info in store.list()] == ["s"]
    for wrong in (str(source / "vault"), "nothing"):
        with pytest.raises(InvalidSetting):
            list(archive(store, ArchiveOptions(sources=(wrong,)), environ={}))


def test_only_what_is_asked_for(store: SessionStore, source: Path) -> None:
    write(source / "old.jsonl", lines(event(1)))
    write(source / "new.jsonl", lines(event(1)), modified=SOON)
    write(source / "other.jsonl", lines(event(1, cwd="/home/me/elsewhere")))
    day = 86_400_000_000
    assert [done.id for done in run(store, source, older_than=day, project="/home/me/project", dry_run=True)] == ["old"]
    assert store.count() == 0
    assert [done.id for done in run(store, source, project="/home/me/elsewhere")] == ["other"]


def test_a_dry_run_foretells(store: SessionStore, source: Path) -> None:
    file = write(source / "s.jsonl", lines(event(1)))
    assert outcomes(run(store, source, dry_run=True)) == outcomes(run(store, source)) == ["archived"]
    append(file, lines(event(2)))
    (foreseen,), (done,) = run(store, source, dry_run=True), run(store, source)
    assert (foreseen.outcome, foreseen.added) == (done.outcome, done.added)
    write(file, lines(event(3)), modified=LONG_AGO + 99)
    assert outcomes(run(store, source, dry_run=True)) == outcomes(run(store, source)) == ["replaced"]


def test_a_dry_run_foretells_of_a_document_that_grew(store: SessionStore, source: Path) -> None:
    said = json.dumps([{"role": "user", "content": "one"}]).encode()
    write(source / "chat.json", said)
    run(store, source)
    write(source / "chat.json", said + b"\n")
    (foreseen,), (done,) = run(store, source, dry_run=True), run(store, source)
    assert (foreseen.outcome, foreseen.added) == (done.outcome, done.added) == ("replaced", done.size)


def test_there_is_one_archiver_at_a_time(store: SessionStore, source: Path) -> None:
    write(source / "s.jsonl", lines(event(1)))
    running = archive(store, ArchiveOptions(sources=(str(source),)), environ={})
    next(running)
    with open_store(store.origin.where, key=KEY, durability="os") as second, pytest.raises(LeaseTimeout):
        next(archive(second, ArchiveOptions(sources=(str(source),)), environ={}, patience=0.01))
    running.close()


def test_archived_sessions_never_expire_and_are_never_trimmed(source: Path, tmp_path: Path) -> None:
    with open_store(tmp_path / "short", key=KEY, durability="os", ttl="1h", sliding=True, max_messages=2) as store:
        file = write(source / "s.jsonl", lines(*map(event, range(9))))
        run(store, source)
        info = store.info("s")
        assert (info.expires_at, info.message_count) == (None, 9)
        assert sealed_bytes(store, "s") == file.read_bytes()


def test_a_change_of_mode_or_time_alone_is_kept(store: SessionStore, source: Path) -> None:
    file = write(source / "s.jsonl", lines(event(1)))
    run(store, source)
    file.chmod(0o640)
    os.utime(file, (LONG_AGO, LONG_AGO + 500))
    assert outcomes(run(store, source)) == ["unchanged"]
    assert store.load("s").state["archive"]["mode"] == 0o640
    assert store.load("s").state["archive"]["modified"] == (LONG_AGO + 500) * 1_000_000_000


def test_a_file_that_cannot_be_read_is_left(store: SessionStore, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(source / "a.jsonl", lines(event(1)))
    write(source / "b.jsonl", lines(event(2)))
    opened = File.open

    def refused(self: File):
        if self.name == "a.jsonl":
            raise PermissionError(13, "Permission denied")
        return opened(self)

    monkeypatch.setattr(File, "open", refused)
    first, second = run(store, source)
    assert (first.outcome, first.problem) == ("left", "Permission denied")
    assert second.outcome == "archived"


def test_a_file_that_shrinks_while_it_is_read_is_left(
    store: SessionStore, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(source / "a.jsonl", lines(*map(event, range(50))))
    known = module.kind_of

    def shrinks(source, size):
        found = known(source, size)
        os.truncate(file, 300)
        return found

    monkeypatch.setattr(module, "kind_of", shrinks)
    (done,) = run(store, source)
    assert (done.outcome, done.problem) == ("left", "it became shorter while it was read")
    assert store.count() == 0


def test_an_archiver_that_remembers_sees_a_file_that_was_written_anew_in_place(
    store: SessionStore, source: Path
) -> None:
    """Cut to nothing and written to again, as a longer one: the same file to the system."""
    file, remembering = write(source / "s.jsonl", lines(event(1), event(2))), module.Archiver(store, remembers=True)
    anew = lines(*map(event, range(5, 9)))

    def archived() -> str:
        (found,) = discover((str(file),), {})
        assert not isinstance(found, Skipped)
        return str(remembering.archive(found).outcome)

    assert archived() == "archived"
    write(file, anew, modified=LONG_AGO + 9)
    assert archived() == "replaced"
    assert (sealed_bytes(store, "s"), sealed_bytes(store, "s~before-1")) == (anew, lines(event(1), event(2)))
    append(file, lines(event(9)))
    assert archived() == "appended"
    assert sealed_bytes(store, "s") == anew + lines(event(9))
