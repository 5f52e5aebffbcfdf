"""``python tests/fuzz/fuzz_body.py -max_total_time=30``: see ``fuzz_targets.body``."""

from __future__ import annotations

from fuzz_lab import guided

if __name__ == "__main__":
    guided("body")
