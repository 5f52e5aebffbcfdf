"""``vaultsession archive`` and ``restore``: what goes in, what is removed, what comes back, and what a script learns."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest
from archive_lab import append, event, lines, write
from cli_lab import Place, Run

from vaultsession.admin.archive import archiver
from vaultsession.errors import BackendUnavailable
from vaultsession.store.elements import Elements


@pytest.fixture(autouse=True)
def not_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of this moment may be removed."""
    monkeypatch.setattr(archiver, "QUIET", -1)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "old"
    write(path / "-home-me" / "s-1.jsonl", lines(*map(event, range(3))))
    write(path / "chat.json", b'[{"role": "user",  "content": "hello"}]')
    return path


def test_files_are_sealed_removed_and_put_back(run: Run, place: Place, source: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in source.rglob("*.*")}
    size = sum(map(len, before.values()))
    seen = run("archive", source, "--remove", "--dry-run", "--json")
    assert (seen.code, seen.json["dry_run"], seen.json["problems"]) == (0, True, [])
    assert seen.json["sources"] == [
        {
            "source": "files", "files": 2, "bytes": size, "archived": 2, "appended": 0, "replaced": 0, "unchanged": 0,
            "left": 0, "added": size, "freed": size, "in_use": 0,
        }
    ]  # fmt: skip
    assert all(path.exists() for path in before)
    done = run("archive", source, "--remove", "--yes")
    assert (done.code, done.err) == (0, "")
    assert done.rows[0]["freed"] == str(size)
    assert not any(path.exists() for path in before)
    assert {row["id"] for row in run("ls").rows} == {"s-1", "chat"}
    assert run("grep", "-F", "wörd 2").code == 0
    asked = run("restore", "--all")
    assert (asked.code, "give --source DIR as it was given to archive" in asked.err) == (3, True)
    assert not any(path.exists() for path in before)
    back = run("restore", "--all", "--source", source, "--json")
    assert (back.code, back.json["restored"], back.json["bytes"]) == (0, 2, size)
    assert {path: path.read_bytes() for path in before} == before
    assert run("restore", "s-1", "--to", tmp_path / "to", "--json").json["files"][0]["path"] == str(
        tmp_path / "to" / "-home-me" / "s-1.jsonl"
    )


def test_what_could_not_be_done_is_told_and_the_rest_is_done(run: Run, place: Place, source: Path) -> None:
    (source / "link.json").symlink_to(source / "chat.json")
    done = run("archive", source)
    assert done.code == 3
    assert "link.json: a link, and links are not followed" in done.err
    assert run("ls", "--count").out == "2\n"
    write(source / "chat.json", b"another")
    back = run("restore", "--all", "--source", source)
    assert back.code == 3
    assert "another file is there" in back.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("archive", "--shred"), 2, "give both"),
        (("archive", "nowhere"), 2, "name a file, a directory, or an agent"),
        (("archive", "old", "--remove"), 2, "confirm with --yes"),
        (("archive", "old", "--older-than", "soon"), 2, "soon"),
        (("restore",), 2, "say what to restore"),
        (("restore", "nothing"), 4, "there is no session"),
        (("restore", "s", "--all"), 2, "say what to restore"),
    ],
)
def test_what_is_asked_for_wrongly_changes_nothing(
    run: Run, place: Place, source: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(source.parent)
    refused = run(*words)
    assert refused.code == code
    assert said in refused.err
    assert (source / "chat.json").exists()


def test_without_the_key_nothing_is_touched(run: Run, place: Place, source: Path) -> None:
    place.key_file.unlink()
    refused = run("archive", source, "--remove", "--yes")
    assert refused.code == 12
    assert (source / "chat.json").exists()


def test_a_store_that_fails_in_the_middle_ends_the_run_and_the_rest_is_told(
    run: Run, place: Place, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Elements.put

    def fills(self: Elements, id: str, *arguments: Any, replace: bool) -> Any:
        if id == "chat":
            raise BackendUnavailable("there is no space left")
        return put(self, id, *arguments, replace=replace)

    monkeypatch.setattr(Elements, "put", fills)
    done = run("archive", source, "--remove", "--yes")
    assert done.code == 3
    assert "there is no space left" in done.err
    assert done.rows[0]["archived"] == "1"
    assert sum(path.is_file() for path in source.rglob("*")) == 1


def test_a_plain_session_is_no_file(run: Run, place: Place) -> None:
    with place.open() as store:
        store.create("plain", messages=[{"role": "user", "content": "x"}])
    refused = run("restore", "plain")
    assert (refused.code, "vaultsession export" in refused.err) == (2, True)
    assert run("restore", "--all", "--json").json["files"] == []


def test_a_session_that_was_written_anew_is_restored_as_it_is_now(run: Run, place: Place, source: Path) -> None:
    file = source / "-home-me" / "s-1.jsonl"
    run("archive", source)
    write(file, lines(event(9)), modified=1_700_000_900)
    assert run("archive", source, "--json").json["sources"][0]["replaced"] == 1
    file.unlink()
    assert run("restore", "--all", "--source", source).code == 0
    assert file.read_bytes() == lines(event(9))
    append(file, lines(event(10)))
    assert run("archive", source, "--json").json["sources"][0]["appended"] == 1


def test_timers_are_printed_with_the_options(run: Run, place: Place) -> None:
    options = ("archive", "codex", "--older-than", "14d", "--remove")
    printed = run(*options, "--print-timer", "systemd").out
    assert "ExecStart=" in printed
    assert "archive --older-than 1209600s --remove --yes codex\n" in printed
    assert "OnCalendar=hourly" in printed
    found = plistlib.loads(run(*options, "--print-timer", "launchd").out.encode())
    assert found["ProgramArguments"][-6:] == ["archive", "--older-than", "1209600s", "--remove", "--yes", "codex"]
