"""TensorBoard: one event file per run, with its curves (step = epoch) and its hyper-parameters, as they come in."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

from tune_mnist.display.log import ByProduct
from tune_mnist.files import write_whole
from tune_mnist.learned import learned
from tune_mnist.plan.plan import Plan, Run
from tune_mnist.results.columns import TIME
from tune_mnist.results.folder import EVENTS, TENSORBOARD, event_file
from tune_mnist.store.history import is_end
from tune_mnist.store.store import Row
from tune_mnist.task import Config, Task

TOTAL = "train_time_total_s"  # up to each epoch: the table of hyper-parameters shows a scalar's last value


class TensorBoard:
    """Writes the event files of the plan's runs below `folder`: the epochs that are stored, new ones as they come.

    `kept`: run key -> epochs, of the runs of other sweeps in the folder; their curves stay as long as they are. Where
    nothing can be written, training goes on.
    """

    def __init__(self, folder: Path, plan: Plan, names: Mapping[str, str], task: Task, kept: Mapping[str, int]) -> None:
        self.folder, self.names, self.task = folder / TENSORBOARD, names, task
        self._kept = {key: epochs for key, epochs in kept.items() if any(self.folder.glob(f"*-{key[:6]}"))}
        self._configs: dict[str, Config] = {}
        self._written: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._product = ByProduct(f"what TensorBoard shows, {self.folder},")
        self.catch_up(plan)

    def forget(self, keys: Iterable[str]) -> None:
        """Remove the event files of runs that are written anew, or that the folder no longer tells of."""
        for key in keys:
            with self._product.written():
                _remove_events(self.folder, key)

    def catch_up(self, plan: Plan) -> None:
        """Write what the store has and this has not, other commands' epochs too. The plan may have new runs."""
        self._begin_with([run for run in plan.runs if run.key not in self._configs])
        for run in plan.runs:
            rows = run.held.lines[: run.config.epochs]
            if run.key in self._configs and len(rows) > self._written[run.key]:
                with self._product.written():
                    self._begin(run.key, rows)

    def _begin_with(self, runs: Sequence[Run]) -> None:
        new = {run.key: run.config for run in runs if self._kept.get(run.key, 0) < run.config.epochs}
        self._configs |= new
        self._written |= dict.fromkeys(new, 0)
        self._seconds |= dict.fromkeys(new, 0.0)
        self.forget(new)

    def epoch(self, key: str, row: Row) -> None:
        """Add one epoch's scalars, unless they are there."""
        if row["epoch"] != self._written.get(key, -1) + 1:
            return
        with self._product.written():
            if not self._written[key]:
                self._begin(key, [row])
                return
            with self._path(key).open("r+b") as file:  # not where it is gone: it would lack its beginning
                file.seek(0, io.SEEK_END)
                file.write(_records(self._scalars(key, row)))
            self._written[key] = row["epoch"]

    def _begin(self, key: str, rows: Sequence[Row]) -> None:
        """The run's whole file; it starts with the hyper-parameters, so that they are there before its end."""
        path, start = self._path(key), datetime.fromisoformat(rows[0]["finished"]).timestamp()
        path.parent.mkdir(parents=True, exist_ok=True)
        said = [Event(wall_time=start, file_version="brain.Event:2")]
        said += [
            Event(wall_time=start, summary=one) for one in _hparams(self._configs[key], self.task, path.parent.name)
        ]
        self._seconds[key] = 0.0
        for row in rows:
            said += self._scalars(key, row)
            self._written[key] = row["epoch"]
        write_whole(path, _records(said))

    def _path(self, key: str) -> Path:
        return event_file(self.folder.parent, self.names[key], key)

    def _scalars(self, key: str, row: Row) -> list[Event]:
        finished = datetime.fromisoformat(row["finished"]).timestamp()
        self._seconds[key] += row.get(TIME.name, 0.0)
        shown = {**row, TOTAL: self._seconds[key]}
        measures = self.task.headline if is_end(row) else learned(self.task, [row]).measures
        if is_end(row):  # TensorBoard marks NaN on a curve, and its table shows it
            shown |= {one.name: math.nan for one in measures}
        names = (*(one.name for one in measures), TIME.name, TOTAL)
        values = [Summary.Value(tag=name, simple_value=shown[name]) for name in names if name in shown]
        return [Event(wall_time=finished, step=row["epoch"], summary=Summary(value=[value])) for value in values]


def _remove_events(folder: Path, key: str) -> None:
    """Remove the run's event files from `folder`, under whatever name it had; what else lies there is somebody's."""
    for place in folder.glob(f"*-{key[:6]}"):
        if place.is_symlink() or not place.is_dir():
            continue
        for path in place.glob(f"{EVENTS}*"):
            path.unlink()
        if not any(place.iterdir()):
            place.rmdir()


def _records(events: Iterable[Event]) -> bytes:
    from tensorboard.summary.writer.record_writer import RecordWriter  # not above: it takes a while

    writer = RecordWriter(content := io.BytesIO())
    for event in events:
        writer.write(event.SerializeToString())
    return content.getvalue()


def _hparams(config: Config, task: Task, name: str) -> tuple[Summary, Summary]:
    from tensorboard.plugins.hparams import summary_v2 as hparams  # not above: it takes a while

    values = {one: task.shown(one, value) for one, value in config.items()}
    metrics = [hparams.Metric(one) for one in (*(one.name for one in task.headline), TOTAL)]
    return hparams.hparams_config_pb([hparams.HParam(name) for name in values], metrics), hparams.hparams_pb(
        values, name
    )
