"""What a path names, without asking when it was changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

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
def test_there_is_the_call_here() -> None:
    assert isinstance(statx.look("/"), statx.Stat)


def test_elsewhere_it_is_lstat(monkeypatch: pytest.MonkeyPatch) -> None:
    statx._looking.cache_clear()
    monkeypatch.setattr(sys, "platform", "win32")
    try:
        assert isinstance(statx.look(os.sep), os.stat_result)
    finally:
        statx._looking.cache_clear()
