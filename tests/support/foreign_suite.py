"""The tests of a framework itself, run over one of our adapters: in a process of their own, from its source package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Collection, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

ROOT = Path(__file__).parents[2]

_PLUGIN = """
import json, os, pytest

exec(compile(open(os.environ["REAIMED"]).read(), os.environ["REAIMED"], "exec"))
EXPECTED, LEFT_OUT = json.loads(os.environ["EXPECTED"]), json.loads(os.environ["LEFT_OUT"])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    found, left = set(), []
    for item in items:
        names = {item.name, item.name.partition("[")[0]}
        found |= names
        for name in names & EXPECTED.keys():
            item.add_marker(pytest.mark.xfail(reason=EXPECTED[name], strict=True))
        if names.isdisjoint(LEFT_OUT):
            left.append(item)
    assert not (missing := (EXPECTED.keys() | LEFT_OUT.keys()) - found), f"named, and not there: {missing}"
    items[:] = left
"""


def source_of(distribution: str, directory: Path) -> Path:
    """The unpacked source of the version that is installed, downloaded."""
    version = metadata.version(distribution)
    options = ["--quiet", "--no-deps", "--no-binary", distribution, "--dest", str(directory)]
    _pip("download", *options, f"{distribution}=={version}")
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    (unpacked,) = (each for each in directory.iterdir() if each.is_dir())
    return unpacked


def run_suite(
    source: Path,
    paths: Sequence[str],
    *,
    reaimed: Path,
    expected: Mapping[str, str],
    left_out: Mapping[str, str] = MappingProxyType({}),
    needs: Collection[str] = (),
    ini: str = "",
) -> tuple[int, int]:
    """How many tests passed, and how many failed as was expected; all else is an assertion.

    ``reaimed`` is a program that puts the adapter in the place of what the tests are of. ``expected`` has the reason of
    each test that cannot pass, by its name; each must be there and fail. ``left_out`` has those of tests whose outcome
    is a matter of chance. ``needs`` is installed for this run alone.
    """
    extra = source.parent / "needed"
    if needs:
        _pip("install", "--quiet", "--no-deps", "--target", str(extra), *needs)
    plugin = source.parent / "plugin"
    plugin.mkdir(exist_ok=True)
    (plugin / "reaimed_suite.py").write_text(_PLUGIN)
    (source / "suite.ini").write_text(f"[pytest]\n{ini}")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "reaimed_suite", "-c", "suite.ini", *paths],
        cwd=source,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(plugin), str(extra), str(ROOT)]),
            "REAIMED": str(reaimed),
            "EXPECTED": json.dumps(dict(expected)),
            "LEFT_OUT": json.dumps(dict(left_out)),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-10_000:] + ran.stderr[-2_000:]
    counts = {kind: int(count) for count, kind in re.findall(r"(\d+) (passed|xfailed|skipped)", ran.stdout)}
    return counts.get("passed", 0), counts.get("xfailed", 0)


def _pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True, capture_output=True)
