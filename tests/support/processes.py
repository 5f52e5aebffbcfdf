"""Processes that share nothing with the one that starts them, without the imports that each would begin with."""

from __future__ import annotations

import multiprocessing

FRESH = multiprocessing.get_context("forkserver")
FRESH.set_forkserver_preload(
    ["pytest", "vaultsession.store.open", "vaultsession.backends.files", "vaultsession.testing"]
)
