"""vaultsession beside the stores that assistants use today, in one run. Run: ``python -m benchmarks.against``."""
