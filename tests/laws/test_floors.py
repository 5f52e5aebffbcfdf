"""The floor table in the package docstring is the law: it is parsed here, and the import graph is held against it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vaultsession"
ROOT = "vaultsession"

_ROW = re.compile(r"^    (\d+) +([a-z_]+)  +\S", re.MULTILINE)


def floors_of(docstring: str) -> dict[str, int]:
    """Unit -> floor, as the table says. A unit is a module or a folder directly below the package."""
    return {unit: int(floor) for floor, unit in _ROW.findall(docstring)}


def sources(package: Path) -> dict[str, str]:
    """Dotted name -> source of every module."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def imports_of(name: str, source: str, modules: Mapping[str, str], *, is_package: bool) -> set[str]:
    """The modules of the package that one module imports: at any depth of nesting, for types alone, or deferred."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = name.split(".")
                above = above[: len(above) - node.level + is_package]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in modules else base)
        elif isinstance(node, ast.Call) and "Deferred" in (_called(node.func), *map(_called, node.args)):
            texts = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
            found.update(f"{ROOT}{text}" for text in texts if isinstance(text, str) and text.startswith("."))
    return {imported for imported in found if imported == ROOT or imported.startswith(f"{ROOT}.")}


def graph_of(modules: Mapping[str, str], packages: set[str]) -> dict[str, set[str]]:
    return {name: imports_of(name, text, modules, is_package=name in packages) for name, text in modules.items()}


def violations(floors: Mapping[str, int], graph: Mapping[str, set[str]]) -> Iterator[str]:
    """What breaks the law, in words."""
    shop = 1 + floors["opening"] - 0.5  # the package itself stands just above the module that it shows
    for name, imported in graph.items():
        unit = _unit(name)
        if unit and unit not in floors:
            yield f"{name} is not in the floor table"
            continue
        floor = floors[unit] if unit else shop
        for other in sorted(imported):
            there = _unit(other)
            if there == unit:
                continue
            if there and there not in floors:
                yield f"{name} imports {other}, which is not in the floor table"
            elif (floors[there] if there else shop) >= floor:
                yield f"{name} (floor {floor}) imports {other} (floor {floors[there] if there else shop})"
    yield from (f"cycle: {' -> '.join(cycle)}" for cycle in cycles(graph))


def cycles(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Each cycle that a walk along the arrows meets. Importing the folder that one stands in is no arrow of its own."""
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in done:
            for other in sorted(graph.get(name, ())):
                yield from walk(other, [*path, name])
            done.add(name)

    for name in sorted(graph):
        yield from walk(name, [])


def _called(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _unit(name: str) -> str:
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.fixture(scope="module")
def modules() -> dict[str, str]:
    return sources(PACKAGE)


@pytest.fixture(scope="module")
def graph(modules: dict[str, str]) -> dict[str, set[str]]:
    packages = {name for name in modules if (PACKAGE.parent / name.replace(".", "/") / "__init__.py").exists()}
    return graph_of(modules, packages)


@pytest.fixture(scope="module")
def floors(modules: dict[str, str]) -> dict[str, int]:
    docstring = ast.get_docstring(ast.parse(modules[ROOT]), clean=True)
    assert docstring
    return floors_of(docstring)


def test_the_table_is_found_and_every_line_of_it_is_understood(modules: dict[str, str], floors: dict[str, int]) -> None:
    docstring = ast.get_docstring(ast.parse(modules[ROOT]), clean=True) or ""
    lines = [line for line in docstring.splitlines() if re.match(r"    \d", line)]
    assert len(lines) == len(floors) >= 30


def test_every_listed_unit_exists(floors: dict[str, int]) -> None:
    missing = [
        unit
        for unit in floors
        if not (PACKAGE / f"{unit}.py").exists() and not (PACKAGE / unit / "__init__.py").exists()
    ]
    assert missing == []


def test_no_arrow_goes_up_and_no_module_is_unlisted(floors: dict[str, int], graph: dict[str, set[str]]) -> None:
    assert list(violations(floors, graph)) == []


def test_the_graph_is_not_empty(graph: dict[str, set[str]]) -> None:
    assert "vaultsession.passes" in graph["vaultsession.store"]
    assert "vaultsession.errors" in graph["vaultsession.clock"]
    assert sum(map(len, graph.values())) > 100


# -- tests of the test -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "planted", "told"),
    [
        ("errors", "from .store import SessionStore", "errors (floor 0) imports vaultsession.store"),
        ("ids", "from . import clock", "ids (floor 1) imports vaultsession.clock"),
        ("ids", "import vaultsession.store", "ids (floor 1) imports vaultsession.store"),
        ("ids", "from vaultsession.store import SessionStore", "ids (floor 1) imports vaultsession.store"),
        ("ids", "def f():\n    from .session import Session", "ids (floor 1) imports vaultsession.session"),
        ("ids", "if TYPE_CHECKING:\n    from .head import Head", "ids (floor 1) imports vaultsession.head"),
        ("ids", "later = Deferred('.session')", "ids (floor 1) imports vaultsession.session"),
        ("ids", "a, b = map(Deferred, ('.errors', '.store'))", "ids (floor 1) imports vaultsession.store"),
        ("ids", "from . import __version__", "ids (floor 1) imports vaultsession (floor"),
        ("envelope.v1", "from ..session import Session", "envelope.v1 (floor 3) imports vaultsession.session"),
        ("envelope.v1", "from .cipher import ContainerCipher", "cycle: vaultsession.envelope"),
        ("surprise", "", "surprise is not in the floor table"),
    ],
)
def test_a_planted_violation_is_found(
    modules: dict[str, str], floors: dict[str, int], where: str, planted: str, told: str
) -> None:
    name = f"{ROOT}.{where}"
    changed = {**modules, name: f"{modules.get(name, '')}\n{planted}\n"}
    packages = {name for name in modules if (PACKAGE.parent / name.replace(".", "/") / "__init__.py").exists()}
    found = list(violations(floors, graph_of(changed, packages)))
    assert any(told in violation for violation in found), found
