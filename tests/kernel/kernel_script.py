"""A fixed sequence of verbs on one vault, and what came of each on stdout. Run under strace, never imported.

Each line is ``ok VERB N`` or ``ERROR VERB N``, where ERROR is the name of a ``VaultError``. Anything else that is
raised ends the process with a traceback and code 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from vaultsession import VaultError, open_store

ROUNDS = 3


def attempt(verb: str, number: int, act: Callable[[], object]) -> None:
    try:
        act()
        outcome = "ok"
    except VaultError as error:
        outcome = type(error).__name__
    os.write(1, f"{outcome} {verb} {number}\n".encode())


def main(path: str) -> None:
    try:
        store = open_store(path, create=False)
    except VaultError as error:
        os.write(1, f"{type(error).__name__} open 0\n".encode())
        return
    for number in range(1, ROUNDS + 1):
        attempt("append", number, lambda n=number: store.append("history", {"n": n}))
        attempt("save", number, lambda n=number: store.save("state", state={"n": n}))
        attempt("create", number, lambda n=number: store.create(f"made-{n}", messages=[{"n": n}]))
        attempt("delete", number, lambda n=number: store.delete(f"old-{n}"))
        attempt("touch", number, lambda: store.touch("history", "1h"))
    attempt("clear", 1, lambda: store.clear("cleared"))
    attempt("list", 1, store.list)
    attempt("reindex", 1, store.reindex)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1])
