"""How much the tests do that could go on for ever: ``VAULTSESSION_TEST_EFFORT``.

1 is what somebody waits for who wants to land a change. With 4 five hundred processes are killed, and a vault has a
hundred thousand sessions; with 8 each kernel call fails once.
"""

from __future__ import annotations

import os

EFFORT = max(1, int(os.environ.get("VAULTSESSION_TEST_EFFORT", "1")))
