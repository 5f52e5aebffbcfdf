"""What this process has seen of a session is never forgotten for something older."""

from __future__ import annotations

import threading

from vaultsession.backends.rollback_guard import RollbackGuard
from vaultsession.format.sealed import IndexRow, Tombstone, Witness

KEY = "0" * 32


def at(generation: int, seq: int, version: bytes = b"v" * 16) -> Witness:
    return Witness(generation, seq, version)


def test_the_newest_point_is_remembered_in_whatever_order_it_was_seen() -> None:
    seen = RollbackGuard()
    assert seen.sight(KEY).witness is None
    for witness in (at(2, 3), at(2, 5), at(2, 4), at(1, 9)):
        seen._join(KEY, witness, None)
    assert seen.sight(KEY).witness == at(2, 5)
    seen._join(KEY, at(3, 0), None)
    assert seen.sight(KEY).witness == at(3, 0)


def test_of_two_versions_of_one_point_the_first_is_believed() -> None:
    seen = RollbackGuard()
    seen._join(KEY, at(1, 1, b"a" * 16), None)
    seen._join(KEY, at(1, 1, b"b" * 16), None)
    assert seen.sight(KEY).witness == at(1, 1, b"a" * 16)


def test_a_tombstone_is_remembered_beside_the_point() -> None:
    seen, grave = RollbackGuard(), Tombstone(KEY, 7, b"m")
    seen._join(KEY, at(7, 2), None)
    seen.see(KEY, grave)
    seen.see(KEY, Tombstone(KEY, 3, b"older"))
    assert seen.sight(KEY) == (at(7, 2), grave)


def test_a_row_is_seen_unless_it_is_torn() -> None:
    row, seen = IndexRow(KEY, 4, 2, b"v" * 16, 0, None, 100, (), b""), RollbackGuard()
    seen.see(KEY, row._replace(torn=True))
    seen.see(KEY, None)
    assert seen.sight(KEY).witness is None
    seen.see(KEY, row)
    assert seen.sight(KEY).witness == row.witness


def test_the_slug_of_a_key_is_decoration() -> None:
    seen = RollbackGuard()
    seen._join(f"slug~{KEY}", at(1, 1), None)
    assert seen.sight(KEY).witness == at(1, 1)


def test_it_is_bounded_and_what_was_used_last_stays() -> None:
    seen, keys = RollbackGuard(most=3), [f"{number:032}" for number in range(4)]
    for key in keys[:3]:
        seen._join(key, at(1, 0), None)
    seen._join(keys[0], at(1, 1), None)
    seen._join(keys[3], at(1, 0), None)
    assert [seen.sight(key).witness is not None for key in keys] == [True, False, True, True]


def test_several_threads_leave_the_newest() -> None:
    seen = RollbackGuard()

    def note(first: int) -> None:
        for seq in range(first, 1000, 4):
            seen._join(KEY, at(1, seq), None)

    threads = [threading.Thread(target=note, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.sight(KEY).witness == at(1, 999)
