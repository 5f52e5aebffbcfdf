"""A browser, in the words of its tests."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

ActionChains: Any = None
with contextlib.suppress(ImportError):
    from selenium.webdriver.common.action_chains import ActionChains

PATIENCE = 60.0


class Served(NamedTuple):
    """A running server."""

    address: str
    process: subprocess.Popen[str]

    @property
    def home(self) -> str:
        return self.address.partition("/open")[0]


class Browser:
    """One window. Every question waits until it is true, or fails."""

    def __init__(self, driver: Any, serve: Callable[..., Served]) -> None:
        self.driver = driver
        self._serve = serve
        self.served: Served | None = None
        self.expected: tuple[str, ...] = ()

    def open(self, *options: str) -> Browser:
        """Start a server and go to its opening address, which leads to the sessions."""
        self.served = self._serve(*options)
        self.driver.get(self.served.address)
        self.until(lambda: self.driver.current_url == f"{self.served.home}/")
        self.until(lambda: self.js("return document.readyState") == "complete")
        return self

    def go(self, path: str, **fields: Any) -> Browser:
        self.driver.get(f"{self.served.home}{path}{'?' + urlencode(fields) if fields else ''}")
        return self

    def js(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def one(self, selector: str) -> Any:
        (found,) = self.until(lambda: self.all(selector))
        return found

    def texts(self, selector: str) -> list[str]:
        return self.js("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())", selector)

    def until(self, true: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, (
                f"{true} never came; {self.driver.title}: {self.js('return document.body.innerText.slice(0, 1500)')}"
            )
            time.sleep(0.02)
        return found

    def type(self, *keys: str) -> None:
        """Keys to whatever has the focus."""
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def resize(self, width: int, height: int = 900) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def theme(self, name: str) -> None:
        features = {"features": [{"name": "prefers-color-scheme", "value": name}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", features)

    def numbers(self) -> list[int]:
        """Which messages are on the page."""
        return self.js(
            "return [...document.querySelectorAll('#messages > .message')].flatMap(e => "
            "[...Array(e.dataset.end - e.dataset.first).keys()].map(n => n + Number(e.dataset.first)))"
        )

    def complaints(self) -> list[str]:
        """What the browser had to complain about, but for what is ``expected``."""
        return [
            each["message"]
            for each in self.driver.get_log("browser")
            if each["level"] == "SEVERE" and not any(word in each["message"] for word in self.expected)
        ]
