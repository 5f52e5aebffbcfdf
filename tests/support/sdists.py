"""Test suites of frameworks, re-aimed at an adapter: taken from their source distribution and run beside it.

Names in their files are replaced, which is all that makes their store ours. What fails is compared with a strict list:
a test on it that passes is an error too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from vaultsession import RawKey

REPOSITORY = Path(__file__).parents[2]


class Outcome(NamedTuple):
    """Names of tests, without their files."""

    passed: set[str]
    failed: set[str]
    skipped: set[str]
    text: str


def unpacked(distribution: str, directory: Path) -> Path:
    """The source of the version that is installed. Skips where no index is reached, unless the environment is CI's."""
    name = f"{distribution}=={metadata.version(distribution)}"
    # Without isolation: what builds it is in the extra "frameworks", and nothing is built but a name and a version.
    options = ["-q", "--no-deps", "--no-build-isolation", "--no-binary", ":all:", "-d", str(directory)]
    ran = subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, name], check=False, capture_output=True, text=True
    )
    if ran.returncode:
        if os.environ.get("VAULTSESSION_REQUIRE_FRAMEWORKS"):
            pytest.fail(ran.stderr)
        pytest.skip(f"no source of {name}: {ran.stderr.splitlines()[-1] if ran.stderr else 'pip failed'}")
    (archive,) = directory.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(directory, filter="data")
    (source,) = (each for each in directory.iterdir() if each.is_dir())
    return source


def replace(path: Path, replacements: Mapping[str, str]) -> None:
    """Each text of a file that is replaced; one that is not there is an error: their tests have changed."""
    text = path.read_text(encoding="utf-8")
    for old, new in replacements.items():
        if old not in text:
            raise AssertionError(f"{path.name} has no {old!r}")
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def run(source: Path, paths: Sequence[str], *options: str) -> Outcome:
    """Run tests below ``source`` with an ini of their own, on vaults that flush nothing."""
    ini = source / "reaimed.ini"
    ini.write_text("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n", encoding="utf-8")
    report = source / "report.xml"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "VAULTSESSION"))},
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(source)]),
        "VAULTSESSION_KEY": RawKey.generate().text(),
        "VAULTSESSION_DURABILITY": "os",
        "VAULTSESSION_CONFIG": "",
    }
    arguments = ["-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-c", str(ini), "--rootdir", str(source)]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, f"--junit-xml={report}", *options, *paths],
        check=False,
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
    )
    if not report.exists():
        raise AssertionError(ran.stdout + ran.stderr)
    found: dict[str, set[str]] = {"passed": set(), "failed": set(), "skipped": set()}
    for case in ET.parse(report).iter("testcase"):
        name = case.get("name") or ""
        kinds = {child.tag for child in case}
        found["failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"].add(name)
    return Outcome(found["passed"] - found["failed"], found["failed"], found["skipped"], ran.stdout)
