"""The backends that come with the package: ``memory`` (the reference, to learn from) and ``files``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..util.lazy import names_in

if TYPE_CHECKING:
    from .files import FilesBackend
    from .memory import MemoryBackend

__all__ = ["FilesBackend", "MemoryBackend"]

__getattr__ = names_in(__name__, globals(), {"FilesBackend": "files", "MemoryBackend": "memory"})
