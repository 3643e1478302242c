"""Sweeps on Ray Tune from one command: `tune-mnist run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_mnist.commands import options as shared
from tune_mnist.commands.cluster import show_plan
from tune_mnist.commands.subject import Chosen, Mnist, subject
from tune_mnist.display.live import PLAIN, Display
from tune_mnist.display.log import ConsoleLines, LogFile, console, listening, log
from tune_mnist.exits import INTERRUPTED
from tune_mnist.launch.launch import Launch
from tune_mnist.machine.cpu import cpu_count, memory
from tune_mnist.machine.devices import gpu_count
from tune_mnist.plan.request import Options, build
from tune_mnist.results.folder import log_name, prepare_folder
from tune_mnist.store.store import Store
from tune_mnist.tasks.user import Where
from tune_mnist.tuning.cluster import Cluster
from tune_mnist.tuning.resources import GPUS_A_TRIAL, Asked, choose, fit

Many = list[str] | None

# The groups of options in --help.
WHAT, WHERE, HOW = "What to ask", "Where things lie", "How to train"
CLUSTER, SHOW = "A cluster", "What to show"
# Options that say where things lie, or what to show, are meant for this machine: a job on a cluster's head is not told.
HERE = {"task", "config", "dataset", "data_dir", "output", "store", "address", "cluster_file", "keep", "nodes"}
HERE |= {"dry_run", "print_config", "yes", "version"}
ASKING = (
    "words",
    "task",
    "sweep",
    "vary",
    "settings",
    "seed",
    "seeds",
    "minimize",
    "maximize",
    "validation",
    "at",
    "margin",
    "title",
)  # what a sweep file says, too
MNISTS = ("validation", "dataset", "data_dir", "precision")  # the options that another task has no use for


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
        str | None,
        typer.Option(
            rich_help_panel=WHAT,
            metavar="N",
            help="Ask every point with N seeds, with 7,8,9, or with 3..20: until resolved.",
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(rich_help_panel=WHAT, metavar="FILE.yaml", help="A sweep file: all of this in YAML.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, metavar="FILE.py", help="A training loop of your own (default: MNIST)."),
    ] = None,
    minimize: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, metavar="NAME", help="Judge your loop by this: lower is better."),
    ] = None,
    maximize: Annotated[
        str | None,
        typer.Option(rich_help_panel=WHAT, metavar="NAME", help="Judge your loop by this: higher is better."),
    ] = None,
    validation: Annotated[
        int,
        typer.Option(rich_help_panel=WHAT, metavar="N", help="Hold N training images out, to choose the best by."),
    ] = 0,
    at: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=WHAT,
            metavar="EPOCH",
            help="Read each point at its last epoch, or at its best by validation (default: last).",
        ),
    ] = None,
    margin: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=WHAT, metavar="X", help="The least difference that matters, as 0.2 (points, of a share)."
        ),
    ] = None,
    title: Annotated[str | None, typer.Option(rich_help_panel=WHAT, metavar="TEXT", help="The report's title.")] = None,
    dataset: Annotated[
        str,
        typer.Option(
            rich_help_panel=WHERE, metavar="NAME", help="auto, mnist, fashion-mnist, kmnist, qmnist or digits."
        ),
    ] = "auto",
    data_dir: Annotated[
        Path,
        typer.Option(rich_help_panel=WHERE, metavar="DIR", envvar="TUNE_MNIST_DATA", help="Where the data sets lie."),
    ] = Path("data"),
    output: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=WHERE, metavar="DIR", help="Where tables and plots go (default: results/<dataset>)."
        ),
    ] = None,
    store: Annotated[Path, typer.Option(rich_help_panel=WHERE, metavar="DIR", help="What has been trained.")] = Path(
        "results/store"
    ),
    device: Annotated[str, typer.Option(rich_help_panel=HOW, metavar="NAME", help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(rich_help_panel=HOW, metavar="NAME", help="fp32, or bf16 where the CPU or GPU has it.")
    ] = "fp32",
    cpus_per_trial: Annotated[
        int | None,
        typer.Option(rich_help_panel=HOW, metavar="N", help="CPUs, and threads, of each trial (default: 1)."),
    ] = None,
    gpus_per_trial: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=HOW, metavar="X", help=f"GPUs of each trial (default: {GPUS_A_TRIAL} on CUDA, else none)."
        ),
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(rich_help_panel=HOW, metavar="N", help="At most so many trials side by side.")
    ] = None,
    exclusive: Annotated[
        bool,
        typer.Option("--exclusive", rich_help_panel=HOW, help="One trial at a time on every CPU, for clean times."),
    ] = False,
    no_share: Annotated[
        bool, typer.Option("--no-share", rich_help_panel=HOW, help="Train each point as a run of its own.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", rich_help_panel=HOW, help="Use nothing of what is stored; train it again.")
    ] = False,
    same_code: Annotated[
        bool, typer.Option("--same-code", rich_help_panel=HOW, help="Use what your loop gave before its code changed.")
    ] = False,
    trust: Annotated[
        bool, typer.Option("--trust", rich_help_panel=HOW, help="Share and extend your loop's runs without a check.")
    ] = False,
    epoch_timeout: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=HOW,
            metavar="SECONDS",
            help="Take a trial for hung after an epoch of so long (default: 10 times its longest, at least 2 minutes).",
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=CLUSTER,
            metavar="HOST:PORT",
            help="A Ray cluster that runs, or auto for this machine's (default: a local Ray, for this command).",
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            rich_help_panel=CLUSTER,
            help="Join it although it asks for no token: whoever reaches it runs code on it. "
            "One at 127.0.0.1 or localhost is joined without.",
        ),
    ] = False,
    cluster_file: Annotated[
        Path | None,
        typer.Option(
            "--cluster",
            rich_help_panel=CLUSTER,
            metavar="FILE.yaml",
            help="Start this cluster with ray up, and run there.",
        ),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", rich_help_panel=CLUSTER, help="Leave that cluster up at the end.")
    ] = False,
    nodes: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=CLUSTER, metavar="N", help="With --dry-run: forecast for N nodes like this machine."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", rich_help_panel=SHOW, help="Print the plan and a forecast, and stop.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            rich_help_panel=SHOW,
            help=f"Do not ask before more than {shared.MANY} runs, or an hour of training.",
        ),
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", rich_help_panel=SHOW, help="Print all that is asked as a sweep file, and stop."),
    ] = False,
    ray_logs: Annotated[
        bool, typer.Option("--ray-logs", rich_help_panel=SHOW, help="Show Ray's own tables and logs.")
    ] = False,
    plain: Annotated[
        bool, typer.Option(PLAIN, rich_help_panel=SHOW, help="Lines alone: no live display and no colours.")
    ] = False,
    version: shared.Version = False,  # noqa: ARG001
) -> int:
    """Sweep hyper-parameters under Ray Tune; write tables and a report.

    Without options: the epochs, batch and lr sweeps of the published experiment on MNIST. Nothing is trained twice:
    epochs that the store holds are read from it. Tables, plots, a log and TensorBoard's files are left in --output.

    \b
    tune-mnist run --sweep lr --seeds 3
    tune-mnist run --vary dropout=0,0.25,0.5 --set epochs=2
    tune-mnist run --task train.py --vary lr=0.01,0.1
    """
    options = Options(config, sweep or (), vary or (), settings or (), seed, seeds, words or (), at, margin, title)
    chosen = Chosen(task, minimize, maximize, same_code, trust)
    what = subject(chosen, Mnist(dataset, data_dir, precision, validation), options, shared.given(ctx, MNISTS))
    request = build(what.described, options)  # what is asked is refused before anything is loaded
    with Display(console(plain)):  # not above: with pandas, it is most of what a command's start takes
        from tune_mnist.commands import sweep as sweeping
    if print_config:
        return sweeping.print_config(request, what, config, not shared.given(ctx, ASKING))
    sweeping.check_nodes(nodes, dry_run)
    away = sweeping.away(cluster_file, keep, address, store)
    is_local = address is None and away is None
    asked = Asked(device, cpus_per_trial, gpus_per_trial, max_concurrent, exclusive, epoch_timeout)
    resources = choose(asked, is_local)
    what.check(resources.device, is_local)
    resources, short = fit(resources, cpu_count(), memory()) if is_local and not nodes else (resources, None)
    cluster = Cluster(address, cpu_count(), gpu_count() if resources.gpus else 0, ray_logs, insecure).reached()
    screen, log_file = console(plain), LogFile()
    with Display(screen) as display, listening(ConsoleLines(screen)), listening(log_file):
        where = Where(Store(store), resources.device, resources.cpus)
        experiment = sweeping.planned(what, options, where, not no_share, fresh, away)
        if short:
            log.warning(short)
        costs = sweeping.Costs(resources, cluster, nodes, is_local)
        if dry_run:
            return show_plan(experiment, costs, screen, away.launcher if away else None)
        folder = sweeping.checked_place(experiment, output, away)
        if not yes and not sweeping.agreed(experiment, costs, display):
            return INTERRUPTED
        prepare_folder(folder)
        if away and away.is_needed(experiment.plan.todo):
            job = sweeping.job([*shared.travelling(ctx, HERE), *what.options()], experiment, what.files(), config)
            launched = Launch(away, job, folder, experiment.asked, keep)
            return sweeping.launch(launched, experiment, display, log_file)
        log_file.open(folder / log_name(experiment.task.name))
        return sweeping.train(experiment, folder, resources, cluster, display)
