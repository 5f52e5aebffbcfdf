"""Run: ``python -m benchmarks.migrate [--sessions N] [--directory DIR] [--json FILE] [--profile]``.

Sessions of 2 KB from files to memory, to a second vault of files without a flush per file, and as bare files of the
same bytes, in one run. Everything is authenticated, read back and compared, as the command does.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from collections.abc import Callable

import vaultsession
from vaultsession.admin.migrate import copy, migrate
from vaultsession.admin.migrate.describer import Describer
from vaultsession.backends import MemoryBackend
from vaultsession.engine.reader import Reader
from vaultsession.util.disk import Disk
from vaultsession.vault.location import VaultLocation

from .harness import Report
from .sample import Author

BAR = 5000.0


def fill(path: str, key: vaultsession.RawKey, sessions: int) -> None:
    author = Author()
    with vaultsession.open_store(path, key=key, durability="os") as store:
        for number in range(sessions):
            store.create(f"session-{number:06d}", user_id=f"user-{number % 97}", messages=author.turn(2_000))


def rate(sessions: int, act: Callable[[], object], *, profile: bool) -> float:
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    began = time.perf_counter()
    act()
    took = time.perf_counter() - began
    if profile:
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)
    return sessions / took


def bare(source: str, target: str) -> None:
    os.mkdir(target)
    for name in os.listdir(source):
        with open(os.path.join(source, name), "rb") as file:
            data = file.read()
        place = os.path.join(target, name)
        fd = os.open(place + ".tmp", os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        os.pwrite(fd, data, 0)
        os.close(fd)
        os.replace(place + ".tmp", place)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.migrate", description=__doc__)
    parser.add_argument("--sessions", type=int, default=5_000)
    parser.add_argument("--directory", help="where the vaults are made; on the file system to measure")
    parser.add_argument("--json", help="write the rows there")
    parser.add_argument("--profile", action="store_true", help="where the time goes; slows everything down")
    chosen = parser.parse_args()
    report, key, disk = Report(), vaultsession.RawKey.generate(), Disk()
    with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
        first, second = os.path.join(directory, "first"), os.path.join(directory, "second")
        fill(first, key, chosen.sessions)
        source = VaultLocation.at(first, disk)
        vault = source.vault.unlock([("key", key)])
        reader = Reader(vault.keyring)

        def to_memory() -> None:
            backend = source.backend(reader.describe)
            try:
                copied = copy(backend, MemoryBackend(), Describer(reader.describe))
                if not copied.is_complete or copied.verified != chosen.sessions:
                    raise SystemExit("not everything was copied")
            finally:
                backend.close()

        def to_files() -> None:
            copied = migrate(source, VaultLocation.at(second, disk, durability="os"), vault)
            if not copied.is_complete or copied.verified != chosen.sessions:
                raise SystemExit("not everything was copied")

        def again() -> None:
            migrate(source, VaultLocation.at(second, disk, durability="os"), vault)

        for what, act, bar in (
            ("sessions of 2 KB, files to memory", to_memory, BAR),
            ("sessions of 2 KB, files to files, one flush at the end", to_files, BAR),
            ("the same again, all of it there", again, None),
            (
                "bare copies of the same files, never flushed",
                lambda: bare(os.path.join(first, "sessions"), os.path.join(directory, "bare")),
                None,
            ),
        ):
            report.add(what, rate(chosen.sessions, act, profile=chosen.profile), "/s", bar, at_least=True)
    print(report.closing_line())
    if chosen.json:
        report.save(chosen.json)


if __name__ == "__main__":
    main()
