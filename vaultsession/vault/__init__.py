"""A vault: who it is, its key slots and its keys. Sessions are the backend's business."""

from __future__ import annotations

from .directory import VaultDirectory
from .vault import Candidates, UnlockedVault, Vault

__all__ = ["Candidates", "UnlockedVault", "Vault", "VaultDirectory"]
