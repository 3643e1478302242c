"""Sweeps on Ray Tune from one command: `tune-mnist run`, or `python -m tune_mnist.run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_mnist.commands import options as shared
from tune_mnist.commands import sweep as sweeping
from tune_mnist.commands.subject import Chosen, Mnist, subject
from tune_mnist.display.log import ConsoleLines, LogFile, console, listening, log
from tune_mnist.launch.launch import Launch
from tune_mnist.machine.cpu import cpu_count, memory
from tune_mnist.machine.devices import gpu_count
from tune_mnist.mnist.task import STANDARD
from tune_mnist.plan.request import Options, build
from tune_mnist.results.folder import check_place, log_name, prepare_folder
from tune_mnist.store.store import Store
from tune_mnist.tasks.user import Where
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import GPUS_A_TRIAL, Asked, choose, fit

Many = list[str] | None

# What an option is about. What says where things lie, or what to show, is meant for this machine: a job on a cluster's
# head is not told.
WHAT, HOW, HERE = "what to ask", "how to train", "where things lie, and what to show"
MNISTS = ("dataset", "data_dir", "precision")  # the options that another task has no use for


def run(
    ctx: typer.Context,
    words: Annotated[
        Many,
        typer.Argument(
            rich_help_panel=WHAT,
            metavar="NAME=V1,V2",
            help="Every combination of several; NAME=VALUE moves the baseline.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(rich_help_panel=HERE, metavar="FILE.py", help="A training loop of your own (default: MNIST)."),
    ] = None,
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
    seed: Annotated[
        str | None, typer.Option(rich_help_panel=WHAT, metavar="N", help="The first seed (default: 1).")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(rich_help_panel=WHAT, metavar="N", help="Ask every point with N seeds, or with 7,8,9.")
    ] = None,
    minimize: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, metavar="NAME", help="Judge your loop by this: lower is better."),
    ] = None,
    maximize: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, metavar="NAME", help="Judge your loop by this: higher is better."),
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
    same_code: Annotated[
        bool, typer.Option("--same-code", rich_help_panel=WHAT, help="Use what your loop gave before its code changed.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", rich_help_panel=WHAT, help="Share and extend your loop's runs without a check.")
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", rich_help_panel=HERE, help="Print the sweep file, and stop.")
    ] = False,
    ray_logs: Annotated[
        bool, typer.Option("--ray-logs", rich_help_panel=HOW, help="Show Ray's own tables and logs.")
    ] = False,
) -> int:
    """Train controlled sweeps side by side under Ray Tune; write tables, plots, a log and TensorBoard logs.

    Without options: the epochs, batch and lr sweeps of the published experiment on MNIST. Nothing is trained twice:
    epochs that the store holds are read from it.
    """
    if print_config:
        return sweeping.print_config(config or STANDARD)
    options = Options(config, sweep or (), vary or (), settings or (), seed, seeds, words or ())
    chosen = Chosen(task, minimize, maximize, same_code, trust)
    what = subject(chosen, Mnist(dataset, data_dir, precision), options, shared.given(ctx, MNISTS))
    build(what.described, options)  # what is asked is refused before anything is loaded
    sweeping.check_nodes(nodes, dry_run)
    launcher = sweeping.launcher(cluster_file, keep, address)
    is_local = address is None and launcher is None
    resources = choose(Asked(device, cpus_per_trial, gpus_per_trial, max_concurrent, exclusive), is_local)
    what.check(resources.device, is_local)
    resources, short = fit(resources, cpu_count(), memory()) if is_local else (resources, None)
    cluster = Cluster(address, cpu_count(), gpu_count() if resources.gpus else 0, ray_logs)
    cluster.reach()
    screen, log_file = console(), LogFile()
    with listening(ConsoleLines(screen)), listening(log_file):
        where = Where(Store(store), resources.device, resources.cpus)
        experiment = sweeping.planned(what, options, where, share=not no_share)
        if short:
            log.warning(short)
        if fresh:
            experiment.start_afresh()
        if dry_run:
            return sweeping.print_plan(experiment, resources, cluster, sweeping.Nodes(nodes, is_local), screen)
        folder = output or sweeping.default_output(experiment)
        check_place(folder)
        if launcher or experiment.plan.todo:
            experiment.store.check_writable()
        prepare_folder(folder)
        log_path = folder / log_name(experiment.task.name)
        if launcher:
            words = [*shared.travelling(ctx, HERE), *what.options()]
            job = sweeping.job(words, experiment, what.files(), config)
            return sweeping.launch(Launch(launcher, job, experiment.store, folder, keep), screen, log_file, log_path)
        log_file.open(log_path)
        return sweeping.train(experiment, folder, resources, cluster, screen)


def main() -> None:
    """`python -m tune_mnist.run`."""
    shared.start(shared.application(run))
