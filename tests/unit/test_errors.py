"""What a caller catches: branches follow what is done next."""

from __future__ import annotations

import pickle

import pytest

from vaultsession import errors


@pytest.mark.parametrize(
    ("raised", "caught"),
    [
        (errors.InvalidSessionId, ValueError),
        (errors.InvalidDocument, ValueError),
        (errors.InvalidSetting, ValueError),
        (errors.SessionNotFound, LookupError),
        (errors.SessionExpired, errors.SessionNotFound),
        (errors.LeaseTimeout, TimeoutError),
        (errors.RollbackDetected, errors.Damaged),
        (errors.Damaged, errors.Unreadable),
        (errors.UnknownKey, errors.Unreadable),
        (errors.UnsupportedFormat, errors.Unreadable),
        (errors.WrongKey, errors.KeyUnavailable),
    ],
)
def test_an_error_is_caught_as_what_it_is_a_case_of(raised, caught):
    with pytest.raises(caught):
        raise raised("so it is")


@pytest.mark.parametrize("apart", [errors.TooLarge, errors.Conflict, errors.SessionNotFound, errors.KeyUnavailable])
def test_what_can_be_repeated_or_is_absent_is_never_taken_for_damage(apart):
    assert not issubclass(apart, errors.Unreadable)
    assert issubclass(apart, errors.VaultError)


def test_a_cause_and_facts_are_carried_where_a_process_passes_an_error_on():
    error = errors.InvalidDocument("messages[3].score: JSON has no nan", path="messages[3].score")
    again = pickle.loads(pickle.dumps([error, error]))
    assert again[0].path == error.path
    assert again[0].args == ("messages[3].score: JSON has no nan",)
    assert errors.InvalidDocument("x").path == ""
    assert errors.KeyUnavailable("x").tried == ()
    assert (errors.UnsupportedFormat("x").found, errors.UnsupportedFormat("x").supported) == (None, None)


def test_a_kept_error_keeps_no_frames() -> None:
    def fails() -> None:
        try:
            int("below")
        except ValueError as error:
            raise errors.BackendUnavailable("above") from error

    with pytest.raises(errors.BackendUnavailable) as raised:
        fails()
    kept = errors.without_frames(raised.value)
    assert kept.__traceback__ is None
    assert kept.__cause__ is not None
    assert kept.__cause__.__traceback__ is None
