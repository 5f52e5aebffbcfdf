"""An inspection: the container of one session, record by record, as far as it is authentic."""

from __future__ import annotations

import pytest

from vaultsession import SessionNotFound
from vaultsession.format.record import HEADER_SIZE
from vaultsession.store.inspection import inspected, key_of


@pytest.fixture
def store(open_files):
    made = open_files()
    made.create("a", messages=[{"role": "user", "content": "x" * 3000}])
    for number in range(5):
        made.append("a", {"role": "user", "content": str(number)})
    return made


def test_records_stand_one_behind_the_other(store):
    found = inspected(store, "a")
    assert (found.problem, found.behind, found.key) == (None, 0, key_of(store, "a"))
    assert found.head.messages == 6
    end = HEADER_SIZE
    for number, each in enumerate(found.records):
        assert (each.seq, each.offset) == (number, end)
        assert each.head + each.body < each.size
        end += each.size
    assert end == found.size


def test_one_that_is_not_there(store):
    with pytest.raises(SessionNotFound):
        inspected(store, "b")


def test_what_is_not_authentic_ends_it_and_is_said(store, tmp_path):
    whole = inspected(store, "a")
    (path,) = (tmp_path / "vault").glob("sessions/a~*.vss")
    data = bytearray(path.read_bytes())
    third = whole.records[2]
    data[third.offset + third.size // 2] ^= 1
    path.write_bytes(data)
    found = inspected(store, "a")
    assert found.records == whole.records[:2]
    assert found.problem
    assert found.behind == sum(each.size for each in whole.records[2:])
