"""How much the tests do that could go on for ever: ``VAULTSESSION_TEST_EFFORT``.

1 is what somebody waits for who wants to land a change. With 4 hundreds of processes are killed, and each state that a
power cut leaves is looked at; with 8 each kernel call fails once, and a vault has a hundred thousand sessions.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Case = TypeVar("Case")

EFFORT = max(1, int(os.environ.get("VAULTSESSION_TEST_EFFORT", "1")))


def some(cases: Iterable[Case], every: int) -> Iterator[Case]:
    """With an effort of 1 every so many of the cases; with ``every`` times as much effort all.

    Where it begins differs from run to run, as the seed of pytest-randomly does: so many runs look at all of them.
    """
    stride = max(1, every // EFFORT)
    return islice(cases, random.randrange(stride), None, stride)
