"""vaultsession beside the stores that assistants use today, in one interleaved run: ``python -m benchmarks.against``."""
