"""Several processes on one Redis: every acknowledged append is there once, in order; there is one creator of a vault."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
from redis_lab import Place
from servers import redis_cluster

from vaultsession import RawKey, open_store

KEY = RawKey(bytes(range(32)))

SCRIPT = """
import sys
from vaultsession import RawKey, open_store
url, name, turns = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open_store(url, key=RawKey(bytes(range(32)))) as store:
    for number in range(turns):
        store.append(f"session {number % 2}", {"role": "user", "content": f"{name} {number}"}, create=True)
        if number % 10 == 9:
            store.update(f"session {number % 2}", {name: number})
"""


def run_together(url: str, names: Sequence[str], turns: int) -> None:
    words = [sys.executable, "-W", "error", "-c", SCRIPT, url]
    processes = [
        subprocess.Popen([*words, name, str(turns)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for name in names
    ]
    told = [process.communicate(timeout=90)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(names), told


def check(url: str, names: Sequence[str], turns: int) -> None:
    with open_store(url, key=KEY) as store:
        for parity in range(2):
            session = store.load(f"session {parity}")
            texts = [message["content"] for message in session.messages]
            assert len(texts) == len(set(texts)) == len(names) * turns // 2
            for name in names:
                own = [text for text in texts if text.startswith(f"{name} ")]
                assert own == [f"{name} {number}" for number in range(parity, turns, 2)]
        assert store.load("session 1").state == dict.fromkeys(names, turns - 1)
        assert store.count() == 2


@pytest.mark.slow
def test_what_several_processes_append_is_all_there_once_and_in_order(place: Place) -> None:
    names = ["one", "two", "three"]
    run_together(place.url, names, 40)  # the vault itself is made by the first process
    check(place.url, names, 40)


@pytest.mark.slow
def test_so_it_is_on_a_cluster() -> None:
    with redis_cluster() as nodes:
        url = nodes[1].url_of(cluster="true", prefix="races")
        run_together(url, ["one", "two"], 40)
        check(url, ["one", "two"], 40)
