"""What no module of the package may hold, read from the syntax tree."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vaultsession"
LONGEST = 600
FULL_FOLDER = 20
MANY_COMMANDS = "cli/commands"  # one file each
FULL_ROOT = 13
NOUNS = ("listing", "tracing", "keyring")

MODULES = {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}

ADAPTERS = "integrations/"
CLOCK = "util/clock.py"
DISK = "util/disk.py"  # the kernel's clock is one of its system calls, and it waits for a refused replacement

WALL_TIME = {
    "time.time",
    "time.time_ns",
    "time.localtime",
    "time.gmtime",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}


@functools.cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    """The syntax tree, its root first, made and walked through once for all the laws."""
    kinds = (ast.Module, ast.Attribute, ast.Import, ast.ImportFrom, ast.ClassDef, ast.Assert, ast.ExceptHandler)
    return tuple(node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds))


@functools.cache
def classes(source: str) -> tuple[str, ...]:
    return tuple(node.name for node in nodes(source) if isinstance(node, ast.ClassDef))


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of an attribute chain, its last two names; else an empty text."""
    if isinstance(node, ast.Attribute):
        base = node.value
        name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
        return f"{name}.{node.attr}"
    return ""


@functools.cache
def imported(source: str) -> tuple[str, ...]:
    return tuple(_imported(nodes(source)))


def _imported(found: Iterable[ast.AST]) -> Iterator[str]:
    for node in found:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wall_time(source: str) -> list[str]:
    """Every reading of the wall clock, also one that was imported by its bare name."""
    names = [*map(dotted, nodes(source)), *imported(source)]
    return [name for name in names if name in WALL_TIME]


def weak_randomness(source: str) -> list[str]:
    return [name for name in imported(source) if name.split(".")[0] in {"random", "secrets", "uuid"}]


def assertions(source: str) -> list[int]:
    return [node.lineno for node in nodes(source) if isinstance(node, ast.Assert)]


def silent_excepts(source: str) -> list[int]:
    return [node.lineno for node in nodes(source) if isinstance(node, ast.ExceptHandler) and node.type is None]


def crowded(paths: Iterable[str]) -> dict[str, int]:
    """Folders with more modules, beside their own ``__init__``, than are taken in at a glance."""
    folders = Counter(path.rpartition("/")[0] for path in paths if not path.endswith("__init__.py"))
    return {name: count for name, count in folders.items() if count > FULL_FOLDER and name != MANY_COMMANDS}


def defined_again(sources: Iterable[str]) -> list[str]:
    counts = Counter(name for source in sources for name in classes(source))
    return [name for name, count in counts.items() if count > 1]


def is_gerund(path: str) -> bool:
    name = path.rpartition("/")[2].removesuffix(".py")
    return name.endswith("ing") and not name.endswith(NOUNS)


def test_there_are_modules_to_look_at() -> None:
    assert len(MODULES) > 35


def test_wall_time_is_read_in_one_place() -> None:
    found = {name: wall_time(text) for name, text in MODULES.items() if name != CLOCK}
    assert {name: uses for name, uses in found.items() if uses} == {}


def test_keys_and_nonces_come_from_the_system() -> None:
    outside = {name: text for name, text in MODULES.items() if not name.startswith("testing/")}
    assert {name: weak_randomness(text) for name, text in outside.items() if weak_randomness(text)} == {}


def test_nothing_untrusted_is_checked_with_assert() -> None:
    outside = {name: text for name, text in MODULES.items() if not name.startswith("testing/")}
    assert {name: assertions(text) for name, text in outside.items() if assertions(text)} == {}


def test_no_except_catches_everything_without_saying_so() -> None:
    assert {name: silent_excepts(text) for name, text in MODULES.items() if silent_excepts(text)} == {}


def test_a_file_is_one_concept() -> None:
    sizes = {name: text.count("\n") for name, text in MODULES.items()}
    assert {name: size for name, size in sizes.items() if size > LONGEST} == {}


def test_a_folder_is_seen_at_a_glance() -> None:
    assert crowded(MODULES) == {}


def test_the_root_is_seen_at_a_glance() -> None:
    shown = {entry.name for entry in PACKAGE.iterdir()} - {"__init__.py", "py.typed", "__pycache__"}
    assert len(shown) <= FULL_ROOT, shown


def test_a_class_name_is_defined_once() -> None:
    """Of adapters once in each framework, whose word for it is taken."""
    frameworks: dict[str, list[str]] = {}
    for name, text in MODULES.items():
        if name.startswith(ADAPTERS):
            frameworks.setdefault(name.removeprefix(ADAPTERS).partition("/")[0], []).append(text)
    others = [text for name, text in MODULES.items() if not name.startswith(ADAPTERS)]
    again = {name: defined_again([*others, *texts]) for name, texts in frameworks.items()}
    assert {name: found for name, found in again.items() if found} == {}


def test_a_module_is_named_with_a_noun() -> None:
    assert [name for name in MODULES if is_gerund(name)] == []


def test_every_module_says_what_it_is() -> None:
    assert [name for name, text in MODULES.items() if not ast.get_docstring(nodes(text)[0])] == []


# -- tests of the tests ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted",
    [
        "import time\nx = time.time()",
        "import time as clock\nfrom time import time_ns",
        "import datetime\nx = datetime.datetime.now()",
        "from datetime import datetime\nx = datetime.now(None)",
        "def f():\n    from time import time",
    ],
)
def test_a_planted_clock_is_found(planted: str) -> None:
    assert wall_time(planted)


@pytest.mark.parametrize(
    "planted", ["import random", "from secrets import token_bytes", "import uuid", "import random.x"]
)
def test_planted_randomness_is_found(planted: str) -> None:
    assert weak_randomness(planted)


def test_a_planted_assert_is_found() -> None:
    assert assertions("def f(x):\n    if x:\n        assert x") == [3]


def test_a_planted_bare_except_is_found() -> None:
    assert silent_excepts("try:\n    pass\nexcept:\n    pass") == [3]


def test_a_planted_crowd_is_found() -> None:
    assert crowded([f"web/{number}.py" for number in range(21)]) == {"web": 21}


def test_a_planted_second_class_is_found() -> None:
    assert defined_again(["class A: ...", "def f():\n    class A: ..."]) == ["A"]


def test_a_planted_gerund_is_found() -> None:
    assert is_gerund("store/reading.py")
