"""The container: one sealed file per session. FORMAT.md in this folder is normative."""

from .cipher import ContainerCipher
from .index_row import IndexRowCipher

__all__ = ["ContainerCipher", "IndexRowCipher"]
