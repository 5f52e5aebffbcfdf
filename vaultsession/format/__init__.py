"""The container: one sealed file per session. FORMAT.md in this folder is normative.

``v1`` constants and layout, keyless · ``cipher`` sealing and opening records · ``rows`` heads sealed for an index
"""

from .cipher import ContainerCipher
from .index_row import IndexRowCipher

__all__ = ["ContainerCipher", "IndexRowCipher"]
