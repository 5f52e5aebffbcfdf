"""How much the tests do that could go on for ever: ``VAULTSESSION_TEST_EFFORT``.

1 is what somebody waits for who wants to land a change; with 4 each kernel call fails once, and five hundred processes
are killed.
"""

from __future__ import annotations

import os

EFFORT = max(1, int(os.environ.get("VAULTSESSION_TEST_EFFORT", "1")))
