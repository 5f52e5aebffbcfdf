"""One sealed file per session, and an index that may be deleted at any time."""

from .backend import FilesBackend

__all__ = ["FilesBackend"]
