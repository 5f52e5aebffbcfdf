"""``vaultsession web``: the page of a vault, for the browser of this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import webbrowser

import pytest
from cli_lab import PATIENCE

pytest.importorskip("starlette", reason="the page is not installed: pip install '.[web]'")
pytest.importorskip("nh3", reason="the page is not installed: pip install '.[web]'")

from vaultsession.web import server


@pytest.fixture
def served(monkeypatch):
    """What would have been served."""
    found = []

    def serve(store, bound, *, writable, begun):
        found.append((store.list()[0].id, bound.port, writable))
        begun()

    monkeypatch.setattr(server, "serve", serve)
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("a browser was opened"))
    return found


@pytest.fixture
def session(place):
    with place.open() as store:
        store.create("a", messages=[{"role": "user", "content": "hi"}])


def test_the_address_is_printed_and_the_rest_is_said(session, served, run):
    done = run("web", "--no-browser")
    assert done.code == 0
    (name, port, writable), *_ = served
    assert (name, writable) == ("a", False)
    assert done.out.startswith(f"http://127.0.0.1:{port}/open?token=")
    assert "Ctrl-C" in done.err


def test_write_and_a_port_of_ones_choice(session, served, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("web", "--no-browser", "--port", port)
        assert (done.code, done.out) == (2, "")
        assert "another program has it" in done.err
        assert "--port" in done.err
    assert run("web", "--no-browser", "--port", port, "--write").code == 0
    assert served == [("a", port, True)]


def test_without_a_browser_the_address_is_enough(session, served, run, monkeypatch):
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    done = run("web")
    assert done.code == 0
    assert "there is no browser" in done.err


def test_without_a_vault_or_a_key_nothing_is_served(place, served, run, monkeypatch):
    assert run("web", "--no-browser", "--vault", place.path / "other").code == 10
    monkeypatch.delenv("VAULTSESSION_KEY_FILE")
    done = run("web", "--no-browser")
    assert done.code == 12
    assert done.out == ""
    assert served == []


def test_without_the_extra_it_says_how_to_get_it(session, run, monkeypatch):
    monkeypatch.delitem(sys.modules, "vaultsession.web.server")
    monkeypatch.delitem(sys.modules, "vaultsession.web")
    monkeypatch.delattr("vaultsession.web")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = run("web")
    assert done.code == 2
    assert "pip install 'vaultsession[web]'" in done.err


@pytest.mark.slow
def test_it_serves_until_it_is_interrupted(session, executable):
    process = subprocess.Popen(
        [*executable, "web", "--no-browser"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().strip()
        opened = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert opened.open(address, timeout=PATIENCE).status == 200
        home = address.partition("/open")[0]
        assert "1 session" in opened.open(home, timeout=PATIENCE).read().decode()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(home, timeout=PATIENCE)
        stream = opened.open(f"{home}/events?id=a", timeout=PATIENCE)
        assert stream.readline().startswith(b"event: count")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert (out, "Traceback" in err) == ("", False)


@pytest.mark.slow
def test_a_passphrase_is_asked_for_in_the_terminal(tmp_path, terminal):
    words = tmp_path / "words"
    words.write_text("correct horse\n")
    words.chmod(0o600)
    assert terminal("init", tmp_path / "v", "--passphrase-file", words).code == 0
    typed = (("assphrase", "correct horse\r"), ("/open?token=", "\x03"))
    done = terminal("web", "--no-browser", "--vault", tmp_path / "v", typed=typed)
    assert done.code == 130
    assert "horse" not in done.out
