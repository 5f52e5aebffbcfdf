"""Frameworks that adapters are for: none is needed by the other tests, which skip what stands on one that is missing."""

from __future__ import annotations

import importlib
import os
import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest

EXTRAS = {
    "agents": "openai-agents",
    "cachelib": "cachelib",
    "claude_agent_sdk": "claude-agent",
    "google.adk": "google-adk",
    "key_value": "key-value",
    "langchain_core": "langchain",
    "langgraph": "langgraph",
    "pydantic_ai": "pydantic-ai",
    "starsessions": "starsessions",
    "strands": "strands",
}
"""The extra that installs each framework, by the module that is imported. Anything else is in the extra "frameworks"."""

REQUIRED = "VAULTSESSION_REQUIRE_FRAMEWORKS"
"""Where it is set a framework that is missing fails the tests of its adapter."""


def require(module: str) -> Any:
    """The module. The test, or the file of tests that asks for it, is skipped where it is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what frameworks import is not ours to mend
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if os.environ.get(REQUIRED):
                raise
            extra = EXTRAS.get(module, "frameworks")
            pytest.skip(f"{error}: pip install 'vaultsession[{extra}]'", allow_module_level=True)


def declared() -> dict[str, list[str]]:
    """The extras of the package, as pyproject.toml has them."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return extras
