"""Sweeps on Ray Tune from one command: `tune-mnist run`, or `python -m tune_mnist.run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tune_mnist.commands import options as shared
from tune_mnist.display import overview
from tune_mnist.display.log import ConsoleLines, LogFile, console, listening, log
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.exits import LeaveAtOnce
from tune_mnist.experiment import Experiment
from tune_mnist.launch.launch import Job, Launch
from tune_mnist.launch.ray_up import Launcher, read
from tune_mnist.machine.cpu import cpu_count, memory
from tune_mnist.machine.devices import gpu_count
from tune_mnist.mnist import datasets
from tune_mnist.mnist.task import MNIST, STANDARD, check_precision, prepared
from tune_mnist.plan import sweepfile
from tune_mnist.plan.forecast import forecast
from tune_mnist.plan.request import Options, build
from tune_mnist.results.folder import check_place, log_name, prepare_folder
from tune_mnist.store.store import Store
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.head import HeadLost
from tune_mnist.tuning.resources import GPUS_A_TRIAL, Asked, Resources, choose, fit, slots
from tune_mnist.words import plural

if TYPE_CHECKING:
    from rich.console import Console


Many = list[str] | None

# What an option is about. What says where things lie, or what to show, is meant for this machine: a job on a cluster's
# head is not told.
WHAT, HOW, HERE = "what to ask", "how to train", "where things lie, and what to show"


def run(
    ctx: typer.Context,
    sweep: Annotated[
        Many,
        typer.Option(rich_help_panel=WHAT, metavar="NAME", help="One of the sweeps: epochs, batch, lr. Repeatable."),
    ] = None,
    vary: Annotated[
        Many,
        typer.Option(rich_help_panel=WHAT, metavar="NAME=V1,V2", help="A sweep over any hyper-parameter. Repeatable."),
    ] = None,
    settings: Annotated[
        Many, typer.Option("--set", rich_help_panel=WHAT, metavar="NAME=VALUE", help="Move the baseline. Repeatable.")
    ] = None,
    seed: Annotated[str, typer.Option(rich_help_panel=WHAT, metavar="N", help="The first seed.")] = "1",
    seeds: Annotated[
        int | None, typer.Option(rich_help_panel=WHAT, metavar="N", help="Ask every point with N seeds.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(rich_help_panel=HERE, metavar="FILE.yaml", help="A sweep file.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(rich_help_panel=HERE, help="auto, mnist, fashion-mnist, kmnist, qmnist or digits.")
    ] = "auto",
    data_dir: Annotated[
        Path, typer.Option(rich_help_panel=HERE, envvar="TUNE_MNIST_DATA", help="Where the data sets lie.")
    ] = Path("data"),
    output: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=HERE, metavar="DIR", help="Where tables and plots go (default: results/<dataset>)."
        ),
    ] = None,
    store: Annotated[Path, typer.Option(rich_help_panel=HERE, metavar="DIR", help="What has been trained.")] = Path(
        "results/store"
    ),
    device: Annotated[str, typer.Option(rich_help_panel=HOW, help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(rich_help_panel=HOW, help="fp32, or bf16 where the CPU or GPU has it.")
    ] = "fp32",
    cpus_per_trial: Annotated[
        int | None,
        typer.Option(rich_help_panel=HOW, help="CPUs, and threads, of each trial (default: 1)."),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(rich_help_panel=HOW, help=f"GPUs of each trial (default: {GPUS_A_TRIAL} on CUDA, else none)."),
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(rich_help_panel=HOW, help="At most so many trials side by side.")
    ] = None,
    exclusive: Annotated[
        bool,
        typer.Option("--exclusive", rich_help_panel=HOW, help="One trial at a time on every CPU, for clean times."),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(rich_help_panel=HERE, help="A running Ray cluster, HOST:PORT or auto (default: a local one)."),
    ] = None,
    cluster_file: Annotated[
        Path | None,
        typer.Option(
            "--cluster",
            rich_help_panel=HERE,
            metavar="FILE.yaml",
            help="Start this cluster with ray up, and run there.",
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", rich_help_panel=HERE, help="Leave that cluster up at the end.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=HERE, help="Print the plan and a forecast, and stop.")
    ] = False,
    nodes: Annotated[
        int | None,
        typer.Option(rich_help_panel=HERE, metavar="N", help="With --dry-run: forecast for N nodes like this machine."),
    ] = None,
    no_share: Annotated[
        bool, typer.Option("--no-share", rich_help_panel=WHAT, help="Train each point as a run of its own.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", rich_help_panel=WHAT, help="Use nothing of what is stored; train it again.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", rich_help_panel=HERE, help="Print the sweep file, and stop.")
    ] = False,
    ray_logs: Annotated[
        bool, typer.Option("--ray-logs", rich_help_panel=HOW, help="Show Ray's own tables and logs.")
    ] = False,
) -> int:
    """Train controlled sweeps side by side under Ray Tune; write tables, plots, a log and TensorBoard logs.

    Without options: the epochs, batch and lr sweeps of the published experiment. Nothing is trained twice: epochs
    that the store holds are read from it.
    """
    if print_config:
        return _print_config(config or STANDARD)
    asked = build(MNIST, Options(config, sweep or (), vary or (), settings or (), seed, seeds))
    _check_nodes(nodes, dry_run)
    launcher = _launcher(cluster_file, keep, address)
    is_local = address is None and launcher is None
    resources = choose(Asked(device, cpus_per_trial, gpus_per_trial, max_concurrent, exclusive), is_local)
    check_precision(precision, resources.device, is_local)
    short = None
    if is_local:
        resources, short = fit(resources, cpu_count(), memory())
    cluster = Cluster(address, cpu_count(), gpu_count() if resources.gpus else 0, ray_logs)
    cluster.reach()
    screen, log_file = console(), LogFile()
    with listening(ConsoleLines(screen)), listening(log_file):
        data = datasets.load(dataset, data_dir, log.warning)
        if short:
            log.warning(short)
        task = prepared(data, resources.device, resources.cpus, precision)
        experiment = Experiment(asked, task, Store(store), share=not no_share)
        if fresh:
            experiment.start_afresh()
        if dry_run:
            return _print_plan(experiment, resources, cluster, Nodes(nodes, is_local), screen)
        folder = output or _default_output(asked.name, data.name)
        check_place(folder)
        if launcher or experiment.plan.todo:
            experiment.store.check_writable()
        prepare_folder(folder)
        log_path = folder / log_name(task.name)
        if launcher:
            job = _job(_travelling(ctx), experiment, datasets.files(data.name, data_dir), config)
            try:
                return Launch(launcher, job, experiment.store, folder, keep).run(screen)
            finally:  # what this side says goes to the log's end, after what the job said
                log_file.open(log_path)
        log_file.open(log_path)
        return _train(experiment, folder, resources, cluster, screen)


def _print_config(path: Path) -> int:
    print(sweepfile.read(path, MNIST).path.read_text("utf-8"), end="")
    return 0


@dataclass(frozen=True)
class Nodes:
    """The machines that a forecast is for: so many like this one, if that was said; or this one, if it trains here."""

    count: int | None
    is_local: bool


def _launcher(file: Path | None, keep: bool, address: str | None) -> Launcher | None:
    """The cluster to start, if one is asked for. Raises UserError."""
    if file is None:
        if keep:
            raise UserError("--keep leaves a cluster up that --cluster starts; give --cluster FILE.yaml, too")
        return None
    if address is not None:
        raise UserError("--cluster starts a cluster, and --address joins one that runs; give one of them")
    return read(file)


def _travelling(ctx: typer.Context) -> list[str]:
    """The options that a job on the cluster is told, as words again: those that were given and are not about here."""
    words: list[str] = []
    for option in ctx.command.params:
        value = ctx.params[str(option.name)]
        if getattr(option, "rich_help_panel", HERE) == HERE or value == option.get_default(ctx):
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += [option.opts[0]] if one is True else [option.opts[0], str(one)]
    return words


def _job(words: list[str], experiment: Experiment, files: dict[str, Path], config: Path | None) -> Job:
    wanted = [point.config.identity() for point in experiment.request.points]
    dataset = str(experiment.task.conditions["dataset"])
    return Job([*words, "--dataset", dataset, "--data-dir", "data"], files, wanted, config)


def _default_output(name: str, dataset: str) -> Path:
    """results/mnist for the standard sweeps and one's own of the command line; results/mnist-NAME for a sweep file."""
    return Path("results") / (dataset if name == "standard" else f"{dataset}-{name}")


def _check_nodes(nodes: int | None, dry_run: bool) -> None:
    if nodes is not None and nodes < 1:
        raise UserError(f"--nodes must be a whole number of at least 1, not {nodes}")
    if nodes is not None and not dry_run:
        raise UserError("--nodes is for the forecast alone; give --dry-run, or leave it out")


def _print_plan(experiment: Experiment, resources: Resources, cluster: Cluster, nodes: Nodes, screen: Console) -> int:
    screen.print(overview.plan_table(experiment.plan, experiment.names))
    for line in overview.plan_lines(experiment.plan):
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


def _train(experiment: Experiment, folder: Path, resources: Resources, cluster: Cluster, screen: Console) -> int:
    subject = experiment.task.conditions["dataset"]
    sweeps = ", ".join(sweep.name for sweep in experiment.request.sweeps)
    log.info("; ".join([f"sweeps on {subject}: {sweeps}", *overview.plan_lines(experiment.plan)]))
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
        return shared.INTERRUPTED
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


def main() -> None:
    """`python -m tune_mnist.run`."""
    shared.start(shared.application(run))
