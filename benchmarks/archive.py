"""Archiving the transcripts of agents beside ``tar | zstd -3 | age`` over the same bytes, in one run.

Run: ``python -m benchmarks.archive [--megabytes N] [--where DIR]``, with the extra ``bench`` (pyrage is age).
``VAULTSESSION_TEST_CONVERSATIONS`` names the directory with the conversations, as in ``dictionaries``: those of Claude
Code and Codex are written as their files, again and again under other names until there are so many megabytes.

Each step flushes what it writes. *removed* is archiving with ``--remove``: each session read back, written out and
compared before its file goes. *trained* is a vault that has trained a dictionary on a tenth of the files. The peak of
memory is that of a process of its own.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyrage
import zstandard

from vaultsession import RawKey, TrainingRefused, open_store
from vaultsession.admin.archive import archiver
from vaultsession.admin.archive.restorer import Restorer
from vaultsession.admin.archive.run import ArchiveOptions, archive

from .dictionaries import WHERE, WINDOW, spelled_records

KEY = RawKey.generate()
MEGABYTE = 1_000_000
OLD = 1_700_000_000
HOMES = {"claude-code": ".claude/projects/-home-{copy}", "codex": ".codex/sessions/2026/11/{copy:02}"}


def transcripts() -> Iterator[tuple[str, bytes]]:
    for path in sorted(WHERE.glob("*.jsonl.zst")):
        agent = path.name.split(".")[0]
        if agent in HOMES:
            decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW)
            with path.open("rb") as file, decompressor.stream_reader(file) as reader:
                for line in io.TextIOWrapper(reader, encoding="utf-8", newline="\n"):
                    yield agent, "".join(record + "\n" for record in spelled_records(line)).encode()


def fill(home: Path, size: int) -> tuple[int, int]:
    """``(files, bytes)`` that were written."""
    files = written = copy = 0
    kept = list(transcripts())
    while kept and written < size:
        copy += 1
        for number, (agent, data) in enumerate(kept):
            path = home / HOMES[agent].format(copy=copy) / f"{agent}-{copy}-{number}.jsonl"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, (OLD, OLD))
            files, written = files + 1, written + len(data)
            if written >= size:
                break
    return files, written


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds, and seconds of processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def seal(vault: Path, home: Path, *, remove: bool = False, named: bool = False) -> None:
    options = ArchiveOptions(sources=(str(home),) if named else (), remove=remove)
    with open_store(vault, key=KEY, cache_bytes=0) as store:
        for done in archive(store, options, environ={"HOME": str(home)}):
            problem = getattr(done, "problem", "") or getattr(done, "reason", "")
            if problem:
                sys.exit(problem)


def put_back(vault: Path, into: Path) -> None:
    with open_store(vault, key=KEY, cache_bytes=0) as store:
        restorer = Restorer(store, into=str(into))
        for info in store.list():
            restorer.restore(info.id)


def train(vault: Path, home: Path, tenth: Path) -> bool:
    for number, path in enumerate(sorted(home.rglob("*.jsonl"))):
        if number % 10 == 0:
            target = tenth / path.relative_to(home)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    seal(vault, tenth)
    with open_store(vault, key=KEY) as store:
        try:
            store.train()
        except TrainingRefused:
            return False
        store.delete_many([info.id for info in store.list()])
    return True


def pack(target: Path, home: Path, recipient: Any) -> None:
    whole = target.with_suffix(".zst")
    with (
        whole.open("wb") as file,
        zstandard.ZstdCompressor(level=3).stream_writer(file) as packed,
        tarfile.open(fileobj=packed, mode="w|") as tar,
    ):
        tar.add(home, arcname=".")
    with whole.open("rb") as plain, target.open("wb") as sealed:
        pyrage.encrypt_io(plain, sealed, [recipient])
        sealed.flush()
        os.fsync(sealed.fileno())
    whole.unlink()


def unpack(source: Path, into: Path, identity: Any) -> None:
    whole = source.with_suffix(".zst")
    with source.open("rb") as sealed, whole.open("wb") as plain:
        pyrage.decrypt_io(sealed, plain, [identity])
    with (
        whole.open("rb") as file,
        zstandard.ZstdDecompressor().stream_reader(file) as reader,
        tarfile.open(fileobj=reader, mode="r|") as tar,
    ):
        tar.extractall(into, filter="data")
    os.sync()


def peak(vault: Path, source: Path, into: Path | None) -> int:
    """The peak of memory, in megabytes, of a process that seals what is below the source, or puts it back."""
    code = (
        "import sys; from pathlib import Path; from benchmarks import archive as b; "
        "vault, source, into, key = sys.argv[1:]; b.KEY = b.RawKey(bytes.fromhex(key)); "
        "b.put_back(Path(vault), Path(into)) if into else b.seal(Path(vault), Path(source), named=True); "
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0])"
    )
    words = [sys.executable, "-c", code, vault, source, into or "", KEY.secret.hex()]
    return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout) * 1024 // MEGABYTE


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--megabytes", type=int, default=1000)
    arguments.add_argument("--where", help="a directory for the files; else that of temporary ones")
    given = arguments.parse_args()
    archiver.QUIET = -1  # what was written just now may be removed
    if not any(WHERE.glob("*.jsonl.zst")):
        sys.exit(f"no conversations in {WHERE}: set VAULTSESSION_TEST_CONVERSATIONS")
    identity = pyrage.x25519.Identity.generate()
    with tempfile.TemporaryDirectory(dir=given.where) as name:
        place = Path(name)
        home, vault = place / "home", place / "vault"
        files, size = fill(home, given.megabytes * MEGABYTE)
        os.sync()
        rows: list[tuple[str, float, float, str]] = []
        aged = place / "home.age"
        rows.append(
            (
                "tar, zstd -3, age",
                *timed(lambda: pack(aged, home, identity.to_public())),
                f"{aged.stat().st_size / size:.3f}",
            )
        )
        rows.append(("archive", *timed(lambda: seal(vault, home)), f"{size_of(vault / 'sessions') / size:.3f}"))
        rows.append(("archive again, nothing new", *timed(lambda: seal(vault, home)), ""))
        rows.append(("untar", *timed(lambda: unpack(aged, place / "untarred", identity)), ""))
        shutil.rmtree(place / "untarred")
        rows.append(("restore", *timed(lambda: put_back(vault, place / "restored")), ""))
        shutil.rmtree(place / "restored")
        trained = place / "trained"
        if train(trained, home, place / "tenth"):
            rows.append(
                ("archive, trained", *timed(lambda: seal(trained, home)), f"{size_of(trained / 'sessions') / size:.3f}")
            )
        shutil.rmtree(vault)
        rows.append(("archive, removed", *timed(lambda: seal(vault, home, remove=True)), ""))
        left = sum(1 for path in home.rglob("*") if path.is_file())
        large, back = place / "large", place / "back"
        one = large / "large.jsonl"
        one.parent.mkdir()
        with one.open("wb") as stream:
            for _, data in transcripts():
                stream.write(data)
        os.utime(one, (OLD, OLD))
        peaks = [peak(place / "second", large, None), peak(place / "second", large, back)]
        same = one.read_bytes() == (back / "large.jsonl").read_bytes()
        print(f"{files} files, {size / MEGABYTE:.0f} MB; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
        for what, wall, cpu, share in rows:
            print(f"{what:28} {wall:7.1f} s  {cpu:6.1f} s of processor  {share}")
        print(f"files left after removal: {left}")
        print(
            f"one file of {one.stat().st_size / MEGABYTE:.0f} MB: peak {peaks[0]} MB sealing, {peaks[1]} MB restoring"
        )
        print(f"it came back equal: {same}")


if __name__ == "__main__":
    main()
