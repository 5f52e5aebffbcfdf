"""What is deferred is the very same thing as what is imported, only later."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from vaultsession import backends
from vaultsession.backends.memory import MemoryBackend
from vaultsession.format import jsonl
from vaultsession.util.lazy import LazyModule, names_in

PACKAGE = Path(__file__).parents[3] / "vaultsession"
DEFERRING = sorted(
    path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", ".")
    for path in PACKAGE.rglob("*.py")
    if path.stem != "lazy" and "LazyModule" in path.read_text(encoding="utf-8")
)


def test_a_name_of_a_deferred_module_is_that_of_the_module() -> None:
    later = LazyModule(".format.jsonl")
    assert later.line_of is jsonl.line_of
    assert LazyModule("types").ModuleType is types.ModuleType


def test_what_a_test_puts_into_the_module_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    later = LazyModule(".format.jsonl")
    assert later.line_of is not None
    monkeypatch.setattr(jsonl, "line_of", None)
    assert later.line_of is None


def test_a_name_that_is_not_there_is_an_attribute_error_and_a_module_an_import_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = LazyModule(".format.jsonl").nothing_of_the_kind
    with pytest.raises(ModuleNotFoundError):
        _ = LazyModule(".nothing_of_the_kind").name


def test_a_module_is_imported_when_a_name_is_asked_for_and_not_before() -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; from vaultsession.util.lazy import LazyModule; later = LazyModule('.format.jsonl');"
        "print('vaultsession.format.jsonl' in sys.modules, later, later.read_line.__name__)"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "False <lazy module .format.jsonl> read_line"


def test_a_package_shows_the_names_of_modules_that_it_has_not_imported() -> None:
    assert backends.MemoryBackend is MemoryBackend
    namespace: dict[str, Any] = {}
    found = names_in("vaultsession", namespace, {"LazyModule": "util.lazy"})
    assert found("LazyModule") is LazyModule is namespace["LazyModule"]
    with pytest.raises(AttributeError, match="'vaultsession' has no attribute 'Absent'"):
        found("Absent")


@pytest.mark.parametrize("name", DEFERRING)
def test_what_is_deferred_is_the_module_that_the_type_checker_sees(name: str) -> None:
    """Two tables that say the same drift apart: a wrong name would be found by the first caller of that rare verb."""
    module = importlib.import_module(name)
    seen: dict[str, str] = {}
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            seen.update((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            seen.update((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            folder = "".join(f".{part}" for part in (*name.split(".")[1 : -node.level], node.module) if part)
            seen.update((alias.asname or alias.name, f"{folder}.{alias.name}") for alias in node.names)
    deferred = {key: value for key, value in vars(module).items() if isinstance(value, LazyModule)}
    assert deferred
    assert {key: repr(value) for key, value in deferred.items()} == {
        key: repr(LazyModule(seen[key])) for key in deferred
    }
