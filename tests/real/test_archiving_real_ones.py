"""Real conversations as files of their programs: sealed and put back byte for byte, at what an import of them takes.

The conversations are found as in ``test_conversations``. Those of agents that write lines are their own bytes; the
others are JSON, as its programs spell it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from archive_lab import LONG_AGO, run, write

from benchmarks.dictionaries import spelled_records
from vaultsession import RawKey, SessionStore, open_store
from vaultsession.admin.archive.restorer import Restorer
from vaultsession.admin.importers import Skipped, place, read

WHERE = Path(
    os.environ.get("VAULTSESSION_TEST_CONVERSATIONS")
    or Path(__file__).resolve().parents[3] / "shared" / "data" / "conversations"
)
FILES = sorted(WHERE.glob("*.jsonl.zst"))
KEY = RawKey(bytes(range(150, 182)))
OF_LINES = ("claude-code", "codex", "copilot-cli", "pi-agent")
BAR = 1.02

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FILES, reason=f"no conversations in {WHERE}: set VAULTSESSION_TEST_CONVERSATIONS"),
]


def spelled(shape: str, name: str, found: list[str], number: int) -> tuple[str, bytes]:
    """The ending and the bytes of a file."""
    if shape in OF_LINES:
        return ".jsonl", "".join(record + "\n" for record in found).encode()
    messages = [json.loads(record) for record in found]
    if shape == "gemini-cli":
        return ".json", orjson.dumps({"sessionId": name, "messages": messages}, option=orjson.OPT_INDENT_2)
    ways: list[Any] = [
        json.dumps(messages),
        json.dumps({"id": name, "messages": messages, "model": "m"}, indent=2),
        "[" + ", ".join(found) + "]\n",
    ]
    return ".json", ways[number % len(ways)].encode()


def conversations() -> Iterator[tuple[str, str, bytes]]:
    for path in FILES:
        data = zstandard.ZstdDecompressor(max_window_size=1 << 31).stream_reader(path.read_bytes()).read()
        source = path.name.removesuffix(".jsonl.zst")
        for number, line in enumerate(filter(None, data.decode().split("\n"))):
            name = f"{source}-{number}"
            ending, spelling = spelled(source.split(".")[0], name, spelled_records(line), number)
            yield source, name + ending, spelling


def stored(vault: Path) -> int:
    return sum(file.stat().st_size for file in (vault / "sessions").rglob("*") if file.is_file())


def opened(path: Path) -> SessionStore:
    return open_store(path, key=KEY, durability="os", cache_bytes=0)


def test_every_file_comes_back_and_takes_what_an_import_takes(tmp_path: Path) -> None:
    source, digests = tmp_path / "source", {}
    for folder, name, data in conversations():
        path = write(source / folder / name, data, modified=LONG_AGO)
        digests[str(path.relative_to(source))] = hashlib.sha256(data).hexdigest()
    with opened(tmp_path / "imported") as store:
        for found in read(str(source)):
            assert not isinstance(found, Skipped), found
            place(store, found)
        ids = {info.id for info in store.list()}
    assert len(ids) == len(digests)
    with opened(tmp_path / "archived") as store:
        done = run(store, source, remove=True)
        assert [each for each in done if each.outcome != "archived" or not each.removed] == []
        assert {each.id for each in done} == ids
        restorer = Restorer(store, sources=[str(source)])
        for name in ids:
            restorer.restore(name)
    now = {
        str(path.relative_to(source)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in source.rglob("*.*")
        if path.is_file()
    }
    assert now == digests
    ratio = stored(tmp_path / "archived") / stored(tmp_path / "imported")
    assert ratio <= BAR, ratio
