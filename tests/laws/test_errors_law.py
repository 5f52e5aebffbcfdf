"""Every error pickles, is shown, stands in the tree that its module draws, and has an exit code."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import pickle

import pytest

import vaultsession
from vaultsession import errors

ALL = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.VaultError)]

WITH_FACTS: list[errors.VaultError] = [
    errors.InvalidDocument("messages[0].x: JSON has no nan", path="messages[0].x"),
    errors.UnsupportedFormat("version 9", found=9, supported=[1]),
    errors.KeyUnavailable("nothing", tried=("variable X: not set",)),
    errors.WrongKey("no slot", tried=("the key argument",)),
    errors.PartialFailure("1 of 2", done=["b"]),
]


def test_there_are_errors() -> None:
    assert len(ALL) == 24


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_pickles_and_copies(error: type[errors.VaultError]) -> None:
    made = error("what happened")
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert type(again) is error
        assert str(again) == "what happened"
        assert again.args == made.args


@pytest.mark.parametrize("made", WITH_FACTS, ids=lambda made: type(made).__name__)
def test_facts_survive_a_pickle(made: errors.VaultError) -> None:
    again = pickle.loads(pickle.dumps(made))
    assert vars(again) == vars(made) != {}
    assert str(again) == str(made)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_is_shown_and_described(error: type[errors.VaultError]) -> None:
    assert getattr(vaultsession, error.__name__) is error
    assert error.__name__ in vaultsession.__all__
    assert vars(error).get("__doc__")


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        words = line.strip(" │├└─").split()
        if not words or words[0] not in {error.__name__ for error in ALL}:
            continue
        indent = line.index(words[0])
        above = [(column, name) for column, name in above if column < indent]
        drawn[words[0]] = above[-1][1] if above else "Exception"
        above.append((indent, words[0]))
    assert drawn == {error.__name__: error.__bases__[0].__name__ for error in ALL}


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.__name__)
def test_every_error_has_an_exit_code(error: type[errors.VaultError]) -> None:
    if importlib.util.find_spec("vaultsession.cli") is None or not importlib.util.find_spec(
        "vaultsession.cli.exit_codes"
    ):
        pytest.skip("the command line is not part of this checkout")
    exit_codes = importlib.import_module("vaultsession.cli.exit_codes")
    code = exit_codes.exit_code(error("what happened"))
    assert type(code) is int
    assert 0 < code < 126
