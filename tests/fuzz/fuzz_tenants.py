"""``python tests/fuzz/fuzz_tenants.py -max_total_time=30``: see ``fuzz_targets.tenants``."""

from __future__ import annotations

from fuzz_lab import guided

if __name__ == "__main__":
    guided("tenants")
