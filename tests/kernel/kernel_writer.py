"""A process that writes until it is ended, and says on stdout what was acknowledged. Run by its path, never imported.

Lines, each written at once and only when its verb has returned: ``ready``, ``append SESSION N``, ``save SESSION N``,
``create SESSION``, ``delete SESSION``, and ``deleting SESSION`` before that verb. A refusal is ``refused ERROR``, and
the end. What is no ``VaultError`` ends the process with a traceback and code 1. The key comes from the environment.
"""

from __future__ import annotations

import os
import random
import sys

from vaultsession import VaultError, open_store

HOT = 4


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def main(path: str, durability: str, number: str, era: str) -> None:
    """Four sessions that all writers append to, one of its own that it overwrites, and others that come and go."""
    chance = random.Random(f"{number} {era}")
    store = open_store(path, create=False, durability=durability)
    say("ready")
    counts = [0] * HOT
    step = 0
    while True:
        hot = step % HOT
        session = f"hot-{era}-{hot}"
        pad = chance.randbytes(chance.randrange(400)).hex()
        store.append(session, {"w": number, "n": counts[hot], "pad": pad}, create=True)
        say(f"append {session} {counts[hot]}")
        counts[hot] += 1
        if step % 3 == 0:
            store.save(f"own-{number}", state={"n": step, "pad": chance.randbytes(chance.randrange(4000)).hex()})
            say(f"save own-{number} {step}")
        if step % 5 == 0:
            passing = f"passing-{number}-{step}"
            store.create(passing, ttl="1h", user_id="u", messages=[{"n": step}])
            say(f"create {passing}")
            if step % 10 == 0:
                say(f"deleting {passing}")
                store.delete(passing)
                say(f"delete {passing}")
        step += 1


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except VaultError as error:
        say(f"refused {type(error).__name__}")
