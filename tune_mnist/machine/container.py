"""Is this a container, does a folder outlive it, and how does a person get at what lies in it?"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

MARKS = {"docker": ".dockerenv", "podman": "run/.containerenv"}  # files that an engine leaves in its containers


def engine(root: Path = Path("/")) -> str | None:
    """The command of the engine whose container this is; None outside of one."""
    return next((name for name, mark in MARKS.items() if (root / mark).exists()), None)


def is_mounted(path: Path) -> bool:
    """Whether it lies on a mount below the root: what is written there is seen outside of a container."""
    there = path.resolve()
    return any(os.path.ismount(one) for one in (there, *there.parents) if one != Path(there.anchor))


def name() -> str:
    """What the engine calls this container, as far as it can be known from within: it gives its id as host name."""
    host = platform.node()
    return host if re.fullmatch("[0-9a-f]{12}", host) else "CONTAINER"


def ways_out(path: Path) -> list[str]:
    """Lines on how a file or folder leaves this container; none outside of one, or where it is mounted."""
    command = engine()
    if command is None or is_mounted(path):
        return []
    lost = "all of it is in this container, and goes with it (with --rm, now)"
    return [f"{lost}; copy it, or mount a folder there with -v:", f"{command} cp {name()}:{path.absolute()} ."]


def again(store: Path) -> str:
    """What goes on from the store: of a container that was started for this command and alone has it, that one."""
    command = engine()
    if command is None or os.getppid() > 1 or is_mounted(store):  # tini is 1
        return "the same command again"
    return f"{command} start -ai {name()}"


def as_owner(folder: Path) -> str:
    """How a container writes into a mounted folder of another user: what to do, in brackets; nothing where there is
    nothing to do.

    A folder that -v names and that is not there is made by Docker, for root. To run as root would only make more such
    files.
    """
    command, found = engine(), folder.stat()
    if command is None or not is_mounted(folder):
        return ""
    if command == "docker" and found.st_uid == 0:
        you = '"$(id -u):$(id -g)"'
        return f" (docker makes it so where it is not there: outside, sudo chown {you} it, and docker run --user {you})"
    return f" ({command} run --user {found.st_uid}:{found.st_gid} writes as that user)"
