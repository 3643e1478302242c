"""TensorBoard: an event folder a run, with its curves (step = epoch) and its hyper-parameters, as they come in."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams_api
from tensorboard.summary.writer.event_file_writer import EventFileWriter

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
            value = Summary(value=[Summary.Value(tag=name, simple_value=row[name])])
            self._writers[key].add_event(Event(wall_time=finished, step=row["epoch"], summary=value))
        self._writers[key].flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()


def _writer(folder: Path, hparams: dict[str, Any]) -> EventFileWriter:
    """A writer whose folder starts with the run's hyper-parameters, so that they are there before its end."""
    writer = EventFileWriter(str(folder))
    metrics = [hparams_api.Metric(name) for name in SUMMARIES]
    known = [hparams_api.HParam(name) for name in hparams]
    for summary in (hparams_api.hparams_config_pb(known, metrics), hparams_api.hparams_pb(hparams, folder.name)):
        writer.add_event(Event(summary=summary))
    return writer
