"""Listings through more than one page: of a period, and in any order, without holding more than is given."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from vaultsession import open_store
from vaultsession.store.pages import PagedListing, Period, Sort

NOW = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def store():
    with open_store("memory://") as made:
        for number in range(30):
            moment = NOW - timedelta(days=number * 7 % 30)
            said = [{"n": number}] * (number % 4)
            made.create(title=None if number % 5 == 0 else f"t{number % 3}", messages=said, updated_at=moment)
        yield made


@pytest.mark.parametrize(("sort", "reverse"), list(product(Sort, (False, True))))
def test_the_first_of_an_order_are_those_of_the_whole_order(store, sort, reverse):
    listing = PagedListing(store)
    whole = list(listing.chosen(Period(), sort, None, reverse=reverse))
    assert (len(whole), listing.cut) == (30, False)
    for limit in (1, 7, 29, 30, 31):
        assert list(listing.chosen(Period(), sort, limit, reverse=reverse)) == whole[:limit]
        assert listing.cut is (limit < 30)


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_period_has_its_first_moment_and_not_its_last(store, oldest_first, monkeypatch):
    monkeypatch.setattr("vaultsession.store.pages._PAGE", 4)
    period = Period(NOW - timedelta(days=12), NOW - timedelta(days=3))
    listing = PagedListing(store, oldest_first=oldest_first)
    found = [(NOW - info.updated_at).days for info in listing.chosen(period, Sort.updated, None, reverse=False)]
    assert found == sorted(range(4, 13), reverse=oldest_first)
    assert listing.count(period) == 9
    assert listing.count(Period()) == 30
