"""Every target over its corpus and thousands of mutations that are the same in every run, in bounded time and memory.

Guided by coverage they run by hand: ``python tests/fuzz/fuzz_container.py -max_total_time=300``. What that finds is put
into the corpus, under a name that says what it is.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from effort import EFFORT
from fuzz_lab import mutations
from fuzz_targets import CORPUS, TARGETS

LAB = Path(__file__).with_name("fuzz_lab.py")
COUNT = 1000
CPU_SECONDS = 120
ADDRESSES = 2 << 30
"""Bytes of address space, most of it what an interpreter with its libraries maps and never touches."""


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(target: str, count: int, lab: Path = LAB) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", str(lab), target, str(count)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=bounded,
    )


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_bytes_are_a_typed_error_in_bounded_time_and_memory(target: str) -> None:
    done = run(target, COUNT)
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) >= COUNT


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_many_more_hostile_bytes_are_a_typed_error(target: str) -> None:
    done = run(target, 15 * EFFORT * COUNT)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_is_small(target: str) -> None:
    files = list((CORPUS / target).iterdir())
    assert 3 < len(files) < 60
    assert max(path.stat().st_size for path in files) < 4096


# -- tests of the tests ------------------------------------------------------------------------------------------------

PLANTED = {
    "an error that is no VaultError": "if data[:4] != b'VSF1': raise ValueError('a planted bug')",
    "memory without bound": "bytearray(3 << 30)",
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str) -> None:
    (tmp_path / "fuzz_targets.py").write_text(
        f"from pathlib import Path\n\ndef parse(data):\n    {PLANTED[bug]}\n"
        f"CORPUS = Path({str(CORPUS)!r})\nTARGETS = {{'container': parse}}\n"
    )
    lab = tmp_path / "fuzz_lab.py"
    lab.write_text(LAB.read_text())
    done = run("container", 100, lab)
    assert done.returncode != 0
    assert "found by container" in done.stderr


def test_mutations_are_the_same_in_every_run() -> None:
    seeds = [b"a" * 50, b"b" * 80]
    first, again = (list(mutations(seeds, 200, random.Random(1))) for _ in range(2))
    assert first == again
    assert len(set(first)) > 150
