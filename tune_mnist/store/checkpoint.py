"""A training's state as a checkpoint's content, and back. torch is loaded only for the states that need it."""

from __future__ import annotations

import io
from typing import Any

ZIP = b"PK\x03\x04"  # what torch.save writes begins with


def packed(state: Any) -> bytes | None:
    """A state as a checkpoint's content; None, of a task that cannot be gone on with, stays None."""
    if state is None or (isinstance(state, bytes) and not state.startswith(ZIP)):
        return state
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(content: bytes) -> Any:
    """The state of a checkpoint, on the CPU; torch's are loaded as weights only."""
    if not content.startswith(ZIP):
        return content
    import torch

    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
