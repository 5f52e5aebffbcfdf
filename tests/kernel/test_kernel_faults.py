"""strace makes the n-th call of a kind fail, from any caller, SQLite included: a typed error, and nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from effort import EFFORT
from kernel_lab import ENVIRONMENT, KEY, PATIENCE, errors_in, opened

from vaultsession import VaultError, open_store

SCRIPT = Path(__file__).with_name("kernel_script.py")
ERRORS = {"BackendUnavailable", "DurabilityUnknown"}
MOST = 400
EVERY = max(1, 8 // EFFORT)
"""Of the calls, every so many fails: each takes a process. A sweep over all takes half an hour."""
OF_ANY_PROGRAM = {"openat", "pread64"}
"""Calls that an interpreter makes for itself before it makes the first for us."""


def why_no_strace() -> str | None:
    """Why nothing can be traced here; None where it can."""
    if shutil.which("strace") is None:
        return "there is no strace: install it"
    tried = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace: {tried.stderr.strip()}" if tried.returncode else None


pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_no_strace() is not None, reason=str(why_no_strace()))]


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    path = tmp_path / "vault"
    with open_store(path, key=KEY) as store:
        store.create("history", messages=[{"n": 0}])
        store.create("state", state={"n": 0})
        store.create("cleared", state={"kept": True}, messages=[{"n": 0}])
        for number in (1, 2, 3):
            store.create(f"old-{number}")
    return path


def files_of(vault: Path) -> list[str]:
    """``-P`` for every file and directory that is there now: a call that goes elsewhere is left alone."""
    return [argument for path in (vault, *vault.rglob("*")) for argument in ("-P", str(path))]


def run(vault: Path, call: str, error: str, when: int) -> tuple[list[tuple[str, str, int]], bool]:
    """What came of each verb, and whether the call was made to fail at all."""
    log = vault.parent / "strace"
    trace = ["strace", "-f", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]
    where = files_of(vault) if call in OF_ANY_PROGRAM else []
    done = subprocess.run(
        [*trace, *where, sys.executable, str(SCRIPT), str(vault)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return [(outcome, verb, int(number)) for outcome, verb, number in lines], "(INJECTED)" in log.read_text()


def check(vault: Path, outcomes: list[tuple[str, str, int]]) -> None:
    """What was acknowledged is there, what was refused is there whole or not at all, and the vault goes on."""
    assert {outcome for outcome, _, _ in outcomes} <= {"ok", *ERRORS}
    done = {(verb, number) for outcome, verb, number in outcomes if outcome == "ok"}
    tried = {(verb, number) for _, verb, number in outcomes}
    with opened(vault) as store:
        history = [message["n"] for message in store.load("history").messages]
        assert history == sorted(set(history))
        assert {number for verb, number in done if verb == "append"} <= {*history}
        assert {*history} <= {0} | {number for verb, number in tried if verb == "append"}
        saved = [number for verb, number in done if verb == "save"]
        assert store.load("state").state["n"] >= max(saved, default=0)
        for number in (1, 2, 3):
            assert store.exists(f"made-{number}") >= (("create", number) in done)
            assert store.exists(f"old-{number}") <= (("delete", number) not in done)
        assert store.load("cleared").state == {"kept": True}
        if ("clear", 1) in done:
            assert store.load("cleared").messages == []
        assert {info.id for info in store.list()} == {
            name
            for name in ("history", "state", "cleared", *(f"{kind}-{n}" for kind in ("made", "old") for n in (1, 2, 3)))
            if store.exists(name)
        }
        store.append("history", {"n": 99})
    assert errors_in(vault) == []
    assert [*vault.glob("sessions/.*.tmp"), *vault.glob("sessions/*.new")] == []


def sweep(vault: Path, call: str, error: str, *, first: int = 1, step: int = EVERY, at_most: int = MOST) -> int:
    """Fail the n-th call for one n after another, each on a copy of the vault. How many there were."""
    for when in range(first, at_most, step):
        copy = vault.with_name(f"copy-{when}")
        shutil.copytree(vault, copy)
        outcomes, injected = run(copy, call, error, when)
        if not injected:
            return when - 1
        try:
            check(copy, outcomes)
        except (AssertionError, VaultError) as problem:
            raise AssertionError(
                f"{call} number {when} failed with {error}, and then: {problem}; {outcomes}"
            ) from problem
        shutil.rmtree(copy)
    return at_most


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("call", ["fdatasync", "fsync", "pwrite64", "rename", "unlink", "ftruncate", "flock", "mkdir"])
def test_each_call_that_fails_loses_nothing(vault: Path, call: str, error: str) -> None:
    assert sweep(vault, call, error, first=1 if error == "EIO" else 1 + EVERY // 2) > 0


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("call", "error"), [("openat", "EMFILE"), ("openat", "EACCES"), ("pread64", "EIO")])
def test_each_opening_and_reading_that_fails_loses_nothing(vault: Path, call: str, error: str) -> None:
    assert sweep(vault, call, error, step=2 * EVERY) > 0
