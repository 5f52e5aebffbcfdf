"""The columns of a row: one string for one row, and none for what is no row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.format.sealed import Container, IndexRow, Witness

LOCATOR = "0" * 32
ROW = IndexRow(LOCATOR, 5, 3, bytes(16), 7, 9, 100, (b"t" * 16,), b"blob")
NUMBER = st.integers(0, 2**63 - 1)
ROWS = st.builds(
    IndexRow,
    key=st.sampled_from(["", "a~", "t" * 16 + "~", "t" * 32 + "~"]).map(lambda slug: slug + LOCATOR),
    generation=st.integers(0, 3),
    seq=st.integers(0, 3),
    version=st.sampled_from([bytes(16), b"v" * 16]),
    updated=st.integers(0, 3),
    expires=st.none() | st.integers(0, 3),
    size=st.integers(0, 3),
    tags=st.lists(st.sampled_from([b"t" * 16, b"u" * 16]), max_size=3).map(tuple),
    blob=st.just(b""),
    torn=st.just(False),
)


@given(ROWS, ROWS)
def test_different_rows_have_different_columns_whatever_their_slugs(one, other):
    assert (one.columns() == other.columns()) == (one._replace(key=LOCATOR) == other._replace(key=LOCATOR))


def test_of_the_name_of_a_session_only_the_locator_is_a_column():
    assert ROW._replace(key="alice~" + LOCATOR).columns() == ROW.columns()
    assert ROW._replace(key="alice~" + "1" * 32).columns() != ROW.columns()


def test_what_is_only_an_observation_is_no_column():
    assert ROW._replace(torn=True, blob=b"other").columns() == ROW.columns()


@pytest.mark.parametrize(
    "forged",
    [
        {"version": bytes(17)},
        {"version": bytes(15)},
        {"version": b""},
        {"tags": (b"t" * 32,)},
        {"tags": (b"",)},
        {"generation": -1},
        {"generation": 2**64},
        {"seq": "3"},
        {"size": 1.5},
        {"updated": 2**63},
        {"expires": "soon"},
    ],
    ids=repr,
)
def test_columns_that_no_row_has_are_refused(forged):
    with pytest.raises(ValueError, match=r"."):
        ROW._replace(**forged).columns()


def test_witnesses_are_ordered_by_generation_then_seq():
    assert Witness(1, 9, b"z") < Witness(2, 0, b"a") < Witness(2, 1, b"a")
    assert ROW.witness == Witness(5, 3, bytes(16))


def test_the_size_of_a_container_is_that_of_the_file():
    assert Container(bytes(80), 100, bytes(7)).size == 107
