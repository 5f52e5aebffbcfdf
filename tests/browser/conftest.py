"""A real browser on the page of a real server: ``vaultsession web`` in a process of its own, Chromium by selenium.

All of it is slow. What is missing skips the test with the command that installs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the page is not installed: pip install '.[web]'")
pytest.importorskip("nh3", reason="the page is not installed: pip install '.[web]'")

from browser_lab import Browser, Served
from sample_vault import fill
from servers import missing

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

from vaultsession import RawKey, SessionStore, open_store


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(item.path).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    """One browser for all of it."""
    if webdriver is None:
        missing("selenium", "pip install '.[browser]'")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    control = shutil.which("chromedriver")
    if program is None or control is None:
        missing("Chromium with its driver", "apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en", "--no-first-run"):
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(control))
    yield made
    made.quit()


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    return tmp_path / "vault"


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(RawKey.generate().text())
    return path


@pytest.fixture
def store(vault: Path, key: Path) -> Iterator[SessionStore]:
    """The vault, in this process: the server is another."""
    with open_store(vault, key_file=key, durability="os") as made:
        yield made


@pytest.fixture
def sample(store: SessionStore) -> SessionStore:
    fill(store, sessions=60)
    return store


@pytest.fixture
def serve(vault: Path, key: Path, executable: list[str], tmp_path: Path) -> Iterator[Any]:
    """Starts ``vaultsession web`` on the vault; options may be given."""
    running: list[subprocess.Popen[str]] = []

    def start(*options: str) -> Served:
        line = [*executable, "web", "--no-browser", "--vault", str(vault), "--key-file", str(key), *options]
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        process = subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "HOME": str(home)}
        )
        running.append(process)
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:")
        return Served(address, process)

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.fixture
def browser(driver: Any, serve: Any) -> Iterator[Browser]:
    """A browser; ``open`` it on a server."""
    made = Browser(driver, serve)
    made.resize(1280)
    made.theme("light")
    driver.get("about:blank")
    driver.get_log("browser")
    yield made
    driver.get("about:blank")
    assert made.complaints() == []
