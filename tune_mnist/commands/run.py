"""Sweeps on Ray Tune from one command: `python -m tune_mnist.run`, or `tune-mnist run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from tune_mnist.commands import options as cli
from tune_mnist.display import overview as summary
from tune_mnist.display import progress
from tune_mnist.display.progress import log, plural
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.experiment import Experiment, check_place, prepare_folder
from tune_mnist.launch.launch import Launch
from tune_mnist.launch.ray_up import Launcher, read
from tune_mnist.machine import environment
from tune_mnist.machine.devices import conditions, gpu_count
from tune_mnist.mnist import datasets
from tune_mnist.plan import request, sweepfile
from tune_mnist.plan.forecast import forecast
from tune_mnist.store.store import Store
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import GPUS_A_TRIAL, Resources, choose, fit, slots

if TYPE_CHECKING:
    from rich.console import Console

    from tune_mnist.mnist.config import TrainConfig


Many = Optional[list[str]]  # noqa: UP045 - Typer reads this at run time, on Python 3.10 too


# What says where things lie on this machine, or is meant for it: a job on a cluster's head is not told.
HERE = (
    "cluster_file",
    "keep",
    "address",
    "dataset",
    "data_dir",
    "output",
    "store",
    "config",
    "dry_run",
    "print_config",
)


def run(
    ctx: typer.Context,
    sweep: Annotated[
        Many, typer.Option(metavar="NAME", help="One of the sweeps: epochs, batch, lr. Repeatable.")
    ] = None,
    vary: Annotated[
        Many, typer.Option(metavar="NAME=V1,V2", help="A sweep over any hyper-parameter. Repeatable.")
    ] = None,
    settings: Annotated[
        Many, typer.Option("--set", metavar="NAME=VALUE", help="Move the baseline. Repeatable.")
    ] = None,
    seed: Annotated[str, typer.Option(metavar="N", help="The first seed.")] = "1",
    seeds: Annotated[Optional[int], typer.Option(metavar="N", help="Ask every point with N seeds.")] = None,  # noqa: UP045
    config: Annotated[Optional[Path], typer.Option(metavar="FILE.yaml", help="A sweep file.")] = None,  # noqa: UP045
    dataset: Annotated[str, typer.Option(help="auto, mnist, fashion-mnist, kmnist, qmnist or digits.")] = "auto",
    data_dir: Annotated[Path, typer.Option(envvar="TUNE_MNIST_DATA", help="Where the data sets lie.")] = Path("data"),
    output: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(metavar="DIR", help="Where tables and plots go (default: results/<dataset>)."),
    ] = None,
    store: Annotated[Path, typer.Option(metavar="DIR", help="What has been trained.")] = Path("results/store"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="fp32, or bf16 where the CPU or GPU has it.")] = "fp32",
    cpus_per_trial: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="CPUs, and threads, of each trial (default: 1)."),
    ] = None,
    gpus_per_trial: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help=f"GPUs of each trial (default: {GPUS_A_TRIAL} on CUDA, else none)."),
    ] = None,
    max_concurrent: Annotated[Optional[int], typer.Option(help="At most so many trials side by side.")] = None,  # noqa: UP045
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="One trial at a time on every CPU, for clean times.")
    ] = False,
    address: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A running Ray cluster, HOST:PORT or auto (default: a local one)."),
    ] = None,
    cluster_file: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--cluster", metavar="FILE.yaml", help="Start this cluster with ray up, and run there."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave that cluster up at the end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and a forecast, and stop.")] = False,
    nodes: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(metavar="N", help="With --dry-run: forecast for N nodes like this machine."),
    ] = None,
    no_share: Annotated[bool, typer.Option("--no-share", help="Train each point as a run of its own.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Use nothing of what is stored; train it again.")] = False,
    print_config: Annotated[bool, typer.Option("--print-config", help="Print the sweep file, and stop.")] = False,
    ray_logs: Annotated[bool, typer.Option("--ray-logs", help="Show Ray's own tables and logs.")] = False,
) -> int:
    """Train controlled sweeps side by side under Ray Tune; write tables, plots, a log and TensorBoard logs.

    Without options: the epochs, batch and lr sweeps of the published experiment. Nothing is trained twice: epochs
    that the store holds are read from it.
    """
    if print_config:
        print(sweepfile.read(config or sweepfile.STANDARD).path.read_text("utf-8"), end="")
        return 0
    asked = request.build(config, sweep or (), vary or (), settings or (), seed, seeds)
    _check_nodes(nodes, dry_run)
    launcher = _launcher(cluster_file, keep, address)
    is_local = address is None and launcher is None
    resources = choose(device, cpus_per_trial, gpus_per_trial, max_concurrent, exclusive, precision, local=is_local)
    short = None
    if is_local:
        resources, short = fit(resources, environment.cpu_count(), environment.memory())
    cluster = Cluster(address, environment.cpu_count(), gpu_count() if resources.gpus else 0, ray_logs)
    cluster.reach()
    console, log_file = progress.console(), progress.LogFile()
    with progress.heard_on(progress.on_console(console)), progress.heard_on(log_file):
        data = datasets.load(dataset, data_dir, log.warning)
        if short:
            log.warning(short)
        held = conditions(data, resources.device, resources.cpus, precision)
        experiment = Experiment(asked, data, held, Store(store), share=not no_share)
        if fresh:
            experiment.fresh.update(run.key for run in experiment.plan().runs)
        if dry_run:
            return _print_plan(experiment, resources, cluster, not is_local, nodes, console)
        folder = output or _default_output(asked.name, data.name)
        check_place(folder)
        if launcher or experiment.plan().todo:
            experiment.store.check_writable()
        prepare_folder(folder)
        if launcher:
            return _launch(launcher, _options(ctx), experiment, data_dir, folder, config, keep, log_file, console)
        log_file.open(folder)
        return _train(experiment, folder, resources, cluster, console)


def _launcher(file: Path | None, keep: bool, address: str | None) -> Launcher | None:
    """The cluster to start, if one is asked for. Raises UserError."""
    if file is None:
        if keep:
            raise UserError("--keep leaves a cluster up that --cluster starts; give --cluster FILE.yaml, too")
        return None
    if address is not None:
        raise UserError("--cluster starts a cluster, and --address joins one that runs; give one of them")
    return read(file)


def _options(ctx: typer.Context) -> list[str]:
    """The options that were given, as words again, for the job on the cluster."""
    words: list[str] = []
    for option in ctx.command.params:
        value = ctx.params[str(option.name)]
        if option.name in HERE or value == option.get_default(ctx):
            continue
        for one in value if isinstance(value, (list, tuple)) else [value]:
            words += [option.opts[0]] if one is True else [option.opts[0], str(one)]
    return words


def _launch(
    launcher: Launcher,
    options: list[str],
    experiment: Experiment,
    data_dir: Path,
    folder: Path,
    config: Path | None,
    keep: bool,
    log_file: progress.LogFile,
    console: Console,
) -> int:
    """Run the sweep on the launcher's cluster; what this side says goes to the log's end, after what the job said."""
    wanted = [point.config.identity() for point in experiment.request.points]
    place = (experiment.data.name, data_dir, folder, experiment.store)
    try:
        return Launch(launcher, options, *place, wanted, config, keep).run(console)
    finally:
        log_file.open(folder)


def _default_output(name: str, dataset: str) -> Path:
    """results/mnist for the standard sweeps and one's own of the command line; results/mnist-NAME for a sweep file."""
    return Path("results") / (dataset if name == "standard" else f"{dataset}-{name}")


def _check_nodes(nodes: int | None, dry_run: bool) -> None:
    if nodes is not None and nodes < 1:
        raise UserError(f"--nodes must be a whole number of at least 1, not {nodes}")
    if nodes is not None and not dry_run:
        raise UserError("--nodes is for the forecast alone; give --dry-run, or leave it out")


def _print_plan(
    experiment: Experiment, resources: Resources, cluster: Cluster, elsewhere: bool, nodes: int | None, console: Console
) -> int:
    plan = experiment.plan()
    console.print(summary.plan_table(plan, experiment.names()))
    for line in summary.plan_lines(plan):
        log.info(line)
    if nodes or not elsewhere:
        log.info(_forecast(experiment, resources, cluster, nodes or 1))
    else:
        log.info("no forecast: the size of the cluster is not known from here; give --nodes N")
    return 0


def _forecast(experiment: Experiment, resources: Resources, cluster: Cluster, nodes: int) -> str:
    from tune_mnist.mnist.training import probe_epoch_seconds

    def probe(config: TrainConfig) -> float:
        return probe_epoch_seconds(config, experiment.data, resources.device, resources.cpus, resources.precision)

    side_by_side = slots(resources, cluster, nodes)
    seconds, source = forecast(experiment.plan(), experiment.conditions, experiment.store, side_by_side, probe)
    return summary.forecast_line(seconds, side_by_side, source)


def _train(experiment: Experiment, folder: Path, resources: Resources, cluster: Cluster, console: Console) -> int:
    log.info(
        f"sweeps on {experiment.data.name}: {', '.join(sweep.name for sweep in experiment.request.sweeps)}; "
        + "; ".join(summary.plan_lines(experiment.plan()))
    )
    interrupted = broken = False
    try:
        experiment.train(folder, resources, cluster, console)
    except KeyboardInterrupt:
        interrupted = True
    except ClusterError as error:
        log.error(str(error))
        broken = True
    points, written = experiment.write(folder, report=not interrupted)
    console.print(summary.points_table(points))
    for line in summary.best_lines(points):
        log.info(line)
    log.info(f"wrote {_listed(written)}" if written else f"nothing has changed in {folder}")
    if interrupted:
        log.warning(_kept(experiment))
        return cli.INTERRUPTED
    log.info(f"report: {folder / 'report.html'}")
    names = experiment.names()
    for key, cause in experiment.errors.items():
        log.error(f"failed: {names[key]}: {cause}")
    return 1 if experiment.errors or broken else 0


def _listed(paths: list[Path]) -> str:
    """The paths; a figure's two files as one."""
    drawn = {path.with_suffix("") for path in paths if path.suffix == ".svg"}
    names = [f"{path.with_suffix('')}.{{png,svg}}" if path.with_suffix("") in drawn else str(path) for path in paths]
    return ", ".join(dict.fromkeys(names))


def _kept(experiment: Experiment) -> str:
    plan = experiment.plan()
    kept = f"interrupted; {plural(plan.epochs_stored, 'finished epoch')} are kept in {experiment.store.folder}"
    return f"{kept}; the same command again trains the remaining {plan.epochs_to_train} and draws the figures"


def main() -> None:
    """`python -m tune_mnist.run`."""
    cli.start(cli.application(run))


if __name__ == "__main__":
    main()
