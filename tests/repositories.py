"""Git repositories that tests make."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def git(*arguments: str, folder: Path) -> str:
    """What git prints; whoever commits has a name, and no settings of this machine count."""
    someone = {f"GIT_{role}_{what}": "a@b" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    nothing = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=os.environ | someone | nothing, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
