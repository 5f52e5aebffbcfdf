"""Runs a target: guided by coverage where atheris is installed, or over mutations that are the same in every run."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF)
LONGEST = 8192


def guided(name: str) -> None:
    """libFuzzer over the target; its options, such as ``-max_total_time=30``, are those of the command line."""
    try:
        import atheris  # noqa: PLC0415 - an extra program, not needed by the tests
    except ImportError:
        sys.exit("atheris is not installed: pip install atheris")
    sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]
    with atheris.instrument_imports(include=["vaultsession"]):
        targets = importlib.import_module("fuzz_targets")
    # New inputs go nowhere unless a directory is given first: the committed corpus stays small.
    directories = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    arguments = [*sys.argv, *([] if directories else [str(targets.CORPUS / name)])]
    atheris.Setup([*arguments, f"-max_len={LONGEST}"], targets.TARGETS[name])
    atheris.Fuzz()


def mutations(seeds: list[bytes], count: int, chance: random.Random) -> Iterator[bytes]:
    """The seeds, and so many changes of them."""
    yield from seeds
    for _ in range(count):
        data = bytearray(chance.choice(seeds))
        for _ in range(chance.randrange(1, 5)):
            chance.choice(CHANGES)(data, seeds, chance)
        yield bytes(data[:LONGEST])


def _flip(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    if data:
        at = chance.randrange(len(data))
        data[at : at + chance.choice((1, 2, 4, 8))] = bytes([chance.choice(INTERESTING)]) * chance.choice((1, 2, 4, 8))


def _cut(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.randrange(64)]


def _end(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _insert(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.randbytes(chance.randrange(40))


def _repeat(data: bytearray, _: list[bytes], chance: random.Random) -> None:
    start = chance.randrange(len(data) + 1)
    data[start:start] = data[start : start + chance.randrange(200)] * chance.randrange(1, 4)


def _splice(data: bytearray, seeds: list[bytes], chance: random.Random) -> None:
    other = chance.choice(seeds)
    at = chance.randrange(len(data) + 1)
    data[at:] = other[chance.randrange(len(other) + 1) :]


CHANGES: tuple[Callable[[bytearray, list[bytes], random.Random], None], ...] = (
    _flip,
    _set,
    _cut,
    _end,
    _insert,
    _repeat,
    _splice,
)


def mutated(name: str, count: int) -> int:
    """Run a target over its corpus and so many mutations. How many inputs that was."""
    sys.path[:0] = [str(Path(__file__).parent), str(ROOT)]
    targets = importlib.import_module("fuzz_targets")
    seeds = [path.read_bytes() for path in sorted((targets.CORPUS / name).iterdir())]
    done = 0
    for data in mutations(seeds, count, random.Random(name)):
        try:
            targets.TARGETS[name](data)
        except BaseException:
            sys.stderr.write(f"found by {name}: {data.hex()}\n")
            raise
        done += 1
    return done


if __name__ == "__main__":
    sys.stdout.write(f"{mutated(sys.argv[1], int(sys.argv[2]))}\n")
