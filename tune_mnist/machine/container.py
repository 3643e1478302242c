"""Is this a container, and does a folder outlive it?"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

MARKS = {"docker": ".dockerenv", "podman": "run/.containerenv"}  # files that an engine leaves in its containers


def engine(root: Path = Path("/")) -> str | None:
    """The command of the engine whose container this is; None outside of one."""
    return next((name for name, mark in MARKS.items() if (root / mark).exists()), None)


def is_mounted(folder: Path) -> bool:
    """Whether the folder lies on a mount below the root: what is written there is seen outside of a container."""
    there = folder.resolve()
    return any(os.path.ismount(one) for one in (there, *there.parents) if one != Path(there.anchor))


def name() -> str:
    """What the engine calls this container, as far as it can be known from within: it gives its id as host name."""
    host = platform.node()
    return host if re.fullmatch("[0-9a-f]{12}", host) else "CONTAINER"
