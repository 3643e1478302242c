"""A results folder: the names of its files, whether it can be written, and what an earlier command left in it."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tune_mnist.errors import ClusterError, UserError
from tune_mnist.files import sha256, shortened, write_whole
from tune_mnist.machine.container import as_owner, engine

if TYPE_CHECKING:
    import pandas as pd

HISTORY_CSV = "history.csv"
SUMMARY_CSV = "summary.csv"
INTERACTION_CSV = "interaction.csv"
ENVIRONMENT_JSON = "environment.json"
REPORTS = ("report.md", "report.html", "report.pdf")
TENSORBOARD = "tensorboard"
EVENTS = "events.out.tfevents."  # TensorBoard reads the files that are called so
LOGS = "logs"  # what a user's loops print, a file for each run
FIGURES = (".png", ".svg")  # a figure's files end with these
_RESULTS, _LOG = "_results.csv", "_experiments.log"
_FIGURE = re.compile(r"(?:[\w.-]+_vs_|heatmap_|interaction_|learning_)[\w.-]+\.(?:png|svg)")
_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def results_csv(task: str) -> str:
    """The name of the table of points: mnist_results.csv, as the original experiment called it."""
    return task + _RESULTS


def log_name(task: str) -> str:
    """The name of the log: mnist_experiments.log."""
    return task + _LOG


def run_name(name: str, key: str) -> str:
    """What a run's own files and folders are called: by its name for people and, because that may be cut, its key."""
    return f"{shortened(name[:80])}-{key[:6]}".replace("/", "_")


def log_file(name: str, key: str) -> str:
    """The file below LOGS of what a run's loop printed."""
    return f"{run_name(name, key)}.txt"


def event_file(folder: Path, name: str, key: str) -> Path:
    """What TensorBoard shows of a run: one file, whoever writes it, for several commands may."""
    return folder / TENSORBOARD / run_name(name, key) / f"{EVENTS}0.{key}"


def find_results(folder: Path, task: str) -> Path:
    """The folder's table of points: the task's, or the only one there is; the task's name where there is none."""
    named = folder / results_csv(task)
    others = sorted(folder.glob(f"*{_RESULTS}"))
    return others[0] if len(others) == 1 and not named.is_file() else named


def tables_of(folder: Path, task: str) -> list[Path]:
    """The folder's tables, of points and of epochs, as far as they are there."""
    return [path for path in (find_results(folder, task), folder / HISTORY_CSV) if path.is_file()]


def is_log(name: str) -> bool:
    """Whether a file of that name is a command's log."""
    return name.endswith(_LOG)


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write the table, whole or not at all; floats in the shortest form that reads back to the same bits."""
    write_whole(path, _csv(frame))
    return path


def is_written(frame: pd.DataFrame, path: Path) -> bool:
    """Whether the file holds this table, byte for byte."""
    return sha256(path) == hashlib.sha256(_csv(frame)).hexdigest()


def _csv(frame: pd.DataFrame) -> bytes:
    import pandas as pd  # not above: a command that writes no table starts sooner

    safe = frame.rename(columns=_safe)
    for column, kind in safe.dtypes.items():
        if pd.api.types.is_object_dtype(kind) or isinstance(kind, pd.StringDtype):
            safe[column] = pd.Series([_safe(cell) for cell in safe[column]], index=safe.index, dtype=object)
    return safe.to_csv(index=False, lineterminator="\n").encode("utf-8", "backslashreplace")


def _safe(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula, as text: with the ' that `plain` takes away again."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) and not _is_number(cell) else cell


def plain(cell: str) -> str:
    """A cell's text as it was before `_csv` wrote it."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def write_environment(folder: Path, facts: dict[str, Any]) -> Path:
    """Write environment.json."""
    path = folder / ENVIRONMENT_JSON
    write_whole(path, (json.dumps(facts, indent=2) + "\n").encode())
    return path


def is_product(name: str) -> bool:
    """Whether a file is called as one that we make from the tables."""
    return name in (SUMMARY_CSV, INTERACTION_CSV, *REPORTS) or _FIGURE.fullmatch(name) is not None


def is_made(name: str) -> bool:
    """Whether a file is called as one that a command writes anew: a table, its record, or what is made from them."""
    return name.endswith(_RESULTS) or name in (HISTORY_CSV, ENVIRONMENT_JSON) or is_product(name)


def products(facts: Mapping[str, Any]) -> dict[str, str | None]:
    """What a record in environment.json says was made from the tables: file -> SHA-256, None where it tells none, as
    records did once. Names that are not ours are left out: whoever wrote them there, those files are not.
    """
    files = facts.get("files") or {}
    sums = files if isinstance(files, dict) else dict.fromkeys(files)
    return {name: sum_ for name, sum_ in sums.items() if is_product(name)}


def recorded(facts: Mapping[str, Any]) -> list[str]:
    """Of these the names of those whose SHA-256 it tells."""
    return [name for name, sum_ in products(facts).items() if sum_ is not None]


def record_products(folder: Path, facts: dict[str, Any], made: Iterable[str]) -> None:
    """Write down in environment.json, which says `facts` otherwise, which files were made from the tables."""
    write_environment(folder, facts | {"files": {name: sha256(folder / name) for name in made}})


def remove_products(folder: Path, facts: Mapping[str, Any], but: Container[str]) -> None:
    """Remove what was made from other tables than those that stand there now, as far as it is as we recorded it."""
    for name, recorded in products(facts).items():
        if name not in but and recorded is not None and sha256(folder / name) == recorded:
            (folder / name).unlink()


def set_aside(folder: Path, facts: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Files called as those that we are about to make, and which we did not, get other names: old name -> new one."""
    known, moved = products(facts), {}
    for name in names:
        path = folder / name
        if not path.is_file() or (name in known and known[name] in (None, sha256(path))):
            continue
        count = next(number for number in itertools.count(1) if not _old(path, number).exists())
        moved[name] = path.rename(_old(path, count)).name
    return moved


def _old(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}.old{number}{path.suffix}")


def is_complete(folder: Path, facts: Mapping[str, Any], version: str | None) -> bool:
    """Whether all that a command of this version, which left `facts`, made from its tables is still there."""
    made = products(facts)
    same_version = (facts.get("packages") or {}).get("tune-mnist") == version
    is_whole = {SUMMARY_CSV, *REPORTS} <= made.keys() and (
        isinstance(facts.get("files"), list) or None not in made.values()
    )
    return same_version and is_whole and all((folder / name).is_file() for name in made)


def margins(facts: Mapping[str, Any]) -> dict[str, float]:
    """Sweep -> the least difference that matters, for the sweeps whose command named one."""
    said = [*(facts.get("earlier") or []), facts]
    named = [one for one in said if 0 < (one.get("margin") or 0) < math.inf]
    return {sweep: float(one["margin"]) for one in named for sweep in (one.get("sweeps") or {})}


def with_margin(facts: Mapping[str, Any], margin: float) -> dict[str, Any]:
    """What environment.json tells, as if every command had named this margin."""
    found = dict(facts) | {"margin": margin}
    if facts.get("earlier"):
        found["earlier"] = [one | {"margin": margin} for one in facts["earlier"]]
    return found


def check_place(folder: Path, task: str) -> None:
    """Raise UserError if the folder, or the nearest there is above it, cannot be written, or if what a command would
    write there is something else than a file; makes nothing.
    """
    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if _is_there(path))
        if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
            cause = "is not a folder" if not there.is_dir() else f"may not be written{_by_whom(there)}"
            raise UserError(f"{_refused(folder)}: '{there}' {cause}; choose another with --output")
        if there == folder.absolute():
            os.scandir(folder).close()
        tables = results_csv(task), HISTORY_CSV, SUMMARY_CSV, INTERACTION_CSV
        for name in (*tables, ENVIRONMENT_JSON, log_name(task), *REPORTS):
            _check_kind(folder / name, stat.S_ISREG, "file")
        for name in (TENSORBOARD, LOGS):
            _check_kind(folder / name, stat.S_ISDIR, "folder")
    except OSError as error:
        raise UserError(f"{_refused(folder)}: {error.strerror}; choose another with --output") from None


def _check_kind(path: Path, is_kind: Callable[[int], bool], kind: str) -> None:
    if _is_there(path) and not is_kind(path.lstat().st_mode):
        raise UserError(f"'{path}' is no plain {kind}, so nothing can be written there; choose another --output")


def _is_there(path: Path) -> bool:
    """Whether anything is called so, a link that leads nowhere too. Raises OSError where that may not be known."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _refused(folder: Path) -> str:
    name = str(folder)
    return f"output folder '{name if len(name) <= 100 else name[:100] + '…'}' cannot be written"


def _by_whom(folder: Path) -> str:
    """Why not: a read-only container, or a folder that another user made outside of it."""
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        hint = " (docker run -v mounts a folder there)" if engine() else ""
        return f", because its file system is read-only{hint}"
    owner = folder.stat().st_uid
    if owner == os.getuid():
        return ""
    whose = f"user {owner}" if owner else "root"
    return f" by user {os.getuid()}, because it is {whose}'s{as_owner(folder)}"


def prepare_folder(folder: Path) -> None:
    """Make the folder for what a command leaves; UserError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{_refused(folder)}: {error.strerror}; choose another with --output") from None


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Who fails to write in the block, because a disk is full, say, gets a ClusterError."""
    try:
        yield
    except OSError as error:
        kept = "what is trained is kept in the store, and the same command again writes the rest"
        raise ClusterError(f"{_refused(folder)}: {error.strerror or error}; {kept}") from None
