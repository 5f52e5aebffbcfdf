"""Tests of adapters: each file asks for its framework with ``require`` and is skipped where it is missing.

Warnings of frameworks are no errors here; one that an adapter raises itself is, but for that of a version that is new.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker(pytest.mark.filterwarnings("error:::vaultsession"))
            item.add_marker(
                pytest.mark.filterwarnings("default::vaultsession.integrations.adapter.UntriedVersionWarning")
            )
