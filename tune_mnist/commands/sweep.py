"""What `tune-mnist run` does once its options are read: print the plan, train, and say what came of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tune_mnist.commands.options import MANY
from tune_mnist.commands.subject import Subject
from tune_mnist.display import overview
from tune_mnist.display.live import Display
from tune_mnist.display.log import LogFile, log, stage
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.exits import INTERRUPTED, InterruptedAlone, LeaveAtOnce, interrupting
from tune_mnist.experiment import Experiment
from tune_mnist.launch.away import Away
from tune_mnist.launch.boxes import is_job, tell
from tune_mnist.launch.launch import Job, Launch
from tune_mnist.launch.ray_up import read_cluster_file
from tune_mnist.machine import container
from tune_mnist.plan.forecast import forecast
from tune_mnist.plan.plan import Plan
from tune_mnist.plan.request import Options, Request, build
from tune_mnist.plan.written import written
from tune_mnist.report.advice import advice, by_sweep
from tune_mnist.results.folder import REPORTS, log_name
from tune_mnist.results.read import read_results
from tune_mnist.results.summary import left
from tune_mnist.store.store import Store
from tune_mnist.task import Config, Task
from tune_mnist.tasks.user import Where
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.head import HeadLost
from tune_mnist.tuning.resources import Resources, slots
from tune_mnist.words import plural

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


LONG_S = 3600.0  # of training, above which a person at a terminal is asked; or above MANY runs
FEW = 30  # epochs that are trained without a probe of how long they take, which costs some seconds itself


@dataclass(frozen=True)
class Costs:
    """What a forecast goes by: a trial's resources, and the machines: `nodes` like this one, or this one if `local`.

    `there`: how many trials those of a cluster file run side by side, if these were asked.
    """

    resources: Resources
    cluster: Cluster
    nodes: int | None
    is_local: bool
    there: int | None = None

    @property
    def slots(self) -> int | None:
        """How many trials run side by side; None where that is not known from here."""
        return slots(self.resources, self.cluster, self.nodes or 1) if self.nodes or self.is_local else self.there


def print_config(request: Request, what: Subject, file: Path | None, is_whole: bool) -> int:
    """Print what is asked as a sweep file: the file itself if it `is_whole`, without a word of the options."""
    file = file or what.described.sweeps
    print(file.read_text("utf-8") if file and is_whole else written(request, what.described, what.named), end="")
    return 0


def away(file: Path | None, keep: bool, address: str | None, store: Path) -> Away | None:
    """The cluster to start, if one is asked for. Raises UserError."""
    if file is None:
        if keep:
            raise UserError("--keep leaves a cluster up that --cluster starts; give --cluster FILE.yaml, too")
        return None
    if address is not None:
        raise UserError("--cluster starts a cluster, and --address joins one that runs; give one of them")
    return Away(read_cluster_file(file), Store(store))


def job(words: Sequence[str], experiment: Experiment, files: Mapping[str, Path], config: Path | None) -> Job:
    """The sweep as a cluster's head is told of it: options, files, and which stored runs it may use."""
    with experiment.store.writing():
        experiment.task.keep(experiment.store.folder)  # what comes home is keyed by it
    return Job(words, files, () if experiment.fresh else experiment.request.points, config)


def planned(what: Subject, options: Options, where: Where, share: bool, fresh: bool, there: Away | None) -> Experiment:
    """What is asked of the subject, on the data that it has found; and what the store has of it, unless `fresh`.

    With `there`, as far as the conditions of that cluster are known, of what it has trained.
    """
    stage(f"reading {what.title}")
    task = what.prepared(where, log.warning)
    stage("looking at what is stored")
    experiment = Experiment(build(task, options), task, where.store, share)
    confirmed = what.confirmed(task, experiment.plan, where, log.warning)
    if confirmed is not task:
        experiment = Experiment(build(confirmed, options), confirmed, where.store, share)
    if there:
        experiment = _under(there.conditioned(experiment.task), experiment)
    if fresh:
        experiment.start_afresh()
    return experiment


def _under(task: Task, experiment: Experiment) -> Experiment:
    """The same questions, of the task under other conditions."""
    return Experiment(experiment.request, task, experiment.store, experiment.share)


def launch(launched: Launch, experiment: Experiment, display: Display, log_file: LogFile) -> int:
    """Run the sweep on a cluster; what this side says goes to the log's end, after what the job said."""
    display.end()  # the job's own is shown
    folder = launched.folder
    try:
        with interrupting():
            code = launched.run(display.console)
        here = [path for path in folder.iterdir() if not path.name.startswith(".")]
        for line in _left(experiment, folder, here, report=(folder / REPORTS[1]).is_file()):
            log.info(line)
        if code == INTERRUPTED:
            conditions = launched.arrivals.conditions or experiment.task.conditions
            log.warning(_kept(_under(replace(experiment.task, conditions=conditions), experiment)))
        return code
    finally:
        log_file.open(folder / log_name(experiment.task.name))


def default_output(experiment: Experiment) -> Path:
    """results/mnist for the standard sweeps and one's own of the command line; results/mnist-NAME for a sweep file."""
    name, subject = experiment.request.name, experiment.task.subject
    return Path("results") / (subject if name == "standard" else f"{subject}-{name}")


def checked_place(experiment: Experiment, output: Path | None, there: Away | None) -> Path:
    """The folder of results. Raises UserError if it, or a store that is to be trained into, cannot be written."""
    folder = output or default_output(experiment)
    experiment.check(folder, is_local=there is None or not experiment.plan.todo)
    if experiment.plan.todo:
        experiment.store.check_writable()
    return folder


def check_nodes(nodes: int | None, dry_run: bool) -> None:
    """Raise UserError for `--nodes` that forecasts nothing."""
    if nodes is not None and nodes < 1:
        raise UserError(f"--nodes must be a whole number of at least 1, not {nodes}")
    if nodes is not None and not dry_run:
        raise UserError("--nodes is for the forecast alone; give --dry-run, or leave it out")


def print_plan(experiment: Experiment, costs: Costs, screen: Console) -> int:
    """Show every run, and how long they will take together."""
    head, *lines = overview.plan_table(experiment.plan, experiment.names, screen.width)
    screen.out(head, style="bold", highlight=False)
    screen.out("\n".join(lines), highlight=False)
    _say_plan(experiment, costs)
    return 0


def _say_plan(experiment: Experiment, costs: Costs) -> None:
    for line in experiment.request.notes:
        log.info(line)
    for line in overview.plan_lines(experiment.plan, experiment.task.unit):
        log.info(line)
    plans = [experiment.plan]
    if experiment.stages.looks:
        plans.append(experiment.most)
        log.info(overview.stages_line(plans[-1], experiment.stages.looks, experiment.task.unit))
    if costs.slots:
        stage("timing some steps of each kind of run")
        log.info(_forecast(experiment, plans, costs.slots))
    else:
        log.info("no forecast: the size of the cluster is not known from here; give --dry-run --nodes N")


def agreed(experiment: Experiment, costs: Costs, display: Display) -> bool:
    """Whether to go on. A request that will cost much is shown first, and asked about, where a person can answer."""
    runs = len(experiment.most.todo)
    if not experiment.plan.todo or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return True
    is_long = costs.slots and experiment.most.epochs_to_train > FEW and _takes_long(experiment, costs.slots)
    if runs <= MANY and not is_long:
        return True
    if runs <= MANY:
        print_plan(experiment, costs, display.console)
    else:
        _say_plan(experiment, costs)
    with display.paused():
        if typer.confirm("go on?"):
            return True
    log.info("nothing was trained; --dry-run lists the runs, --yes does not ask")
    return False


def _takes_long(experiment: Experiment, side_by_side: int) -> bool:
    """Whether a rough forecast says so: one probe at most, of the run that comes first, and so costs the most."""
    stage("timing some steps")
    task, probed = experiment.task, list[float]()

    def probe(config: Config) -> float:
        assert task.probe is not None
        probed[:] = probed or [task.probe(config) / task.cost(config)]
        return probed[0] * task.cost(config)

    found = forecast(experiment.most, task, experiment.store, side_by_side, probe if task.probe else None)
    return found is not None and found[0] > LONG_S


def _forecast(experiment: Experiment, plans: Sequence[Plan], side_by_side: int) -> str:
    """Of the plan; of two, of the least and of the most that there is to train."""
    task = experiment.task
    found = [forecast(plan, task, experiment.store, side_by_side, task.probe) for plan in plans]
    told = [one for one in found if one is not None]
    if len(told) < len(found):
        return "no forecast: nothing like it has been trained yet"
    return overview.forecast_line([seconds for seconds, _ in told], side_by_side, told[-1][1])


def train(experiment: Experiment, folder: Path, resources: Resources, cluster: Cluster, display: Display) -> int:
    tell([run.key for run in experiment.most.runs], experiment.task.conditions)
    sweeps = ", ".join(sweep.name for sweep in experiment.request.sweeps)
    task = experiment.task
    for line in experiment.request.notes:
        log.info(line)
    log.info("; ".join([f"sweeps on {task.subject}: {sweeps}", *overview.plan_lines(experiment.plan, task.unit)]))
    broken: ClusterError | None = None
    interrupted: KeyboardInterrupt | None = None
    try:
        experiment.train(folder, resources, cluster, display)
    except KeyboardInterrupt as signalled:
        interrupted = signalled
    except ClusterError as error:
        log.error(str(error))
        broken = error
    try:
        points, written = experiment.write(folder, report=not interrupted)
    except ClusterError as error:  # of a full disk
        log.error(str(error))
        return _code(interrupted or broken, INTERRUPTED if interrupted else 1)
    display.end()
    _say_found(points, experiment, display.console)
    advised = [] if interrupted else _advice(experiment, folder)
    left = [] if is_job() else _left(experiment, folder, written, report=not interrupted)
    for line in (*left, *advised):
        log.info(line)
    if interrupted:
        if not is_job():  # else it is told by who brings it home
            log.warning(_kept(experiment))
        return _code(interrupted, INTERRUPTED)
    for key, cause in experiment.errors.items():
        log.error(f"failed: {experiment.names[key]}: {cause}")
    return _code(broken, 1 if experiment.errors or broken else 0)


def _code(ended: BaseException | None, code: int) -> int:
    """The exit code. Raises LeaveAtOnce with it where Ray's own way out would wait for what is no longer there."""
    if isinstance(ended, (HeadLost, InterruptedAlone)):
        raise LeaveAtOnce(code)
    return code


def _say_found(points: pd.DataFrame, experiment: Experiment, screen: Console) -> None:
    screen.print(overview.points_table(points, experiment.task))
    for line in (*overview.best_lines(points, experiment.task), *experiment.stages.lines):
        log.info(line)
    if ended := overview.diverged_line(points):
        log.warning(f"{ended}; that is their result: only --fresh trains them again")


def _advice(experiment: Experiment, folder: Path) -> list[str]:
    """What the report begins with, of this command's sweeps: a line on each, then the commands."""
    summary = left(results := read_results(folder, experiment.task))
    found = advice(results, summary[summary["sweep"].isin(experiment.asked.sweeps)])
    return [*by_sweep(found), *(f"  {one.command}" for one in found if one.command)]


def _left(experiment: Experiment, folder: Path, written: list[Path], report: bool) -> list[str]:
    """What a command left, and where; in a container, how it is to be got out."""
    count = f"{plural(len(written), 'file')} in {folder}" if written else f"nothing has changed in {folder}"
    log_file = folder / log_name(experiment.task.name)
    lines = [count, *([f"report: {folder / 'report.html'}"] if report else []), f"log: {log_file}"]
    # With the store, as usual beside it, so that another container can go on from it.
    place, beside = folder.absolute(), experiment.store.folder.absolute().parent
    return [*lines, *container.ways_out(beside if beside == place.parent != Path("/") else place)]


def _kept(experiment: Experiment) -> str:
    plan = experiment.plan
    kept = f"interrupted; {plural(plan.epochs_stored, 'finished epoch')} are kept in {experiment.store.folder}"
    again = container.again(experiment.store.folder)
    return f"{kept}; {again} trains the remaining {plan.epochs_to_train} and draws the figures"
