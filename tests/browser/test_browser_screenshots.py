"""The pictures of vaultsession/web/README.md. ``VAULTSESSION_DRAW=1`` draws them anew; else they are only there."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from sample_vault import GARDEN, TRIP

SCREENSHOTS = Path(__file__).parents[2] / "vaultsession" / "web" / "screenshots"
PICTURES = {
    "conversation": ("light", 1280, "/session", {"id": TRIP}),
    "sessions": ("dark", 1280, "/", {}),
    "container": ("light", 1280, "/container", {"id": GARDEN}),
}
LARGEST = 80_000


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_as_it_was_drawn(sample, browser, name):
    theme, width, path, fields = PICTURES[name]
    browser.theme(theme)
    browser.open().resize(width, 860)
    browser.go(path, **fields)
    browser.js("document.querySelectorAll('#m2 details').forEach((each, number) => { each.open = number < 2 })")
    browser.until(lambda: browser.js("return document.readyState") == "complete")
    taken = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 80})
    picture = base64.b64decode(taken["data"])
    if os.environ.get("VAULTSESSION_DRAW"):
        (SCREENSHOTS / f"{name}.webp").write_bytes(picture)
    assert len(picture) < LARGEST
    assert (SCREENSHOTS / f"{name}.webp").stat().st_size < LARGEST
