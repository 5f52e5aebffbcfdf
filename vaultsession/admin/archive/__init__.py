"""Files that agents leave behind, as sessions, and back byte for byte: see ``ARCHIVE.md``."""

from __future__ import annotations
