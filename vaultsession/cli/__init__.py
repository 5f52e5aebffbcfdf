"""The command line: one file per command, imported when it is named, so that the help of all is quick."""

from __future__ import annotations

from .main import run

__all__ = ["run"]
