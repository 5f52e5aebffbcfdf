"""What is deferred is the very same thing as what is imported, only later."""

from __future__ import annotations

import subprocess
import sys
import types
from typing import Any

import pytest

from vaultsession import transfer, vault
from vaultsession.deferred import Deferred, names_in
from vaultsession.vault.engine import EngineVault


def test_a_name_of_a_deferred_module_is_that_of_the_module() -> None:
    later = Deferred(".transfer")
    assert later.line_of is transfer.line_of
    assert Deferred("types").ModuleType is types.ModuleType


def test_what_a_test_puts_into_the_module_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    later = Deferred(".transfer")
    assert later.line_of is not None
    monkeypatch.setattr(transfer, "line_of", None)
    assert later.line_of is None


def test_a_name_that_is_not_there_is_an_attribute_error_and_a_module_an_import_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = Deferred(".transfer").nothing_of_the_kind
    with pytest.raises(ModuleNotFoundError):
        _ = Deferred(".nothing_of_the_kind").name


def test_a_module_is_imported_when_a_name_is_asked_for_and_not_before() -> None:
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; from vaultsession.deferred import Deferred; later = Deferred('.transfer');"
        "print('vaultsession.transfer' in sys.modules, later, later.read_line.__name__)"
    )
    ran = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "False <deferred module .transfer> read_line"


def test_a_package_shows_the_names_of_modules_that_it_has_not_imported() -> None:
    assert vault.EngineVault is EngineVault
    namespace: dict[str, Any] = {}
    found = names_in("vaultsession", namespace, {"Deferred": "deferred"})
    assert found("Deferred") is Deferred is namespace["Deferred"]
    with pytest.raises(AttributeError, match="'vaultsession' has no attribute 'Absent'"):
        found("Absent")
