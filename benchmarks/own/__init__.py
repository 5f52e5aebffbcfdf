"""vaultsession against the physical limit, and its cost over growing sizes. Run: ``python -m benchmarks.own``."""
