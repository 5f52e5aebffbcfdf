"""The agent that ``--agent module:callable`` names."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any

from ...errors import InvalidSetting

NamedAgent = Callable[[list[dict[str, Any]]], Any]


def agent_named(name: str) -> NamedAgent:
    """The callable, imported from the working directory or from what is installed. ``InvalidSetting``: it says why."""
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise InvalidSetting(f"--agent takes MODULE:CALLABLE, as in my_agents:answer, not {name!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
    except Exception as error:  # whatever a module does when it is imported
        raise InvalidSetting(f"--agent: {module_name} cannot be imported ({type(error).__name__}: {error})") from error
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise InvalidSetting(f"--agent: {module_name} has no {path}") from None
    if not callable(found):
        raise InvalidSetting(f"--agent: {name} is not callable, and an agent is")
    agent: NamedAgent = found
    return agent


def is_asynchronous(agent: NamedAgent) -> bool:
    """Whether its answer has to be awaited."""
    called = agent if inspect.isroutine(agent) else type(agent).__call__
    return inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called)
