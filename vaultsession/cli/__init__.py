"""The command line: one file per command, each importing the store only when it runs, so that --help is quick.

``exit_codes`` the table · ``output`` what is written, and how · ``vaults`` the options that all commands share ·
``asking`` questions · ``running`` from errors to sentences and exit codes
"""

from __future__ import annotations

from .main import run

__all__ = ["run"]
