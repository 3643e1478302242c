"""TensorBoard: one event folder per run, with its curves (step = epoch) and its hyper-parameters, as they come in."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from tune_mnist.plan.plan import Plan
from tune_mnist.results.columns import TIME
from tune_mnist.results.folder import TENSORBOARD
from tune_mnist.store.store import Row
from tune_mnist.task import Config, Task, learned

TOTAL = "train_time_total_s"  # up to each epoch: the table of hyper-parameters shows a scalar's last value


class TensorBoard:
    """Writes `folder`/tensorboard anew: the epochs that are stored at once, new ones as they come."""

    def __init__(self, folder: Path, plan: Plan, names: Mapping[str, str], task: Task) -> None:
        self.folder, self.names, self.task = folder / TENSORBOARD, names, task
        self._configs = {run.key: run.config for run in plan.runs}
        self._written = dict.fromkeys(self._configs, 0)
        self._seconds = dict.fromkeys(self._configs, 0.0)
        self._open: dict[str, EventFileWriter] = {}  # each has a thread: only the runs under way have one
        for old in self.folder.glob("*"):  # an earlier command's folders; whatever else lies there is somebody's
            if re.search(r"-[0-9a-f]{6}$", old.name):
                shutil.rmtree(old, ignore_errors=True)
        self.catch_up(plan)

    def catch_up(self, plan: Plan) -> None:
        """Write what the store has and this has not, other commands' epochs too, and leave no file open."""
        for run in plan.runs:
            for row in run.held.rows[: run.config.epochs]:
                self.epoch(run.key, row)
        for key in list(self._open):
            self._open.pop(key).close()

    def epoch(self, key: str, row: Row) -> None:
        """Add one epoch's scalars, unless they are there."""
        if row["epoch"] <= self._written[key]:
            return
        self._written[key] = row["epoch"]
        writer = self._writer(key)
        finished = datetime.fromisoformat(row["finished"]).timestamp()
        self._seconds[key] += row.get(TIME.name, 0.0)
        shown = {**row, TOTAL: self._seconds[key]}
        for name in (*(one.name for one in learned(self.task, [row]).measures), TIME.name, TOTAL):
            if name not in shown:
                continue
            value = Summary(value=[Summary.Value(tag=name, simple_value=shown[name])])
            writer.add_event(Event(wall_time=finished, step=row["epoch"], summary=value))
        writer.flush()
        if row["epoch"] == self._configs[key].epochs:
            self._open.pop(key).close()

    def _writer(self, key: str) -> EventFileWriter:
        """The run's writer; its folder starts with the hyper-parameters, so that they are there before its end."""
        if key in self._open:
            return self._open[key]
        folder = self.folder / f"{self.names[key]}-{key[:6]}".replace("/", "_")
        started = folder.exists()
        writer = self._open[key] = EventFileWriter(str(folder))
        if not started:
            for summary in _hparams(self._configs[key], self.task, folder.name):
                writer.add_event(Event(summary=summary))
        return writer


def _hparams(config: Config, task: Task, name: str) -> tuple[Summary, Summary]:
    values = {one: task.shown(one, value) for one, value in config.items()}
    metrics = [hparams.Metric(one) for one in (*(one.name for one in task.headline), TOTAL)]
    return hparams.hparams_config_pb([hparams.HParam(name) for name in values], metrics), hparams.hparams_pb(
        values, name
    )
