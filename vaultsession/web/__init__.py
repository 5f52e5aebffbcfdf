"""The page: the conversations of a vault, and the vault itself, in a browser. Needs the extra ``web``."""

from .app import create_app
from .server import Bound, serve

__all__ = ["Bound", "create_app", "serve"]
