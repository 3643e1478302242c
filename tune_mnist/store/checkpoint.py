"""A training's state as a checkpoint's content, and back. torch is loaded only for the states that need it."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from tune_mnist.store.regular import Unfit

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

    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("it is compressed, as torch.save makes none: it may grow to any size")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def check(content: bytes) -> None:
    """Raise Unfit for the content of a checkpoint that does not load: a pickle that asks for more than weights, say."""
    try:
        unpacked(content)
    except Exception as error:  # torch raises what its parts do
        raise Unfit(f"not to be loaded ({type(error).__name__})") from None
