"""A training's state as a checkpoint's file, and back. torch is loaded only for the states that need it."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

from tune_mnist.store.regular import Unfit, naming, read
from tune_mnist.store.sealed import with_head, without_head

ZIP = b"PK\x03\x04"  # what torch.save writes begins with
NAME = re.compile(r"epoch-(\d{5,})\.([0-9a-f]{16})\.pt")  # of a checkpoint's file: after which epoch, and a hash of it
MOST = 4 << 30  # bytes


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


def as_file(state: bytes, run: str, epoch: int) -> tuple[str, bytes]:
    """The name and the content of the file that keeps the state of the run after that epoch."""
    content = with_head(state, run, epoch)
    return f"epoch-{epoch:05d}.{_digest(content)}.pt", content


def read_state(path: Path, run: str) -> bytes:
    """The state in a checkpoint's file. Raises Unfit if it is damaged, another run's or epoch's, or gone by now."""
    content, match = read(path, MOST), NAME.fullmatch(path.name)
    with naming(path):
        if content is None or match is None or _digest(content) != match[2]:
            raise Unfit("damaged")
        return without_head(content, run, int(match[1]))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
