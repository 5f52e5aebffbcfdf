"""Without the packages of the extra "testing", what needs them says so in a sentence; the rest of the kit works."""

from __future__ import annotations

import subprocess
import sys

import pytest

_WITHOUT = """\
import sys
sys.modules[{package!r}] = None  # as if it were not installed
from vaultsession.testing import ManualClock
{statement}
"""


@pytest.mark.parametrize(
    ("package", "statement"),
    [
        ("hypothesis", "import vaultsession.testing.strategies"),
        ("hypothesis", "from vaultsession.testing import SessionMachine"),
        ("pytest", "from vaultsession.testing import BackendContract"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_has_it(package: str, statement: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WITHOUT.format(package=package, statement=statement)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1].lower()
    assert "modulenotfounderror" in last
    assert f"needs {package}: pip install 'vaultsession[testing]'" in last
