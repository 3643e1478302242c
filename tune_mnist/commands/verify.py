"""`tune-mnist verify DIR`: trains one run of a results folder again and compares every epoch's numbers with the table.

Exit code 0 if all are equal to the last bit, 1 if not: then by how much, and what differs in the environment.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_mnist.commands.options import check_folder
from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.machine.cpu import cpu_model
from tune_mnist.machine.devices import resolve
from tune_mnist.machine.environment import package_version
from tune_mnist.measure import divergence
from tune_mnist.mnist import datasets
from tune_mnist.mnist.task import MNIST, VALIDATION, check_precision, prepared
from tune_mnist.mnist.validation import without_validation
from tune_mnist.results.columns import TIME
from tune_mnist.results.folder import ENVIRONMENT_JSON, HISTORY_CSV
from tune_mnist.store.history import DIVERGED
from tune_mnist.task import Config, Task
from tune_mnist.words import plural

if TYPE_CHECKING:
    import pandas as pd

NAMED = 8  # keys, where one that was given is none of a folder's
SHORT = 1.5  # times the shortest run's training time: what one chosen at random may take


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that a sweep left, with history.csv.")],
    run: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The run's key, or its beginning (default: a short one at random)."),
    ] = None,
    data_dir: Annotated[Path, typer.Option(envvar="TUNE_MNIST_DATA", help="Where the data sets lie.")] = Path("data"),
) -> int:
    """Train a run of a results folder again: same numbers?

    Ends with 0 if every epoch gives those that are in the table, to the last bit; else with 1, and says what differs.
    """
    check_folder(folder)
    from tune_mnist.results.read import read_environment, read_history, read_points, read_task  # not above: slow

    of = read_task(folder, MNIST)
    if of.name != MNIST.name:
        raise UserError(f"{folder} is of task {of.name}, whose code is not here; verify takes {MNIST.name}'s")
    history = read_history(folder, of)
    if history is None or history.empty:
        raise UserError(f"{folder} has no epochs in {HISTORY_CSV} to verify; give a folder that a sweep left")
    points = read_points(folder, of)
    _refuse_without_epochs(points, history, run)
    rows = _chosen(history, run, folder)
    task = _prepared(rows.iloc[0], data_dir)
    config = _config(rows, points, task)
    said = ", ".join(f"{one.name}={config[one.name]}" for one in task.parameters if config[one.name] != one.default)
    again = f"training {plural(len(rows), 'epoch')} again"
    print(f"run {rows.iloc[0]['run']} ({said or 'all defaults'}): {again}", flush=True)
    unlike = _train(config, task, rows, _end(rows, points))
    if not unlike:
        print(f"equal: {plural(len(rows), 'epoch')}, every number the same to the last bit")
        return 0
    for line in [*unlike, *_differences(read_environment(folder), task.conditions)]:
        print(line)
    return 1


def _refuse_without_epochs(points: pd.DataFrame, history: pd.DataFrame, key: str | None) -> None:
    """Raise UserError for a run that diverged at its first epoch: it has no numbers."""
    ended = points[(points["status"] == DIVERGED) & ~points["run"].isin(history["run"])]
    for run, error in zip(ended["run"], ended["error"], strict=True):
        if key and run.startswith(key):
            raise UserError(f"run {run} diverged ({error}) before it had numbers to verify; choose another with --run")


def _prepared(row: Any, data_dir: Path) -> Task:
    """The task under the conditions that the row was trained under, as far as this machine has them."""
    device, precision = resolve(str(row["device"])), str(row["precision"])
    check_precision(precision, device, local=True)
    data = datasets.load(str(row["dataset"]), data_dir, print)
    data = without_validation(data, int(row.get(VALIDATION.name, 0)))
    return prepared(data, device, int(row["threads"]), precision)


def _chosen(history: pd.DataFrame, key: str | None, folder: Path) -> pd.DataFrame:
    keys = list(dict.fromkeys(history["run"]))
    if key is None:
        times = history.groupby("run")[TIME.name].sum()
        key = random.choice([one for one in keys if times[one] <= SHORT * times.min()])
    found = [one for one in keys if str(one).startswith(key)]
    if not found:
        raise UserError(f"no run of {folder} has a key that begins with '{key}'; its keys are {_some(keys)}")
    if len(found) > 1:
        raise UserError(
            f"{len(found)} runs of {folder} have keys that begin with '{key}': {_some(found)}; give more of it"
        )
    rows: pd.DataFrame = history[history["run"] == found[0]].sort_values("epoch")
    if rows["epoch"].tolist() != list(range(1, len(rows) + 1)):
        raise UserError(f"{folder}: {HISTORY_CSV} lacks an epoch of run {found[0]}; choose another with --run")
    return rows


def _some(keys: Sequence[str]) -> str:
    return ", ".join([*keys[:NAMED], *([f"and {len(keys) - NAMED} more"] if len(keys) > NAMED else [])])


def _config(rows: pd.DataFrame, points: pd.DataFrame, task: Task) -> Config:
    """The run's hyper-parameters: those of its row, and as many epochs as its longest point asks for."""
    first = rows.iloc[0]
    active = first[first.notna()].to_dict()
    names = [one.name for one in task.parameters if one.name != "epochs" and one.name in active]
    values = {name: active[name].item() if hasattr(active[name], "item") else active[name] for name in names}
    asked = points.loc[points["run"] == first["run"], "epochs"]
    return task.config(values, epochs=int(asked.max()) if len(asked) else len(rows))


def _end(rows: pd.DataFrame, points: pd.DataFrame) -> str:
    """How the run ended, if it diverged after its epochs: "train_loss is nan at epoch 3"."""
    ended = points[(points["run"] == rows.iloc[0]["run"]) & (points["status"] == DIVERGED)]
    return str(ended["error"].iloc[0]) if len(ended) else ""


def _train(config: Config, task: Task, rows: pd.DataFrame, end: str) -> list[str]:
    """Trains, printing each epoch; what differs, a line each. `end`: what shows that it diverges after them."""
    loop, judged = task.train(config, None), task.judged
    unlike: list[str] = []
    compared = [one.name for one in task.measures if one.in_points]
    for _, row in rows.iterrows():
        try:
            now, _ = next(loop)
        except TrainingFailed as failure:
            return [*unlike, f"epoch {row['epoch']}: {failure}"]
        off = [_off(name, now[name], row[name]) for name in compared if now[name] != row[name]]
        unlike += [f"epoch {row['epoch']} differs: {'; '.join(off)}"] if off else []
        said = f"{judged.words} {judged.text(now[judged.name])}, {'differs' if off else 'equal'}"
        print(f"epoch {row['epoch']}: {said}", flush=True)
    if end:
        found, then = divergence(next(loop)[0], judged.name) or "the training goes on", end.rpartition(" at ")[0]
        unlike += [f"epoch {len(rows) + 1} differs: {found}, where {then}"] if found != then else []
        print(f"epoch {len(rows) + 1}: {found}, {'equal' if found == then else 'differs'}", flush=True)
    return unlike


def _off(name: str, now: float, then: float) -> str:
    return f"{name} is {now!r}, was {then!r} (by {now - then:+.2g})"


def _differences(facts: dict[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not as it was; or that nothing known is."""
    conditions, packages, cpu = (facts.get(name) or {} for name in ("conditions", "packages", "cpu"))
    if not conditions:
        lacks = "is missing" if not facts else "tells nothing of the conditions"
        return [f"{ENVIRONMENT_JSON} {lacks}, so what differs in the environment is not known"]
    pairs = [(name, value, now[name]) for name, value in conditions.items() if name in now]
    pairs += [(name, packages.get(name), package_version(name)) for name in ("numpy", "tune-mnist")]
    pairs.append(("cpu", cpu.get("model"), cpu_model()))
    lines = [
        f"{name} is {value}; what it was is not recorded" if then is None else f"{name} was {then}, is {value}"
        for name, then, value in pairs
        if then != value
    ]
    return lines or [f"nothing that {ENVIRONMENT_JSON} records differs here"]
