"""Search: plain text per second of one core, by session size and by what is looked for.

Run: ``python -m benchmarks.search [--megabytes 64] [--directory DIR]``. The bar is 200 MB of plain text a second for a
text that is rarely there, in sessions of at least 200 KB; below, the opening of each session is what takes the time.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time

import vaultsession
from vaultsession.vault.secret import RawKey

from .harness import Report
from .sample import Author

KEY = bytes(range(32))
SIZES = {"2 KB": 2_000, "20 KB": 20_000, "200 KB": 200_000, "2 MB": 2_000_000}
NEEDLES = {
    "a text, absent": ("Marrakesh", False),
    "ignoring case, absent": ("marrakesh", True),
    "a pattern, absent": (re.compile(r"Marrakesh \d+"), False),
    "a text, once in each session": ("needle-in-it", False),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--megabytes", type=float, default=64, help="of plain text, for each session size")
    parser.add_argument("--directory", help="where the vaults are made; on the file system to measure")
    chosen = parser.parse_args()
    report, author = Report(), Author()
    for size, wanted in SIZES.items():
        with tempfile.TemporaryDirectory(dir=chosen.directory, prefix="vaultsession-bench-") as directory:
            with vaultsession.open_store(directory + "/v", key=RawKey(KEY), durability="os") as store:
                plain = fill(store, author, wanted, chosen.megabytes * 1e6 * min(1.0, wanted / 20_000))
            for what, (needle, ignore_case) in NEEDLES.items():
                with vaultsession.open_store(directory + "/v", key=RawKey(KEY), durability="os") as store:
                    began, cpu = time.perf_counter(), time.process_time()
                    found = sum(1 for _ in store.search(needle, ignore_case=ignore_case))
                    took, busy = time.perf_counter() - began, time.process_time() - cpu
                rare = what == "a text, absent" and wanted >= 200_000
                report.add(
                    f"search, sessions of {size}, {what}",
                    plain / busy / 1e6,
                    "MB/s",
                    200 if rare else None,
                    at_least=True,
                    detail=f"of a core's time; {plain / 1e6:.0f} MB in {took:.2f} s, {found} found",
                )
    print(report.closing_line())


def fill(store: vaultsession.SessionStore, author: Author, size: int, total: float) -> int:
    """Sessions of a size until there is enough text; bytes of text. Histories repeat, ids and needles do not."""
    histories = [author.history(size) for _ in range(4)]
    plain = number = 0
    while plain < total:
        history = [*histories[number % 4], {"role": "user", "content": f"needle-in-it {number}"}]
        store.create(f"s{number}", messages=history)
        plain += sum(len(message["content"]) for message in history)
        number += 1
    return plain


if __name__ == "__main__":
    main()
