"""TensorBoard: an event folder a run, with its curves (step = epoch) and its hyper-parameters, as they come in."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tune_mnist.planning import Plan
from tune_mnist.store import Row

FOLDER = "tensorboard"
SCALARS = ("test_accuracy", "test_loss", "train_loss", "lr", "train_time_s")
SUMMARIES = ("test_accuracy", "test_loss")


class TensorBoard:
    """Writes `folder`/tensorboard anew: the epochs that are stored at once, new ones as they come."""

    def __init__(self, folder: Path, plan: Plan, names: Mapping[str, str], images: int) -> None:
        shutil.rmtree(folder / FOLDER, ignore_errors=True)
        self._writers: dict[str, Any] = {}
        self._written: dict[str, int] = {}
        for run in plan.runs:
            hparams = asdict(run.config) | {"train_size": run.config.train_size or images}
            del hparams["epochs"]
            name = f"{names[run.key]}-{run.key[:6]}".replace("/", "_")
            self._writers[run.key] = _writer(folder / FOLDER / name, hparams)
            self._written[run.key] = 0
        self.catch_up(plan)

    def catch_up(self, plan: Plan) -> None:
        """Write what the store has and this has not: other commands' epochs too."""
        for run in plan.runs:
            for row in run.held.rows[: run.config.epochs]:
                self.epoch(run.key, row)

    def epoch(self, key: str, row: Row) -> None:
        """Add one epoch's scalars, unless they are there."""
        if row["epoch"] <= self._written[key]:
            return
        self._written[key] = row["epoch"]
        finished = datetime.fromisoformat(row["finished"]).timestamp()
        for name in SCALARS:
            self._writers[key].add_scalar(name, row[name], row["epoch"], walltime=finished)
        self._writers[key].flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def _writer(folder: Path, hparams: dict[str, Any]) -> Any:
    """A writer whose folder starts with the run's hyper-parameters, so that they are there before its end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # inside tensorboard and protobuf
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams as summaries

    writer = SummaryWriter(str(folder))
    # A bool would go in as 1.0, which nobody looks for.
    readable = {name: str(value).lower() if isinstance(value, bool) else value for name, value in hparams.items()}
    for summary in summaries(readable, dict.fromkeys(SUMMARIES)):
        writer.file_writer.add_summary(summary)
    return writer
