"""The command lines before they do anything: help, hints for what was written wrong, sweep files, and questions."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import typer
from conftest import DIGITS, ROOT, Finished, command, run, succeeded, surroundings
from hypothesis import given, settings
from hypothesis import strategies as st

from tune_mnist import __version__, sweep
from tune_mnist.commands.check import check
from tune_mnist.commands.cluster import cluster
from tune_mnist.commands.options import application, travelling
from tune_mnist.commands.report import compare, report
from tune_mnist.commands.run import HERE
from tune_mnist.commands.run import run as sweeps
from tune_mnist.commands.runs import runs
from tune_mnist.commands.train import train
from tune_mnist.commands.verify import verify
from tune_mnist.errors import UserError
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan.request import Options, build
from tune_mnist.plan.written import written
from tune_mnist.tuning.head import is_loopback

ALL = (sweeps, report, compare, verify, runs, check, train, cluster)
COMMANDS = typer.main.get_command(application(*ALL)).commands  # type: ignore[attr-defined]


def tune_mnist(*arguments: str, folder: Path = ROOT, **more: str) -> Finished:
    return run(*arguments, folder=folder, module="tune_mnist", **more)


def refused(*arguments: str) -> str:
    """What the command says of a mistake, given in this process: nothing is started for it."""
    with pytest.raises(UserError) as error:
        application(*ALL)(list(arguments), standalone_mode=False, prog_name="tune-mnist")
    line = str(error.value)
    assert "\n" not in line
    return line


# Help


def test_without_a_command_it_shows_what_it_can_do() -> None:
    shown = succeeded(tune_mnist())
    assert shown.err == ""
    assert shown.out == succeeded(tune_mnist("--help")).out
    for said in ("tune-mnist run --dataset digits", "--task", "--install-completion", "--version"):
        assert said in shown.out


def test_each_command_has_a_line_of_its_own_in_a_useful_order() -> None:
    shown = succeeded(tune_mnist("-h", COLUMNS="80")).out
    lines = re.findall(r"^  (\w+)  +(\S.*)$", shown.partition("Commands:")[2].partition("Examples")[0], re.MULTILINE)
    assert [name for name, _ in lines] == ["run", "report", "compare", "verify", "runs", "check", "train", "cluster"]
    assert [said for _, said in lines if said.endswith("...")] == []


def test_the_options_of_a_sweep_are_in_groups() -> None:
    shown = succeeded(tune_mnist("run", "-h", COLUMNS="80")).out
    groups = dict(re.findall(r"^([A-Z][\w ,]+):\n((?:  .*\n?)+)", shown, re.MULTILINE))
    assert list(groups) == ["What to ask", "Where things lie", "How to train", "A cluster", "What to show"]
    for title, options in (
        ("What to ask", "--sweep --vary --set --seed --seeds --config --task --minimize --maximize"),
        ("Where things lie", "--dataset --data-dir --output --store"),
        ("How to train", "--device --precision --cpus-per-trial --max-concurrent --no-share --fresh"),
        ("A cluster", "--address --insecure --cluster --keep --nodes"),
        ("What to show", "--dry-run --yes --print-config --ray-logs --version --help"),
    ):
        there = re.findall(r"^  (?:-h, )?(--[a-z-]+)", groups[title], re.MULTILINE)
        assert set(options.split()) <= set(there)
    assert "127.0.0.1" in groups["A cluster"]  # what may be joined without a token


@pytest.mark.parametrize("module", ["tune_mnist", "tune_mnist.run", "tune_mnist.train"])
def test_the_version(module: str) -> None:
    assert succeeded(run("--version", folder=ROOT, module=module)).out == f"tune-mnist {__version__}\n"


def test_a_shell_completes_commands_and_options() -> None:
    asked = {"_TUNE_MNIST_COMPLETE": "complete_bash", "COMP_CWORD": "1", "COMP_WORDS": "tune-mnist ru"}
    assert succeeded(tune_mnist(folder=ROOT, **asked)).out.split() == ["run", "runs"]
    asked |= {"COMP_CWORD": "2", "COMP_WORDS": "tune-mnist run --dat"}
    assert succeeded(tune_mnist(folder=ROOT, **asked)).out.split() == ["--dataset", "--data-dir"]


def test_make_help_lists_every_target() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (targets,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(re.findall(r"^make (\S+) +\S", told, re.MULTILINE)) == set(targets.split())


# What stays on this machine when a sweep goes to a cluster's head


def test_an_option_that_is_about_this_machine_is_not_told_to_a_clusters_head() -> None:
    here = ["--output", "o", "--store", "s", "--data-dir", "d", "--dataset", "digits", "--task", "t.py", "--yes"]
    here += ["--cluster", "c.yaml", "--keep"]
    there = ["--vary", "lr=1", "--vary", "gamma=1", "--set", "epochs=2", "--seeds", "3", "--no-share", "--insecure"]
    context = COMMANDS["run"].make_context("run", [*here, *there])
    told = travelling(context, HERE)
    assert sorted(told) == sorted(there)
    assert {option.name for option in COMMANDS["run"].params} >= HERE


# Hints


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run --epochs 5", "no option --epochs: epochs is a hyper-parameter; write --set epochs=5"),
        ("run --epochs=5", "write --set epochs=5"),
        ("run --lr 0.1,0.2", "lr is a hyper-parameter; write --vary lr=0.1,0.2"),
        ("run --batch_size=32,64", "write --vary batch_size=32,64"),
        ("run --batch-size 32", "write --set batch_size=32"),
        ("run --batch 32", "write --set batch_size=32"),
        ("run --shuffle", "write --set shuffle=VALUE"),
        ("run --epoch 5", "no option --epoch (did you mean --set epochs=5?)"),
        ("run --width 5", "no option --width; --help lists what there is; a hyper-parameter is given as --set width=5"),
        ("check spiral.py --lr 0.1", "write --set lr=0.1"),
        ("run --sedes 3", "no option --sedes (did you mean --seeds?)"),
        ("run --dryrun", "no option --dryrun (did you mean --dry-run?)"),
        ("run -seeds 3", "no option -seeds (did you mean --seeds?)"),
        ("run --set lr=0.1,0.2", "a sweep over several is --vary lr=0.1,0.2"),
        ("run -vary lr=1", "no option -vary (did you mean --vary?)"),
        ("run —seeds 3", "'—seeds' begins with a dash; an option begins with two hyphens: --seeds"),
        ("run --vary lr=0.1, 0.2", "'lr=0.1, 0.2' is two words to the shell; write it without the space: lr=0.1,0.2"),
        ("run --vary lr=0.1 ,0.2", "write it without the space: lr=0.1,0.2"),
        ("run --set lr =0.1", "write it without the space: lr=0.1"),
        ("run --device gpu", "unknown device 'gpu' (did you mean 'cuda'?)"),
        ("train --dataset digits --device gpu", "unknown device 'gpu' (did you mean 'cuda'?)"),
        ("run --precision BF16", "did you mean 'bf16'?"),
        ("run --seeds two", "seed must be a whole number from 0 to 2**64 - 1, not 'two'"),
        ("run --gpus-per-trial half", "--gpus-per-trial must be a number, not 'half'"),
        ("check spiral.py --epochs 1", "--epochs 1: "),
        ("train --vary lr=1", "no option --vary; tune-mnist run has it"),
        ("train --threads 100000", "--threads 100000 is more than this machine has"),
        ("--vary lr=1", "no option --vary before a command's name; write tune-mnist run --vary"),
        ("rnu", "unknown command 'rnu' (did you mean 'run'?); choose from: run, report, compare"),
        ("check none.py", "task none.py: there is no file 'none.py'"),
        ("report README.md", "'README.md' is a file; give the folder that it is in: ."),
    ],
)
def test_a_mistake_is_told_what_was_meant(
    arguments: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "README.md").touch()
    monkeypatch.chdir(tmp_path)
    assert said in refused(*arguments.split())


def test_a_command_line_with_a_mistake_ends_with_2_and_one_line(tmp_path: Path) -> None:
    done = tune_mnist("run", "--epochs", "5", folder=tmp_path)
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: no option --epochs: epochs is a hyper-parameter; write --set epochs=5\n"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Options(sweep=["epochs,lr"]), Options(sweep=["epochs", "lr"])),
        (Options(sweep=["LR", "Epochs, lr"]), Options(sweep=["lr", "epochs"])),
        (Options(settings=["shuffle=no"]), Options(settings=["shuffle=false"])),
        (Options(vary=["lr=0.1, 0.2"]), Options(vary=["lr=0.1,0.2"])),
    ],
    ids=["several sweeps in one", "large letters", "a flag as YAML has it", "a space in quotes"],
)
def test_what_has_one_meaning_is_taken(one: Options, other: Options) -> None:
    assert build(MNIST, one).points == build(MNIST, other).points


def test_a_flag_is_the_same_on_the_command_line_and_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: standard\nbaseline: {shuffle: no}\nvary: {lr: [0.1]}\n", "utf-8")
    in_file = build(MNIST, Options(config=tmp_path / "mine.yaml"))
    assert in_file.points == build(MNIST, Options(settings=["shuffle=no"], vary=["lr=0.1"])).points


def test_a_data_set_and_a_device_are_named_in_large_letters_too(tmp_path: Path) -> None:
    asked = "--dataset", "Digits", "--device", "CPU", "--vary", "lr=0.1", "--set", "model=linear", "--dry-run"
    assert "5 to train" in succeeded(tune_mnist("run", *asked, folder=tmp_path)).out


# Empty values


def valued() -> Iterator[Any]:
    """Every option of every command that takes a value, and every argument."""
    for name, one in COMMANDS.items():
        for parameter in one.params:
            if not getattr(parameter, "is_flag", False) and not getattr(parameter, "count", False):
                yield pytest.param(name, parameter, id=f"{name} {parameter.opts[0]}")


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize(("name", "parameter"), [*valued()])
def test_an_empty_value_is_refused(name: str, parameter: Any, value: str) -> None:
    """As of a shell variable that is not set: a folder '' would be the one that the command is given in."""
    is_option = parameter.opts[0].startswith("-")
    assert "is empty" in refused(name, *([parameter.opts[0]] if is_option else []), value)


def test_an_empty_variable_is_as_one_that_is_not_set(tmp_path: Path) -> None:
    asked = "--dry-run", "--vary", "lr=0.1", "--set", "model=linear", *DIGITS
    done = succeeded(tune_mnist("run", *asked, folder=tmp_path, TUNE_MNIST_DATA=""))
    assert "5 to train" in done.out
    assert list(tmp_path.iterdir()) == []


# The sweep file of what is asked

LRS = st.lists(st.sampled_from([0.05, 1e-3, 0.1, 0.1 + 0.2, 1e-7, 3.0]), min_size=1, max_size=3, unique=True)
SIZES = st.lists(st.sampled_from([16, 32, 256]), min_size=1, max_size=3, unique=True)
OPTIMIZERS = st.lists(st.sampled_from(["adadelta", "sgd", "adam"]), min_size=1, max_size=3, unique=True)
HELD = st.fixed_dictionaries(
    {},
    optional={
        "epochs": st.integers(1, 30),
        "weight_decay": st.sampled_from(["1", "0.33", "1e-3"]),
        "shuffle": st.sampled_from(["true", "false"]),
        "train_size": st.sampled_from(["all", "512"]),
        "schedule": st.sampled_from(["step", "cosine"]),
    },
)


@st.composite
def asked(draw: st.DrawFn) -> Options:
    vary: dict[str, list[Any]] = draw(
        st.fixed_dictionaries({}, optional={"lr": LRS, "batch_size": SIZES, "optimizer": OPTIMIZERS})
    )
    sweep = [name for name in draw(st.sets(st.sampled_from(["epochs", "batch", "lr"]))) if name not in vary]
    sweep = [name for name in sweep if name != "batch" or "batch_size" not in vary]
    return Options(
        sweep=sweep,
        vary=[f"{name}={','.join(map(str, values))}" for name, values in vary.items()],
        settings=[f"{name}={value}" for name, value in draw(HELD).items()],
        seeds=draw(st.none() | st.integers(1, 4)),
    )


@settings(deadline=None, max_examples=60)
@given(options=asked())
def test_a_printed_sweep_file_asks_the_same_points(tmp_path_factory: pytest.TempPathFactory, options: Options) -> None:
    request = build(MNIST, options)
    file = tmp_path_factory.mktemp("printed") / "printed.yaml"
    file.write_text(written(request, MNIST, {}), "utf-8")
    again = build(MNIST, Options(config=file))
    assert set(again.points) == set(request.points)
    assert len(again.points) == len(request.points)
    assert (again.name, again.baseline) == (request.name, request.baseline)


def test_a_cross_and_a_name_are_printed_and_read_back(tmp_path: Path) -> None:
    mine = "name: mine\nbaseline: {optimizer: sgd}\ncross: {lr: [0.1, 0.2], momentum: [0, 0.9]}\nseeds: 2\n"
    (tmp_path / "mine.yaml").write_text(mine, "utf-8")
    options = "--config", "mine.yaml", "--set", "epochs=2"
    printed = succeeded(tune_mnist("run", "--print-config", *options, folder=tmp_path)).out
    (tmp_path / "printed.yaml").write_text(printed, "utf-8")
    given_back = build(MNIST, Options(config=tmp_path / "printed.yaml"))
    assert given_back.name == "mine"
    assert given_back.points == build(MNIST, Options(config=tmp_path / "mine.yaml", settings=["epochs=2"])).points


def test_all_that_a_file_may_say_is_printed_and_read_back(tmp_path: Path) -> None:
    mine = """name: mine
baseline: {optimizer: sgd, momentum: 0.9}
vary: {optimizer: [sgd, adam]}
cross: {lr: [0.1, 0.2], momentum: [0, 0.9]}
zip: {batch_size: [32, 64], epochs: [1, 2]}
exclude: [{lr: 0.1, momentum: 0.9}]
seeds: [77, 88]
"""
    (tmp_path / "mine.yaml").write_text(mine, "utf-8")
    request = build(MNIST, Options(config=tmp_path / "mine.yaml"))
    (tmp_path / "printed.yaml").write_text(written(request, MNIST, {}), "utf-8")
    again = build(MNIST, Options(config=tmp_path / "printed.yaml"))
    assert again.points == request.points
    assert len(again.points) == 2 * (2 + 3 + 2)
    assert again.notes == request.notes


def test_a_printed_sweep_of_ones_own_names_the_task_and_its_judge(tmp_path: Path) -> None:
    spiral = str(ROOT / "examples" / "spiral.py")
    options = "--task", spiral, "--vary", "width=8,16", "--minimize", "val_loss"
    printed = succeeded(tune_mnist("run", "--print-config", *options, folder=tmp_path)).out
    (tmp_path / "mine.yaml").write_text(printed, "utf-8")
    again = tune_mnist("run", "--print-config", "--config", "mine.yaml", "--seeds", "1", folder=tmp_path)
    assert succeeded(again).out == printed
    assert f"task: {spiral}\njudge: {{minimize: val_loss}}\n" in printed


@contextmanager
def ray_head(token: str | None) -> Iterator[int]:
    """The answers of a Ray head to who asks for its name, with a token or without; the port."""

    def answer(_request: bytes, context: Any) -> bytes:
        told = dict(context.invocation_metadata()).get("authorization")
        if token is not None and told != f"Bearer {token}":
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
        return b""

    method = grpc.unary_unary_rpc_method_handler(answer)
    service = grpc.method_handlers_generic_handler("ray.rpc.NodeInfoGcsService", {"GetClusterId": method})
    server = grpc.server(ThreadPoolExecutor(1), handlers=[service])
    port = server.add_insecure_port("0.0.0.0:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


# A question before a big request


WENT_ON = -signal.SIGKILL


def asked_of(*arguments: str, folder: Path, answer: bytes = b"", terminal: bool = True) -> tuple[int, str]:
    """Give the command, on a terminal of its own or not, and type the answer if it asks.

    Its exit code and all that it showed; WENT_ON once it has made the results' folder, which comes after the question.
    """
    ours, its = pty.openpty()
    process = subprocess.Popen(
        command("run", *DIGITS, *arguments, module="tune_mnist"),
        cwd=folder,
        env=surroundings(COLUMNS="200", TERM="dumb"),
        stdin=its if terminal else subprocess.DEVNULL,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    shown, ended = b"", False
    with suppress(OSError):  # Linux's way to say that nobody has the terminal open any more
        while not ended:
            ended = process.poll() is not None
            if (folder / "results" / "digits").exists():
                process.kill()
            while select.select([ours], [], [], 0.1)[0] and (part := os.read(ours, 65_536)):
                shown += part
                if b"[y/N]" in part:
                    os.write(ours, answer)
    os.close(ours)
    return process.wait(60), shown.decode()


LRS_51 = ",".join(f"0.{n:03}" for n in range(1, 52))


@pytest.fixture
def many() -> Iterator[tuple[str, ...]]:
    """Asks for 51 runs, of a cluster that nothing is started for."""
    with ray_head(token=None) as port:
        yield ("--set", "epochs=1", "--vary", f"lr={LRS_51}", "--address", f"127.0.0.1:{port}")


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"\x04"], ids=["no", "return", "end of input"])
def test_more_than_fifty_runs_are_asked_about(answer: bytes, many: tuple[str, ...], tmp_path: Path) -> None:
    code, shown = asked_of(*many, folder=tmp_path, answer=answer)
    assert code == 130
    assert "51 points, 51 distinct, 51 runs, 51 epochs asked for" in shown
    assert "go on? [y/N]" in shown
    assert not (tmp_path / "results" / "digits").exists()


@pytest.mark.parametrize(
    ("more", "terminal", "asks"),
    [((), True, True), (("--yes",), True, False), ((), False, False)],
    ids=["answered", "answered beforehand", "no terminal"],
)
def test_it_goes_on_if_it_may(
    more: tuple[str, ...], terminal: bool, asks: bool, many: tuple[str, ...], tmp_path: Path
) -> None:
    code, shown = asked_of(*many, *more, folder=tmp_path, answer=b"y\n", terminal=terminal)
    assert code == WENT_ON
    assert ("go on?" in shown) is asks


def test_hours_of_training_are_asked_about(tmp_path: Path) -> None:
    code, shown = asked_of("--set", "epochs=1000000", "--vary", "lr=0.1", folder=tmp_path, answer=b"n\n")
    assert code == 130
    assert re.search(r"about \d+ h \d\d min of training", shown)
    assert "nothing was trained" in shown
    assert not (tmp_path / "results" / "digits").exists()


# A cluster that asks for no token


JOINING = ("run", *DIGITS, "--dry-run", "--vary", "lr=0.1", "--address")


def test_a_cluster_that_asks_for_no_token_is_refused(tmp_path: Path) -> None:
    with ray_head(token=None) as port:
        done = tune_mnist(*JOINING, f"0.0.0.0:{port}", folder=tmp_path)
    assert done.code == 2
    assert done.err.count("\n") == 1
    for said in (f"'0.0.0.0:{port}' asks for no token", "RAY_AUTH_MODE=token", "--insecure"):
        assert said in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_token_of_ours_does_not_make_an_open_cluster_a_closed_one(tmp_path: Path) -> None:
    with ray_head(token=None) as port:
        told = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "secret"}
        done = tune_mnist(*JOINING, f"0.0.0.0:{port}", folder=tmp_path, **told)
    assert (done.code, "asks for no token" in done.err) == (2, True)


def test_an_open_cluster_is_joined_if_that_is_said_or_on_loopback(tmp_path: Path) -> None:
    with ray_head(token=None) as port:
        assert "5 to train" in succeeded(tune_mnist(*JOINING, f"0.0.0.0:{port}", "--insecure", folder=tmp_path)).out
        assert "5 to train" in succeeded(tune_mnist(*JOINING, f"127.0.0.1:{port}", folder=tmp_path)).out


def test_a_cluster_with_a_token_is_joined_with_it(tmp_path: Path) -> None:
    with ray_head(token="secret") as port:
        told = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "secret"}
        assert "5 to train" in succeeded(tune_mnist(*JOINING, f"0.0.0.0:{port}", folder=tmp_path, **told)).out
        told["RAY_AUTH_TOKEN"] = "another"
        assert "refuses the token" in tune_mnist(*JOINING, f"0.0.0.0:{port}", folder=tmp_path, **told).err


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1:6379", True),
        ("127.9.9.9:6379", True),
        ("localhost:6379", True),
        ("[::1]:6379", True),
        ("0.0.0.0:6379", False),
        ("127.0.0.1.example.org:6379", False),
        ("localhost.example.org:6379", False),
        ("10.0.0.1:6379", False),
        ("head:6379", False),
    ],
)
def test_what_is_on_loopback(address: str, own: bool) -> None:
    assert is_loopback(address) is own


# The same mistakes from Python


def loop(config: dict[str, Any], state: Any = None) -> Iterator[tuple[dict[str, float], Any]]:
    while True:
        yield {"loss": config["lr"]}, state


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing to sweep; give vary={name: [values]}"),
        ({"vary": {"lr": []}}, "vary: lr takes a list of values, as in [A, B], not []"),
        ({"vary": {"lr": 0.1}}, "vary: lr takes a list of values, as in [A, B], not 0.1"),
        ({"vary": {"lr": "0.1,0.2"}}, "vary: lr takes a list of values, as in [A, B], not '0.1,0.2'"),
        ({"cross": {"lr": "0.1"}}, "cross: lr takes a list of values"),
        ({"vary": {"lr": [0.1]}, "cpus_per_trial": 0}, "cpus_per_trial must be a whole number of at least 1, not 0"),
        ({"vary": {"lr": [0.1]}, "device": "gpu"}, "unknown device 'gpu' (did you mean 'cuda'?)"),
        ({"vary": {"lr": [0.1]}, "store": ""}, "store is an empty text; name a folder, or leave it out"),
        ({"vary": {"lr": [0.1]}, "output": " "}, "output is an empty text"),
        ({"vary": {"lr": [0.1]}, "address": "localhost"}, "give address HOST:PORT of its head"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_python_hears_of_its_own_arguments(
    asked: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        sweep(loop, epochs=1, version="1", **asked)
    assert said in str(error.value)
    assert "--" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
