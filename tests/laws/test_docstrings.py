"""The examples in docstrings run, and every public class has one."""

from __future__ import annotations

import doctest
import inspect
import pydoc
import re
from pathlib import Path
from typing import get_type_hints

import pytest

import vaultsession
from vaultsession import RawKey, SessionStore, Settings, VaultError, open_store
from vaultsession.store.fields import CONVERSATION_DEFAULTS, ConversationOptions, ImportedFields
from vaultsession.store.settings import SettingFields

THINGS = {
    name: thing
    for name in vaultsession.__all__
    if callable(thing := getattr(vaultsession, name))
    and not (inspect.isclass(thing) and issubclass(thing, VaultError) and thing is not VaultError)
}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VAULTSESSION_KEY", RawKey.generate().text())


def run(thing: object, name: str) -> int:
    """How many examples there are; the first that fails raises."""
    found = doctest.DocTestFinder(recurse=False).find(thing, name, globs={**vars(vaultsession), **THINGS})
    runner = doctest.DebugRunner()
    for example in found:
        runner.run(example)
    return sum(len(example.examples) for example in found)


def test_the_package_begins_with_ten_lines_that_work_and_can_be_run_again() -> None:
    for _ in range(2):
        assert 3 <= run(vaultsession, "vaultsession") <= 10
    lines = (vaultsession.__doc__ or "").splitlines()
    assert lines[2].startswith(">>>")
    assert sum(line.startswith((">>>", "...")) for line in lines) <= 10


@pytest.mark.parametrize("name", sorted(THINGS))
def test_every_public_class_and_function_has_an_example_that_runs(name: str) -> None:
    assert run(THINGS[name], name) > 0


def test_an_example_that_fails_is_seen() -> None:
    def wrong() -> None:
        """>>> 1 + 1
        3
        """

    with pytest.raises(doctest.DocTestFailure):
        run(wrong, "wrong")


def test_the_help_of_the_package_shows_what_it_has() -> None:
    text = pydoc.render_doc(vaultsession, renderer=pydoc.plaintext)
    for name in THINGS:
        assert name in text


def test_the_help_of_open_store_shows_every_setting_with_its_default() -> None:
    text = pydoc.render_doc(open_store, renderer=pydoc.plaintext)
    for name in Settings.__dataclass_fields__:
        assert re.search(rf"{name}: [^=]+ = {re.escape(repr(getattr(Settings(), name)))}", text), name


@pytest.mark.parametrize("verb", ["create", "save"])
def test_the_help_of_a_verb_shows_every_field(verb: str) -> None:
    text = pydoc.render_doc(getattr(SessionStore, verb), renderer=pydoc.plaintext)
    for name in ImportedFields.__annotations__:
        assert f"{name}: " in text


def test_the_keywords_of_open_store_are_the_settings() -> None:
    assert get_type_hints(SettingFields) == get_type_hints(Settings)


def test_every_option_of_a_conversation_has_its_default() -> None:
    assert CONVERSATION_DEFAULTS.keys() == ConversationOptions.__annotations__.keys()


def test_a_signature_hides_no_fields() -> None:
    for name, member in inspect.getmembers(SessionStore, inspect.isfunction):
        kinds = [parameter.kind for parameter in inspect.signature(member).parameters.values()]
        assert name.startswith("_") or inspect.Parameter.VAR_KEYWORD not in kinds
