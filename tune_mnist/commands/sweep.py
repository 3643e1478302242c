"""What `tune-mnist run` does once its options are read: print the plan, train, and say what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tune_mnist.commands.options import INTERRUPTED
from tune_mnist.commands.subject import Subject
from tune_mnist.display import overview
from tune_mnist.display.log import LogFile, log
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.exits import LeaveAtOnce
from tune_mnist.experiment import Experiment
from tune_mnist.launch.launch import Job, Launch
from tune_mnist.launch.ray_up import Launcher, read_cluster_file
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan import sweepfile
from tune_mnist.plan.forecast import forecast
from tune_mnist.plan.request import Options, build
from tune_mnist.tasks.user import Where
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.head import HeadLost
from tune_mnist.tuning.resources import Resources, slots
from tune_mnist.words import plural

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Nodes:
    """The machines that a forecast is for: so many like this one, if that was said; or this one, if it trains here."""

    count: int | None
    is_local: bool


def print_config(path: Path) -> int:
    """Print a sweep file, once it is checked."""
    print(sweepfile.read(path, MNIST).path.read_text("utf-8"), end="")
    return 0


def launcher(file: Path | None, keep: bool, address: str | None) -> Launcher | None:
    """The cluster to start, if one is asked for. Raises UserError."""
    if file is None:
        if keep:
            raise UserError("--keep leaves a cluster up that --cluster starts; give --cluster FILE.yaml, too")
        return None
    if address is not None:
        raise UserError("--cluster starts a cluster, and --address joins one that runs; give one of them")
    return read_cluster_file(file)


def job(words: Sequence[str], experiment: Experiment, files: Mapping[str, Path], config: Path | None) -> Job:
    """The sweep as a cluster's head is told of it: options, files, and which stored runs it may use."""
    experiment.task.keep(experiment.store.folder)  # what comes home is keyed by it
    wanted = [point.config.identity() for point in experiment.request.points]
    return Job(words, files, wanted, config)


def planned(what: Subject, options: Options, where: Where, share: bool) -> Experiment:
    """What is asked of the subject, once it is known what it trains on, and what the store has of it."""
    task = what.prepared(where, log.warning)
    experiment = Experiment(build(task, options), task, where.store, share)
    confirmed = what.confirmed(task, experiment.plan, where, log.warning)
    return experiment if confirmed is task else Experiment(build(confirmed, options), confirmed, where.store, share)


def launch(launched: Launch, screen: Console, log_file: LogFile, log_path: Path) -> int:
    """Run the sweep on a cluster; what this side says goes to the log's end, after what the job said."""
    try:
        return launched.run(screen)
    finally:
        log_file.open(log_path)


def default_output(experiment: Experiment) -> Path:
    """results/mnist for the standard sweeps and one's own of the command line; results/mnist-NAME for a sweep file."""
    name, subject = experiment.request.name, experiment.task.subject
    return Path("results") / (subject if name == "standard" else f"{subject}-{name}")


def check_nodes(nodes: int | None, dry_run: bool) -> None:
    """Raise UserError for `--nodes` that forecasts nothing."""
    if nodes is not None and nodes < 1:
        raise UserError(f"--nodes must be a whole number of at least 1, not {nodes}")
    if nodes is not None and not dry_run:
        raise UserError("--nodes is for the forecast alone; give --dry-run, or leave it out")


def print_plan(experiment: Experiment, resources: Resources, cluster: Cluster, nodes: Nodes, screen: Console) -> int:
    screen.print(overview.plan_table(experiment.plan, experiment.names))
    for line in experiment.request.notes:
        log.info(line)
    for line in overview.plan_lines(experiment.plan, experiment.task.unit):
        log.info(line)
    if nodes.count or nodes.is_local:
        log.info(_forecast(experiment, slots(resources, cluster, nodes.count or 1)))
    else:
        log.info("no forecast: the size of the cluster is not known from here; give --nodes N")
    return 0


def _forecast(experiment: Experiment, side_by_side: int) -> str:
    task = experiment.task
    found = forecast(experiment.plan, task, experiment.store, side_by_side, task.probe)
    if found is None:
        return "no forecast: nothing like it has been trained yet"
    return overview.forecast_line(found[0], side_by_side, found[1])


def train(experiment: Experiment, folder: Path, resources: Resources, cluster: Cluster, screen: Console) -> int:
    sweeps = ", ".join(sweep.name for sweep in experiment.request.sweeps)
    task = experiment.task
    for line in experiment.request.notes:
        log.info(line)
    log.info("; ".join([f"sweeps on {task.subject}: {sweeps}", *overview.plan_lines(experiment.plan, task.unit)]))
    broken: ClusterError | None = None
    interrupted = False
    try:
        experiment.train(folder, resources, cluster, screen)
    except KeyboardInterrupt:
        interrupted = True
    except ClusterError as error:
        log.error(str(error))
        broken = error
    points, written = experiment.write(folder, report=not interrupted)
    screen.print(overview.points_table(points, experiment.task))
    for line in overview.best_lines(points, experiment.task):
        log.info(line)
    log.info(f"wrote {_listed(written)}" if written else f"nothing has changed in {folder}")
    if interrupted:
        log.warning(_kept(experiment))
        return INTERRUPTED
    log.info(f"report: {folder / 'report.html'}")
    for key, cause in experiment.errors.items():
        log.error(f"failed: {experiment.names[key]}: {cause}")
    if isinstance(broken, HeadLost):
        raise LeaveAtOnce(1)
    return 1 if experiment.errors or broken else 0


def _listed(paths: list[Path]) -> str:
    """The paths; a figure's two files as one."""
    drawn = {path.with_suffix("") for path in paths if path.suffix == ".svg"}
    names = [f"{path.with_suffix('')}.{{png,svg}}" if path.with_suffix("") in drawn else str(path) for path in paths]
    return ", ".join(dict.fromkeys(names))


def _kept(experiment: Experiment) -> str:
    plan = experiment.plan
    kept = f"interrupted; {plural(plan.epochs_stored, 'finished epoch')} are kept in {experiment.store.folder}"
    return f"{kept}; the same command again trains the remaining {plan.epochs_to_train} and draws the figures"
