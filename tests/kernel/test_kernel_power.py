"""The power is cut under real file systems: whatever was acknowledged before is there when they are mounted again."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from effort import EFFORT
from kernel_lab import (
    DEFAULT,
    LOG_FLUSH,
    NO_LOG_FLUSH,
    Image,
    Ledger,
    Writer,
    errors_in,
    made,
    needs_mounts,
    opened,
)

from vaultsession import Unreadable

pytestmark = [pytest.mark.slow, needs_mounts]

FILE_SYSTEMS = {
    "ext4": ("ext4",),
    "ext4 without allocation before rename": ("ext4", "noauto_da_alloc"),
    "ext4 in writeback mode": ("ext4", "data=writeback"),
    "xfs": ("xfs",),
}
WRITERS = 3


def cut_while_writing(image: Image, ledger: Ledger, era: str, flags: int, lines: int, **settings: str) -> None:
    """Let processes write, and cut the power. Only what was said before the cut began counts as acknowledged.

    A flush that overlaps the cut may return success without being one: that is the system's to answer for.
    """
    vault = image.place / "vault"
    with image.mounted():
        if not vault.exists():
            made(vault)
        after = Ledger()
        writers = [Writer(vault, f"{era}.{number}", era, ledger, **settings) for number in range(WRITERS)]
        try:
            for writer in writers:
                writer.reach(lines)
            time.sleep(random.Random(era).uniform(0, 0.05))  # not a bound: it only varies where the cut strikes
            for writer in writers:
                writer.hear()
                writer.ledger = after
            image.cut(flags)
        finally:
            ends = [writer.end() for writer in writers]
        # SQLite maps its shared memory: where the medium is gone, a look at it is a SIGBUS.
        assert [end for end in ends if end[0] not in (0, -signal.SIGBUS) or "Traceback" in end[1]] == []
        assert after.refusals <= {"BackendUnavailable", "DurabilityUnknown"}
        ledger.present -= after.deleting  # whether that came to pass is unknown


def survives(image: Image, flags: int, cuts: int) -> None:
    ledger = Ledger()
    for cut in range(cuts):
        cut_while_writing(image, ledger, str(cut), flags, lines=20)
        with image.mounted() as place:
            with opened(place / "vault") as store:
                assert ledger.lost(store) == []
                store.append("afterwards", {"n": cut}, create=True)
            assert errors_in(place / "vault") == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("flags", [DEFAULT, LOG_FLUSH, NO_LOG_FLUSH], ids=["all written", "journal", "nothing"])
@pytest.mark.parametrize("file_system", FILE_SYSTEMS)
def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, file_system: str, flags: int) -> None:
    survives(Image(tmp_path, *FILE_SYSTEMS[file_system]), flags, 4 * EFFORT)


@pytest.mark.parametrize(
    "file_system", [FILE_SYSTEMS["ext4"], pytest.param(FILE_SYSTEMS["xfs"], marks=pytest.mark.slow)]
)
def test_a_store_that_does_not_flush_is_caught(tmp_path: Path, file_system: tuple[str, ...]) -> None:
    """A test of the test: with durability="os" nothing is promised of a power cut, and it shows."""
    image, ledger = Image(tmp_path, *file_system), Ledger()
    with image.mounted() as place:
        made(place / "vault")
    cut_while_writing(image, ledger, "0", NO_LOG_FLUSH, lines=20, durability="os")
    with image.mounted() as place, opened(place / "vault") as store:
        try:
            lost = ledger.lost(store)
        except Unreadable:  # a container that was put in place and never written out
            lost = ["damaged"]
        assert lost != []
