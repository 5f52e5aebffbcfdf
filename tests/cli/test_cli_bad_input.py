"""Every command, met with what goes wrong: the documented exit code, one sentence, nothing half done.

A command that is not in ``LINES`` fails the first test: the author of one says here what it needs, and what it answers.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_lab import PATIENCE, Place

from vaultsession.cli.app import Commands
from vaultsession.cli.examples import EXAMPLES, wrapped
from vaultsession.cli.lazy_group import leaves
from vaultsession.util.disk import Disk

LEAVES = {name: command for name, _, command in leaves(Commands.entries)}


@dataclass(frozen=True)
class Line:
    """A line that succeeds on a vault with the session ``a``, and what it stands on.

    ``vault``: there has to be one; ``key``: the exit code for a key that does not fit, None where none is needed;
    ``id``: its first argument is that of a session; ``code``: what it ends with where all is well; ``writes``: whether it
    has something to say on stdout then; ``stdin``: what it reads there; ``serves``: it goes on until it is ended.
    """

    arguments: str = ""
    vault: bool = True
    key: int | None = 12
    id: bool = False
    code: int = 0
    writes: bool = True
    stdin: str = ""
    serves: bool = False

    def typed(self, name: str) -> list[str]:
        return [*name.split(), *shlex.split(self.arguments)]


LINES = {
    "web": Line("--no-browser", writes=False, serves=True),
    "tail": Line("a", id=True),
    "chat": Line("a", stdin="hello\n"),
    "import": Line("others.json"),
    "archive": Line("others.json"),
    "restore": Line("--all"),
    "train": Line("--dry-run"),
    "migrate": Line("vault new-place", vault=False, key=None),
    "key passphrase": Line("--new-passphrase-file words", code=2, writes=False),  # it was opened by a key
    "key masters": Line(),
    "key rotate": Line("--yes"),
    "key prune": Line("--yes"),
    "key destroy": Line("--tenant t --yes", code=2, writes=False),  # its tenants have no keys
    "key restore": Line("vault", code=2, writes=False),  # as above
    "mirror status": Line("--mirror second", code=3),
    "mirror sync": Line("--mirror second"),
    "mirror verify": Line("--mirror second"),
    "mirror restore": Line("--mirror second -V restored", vault=False, key=12),
    "demo": Line(vault=False, key=None),
    "init": Line("new-vault --key-file new-key", vault=False, key=None),
    "ls": Line(),
    "show": Line("a", id=True),
    "grep": Line("hello"),
    "append": Line("a --content more", id=True),
    "copy": Line("a b", id=True),
    "export": Line("a", id=True),
    "touch": Line("a", id=True),
    "rm": Line("a --yes", id=True),
    "sweep": Line(),
    "stats": Line(),
    "verify": Line("a", id=True),
    "doctor": Line(key=3),  # looks at what can be looked at without a key, and says so
    "repair": Line("--yes", key=3),
    "inspect": Line("inspected", vault=False, key=None),
    "reindex": Line(),
    "key list": Line(key=None),
    "key add": Line("--new-key-file second-key"),
    "key remove": Line("SLOT --yes"),
    "config show": Line(vault=False, key=None),
    "config path": Line(vault=False, key=None, code=4),
    "completion": Line("bash", vault=False, key=None),
}

NEED_A_VAULT = [name for name, line in LINES.items() if line.vault]
NEED_A_KEY = [name for name, line in LINES.items() if line.key is not None]
NEED_AN_ID = [name for name, line in LINES.items() if line.id]
WRITE = [name for name, line in LINES.items() if line.writes]
READ_SETTINGS = [*NEED_A_VAULT, "init", "config show", "config path"]


@pytest.fixture
def kept(place: Place) -> Place:
    with place.open() as store:
        store.create("a", messages=[{"role": "user", "content": "hello"}], ttl="30d")
    Path("others.json").write_text('[{"role": "user", "content": "hello"}]')
    Path("inspected").write_bytes(place.file("a").read_bytes())
    return place


def contents(place: Place) -> dict[str, bytes]:
    """The vault's own files: not the index, which is derived, and not the locks."""
    files = [*place.path.glob("sessions/*"), *place.path.glob("keyring*"), place.path / "vault.json"]
    return {path.name: path.read_bytes() for path in files}


def typed(name: str, place: Place, run) -> list[str]:
    line = LINES[name].typed(name)
    if name in ("mirror verify", "mirror restore"):
        run("mirror", "sync", "--mirror", "second")
    if name == "train":
        with place.open() as store:
            for number in range(24):
                text = " ".join(f"the {word} of day {number} in the harbour" for word in ("rain", "wind", "sun") * 40)
                store.save(f"t{number}", messages=[{"role": "user", "content": text}])
    if "SLOT" in line:  # of two, since the last slot stays
        run("key", "add", "--new-key-file", "another-key")
        line[line.index("SLOT")] = run("key", "list").rows[-1]["slot"]
    return line


def test_every_command_stands_in_the_table() -> None:
    assert set(LINES) == set(LEAVES)


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", LINES)
def test_it_succeeds_where_all_is_well(name: str, kept: Place, run) -> None:
    if name == "demo" or LINES[name].serves:
        pytest.skip("it has its own tests")
    done = run(*typed(name, kept, run), stdin=LINES[name].stdin)
    assert done.code == LINES[name].code, done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("name", NEED_A_VAULT)
def test_without_a_vault_it_is_10_and_none_is_made(name: str, run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("VAULTSESSION_PATH", str(tmp_path / "nowhere"))
    done = run(*LINES[name].typed(name))
    assert (done.code, done.out) == (10, "")
    assert done.err.startswith("vaultsession: there is no vault at ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", NEED_A_KEY)
def test_with_a_key_that_does_not_fit_nothing_is_changed(name: str, kept: Place, run, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_bytes(bytes(range(100, 132)).hex().encode())
    line = typed(name, kept, run)
    before = contents(kept)
    done = run(*line, "--key-file", other)
    assert done.code == LINES[name].key, done.err
    if done.code == 12:
        assert done.out == ""
        assert done.err.startswith("vaultsession: ")
        assert done.err.count("\n") == 1
    assert contents(kept) == before


@pytest.mark.parametrize("name", NEED_AN_ID)
def test_an_id_that_is_not_there_is_4_and_stays_so(name: str, kept: Place, run) -> None:
    line = [word if word != "a" else "nobody" for word in typed(name, kept, run)]
    before = contents(kept)
    done = run(*line)
    assert done.code == 4
    assert "nobody" in done.err or "not found" in done.err
    assert done.err.count("\n") == 1
    assert contents(kept) == before


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", READ_SETTINGS)
def test_a_configuration_with_an_unknown_field_is_2_and_named(name: str, kept: Place, run, monkeypatch) -> None:
    line = typed(name, kept, run)
    before = contents(kept)
    Path("config.toml").write_text("tll = '30d'\n")
    monkeypatch.setenv("VAULTSESSION_CONFIG", "config.toml")
    done = run(*line)
    assert (done.code, done.out) == (2, "")
    assert "config.toml: there is no setting 'tll'; did you mean ttl?" in done.err
    assert done.err.count("\n") == 1
    assert contents(kept) == before
    assert not Path("new-vault").exists()


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", WRITE)
def test_on_a_full_disk_it_is_1_and_says_so(name: str, kept: Place, run, executable) -> None:
    line = typed(name, kept, run)
    with open("/dev/full", "wb") as full:
        done = executed([*executable, *line], full.fileno(), LINES[name].stdin)
    assert done.returncode == max(1, LINES[name].code), done.stderr
    assert "there is no space left to write to" in done.stderr
    assert "Traceback" not in done.stderr
    assert run("verify").code == 0


@pytest.mark.sampled(6)
@pytest.mark.parametrize("name", WRITE)
def test_whoever_stops_reading_gets_no_complaint(name: str, kept: Place, run, executable) -> None:
    line = typed(name, kept, run)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = executed([*executable, *line], writer, LINES[name].stdin)
    finally:
        os.close(writer)
    assert done.returncode == 141, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert run("verify").code == 0


@pytest.mark.sampled(4)
@pytest.mark.parametrize("name", sorted({"init", *(name for name in NEED_A_VAULT if not LINES[name].serves)}))
def test_ctrl_c_at_any_moment_is_130_and_leaves_a_whole_vault(name: str, kept: Place, run, monkeypatch) -> None:
    """The moments are system calls: Ctrl-C comes instead of the first opening of a file, the second, and so on."""
    interrupted = 0
    opened = Disk.open
    for moment in range(1, 60, 4):
        line = typed(name, kept, run)
        calls = iter(range(1, 10_000))

        def opens(*given, calls=calls, moment=moment):
            if threading.current_thread() is threading.main_thread() and next(calls) == moment:
                raise KeyboardInterrupt  # it comes to no other thread
            return opened(*given)

        with monkeypatch.context() as patch:
            patch.setattr(Disk, "open", staticmethod(opens))
            done = run(*line)
        interrupted += done.code == 130
        assert "Traceback" not in done.err
        assert run("verify").code == 0
        with kept.open() as store:
            if not store.exists("a"):
                store.create("a", messages=[{"role": "user", "content": "hello"}], ttl="30d")
        if done.code != 130:
            break
    assert interrupted


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 40])
def test_every_help_fits_its_terminal_and_shows_examples(columns: int, run) -> None:
    """In one process, since the shape of the help is settled at its beginning."""
    script = (
        "import sys; from vaultsession.cli import run\n"
        "for line in sys.argv[1:]:\n    print('\\0' + line); assert run([*line.split(), '--help']) == 0"
    )
    environ = {**os.environ, "COLUMNS": str(columns)}
    told = subprocess.run(
        [sys.executable, "-c", script, *LEAVES], capture_output=True, text=True, env=environ, check=True
    ).stdout
    pages = {name: page for name, _, page in (page.partition("\n") for page in told.split("\0")[1:])}
    assert set(pages) == set(LEAVES)
    for name, page in pages.items():
        assert max(map(len, page.splitlines())) <= columns, name
        assert f"Usage: vaultsession {name}" in " ".join(page.split()), name
        assert "Examples:" in page, name
        assert "…" not in page.partition("Examples:")[0].replace("sessions/….vss", ""), name


@pytest.mark.parametrize("name", LEAVES)
def test_its_examples_are_lines_that_it_takes(name: str) -> None:
    assert EXAMPLES[name]
    for example in EXAMPLES[name]:
        (line,) = [words for words in commands_in(example.line) if words[: len(name.split())] == name.split()][:1]
        context = LEAVES[name].make_context(name, line[len(name.split()) :], resilient_parsing=False)
        context.close()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("columns", [80, 40])
@pytest.mark.parametrize("group", [(), *sorted({(name.split()[0],) for name in LEAVES if " " in name})], ids=str)
def test_the_help_of_several_has_the_whole_line_of_each(group: tuple[str, ...], columns: int, spawn) -> None:
    told = spawn(*group, "--help", COLUMNS=str(columns)).out
    assert max(map(len, told.splitlines())) <= columns
    assert "..." not in told.replace("[ARGS]...", "")


def test_there_are_no_examples_of_commands_that_are_not() -> None:
    assert set(EXAMPLES) <= set(LEAVES)


@pytest.mark.parametrize("width", [30, 36, 76])
def test_an_example_over_several_rows_is_the_same_line_to_a_shell(width: int) -> None:
    for examples in EXAMPLES.values():
        for example in examples:
            rows = wrapped(example.line, width)
            assert all(row.endswith(" \\") for row in rows[:-1])
            joined = "\n".join(rows).replace("\\\n", "")
            assert shlex.split(joined) == shlex.split(example.line)


def commands_in(line: str) -> list[list[str]]:
    """The words behind each ``vaultsession`` of a line, up to where another command begins."""
    lexer = shlex.shlex(line.replace("$(", " ( ").replace('"', " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    found: list[list[str]] = []
    inside = False
    for word in lexer:
        if word == "vaultsession":
            found.append([])
            inside = True
        elif set(word) <= set("|<>()&;"):
            inside = False
        elif inside:
            found[-1].append(word)
    return found


def executed(line: list[str], stdout: int, stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        line,
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_a_terminal_is_no_place_for_an_export(kept: Place, terminal) -> None:
    done = terminal("export", "--all")
    assert done.code == 2
    assert "-o" in done.out
    assert "hello" not in done.out


@pytest.mark.parametrize(
    ("line", "target", "holds"),
    [
        ("import others.json", "vaultsession.cli.commands.import_.place", "what was imported stays"),
        ("verify", "vaultsession.engine.verify.check", "nothing was changed"),
        ("key rotate", "vaultsession.store.store.SessionStore.rotate_key", "the same command goes on"),
        ("migrate vault new-place", "vaultsession.cli.commands.migrate.migrate_vault", "the same command goes on"),
    ],
)
def test_ctrl_c_in_long_work_says_how_far_it_came(line, target, holds, kept: Place, run, monkeypatch) -> None:
    def interrupted(*_given, progress=None, **_named):
        if progress is not None:
            progress(3, 10)
        raise KeyboardInterrupt

    monkeypatch.setattr(target, interrupted)
    done = run(*line.split())
    assert (done.code, done.out) == (130, "")
    how_far = "3 of 10" if line.startswith(("key", "migrate")) else "0"
    assert f" was interrupted after {how_far}: {holds}" in " ".join(done.err.split())


@pytest.mark.sampled(4)
@pytest.mark.parametrize("columns", [1, 2, 10])
@pytest.mark.parametrize("line", ["--help", "ls --help", "ls", "show a", "stats", "grep hello", "doctor", "show b"])
def test_a_terminal_that_has_no_room_is_no_bug(columns: int, line: str, kept: Place, terminal) -> None:
    done = terminal(*line.split(), columns=columns)
    assert done.code == (4 if line == "show b" else 0)
    assert "bug" not in done.out
