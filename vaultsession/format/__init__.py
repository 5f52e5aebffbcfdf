"""The container: one sealed file per session. FORMAT.md in this folder is normative.

``record`` constants and layout, keyless · ``cipher`` sealing and opening records · ``index_row`` heads for an index
"""

from .cipher import ContainerCipher
from .index_row import IndexRowCipher

__all__ = ["ContainerCipher", "IndexRowCipher"]
