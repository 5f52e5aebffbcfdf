"""What ``import vaultsession`` costs beyond the three packages that it imports.

Byte code is at hand, as it is where a package was installed: without it each process would compile what it imports, and
the figure would be three times as large wherever the environment says PYTHONDONTWRITEBYTECODE.
"""

from __future__ import annotations

import os
import subprocess
import sys

from ..harness import Report, median

_PACKAGES = "import cryptography.hazmat.primitives.kdf.hkdf, zstandard, orjson"
_BOTH = f"{_PACKAGES}; import vaultsession; vaultsession.open_store"
_CODE = """
import sys, time
sys.path.insert(0, {root!r})
began = time.perf_counter()
{statement}
print((time.perf_counter() - began) * 1e6)
"""


def run(report: Report, directory: str, scale: float) -> None:
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": os.path.join(directory, "byte-code")}
    environ = {**os.environ, **compiled}
    times: dict[str, list[float]] = {"packages": [], "both": []}
    for sample in range(1 + max(3, int(15 * scale))):
        for name, statement in (("packages", _PACKAGES), ("both", _BOTH)):
            code = _CODE.format(root=os.getcwd(), statement=statement)
            out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
            if sample:  # the first one compiles
                times[name].append(float(out.stdout))
    beyond = median(times["both"]) - median(times["packages"])
    report.add("import vaultsession beyond its packages", beyond / 1000, "ms", 50)
