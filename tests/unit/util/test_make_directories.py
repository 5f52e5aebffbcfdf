"""Making a directory with what is missing above it."""

from __future__ import annotations

import os
import stat

import pytest

from vaultsession.util.disk import Disk, make_directories


def test_what_is_missing_is_made_private_and_the_directories_that_name_it_are_told(tmp_path):
    changed = make_directories(Disk(), str(tmp_path / "a" / "b" / "c"))
    assert changed == [str(tmp_path / "a" / "b"), str(tmp_path / "a"), str(tmp_path)]
    if os.name != "nt":
        for made in ("a", "a/b", "a/b/c"):
            assert stat.S_IMODE((tmp_path / made).stat().st_mode) == 0o700


def test_what_is_there_is_left_alone(tmp_path):
    tmp_path.chmod(0o755)
    assert make_directories(Disk(), str(tmp_path)) == []
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_what_another_makes_meanwhile_is_taken(tmp_path):
    class Late(Disk):
        def mkdir(self, path, mode):
            os.mkdir(path, mode)
            raise FileExistsError(path)

    make_directories(Late(), str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("path", ["", "a", os.path.join("a", "b")])
def test_a_path_that_is_not_absolute_ends_in_an_error_and_not_in_a_loop(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        make_directories(Disk(), path)
    assert os.listdir(tmp_path) == []
