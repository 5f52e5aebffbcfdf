"""Every block of every document runs as a reader would run it: in a fresh directory, and a second time."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from documents import DOCUMENTS, INTERPRETER, LANGUAGES, README, REPOSITORY, Block, blocks, run
from fork_server import ForkServer
from frameworks import require

from vaultsession import Settings

BLOCKS = [block for document in DOCUMENTS for block in blocks(document.read_text(encoding="utf-8"), document)]
RUNNING = [block for block in BLOCKS if block.language in {"python", "sh"} and not (block.command or block.recipe)]


@pytest.fixture(scope="module")
def executable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The words that ``vaultsession`` is started with, where every warning is an error."""
    server = ForkServer(tmp_path_factory.mktemp("command"), {"PATH": os.defpath, **INTERPRETER})
    yield server.command
    server.close()


def runs(block: Block) -> list[Any]:
    """A block twice; of the shell, whose every line opens a vault, those of the README once among the quick tests."""
    if block.language == "python":
        return [pytest.param(block, 2, id=f"{block.name}-twice")]
    slow = pytest.param(block, 2, id=f"{block.name}-twice", marks=pytest.mark.slow)
    quick = pytest.param(block, 1, id=f"{block.name}-once")
    return [quick, slow] if block.document == README else [slow]


@pytest.mark.sampled(4)
@pytest.mark.parametrize(("block", "times"), [each for block in RUNNING for each in runs(block)])
def test_a_block_runs_and_a_second_time(block: Block, times: int, tmp_path: Path, executable: list[str]) -> None:
    if block.needs and not shutil.which(block.needs):
        pytest.skip(f"{block.needs} is not installed")
    if block.framework:
        require(block.framework)
    ran = run(block, tmp_path, executable, times)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("block", [each for each in BLOCKS if each.language == "toml"], ids=lambda block: block.name)
def test_a_configuration_file_names_settings(block: Block) -> None:
    known = {field.name for field in fields(Settings)} | {"path", "key_file", "key_command", "passphrase_file"}
    assert tomllib.loads(block.text).keys() <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_document_holds_nothing_that_is_not_checked(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    found = blocks(text, document)
    assert text.count("\n```") == 2 * len(found)
    assert {block.language for block in found} <= LANGUAGES
    for target in re.findall(r"\]\((?!https?://|#)([^)\s]+)\)", text):
        assert (document.parent / target).exists(), target
    for path in re.findall(r"`((?:vaultsession|benchmarks|tests)/[\w./-]+)`", text):
        assert (REPOSITORY / path).exists(), path


def test_only_the_commands_of_the_readme_are_left_to_ci() -> None:
    left = {(block.document, block.command) for block in BLOCKS if block.command}
    assert left == {(README, "demo"), (README, "tests")}


# -- tests of the test -------------------------------------------------------------------------------------------------

SAMPLE = """
Words.

```python
import os
assert os.getcwd().endswith("work")
assert not [name for name in os.environ if name.startswith("VAULTSESSION_")]
open("made-here", "a").write("once ")
```

<!-- needs: nothing -->
```sh
python -c 'import vaultsession'
echo again >> made-here
```
"""


def test_blocks_run_twice_in_a_directory_of_their_own(tmp_path: Path, executable: list[str]) -> None:
    for number, block in enumerate(blocks(SAMPLE, README)):
        directory = tmp_path / str(number)
        directory.mkdir()
        ran = run(block, directory, executable)
        assert ran.returncode == 0, ran.stderr
        written = (directory / "work" / "made-here").read_text()
        assert written in ("once once ", "again\nagain\n")


@pytest.mark.parametrize("broken", ["1 / 0", "import no_such_module", "open('made', 'x')"])
def test_a_block_that_fails_is_seen_with_its_line(tmp_path: Path, broken: str, executable: list[str]) -> None:
    ran = run(blocks(f"{SAMPLE}\n```python\n{broken}\n```\n", README)[-1], tmp_path, executable)
    assert ran.returncode == 1
    assert f'README.md.python", line {SAMPLE.count(chr(10)) + 3}' in ran.stderr


def test_a_shell_block_fails_with_its_first_command(tmp_path: Path, executable: list[str]) -> None:
    assert run(blocks("\n```sh\nfalse\ntrue\n```\n", README)[0], tmp_path, executable).returncode == 1
