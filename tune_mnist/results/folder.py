"""A results folder: the names of its files, whether it can be written, and what an earlier command left in it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from tune_mnist.errors import UserError
from tune_mnist.files import write_whole
from tune_mnist.machine.container import engine

HISTORY_CSV = "history.csv"
SUMMARY_CSV = "summary.csv"
ENVIRONMENT_JSON = "environment.json"
REPORTS = ("report.md", "report.html", "report.pdf")
TENSORBOARD = "tensorboard"
LOGS = "logs"  # what a user's loops print, a file for each run
FIGURES = (".png", ".svg")  # a figure's files end with these
_RESULTS, _LOG = "_results.csv", "_experiments.log"


def results_csv(task: str) -> str:
    """The name of the table of points: mnist_results.csv, as the original experiment called it."""
    return task + _RESULTS


def log_name(task: str) -> str:
    """The name of the log: mnist_experiments.log."""
    return task + _LOG


def log_file(name: str, key: str) -> str:
    """The file below LOGS of what a run's loop printed."""
    return f"{name}-{key[:6]}.txt".replace("/", "_")


def find_results(folder: Path, task: str) -> Path:
    """The folder's table of points: the task's, or the only one there is; the task's name where there is none."""
    named = folder / results_csv(task)
    others = sorted(folder.glob(f"*{_RESULTS}"))
    return others[0] if len(others) == 1 and not named.is_file() else named


def is_log(name: str) -> bool:
    """Whether a file of that name is a command's log."""
    return name.endswith(_LOG)


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write the table, whole or not at all; floats in the shortest form that reads back to the same bits."""
    write_whole(path, _csv(frame))
    return path


def is_written(frame: pd.DataFrame, path: Path) -> bool:
    """Whether the file holds this table, byte for byte."""
    return path.is_file() and path.read_bytes() == _csv(frame)


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


def write_environment(folder: Path, facts: dict[str, Any]) -> Path:
    """Write environment.json."""
    path = folder / ENVIRONMENT_JSON
    write_whole(path, (json.dumps(facts, indent=2) + "\n").encode())
    return path


def made_from_tables(folder: Path, task: str) -> list[Path]:
    """What an earlier command made from its tables: figures and a report, which belong to those alone."""
    try:
        names = json.loads((folder / ENVIRONMENT_JSON).read_text("utf-8"))["files"]
        kept = (results_csv(task), HISTORY_CSV, ENVIRONMENT_JSON)
        return [folder / name for name in names if name == Path(name).name and name not in kept]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def is_complete(folder: Path, version: str | None) -> bool:
    """Whether all that a command of this version wrote beside the tables is still there."""
    try:
        facts = json.loads((folder / ENVIRONMENT_JSON).read_text("utf-8"))
        same_version = facts["packages"]["tune-mnist"] == version
        return same_version and all((folder / name).is_file() for name in facts["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def check_place(folder: Path) -> None:
    """Raise UserError if the folder, or the nearest there is above it, cannot be written; makes nothing."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        cause = "is not a folder" if not there.is_dir() else f"may not be written{_by_whom(there)}"
        raise UserError(f"output folder '{folder}' cannot be written: '{there}' {cause}; choose another with --output")


def _by_whom(folder: Path) -> str:
    """Why not: a read-only container, or a folder that another user made outside of it."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        hint = " (docker run -v mounts a folder there)" if engine() else ""
        return f", because its file system is read-only{hint}"
    owner, group = folder.stat().st_uid, folder.stat().st_gid
    if owner == os.getuid():
        return ""
    hint = f" (docker run --user {owner}:{group} writes as that user)" if engine() else ""
    return f" by user {os.getuid()}, because it is user {owner}'s{hint}"


def prepare_folder(folder: Path) -> None:
    """Make the folder for what a command leaves; UserError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"output folder '{folder}' cannot be written: {error.strerror}; choose another with --output"
        ) from None
