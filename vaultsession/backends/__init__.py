"""The backends that come with the package: ``memory`` (the reference, to learn from) and ``files``."""

from .files import FilesBackend
from .memory import MemoryBackend

__all__ = ["FilesBackend", "MemoryBackend"]
