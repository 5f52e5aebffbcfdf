"""LangGraph on a vault: checkpoints, long-term memory, and a cipher for other checkpointers. Needs ``langgraph``.

::

    with VaultSaver.from_url("sessions") as saver:
        graph = builder.compile(checkpointer=saver)
        graph.invoke({"messages": [("user", "Hello")]}, {"configurable": {"thread_id": "user-123"}})
"""

from __future__ import annotations

from .cipher import VaultCipher
from .memory_store import VaultStore
from .saver import VaultSaver

__all__ = ["VaultCipher", "VaultSaver", "VaultStore"]
