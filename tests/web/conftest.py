"""The page over a vault in memory, and who asks it."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the page is not installed: pip install '.[web]'")
pytest.importorskip("nh3", reason="the page is not installed: pip install '.[web]'")

from page_client import page_of

from vaultsession import open_store


@pytest.fixture
def store():
    with open_store("memory://") as made:
        yield made


@pytest.fixture
def page(store):
    return page_of(store)


@pytest.fixture
def writer(store):
    return page_of(store, writable=True)
