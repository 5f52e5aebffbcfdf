"""Benchmarks. Nothing here is imported by the package, and no timing is ever asserted by a test."""
