"""Moments are exact, durations are positive, and nothing else is understood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaultsession.errors import InvalidSetting
from vaultsession.util.clock import SystemClock, to_datetime, to_duration, to_micros

SECOND = 1_000_000


@given(st.integers(-(10**15), 250 * 10**15))
def test_a_moment_survives_the_way_to_a_datetime_and_back(moment):
    shown = to_datetime(moment)
    assert shown.tzinfo is UTC
    assert to_micros(shown) == moment


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])))
def test_a_datetime_of_any_zone_names_its_moment(moment):
    assert to_datetime(to_micros(moment)) == moment


def test_a_naive_datetime_names_no_moment():
    with pytest.raises(ValueError, match="time zone"):
        to_micros(datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize(
    ("given_duration", "micros"),
    [
        (1, SECOND),
        (0.5, SECOND // 2),
        ("90s", 90 * SECOND),
        ("90", 90 * SECOND),
        ("250ms", SECOND // 4),
        (" 30 M ", 1800 * SECOND),
        ("24h", 86400 * SECOND),
        ("1.5d", 129_600 * SECOND),
        ("2w", 14 * 86400 * SECOND),
        (timedelta(days=7), 7 * 86400 * SECOND),
        (timedelta(microseconds=1), 1),
    ],
    ids=repr,
)
def test_a_duration_has_many_spellings(given_duration, micros):
    assert to_duration(given_duration) == micros


@pytest.mark.parametrize(
    "refused",
    [
        0,
        -1,
        1e-9,
        float("nan"),
        float("inf"),
        10**400,
        "0s",
        "0.0001ms",
        "-5m",
        "5 y",
        "",
        "h",
        "1e3",
        "9" * 400,
        timedelta(0),
        timedelta(days=-1),
        timedelta(days=400_000),
        True,
        None,
        b"5m",
        [5],
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_positive_duration_is_refused(refused):
    with pytest.raises(InvalidSetting, match="is no duration"):
        to_duration(refused)


def test_the_system_clock_tells_microseconds():
    clock = SystemClock()
    first = clock.now()
    assert clock.now() >= first > to_micros(datetime(2020, 1, 1, tzinfo=UTC))
    assert first < to_micros(datetime(2200, 1, 1, tzinfo=UTC))
