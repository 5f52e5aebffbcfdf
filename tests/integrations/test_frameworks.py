"""Each adapter says what it needs, and is in the document with its extra."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import PACKAGE, blocks
from frameworks import EXTRAS, declared

FOLDER = PACKAGE / "integrations"
ADAPTERS = sorted(path for path in FOLDER.glob("*.py") if "with framework(" in path.read_text(encoding="utf-8"))
DOCUMENT = FOLDER / "README.md"


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_an_adapter_has_an_extra_and_a_section(path: Path) -> None:
    extra = path.stem.replace("_", "-")
    assert extra in EXTRAS.values()
    assert f'extra="{extra}"' in path.read_text(encoding="utf-8")
    assert len(declared()[extra]) >= 1
    text = DOCUMENT.read_text(encoding="utf-8")
    assert f"`{path.stem}." in text
    assert f"`{extra}`" in text
    section = re.split(r"\n## ", text)
    assert any(f"vaultsession.integrations.{path.stem}" in part for part in section)
    assert any(f"vaultsession.integrations.{path.stem} " in block.text for block in blocks(text, DOCUMENT))


@pytest.mark.slow
@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_an_adapter_alone_imports_its_framework(path: Path) -> None:
    """Without the framework the import says how to get it, and the package is imported without it."""
    program = (
        "import sys, vaultsession\n"
        "class No:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.split('.')[0] in {'agents', 'cachelib', 'claude_agent_sdk', 'google', 'key_value',"
        " 'langchain_core', 'langgraph', 'pydantic_ai', 'starsessions', 'strands'}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, No())\n"
        f"import vaultsession.integrations.{path.stem}\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    extra = path.stem.replace("_", "-")
    assert ran.returncode == 1
    assert f"pip install 'vaultsession[{extra}]'" in ran.stderr.splitlines()[-1]
