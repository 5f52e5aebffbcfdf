"""The page over a vault in memory, and who asks it."""

from __future__ import annotations

import pytest

pytest.importorskip("starlette", reason="the page is not installed: pip install '.[web]'")
pytest.importorskip("nh3", reason="the page is not installed: pip install '.[web]'")

from page_client import PORT, PageClient

from vaultsession import open_store
from vaultsession.web.access import Access
from vaultsession.web.app import create_app


@pytest.fixture
def store():
    with open_store("memory://") as made:
        yield made


@pytest.fixture
def access():
    return Access(PORT)


@pytest.fixture
def page(store, access):
    client = PageClient(create_app(store, access))
    client.open(access.token)
    return client


@pytest.fixture
def writer(store, access):
    client = PageClient(create_app(store, access, writable=True))
    client.open(access.token)
    return client
