"""What the package shows, and nothing else."""

from __future__ import annotations

import inspect
import re
import tomllib
from pathlib import Path

import pytest

import vaultsession

REPOSITORY = Path(__file__).parents[2]

PUBLIC = [
    "AsyncConversation",
    "AsyncSessionStore",
    "BackendUnavailable",
    "Conflict",
    "Conversation",
    "Damaged",
    "DurabilityUnknown",
    "Imported",
    "InvalidDocument",
    "InvalidSessionId",
    "InvalidSetting",
    "KeyUnavailable",
    "LeaseTimeout",
    "Match",
    "Messages",
    "Page",
    "PartialFailure",
    "Passphrase",
    "RawKey",
    "Reply",
    "RollbackDetected",
    "Session",
    "SessionExists",
    "SessionExpired",
    "SessionInfo",
    "SessionNotFound",
    "SessionStore",
    "Settings",
    "Snapshot",
    "Step",
    "SweepRefused",
    "TooLarge",
    "TrainingRefused",
    "UnknownDictionary",
    "UnknownKey",
    "Unreadable",
    "UnsupportedFormat",
    "VaultError",
    "VaultNotFound",
    "Verified",
    "WrongKey",
    "__version__",
    "open_store",
    "open_store_async",
]


def test_the_public_names_are_these() -> None:
    """Adding one is a decision; removing or renaming one breaks somebody."""
    assert vaultsession.__all__ == PUBLIC


def test_the_public_names_are_sorted() -> None:
    assert vaultsession.__all__ == sorted(vaultsession.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_shown(name: str) -> None:
    assert getattr(vaultsession, name) is not None
    assert name in dir(vaultsession)


@pytest.mark.parametrize("name", [name for name in PUBLIC if not name.startswith("__")])
def test_every_public_name_says_what_it_is(name: str) -> None:
    thing = getattr(vaultsession, name)
    assert (inspect.getdoc(thing) or "").strip()
    members = [
        member
        for member, value in vars(thing).items()
        if inspect.isclass(thing)
        and not member.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not (inspect.getdoc(getattr(thing, member)) or "").strip()
    ]
    assert members == []


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        vaultsession.no_such_name  # noqa: B018 - looking is what raises


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from vaultsession import *", names)
    assert sorted(names.keys() - {"__builtins__"}) == sorted(PUBLIC)


def test_the_version_is_that_of_the_distribution() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert vaultsession.__version__ == project["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", vaultsession.__version__)
