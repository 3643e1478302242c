"""Sweeps from Python and a notebook: the same plan, store, statistics and report as `tune-mnist run --task`.

from tune_mnist import sweep

results = sweep(train, vary={"lr": [0.01, 0.1]}, epochs=20, seeds=3, minimize="val_loss")
results.summary, results.figure("lr"), results.report()
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from tune_mnist.checking.confirm import confirmed
from tune_mnist.display.live import Display
from tune_mnist.display.log import ConsoleLines, LogFile, console, listening, log
from tune_mnist.display.overview import diverged_line
from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.experiment import Experiment
from tune_mnist.machine.cpu import cpu_count, memory
from tune_mnist.machine.devices import gpu_count
from tune_mnist.plan.request import Request, reading
from tune_mnist.plan.sweeps import Sweep, one_variable, refuse_unused
from tune_mnist.plan.values import least_and_most, margin_of, seeds_of, title_of
from tune_mnist.results.columns import as_one, variables
from tune_mnist.results.folder import check_place, log_name, prepare_folder
from tune_mnist.results.read import Results, read_results
from tune_mnist.store.store import Store
from tune_mnist.task import Task
from tune_mnist.tasks import user
from tune_mnist.tasks.loop import loop_of
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import Asked, Resources, choose, fit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Values = Mapping[str, Sequence[Any]]
Given = ParamSpec("Given")
Back = TypeVar("Back")


def _in_python(sweep: Callable[Given, Back]) -> Callable[Given, Back]:
    """What is refused is said in the words of Python: `cpus_per_trial`, not `--cpus-per-trial`."""

    @wraps(sweep)
    def said(*args: Given.args, **kwargs: Given.kwargs) -> Back:
        try:
            return sweep(*args, **kwargs)
        except UserError as error:
            line = re.sub(r"--set (\w+)=(\w+)", r'baseline={"\1": \2}', str(error))
            line = re.sub(r"--vary (\w+)=([\w,]*)", r'vary={"\1": [\2]}', line)
            raise UserError(re.sub(r"(?<!\S)--([a-z-]+)", lambda option: option[1].replace("-", "_"), line)) from None

    return said


@_in_python
def sweep(
    train: Callable[..., Any],
    vary: Values | None = None,
    *,
    cross: Values | None = None,
    baseline: Mapping[str, Any] | None = None,
    epochs: int | None = None,
    seeds: int | str | Sequence[int] = 1,
    at: str = "last",
    minimize: str | None = None,
    maximize: str | None = None,
    margin: float | None = None,
    title: str | None = None,
    version: str | None = None,
    output: str | Path | None = None,
    store: str | Path = "results/store",
    device: str = "auto",
    cpus_per_trial: int | None = None,
    gpus_per_trial: float | None = None,
    max_concurrent: int | None = None,
    epoch_timeout: float | None = None,
    address: str | None = None,
    insecure: bool = False,
    trust: bool = False,
) -> Swept:
    """Sweep a training function of your own; what is stored is not trained again.

    `train(config, state=None)` yields (metrics, state) after each epoch, in a loop that never ends. Each name of `vary`
    is a sweep of its own around `baseline`; `cross` is every combination; `seeds` is how many, or which, or "3..20":
    one more until each difference to the baseline is resolved. `minimize` or `maximize` names the measure that is
    judged, and `margin` the least difference of it that matters, as it is shown: points of a share; `title` is the
    report's. `at="best"` reads each point's values at the epoch that its validation measure (`val_…`) is best at,
    instead of the last. A function that lies in no file, as in a notebook, needs a `version`: raise it whenever it
    changes. `epoch_timeout`: seconds without an epoch after which a trial is started again (default: ten times its
    longest, at least 120). `address` joins a Ray cluster that runs; one that asks for no token only if `insecure`, or
    on loopback. `trust` shares and extends runs without a check that the loop goes on exactly from its state.

    Raises UserError for what cannot be asked, and TrainingFailed if a training failed; the others are stored then.
    """
    _check(vary or {}, cross or {}, output, store)
    user.read_again()
    loop = loop_of(train, sys.modules[_function(train).__module__], version=version)
    judge = (minimize, "lower") if minimize else (maximize, "higher") if maximize else None
    task = user.described(loop, judge, _given(vary or {}, cross or {}, baseline or {}))
    asked = _Asked(vary or {}, cross or {}, dict(baseline or {}), epochs, seeds, at, margin, title)
    request = _request(task, asked)
    wanted = Asked(device, cpus_per_trial, gpus_per_trial, max_concurrent, epoch_timeout=epoch_timeout)
    resources = _resources(wanted, is_local=address is None)
    where = user.Where(Store(Path(store)), resources.device, resources.cpus)
    folder = Path(output) if output else Path("results") / task.name
    cluster = Cluster(address, cpu_count(), gpu_count() if resources.gpus else 0, insecure=insecure).reached()
    check_place(folder, task.name)
    screen, log_file = console(), LogFile()
    with Display(screen) as display, listening(ConsoleLines(screen)), listening(log_file):
        experiment = Experiment(request, user.prepared(loop, task, where), where.store)
        if experiment.plan.shares and not trust:
            config = experiment.plan.runs[0].config
            task = confirmed(loop, experiment.task, config, where, log.warning)
            experiment = Experiment(_request(task, asked), task, where.store)
        experiment.check(folder)
        prepare_folder(folder)
        log_file.open(folder / log_name(task.name))
        experiment.train(folder, resources, cluster, display)
        points, _ = experiment.write(folder, report=False)
        _tell(experiment, points)
    return Swept(experiment, folder)


def _tell(experiment: Experiment, points: pd.DataFrame) -> None:
    """Which trainings diverged. Raises TrainingFailed if others failed."""
    if ended := diverged_line(points):
        log.warning(ended)
    failed = [f"{experiment.names[key]}: {cause}" for key, cause in experiment.errors.items()]
    for one in failed:
        log.error(f"failed: {one}")
    if failed:
        raise TrainingFailed("; ".join(failed))


def _given(vary: Values, cross: Values, baseline: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Every value that a name is given."""
    given = {name: list(values) for named in (vary, cross) for name, values in named.items()}
    return given | {name: [value, *given.get(name, [])] for name, value in baseline.items()}


def _resources(asked: Asked, is_local: bool) -> Resources:
    resources = choose(asked, is_local)
    return fit(resources, cpu_count(), memory())[0] if is_local else resources


def _check(vary: Values, cross: Values, output: str | Path | None, store: str | Path) -> None:
    """Raise UserError for what Python would take for something else: letters for values, here for a folder."""
    for argument, space in (("vary", vary), ("cross", cross)):
        for name, values in space.items():
            if isinstance(values, (str, bytes)) or not isinstance(values, Iterable) or not list(values):
                raise UserError(f"{argument}: {name} takes a list of values, as in [A, B], not {values!r}")
    for argument, place in (("output", output), ("store", store)):
        if isinstance(place, str) and not place.strip():
            raise UserError(f"{argument} is an empty text; name a folder, or leave it out")


@dataclass(frozen=True)
class _Asked:
    """What a call asks for, beside the loop."""

    vary: Values
    cross: Values
    baseline: dict[str, Any]
    epochs: int | None
    seeds: int | str | Sequence[int]
    at: str = "last"
    margin: float | None = None
    title: str | None = None


def _request(task: Task, asked: _Asked) -> Request:
    if not asked.vary and not asked.cross:
        raise UserError("nothing to sweep; give vary={name: [values]} or cross={name: [values], …}")
    changes = {} if asked.epochs is None else {"epochs": asked.epochs}
    named = {task.variable(name).name: value for name, value in asked.baseline.items()}
    baseline = task.config(named, **changes)
    sweeps = [one_variable(name, list(values), baseline, task) for name, values in asked.vary.items()]
    sweeps += [Sweep("cross", asked.cross, baseline, task)] if asked.cross else []
    refuse_unused(named, baseline, sweeps)
    said = asked.seeds if isinstance(asked.seeds, (int, str)) else list(asked.seeds)
    seeds = seeds_of(said, baseline["seed"], task.parameter("seed").read)
    task.check_seeds(len(seeds))
    first = task.config(baseline, seed=seeds[0])
    margin = None if asked.margin is None else margin_of(asked.margin)
    title = "" if asked.title is None else title_of(asked.title)
    at, sequential = reading(asked.at, task), least_and_most(said)
    return Request("standard", tuple(sweeps), first, seeds, (), at, margin, title, sequential)


def _function(train: Callable[..., Any]) -> Any:
    return getattr(train, "func", train)  # of a partial, whose arguments are data


@dataclass(frozen=True)
class Swept:
    """What a sweep found, and where it lies."""

    experiment: Experiment
    folder: Path

    @property
    def results(self) -> Results:
        """Everything that the folder holds, other sweeps too."""
        return read_results(self.folder, self.experiment.task)

    @property
    def points(self) -> pd.DataFrame:
        """One row per point: its parameters and what they gave."""
        points = self.results.points
        return points[points["sweep"].isin(self.experiment.asked.sweeps)].reset_index(drop=True)

    @property
    def history(self) -> pd.DataFrame:
        """One row per epoch of every run."""
        history = self.results.history
        assert history is not None  # it was written with the points
        return history[history["run"].isin(self.points["run"])].reset_index(drop=True)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per value of each sweep: mean, interval, difference to the baseline."""
        from tune_mnist.results.summary import summary_of

        return summary_of(replace(self.results, points=self.points, task=self.experiment.task))

    def figure(self, sweep: str) -> Figure:
        """The judged measure over a sweep's values, or a cross's heat map. Raises UserError for an unknown sweep."""
        from tune_mnist.figures.curve import draw
        from tune_mnist.figures.heatmap import draw_cross

        points, task = self.points, self.experiment.task
        names = list(dict.fromkeys(points["sweep"]))
        if sweep not in names:
            raise UserError(f"there is no sweep '{sweep}'; there are {', '.join(names)}")
        rows, task = as_one(points[points["sweep"] == sweep], task)
        crossed = len(variables(rows)) > 1
        return draw_cross(rows, task) if crossed else draw(rows, task.judged, task)

    def report(self) -> Path:
        """Write the figures and the report; returns the page's path."""
        self.experiment.write(self.folder)
        return self.folder / "report.html"
