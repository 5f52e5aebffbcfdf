"""Bytes of other programs as the state of a session: as text where they are text, which compresses and is found."""

from __future__ import annotations

import base64

from ..format.payload import Json


def blob_state(data: bytes) -> Json:
    """The state for the bytes."""
    try:
        return {"text": bytes(data).decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def blob_of(state: Json) -> bytes:
    """The bytes again."""
    return state["text"].encode() if "text" in state else base64.b64decode(state["base64"])
