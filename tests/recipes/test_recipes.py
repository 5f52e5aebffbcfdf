"""Each program of RECIPES.md, run as a reader would: against a server that stands for the model, or asked by clients."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from documents import RECIPES, REPOSITORY, blocks
from model_server import ModelServer, model_server

from vaultsession import RawKey, open_store

BLOCKS = {
    block.recipe: block for block in blocks(RECIPES.read_text(encoding="utf-8"), RECIPES) if block.recipe is not None
}
KEY = RawKey(bytes(range(160, 192)))
INSTALL = "pip install 'vaultsession[recipes]'"


def needs(*modules: str) -> pytest.MarkDecorator:
    """What is slow, and runs where the packages of a recipe are."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    skip = pytest.mark.skipif(bool(missing), reason=f"without {', '.join(missing)}: {INSTALL}")
    return lambda test: pytest.mark.slow(skip(test))  # type: ignore[return-value]


def test_every_recipe_has_its_test() -> None:
    assert set(BLOCKS) == {"openai", "anthropic", "tools", "fastapi", "flask", "container", "systemd"}


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with model_server() as server:
        yield server


class Place:
    """A directory with a program of the document in it, as ``app.py``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(path),
            "VAULTSESSION_KEY": KEY.text(),
            "VAULTSESSION_CONFIG": "",
        }

    def app(self, recipe: str) -> Path:
        """The program."""
        program = self.path / "app.py"
        program.write_text(BLOCKS[recipe].text, encoding="utf-8")
        return program

    def run(self, recipe: str, typed: str, **environment: str) -> str:
        """What the program prints to somebody who types."""
        ran = subprocess.run(
            [sys.executable, self.app(recipe)],
            input=typed,
            capture_output=True,
            text=True,
            cwd=self.path,
            env={**self.environment, **environment},
            timeout=120,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def messages(self, id: str) -> list[dict[str, Any]]:
        """What the program wrote."""
        with open_store(self.path / "sessions", key=KEY) as store:
            return store.messages(id)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# -- loops -------------------------------------------------------------------------------------------------------------


@needs("openai")
def test_a_loop_with_the_client_of_openai(place: Place, model: ModelServer) -> None:
    keys = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{model.url}/v1"}
    assert place.run("openai", "hello\nand again\n\n", **keys) == "\n> You said hello.\n> You said and again.\n> "
    place.run("openai", "once more\n\n", **keys)
    assert [each["content"] for each in model.asked[-1]["messages"]] == [
        *("Be brief.", "hello", "You said hello.", "and again", "You said and again.", "once more"),
    ]
    with open_store(place.path / "sessions", key=KEY) as store:
        store.pop("me", 1)  # as if the program had been killed before the answer came
    assert "You said once more." in place.run("openai", "\n", **keys)


@needs("anthropic")
def test_a_loop_with_the_client_of_anthropic(place: Place, model: ModelServer) -> None:
    keys = {"ANTHROPIC_API_KEY": "none", "ANTHROPIC_BASE_URL": model.url}
    assert place.run("anthropic", "hello\n\n", **keys) == "> You said hello.\n> "
    place.run("anthropic", "again\n\n", **keys)
    assert model.asked[-1]["system"] == "Be brief."
    assert [each["content"] for each in model.asked[-1]["messages"]] == ["hello", "You said hello.", "again"]


@needs("openai")
def test_an_agent_with_tools(place: Place, model: ModelServer) -> None:
    keys = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": f"{model.url}/v1"}
    assert place.run("tools", "Add 2 and 3\n", **keys) == "It is 5.\n"
    assert [each["role"] for each in place.messages("sums")] == ["user", "assistant", "tool", "assistant"]
    with open_store(place.path / "sessions", key=KEY) as store:
        store.pop("sums", 2)  # as if it had been killed while the tool ran
    assert place.run("tools", "", **keys) == "It is 5.\n"
    assert [each["role"] for each in place.messages("sums")] == ["user", "assistant", "tool", "assistant"]
    assert len(model.asked) == 3


# -- services ----------------------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Service:
    """A service that is asked over HTTP."""

    def __init__(self, place: Place, command: list[str]) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(word.replace("PORT", str(self.port)) for word in command)],
            cwd=place.path,
            env=place.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def ask(self, path: str, body: object = None) -> Any:
        """What it answers; None where it does not know the session."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                if error.code == HTTPStatus.NOT_FOUND:
                    return None
                raise AssertionError(error.read()) from None

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + 60
        while True:
            try:
                self.ask("/sessions/nobody")
            except urllib.error.URLError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                return

    def stop(self) -> str:
        """End it as an operator does; what it said."""
        self.process.terminate()
        try:
            said, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        return said.decode()


@pytest.mark.parametrize(
    ("recipe", "command"),
    [
        pytest.param("fastapi", ["uvicorn", "app:app", "--port", "PORT", "--workers", "2"], marks=[]),
        pytest.param("flask", ["gunicorn", "--workers", "3", "--threads", "4", "-b", "127.0.0.1:PORT", "app:app"]),
        pytest.param("flask", ["gunicorn", "--workers", "3", "--preload", "-b", "127.0.0.1:PORT", "app:app"]),
    ],
    ids=["fastapi", "flask", "flask-preload"],
)
@needs("fastapi", "uvicorn", "flask", "gunicorn")
def test_a_service_of_several_workers(place: Place, recipe: str, command: list[str]) -> None:
    place.app(recipe)
    service = Service(place, command)
    try:
        service.wait()
        assert service.ask("/sessions/unknown") is None
        with ThreadPoolExecutor(8) as pool:
            asked = [(f"/sessions/{name}", {"text": f"{n}"}) for n in range(10) for name in ("one", "two")]
            answers = list(pool.map(lambda each: service.ask(*each), asked))
        assert [answer["text"] for answer in answers] == [f"You said {body['text']}." for _, body in asked]
        for name in ("one", "two"):
            history = service.ask(f"/sessions/{name}")
            turns = [
                (said["content"], answer["content"]) for said, answer in zip(history[::2], history[1::2], strict=True)
            ]
            assert all(answer == f"You said {said}." for said, answer in turns)
            assert sorted(said for said, _ in turns) == [str(n) for n in range(10)]
        if recipe == "fastapi":
            assert service.ask("/health")["ok"] is True
    finally:
        said = service.stop()
    assert "Traceback" not in said
    assert len(place.messages("one")) == 20


# -- keys --------------------------------------------------------------------------------------------------------------


def settings(recipe: str, **directories: str) -> dict[str, str]:
    """The variables that a unit or a container gives to its processes."""
    text = BLOCKS[recipe].text
    for name, directory in directories.items():
        text = text.replace(name, directory)
    return dict(re.findall(r"(VAULTSESSION_\w+)[=:] ?([^\s,}]+)", text))


@pytest.fixture
def ground() -> Iterator[Path]:
    """A directory that every user reaches."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="needs root, who makes what systemd and Docker make"
)
@pytest.mark.parametrize(
    ("recipe", "owner", "mode"),
    [
        ("systemd", 0, 0o440),
        ("systemd", 65534, 0o400),
        ("container", 0, 0o444),
    ],  # an access list shows as a group's right
)
def test_a_service_opens_its_vault_with_what_root_shows_it(
    ground: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, owner: int, mode: int
) -> None:
    service = 65534
    secrets, state = ground / "secrets", ground / "state"
    for each in (secrets, state):
        each.mkdir()
    os.chown(state, service, service)
    given = settings(
        recipe, **{"%d": str(secrets), "%S": str(state), "/run/secrets": str(secrets), "/data": str(state)}
    )
    key, of_root = Path(given["VAULTSESSION_KEY_FILE"]), ground / "key"
    for each, reader, rights in ((of_root, 0, 0o600), (key, owner, mode)):
        each.write_text(KEY.text() + "\n")
        os.chown(each, reader, service)
        each.chmod(rights)

    def write(path: str, key_file: str) -> None:
        monkeypatch.setenv("VAULTSESSION_PATH", path)
        monkeypatch.setenv("VAULTSESSION_KEY_FILE", key_file)
        with open_store() as store:
            store.append("a", {"role": "user", "content": "hello"}, create=True)

    write(
        str(ground / "first"), str(of_root)
    )  # what is imported late is imported as root: the interpreter may be root's
    os.setegid(service)
    os.seteuid(service)
    try:
        write(given["VAULTSESSION_PATH"], given["VAULTSESSION_KEY_FILE"])
    finally:
        os.seteuid(0)
        os.setegid(0)
    with open_store(given["VAULTSESSION_PATH"], key=KEY) as store:
        assert store.messages("a")[0]["content"] == "hello"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="without systemd-analyze")
def test_the_unit_is_one_that_systemd_knows(tmp_path: Path) -> None:
    unit = tmp_path / "assistant.service"
    program = BLOCKS["systemd"].text.replace("/opt/assistant/bin/uvicorn", "/bin/true")
    unit.write_text(program, encoding="utf-8")
    ran = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False, timeout=60)
    assert str(unit.name) not in ran.stderr, ran.stderr
