"""What a path names, without asking when it was changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vaultsession.util import statx


def test_it_says_what_lstat_says(tmp_path: Path) -> None:
    file, link, pair = tmp_path / "file", tmp_path / "link", tmp_path / "päir \udcff"
    file.write_bytes(b"12345")
    file.chmod(0o640)
    link.symlink_to(file)
    os.link(file, pair)
    for path in (file, link, pair, tmp_path, Path("/dev/null"), Path("/proc/self/status")):
        seen, status = statx.look(str(path)), os.lstat(path)
        for name in statx.Stat._fields:
            assert getattr(seen, name) == getattr(status, name), (path, name)


@pytest.mark.parametrize(
    ("name", "error"), [("none", FileNotFoundError), ("file/below", NotADirectoryError), ("x" * 300, OSError)]
)
def test_its_errors_are_those_of_lstat(tmp_path: Path, name: str, error: type[OSError]) -> None:
    (tmp_path / "file").touch()
    path = str(tmp_path / name)
    with pytest.raises(error) as told:
        statx.look(path)
    with pytest.raises(error) as expected:
        os.lstat(path)
    assert (told.value.errno, told.value.filename) == (expected.value.errno, path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the call")
@pytest.mark.parametrize(
    ("release", "kind"),
    [
        ("6.13.0", statx.Stat),
        ("7.0", statx.Stat),
        ("6.13-rc1", statx.Stat),
        ("next", statx.Stat),
        ("6.12.94-generic", os.stat_result),
        ("5.14.0-503.el9", os.stat_result),
    ],
)
def test_it_is_the_call_where_lstat_would_cost_the_next_flush(
    monkeypatch: pytest.MonkeyPatch, release: str, kind: type
) -> None:
    statx._looking.cache_clear()
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(release=release))
    try:
        assert isinstance(statx.look("/"), kind)
    finally:
        statx._looking.cache_clear()


def test_elsewhere_it_is_lstat(monkeypatch: pytest.MonkeyPatch) -> None:
    statx._looking.cache_clear()
    monkeypatch.setattr(sys, "platform", "win32")
    try:
        assert isinstance(statx.look(os.sep), os.stat_result)
    finally:
        statx._looking.cache_clear()
