"""`tune-mnist verify DIR`: trains one run of a results folder again and compares every epoch's numbers with the table.

Exit code 0 if all are equal to the last bit, 1 if not: then by how much, and what differs in the environment.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from tune_mnist.commands import options as cli
from tune_mnist.display.progress import plural
from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.machine import environment
from tune_mnist.machine.devices import check_precision, conditions, resolve
from tune_mnist.mnist import datasets
from tune_mnist.mnist.config import TrainConfig

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
SHORT = 1.5  # times the shortest run's training time: what one chosen at random may take


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that a sweep left, with history.csv.")],
    run: Annotated[
        Optional[str],  # noqa: UP045 - Typer reads this at run time, on Python 3.10 too
        typer.Option(metavar="KEY", help="The run's key, or its beginning (default: a short one at random)."),
    ] = None,
    data_dir: Annotated[Path, typer.Option(envvar="TUNE_MNIST_DATA", help="Where the data sets lie.")] = Path("data"),
) -> int:
    """Train one run again and say whether every epoch gives the numbers that are in the table."""
    cli.check_folder(folder)
    points, history, facts = _tables(folder)
    rows = _chosen(history, run, folder)
    config, first = _config(rows, points), rows.iloc[0]
    device = resolve(str(first["device"]))
    check_precision(str(first["precision"]), device, local=True)
    data = datasets.load(str(first["dataset"]), data_dir, print)
    print(f"run {first['run']} ({_said(config)}): training {plural(len(rows), 'epoch')} again", flush=True)
    unlike = _train(config, data, device, rows)
    if not unlike:
        print(f"equal: {plural(len(rows), 'epoch')}, every number the same to the last bit")
        return 0
    for line in [
        *unlike,
        *_differences(facts, conditions(data, device, int(first["threads"]), str(first["precision"]))),
    ]:
        print(line)
    return 1


def _tables(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    from tune_mnist.results.read import read_environment, read_history, read_points

    history = read_history(folder)
    if history is None or history.empty:
        raise UserError(f"{folder} has no epochs in history.csv to verify; give a folder that a sweep left")
    return read_points(folder), history, read_environment(folder)


def _chosen(history: pd.DataFrame, key: str | None, folder: Path) -> pd.DataFrame:
    keys = list(dict.fromkeys(history["run"]))
    if key is None:
        times = history.groupby("run")["train_time_s"].sum()
        key = random.choice([one for one in keys if times[one] <= SHORT * times.min()])
    found = [one for one in keys if str(one).startswith(key)]
    if len(found) != 1:
        which = "no run" if not found else f"{len(found)} runs"
        raise UserError(f"{which} of {folder} has a key that begins with '{key}'; its keys are {', '.join(keys)}")
    rows: pd.DataFrame = history[history["run"] == found[0]].sort_values("epoch")
    if rows["epoch"].tolist() != list(range(1, len(rows) + 1)):
        raise UserError(f"{folder}: history.csv lacks an epoch of run {found[0]}; choose another with --run")
    return rows


def _config(rows: pd.DataFrame, points: pd.DataFrame) -> TrainConfig:
    """The run's hyper-parameters: those of its row, and as many epochs as its longest point asks for."""
    from dataclasses import fields

    first = rows.iloc[0]
    values = {field.name: first[field.name] for field in fields(TrainConfig) if field.name != "epochs"}
    values = {name: value.item() if hasattr(value, "item") else value for name, value in values.items()}
    asked = points.loc[points["run"] == first["run"], "epochs"]
    return TrainConfig(**values, epochs=int(asked.max()) if len(asked) else len(rows))


def _said(config: TrainConfig) -> str:
    different = {name: value for name, value in vars(config).items() if value != getattr(TrainConfig, name)}
    return ", ".join(f"{name}={value}" for name, value in different.items()) or "all defaults"


def _train(config: TrainConfig, data: datasets.Dataset, device: str, rows: pd.DataFrame) -> list[str]:
    """Trains, printing each epoch; what differs, a line each."""
    from tune_mnist.mnist.training import Training

    first = rows.iloc[0]
    training = Training(config, data, device, int(first["threads"]), precision=str(first["precision"]))
    unlike: list[str] = []
    for _, row in rows.iterrows():
        try:
            result = training.run_epoch()
        except TrainingFailed as failure:
            return [*unlike, f"epoch {row['epoch']}: {failure}"]
        off = [_off(name, getattr(result, name), row[name]) for name in COMPARED if getattr(result, name) != row[name]]
        unlike += [f"epoch {row['epoch']} differs: {'; '.join(off)}"] if off else []
        print(
            f"epoch {row['epoch']}: test accuracy {result.test_accuracy:.2%}, {'differs' if off else 'equal'}",
            flush=True,
        )
    return unlike


def _off(name: str, now: float, then: float) -> str:
    return f"{name} is {now!r}, was {then!r} (by {now - then:+.2g})"


def _differences(facts: dict[str, Any], now: Any) -> list[str]:
    """What is not as it was; or that nothing known is."""
    held, packages, cpu = (facts.get(name) or {} for name in ("conditions", "packages", "cpu"))
    if not held:
        lacks = "is missing" if not facts else "tells nothing of the conditions"
        return [f"{environment.ENVIRONMENT_JSON} {lacks}, so what differs in the environment is not known"]
    pairs = [(name, value, getattr(now, name)) for name, value in held.items() if hasattr(now, name)]
    pairs += [(name, packages.get(name), environment.package_version(name)) for name in ("numpy", "tune-mnist")]
    pairs.append(("cpu", cpu.get("model"), environment.cpu_model()))
    lines = [
        f"{name} is {value}; what it was is not recorded" if then is None else f"{name} was {then}, is {value}"
        for name, then, value in pairs
        if then != value
    ]
    return lines or ["nothing that environment.json records differs here"]
