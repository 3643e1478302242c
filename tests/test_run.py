"""`python -m tune_mnist.run` as a person meets it: what it prints, what it leaves, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from conftest import (
    DIGITS,
    HISTORY,
    LOG,
    NO_NETWORK,
    RESULTS,
    ROOT,
    SLOW,
    SLOW_LRS,
    SMALL,
    Cluster,
    Finished,
    descendants,
    numbers,
    on_a_terminal,
    processes,
    ray_cluster,
    ray_folders,
    run,
    succeeded,
    trained,
    under_way,
    wait_for,
)
from matplotlib.image import imread

PLOTS = {f"{what}_vs_{sweep}.png" for what in ("accuracy", "time") for sweep in ("epochs", "batch", "lr")}
SWEEPS = {
    "epochs": ["1", "3", "5", "10", "15"],
    "batch": ["32", "64", "128", "256"],
    "lr": ["0.001", "0.005", "0.01", "0.05"],
}
COLUMNS = "sweep variable value dataset model optimizer epochs batch_size lr gamma seed test_accuracy test_loss "
COLUMNS += "train_time_s eval_time_s cpu_time_s threads concurrent device hostname precision trial_id status"
NOISE = ("raylet", "ray::", "(pid", "Trial ", "trainable", "WARNING", "Warning", "pid=", "Traceback")
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are read from Linux's /proc")


pytestmark = pytest.mark.timeout(1200)  # for the sweeps that a test finds first; a busy machine is slow

# The standard sweeps


def test_it_ends_well_and_says_nothing_on_stderr(standard: Finished) -> None:
    assert (standard.code, standard.err) == (0, "")


def test_all_files_are_there(standard: Finished) -> None:
    left = {path.name for path in standard.results.iterdir()}
    stems = {name.removesuffix(".png") for name in PLOTS} | {f"learning_{sweep}" for sweep in ("epochs", "batch", "lr")}
    drawn = {f"{stem}{suffix}" for stem in stems | {"accuracy_vs_time"} for suffix in (".png", ".svg")}
    made = {"summary.csv", "report.html", "report.md", "report.pdf", *drawn}
    assert left == {RESULTS, HISTORY, LOG, "environment.json", "tensorboard", *made}
    assert standard.results == standard.folder / "results" / "digits"


def test_a_row_a_point_in_the_order_asked(standard: Finished) -> None:
    asked = [(sweep, value) for sweep, values in SWEEPS.items() for value in values]
    assert [(row["sweep"], row["value"]) for row in standard.points()] == asked


def test_the_table_has_the_columns_and_says_what_was_held(standard: Finished) -> None:
    for row in standard.points():
        assert set(COLUMNS.split()) <= set(row)
        assert row[row["variable"]] == row["value"]
        held = {"epochs": "5", "batch_size": "64", "lr": "0.01", "gamma": "0.7", "seed": "1", "model": "mlp"}
        held |= {"optimizer": "adadelta", "dataset": "digits", "train_size": "320", "shuffle": "True"}
        held |= {"device": "cpu", "precision": "fp32", "threads": "1", "status": "done", "error": ""}
        del held[row["variable"]]
        assert {name: row[name] for name in held} == held
        assert row["hostname"] == socket.gethostname()
        assert row["trial_id"]


def test_values_are_in_their_ranges(standard: Finished) -> None:
    for row in standard.points():
        assert 0.1 < float(row["test_accuracy"]) < 1
        assert 0 < float(row["test_loss"]) < 2.4  # ln 10 is that of knowing nothing
        assert min(float(row[name]) for name in ("train_time_s", "eval_time_s", "cpu_time_s")) > 0


def test_concurrent_is_the_number_of_trials_beside_it(standard: Finished) -> None:
    assert {int(row["concurrent"]) for row in standard.points()} <= set(range(CPUS))


def test_more_epochs_take_more_time_and_learn_more(standard: Finished) -> None:
    points = [row for row in standard.points() if row["sweep"] == "epochs"]
    for name in ("train_time_s", "eval_time_s", "cpu_time_s"):
        times = [float(row[name]) for row in points]
        assert times == sorted(times)
    assert float(points[0]["test_loss"]) > float(points[-1]["test_loss"])


def test_the_baseline_has_one_answer_in_all_sweeps(standard: Finished) -> None:
    answers = {
        (row["test_accuracy"], row["test_loss"], row["train_time_s"], row["run"])
        for row in standard.points()
        if (row["epochs"], row["batch_size"], row["lr"]) == ("5", "64", "0.01")
    }
    assert len(answers) == 1


def test_the_history_has_a_row_an_epoch_of_every_run(standard: Finished) -> None:
    epochs = standard.epochs()
    assert len(epochs) == 45
    for run_of in {row["run"] for row in epochs}:
        mine = [row for row in epochs if row["run"] == run_of]
        assert [int(row["epoch"]) for row in mine] == list(range(1, len(mine) + 1))
        rates = [float(row["lr"]) * 0.7 ** (int(row["epoch"]) - 1) for row in mine]
        assert [float(row["epoch_lr"]) for row in mine] == pytest.approx(rates)
        assert all(0 < float(row["train_loss"]) < 2.5 for row in mine)


def test_points_are_read_off_the_history(standard: Finished) -> None:
    at = {(row["run"], row["epoch"]): row for row in standard.epochs()}
    for point in standard.points():
        epoch = at[point["run"], point["epochs"]]
        for name in ("train_loss", "test_loss", "test_accuracy"):
            assert point[name] == epoch[name]
        mine = [row for row in standard.epochs() if row["run"] == point["run"]][: int(point["epochs"])]
        assert float(point["train_time_s"]) == pytest.approx(sum(float(row["train_time_s"]) for row in mine))


def test_the_plots_are_pictures_of_a_readable_size(standard: Finished) -> None:
    for name in PLOTS:
        picture = imread(standard.results / name)
        assert min(picture.shape[:2]) >= 600
        assert picture.std() > 0.01  # not one colour


def test_the_log_tells_with_times_what_happened(standard: Finished) -> None:
    lines = standard.log().splitlines()
    for line in lines:
        datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S")
    assert sum(": done, " in line for line in lines) == 7
    assert trained(standard.log()).total() == 45
    assert any("drawing 10 figures" in line for line in lines)


def test_the_environment_is_written_down(standard: Finished) -> None:
    facts = json.loads((standard.results / "environment.json").read_text("utf-8"))
    assert facts["command"].endswith("--dataset digits --set model=mlp --set train_size=320")
    assert facts["packages"]["ray"].count(".") == facts["packages"]["torch"].count(".") == 2
    assert facts["python"] == sys.version.split()[0]
    assert facts["cpu"]["usable"] == CPUS
    assert datetime.fromisoformat(facts["started"]) < datetime.fromisoformat(facts["ended"])
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in facts["data_sha256"].values())
    assert len(facts["data_sha256"]) == 4
    if (ROOT / ".git").exists():
        head = subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        assert facts["git"]["commit"] == head.stdout.strip()
        assert isinstance(facts["git"]["dirty"], bool)


def test_stdout_is_plain_lines_without_rays_own(standard: Finished) -> None:
    assert "\x1b" not in standard.out
    assert [noise for noise in NOISE if noise in standard.out] == []


def test_stdout_tells_of_each_finished_trial_once(standard: Finished) -> None:
    done = re.findall(r"^(\S+): done, (\d+) epochs", standard.out, re.MULTILINE)
    assert sorted(done) == sorted(
        [("baseline", "15")]
        + [(f"batch_size={size}", "5") for size in (32, 128, 256)]
        + [(f"lr={lr}", "5") for lr in (0.001, 0.005, 0.05)]
    )


def test_stdout_ends_with_the_table_the_best_and_the_paths(standard: Finished) -> None:
    lines = ended(standard)
    last = next(place for place, line in enumerate(lines) if line.startswith("log: ")) + 1
    lines, advised = lines[:last], lines[last:]
    assert lines[-7].rstrip() == "values at the last epoch"
    table = lines[-20:-7]
    for line, point in zip(table, standard.points(), strict=True):
        assert line.split()[:2] == [point["sweep"], point["value"]]
        assert f"{100 * float(point['test_accuracy']):.2f} %" in line
    assert [re.split(r"=|,", line)[0] for line in lines[-6:-3]] == [
        "highest test accuracy of epochs: epochs",
        "highest test accuracy of batch: batch_size",
        "highest test accuracy of lr (learning rate): lr",
    ]
    best = max(standard.points(), key=lambda row: float(row["test_accuracy"]) * (row["sweep"] == "lr"))
    assert f"lr={best['value']}, {100 * float(best['test_accuracy']):.2f} %" in lines[-4]
    assert lines[-3:] == [
        f"{len(list(standard.results.iterdir()))} files in results/digits",
        "report: results/digits/report.html",
        f"log: results/digits/{LOG}",
    ]
    assert [line.partition(":")[0] for line in advised[:3]] == ["epochs", "batch (batch size)", "lr (learning rate)"]
    assert all(line.startswith("  tune-mnist run ") for line in advised[3:])


def ended(done: Finished) -> list[str]:
    """What it printed, without the two lines on how results leave a container, which these tests may run in."""
    lines = done.out.splitlines()
    return [line for line in lines if " cp " not in line and not line.startswith("all of it is in this container")]


def test_stages_that_take_long_are_lines_where_nothing_is_live(standard: Finished, repeated: Finished) -> None:
    lines = standard.out.splitlines()
    assert lines.index("starting Ray, about 10 s") == 1
    drawn = len(list(standard.results.glob("*.png")))
    assert lines.index(f"drawing {drawn} figures") > max(n for n, line in enumerate(lines) if ": done, " in line)
    assert not [line for line in lines if line.startswith(("reading", "looking", "stopping", "writing"))]
    assert not [line for line in repeated.out.splitlines() if line.startswith(("starting", "drawing"))]


# What is planned


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return succeeded(run(*SMALL, "--dry-run", folder=tmp_path_factory.mktemp("planned")))


def test_a_dry_run_tells_the_plan_and_writes_nothing(planned: Finished) -> None:
    assert "13 points, 11 distinct, 7 runs, 74 epochs asked for" in planned.out
    assert "0 epochs in the store, 45 to train" in planned.out
    assert re.search(r"about .* of training with .* \(from a short probe\)", planned.out)
    assert list(planned.folder.iterdir()) == []


def test_after_the_sweeps_nothing_is_left_to_train(standard: Finished) -> None:
    done = succeeded(run(*SMALL, "--dry-run", folder=standard.folder))
    assert "45 epochs in the store, 0 to train" in done.out


def test_a_longer_run_trains_only_what_it_is_longer(standard: Finished) -> None:
    grown = "--vary", "epochs=1,3,5,10,15,20"
    done = succeeded(run(*SMALL, *grown, "--sweep", "batch", "--sweep", "lr", "--dry-run", folder=standard.folder))
    assert "45 epochs in the store, 5 to train" in done.out
    assert "(from stored epoch times)" in done.out


def test_without_sharing_every_point_is_a_run(tmp_path: Path) -> None:
    done = succeeded(run(*SMALL, "--no-share", "--dry-run", folder=tmp_path))
    assert "13 runs, 74 epochs asked for" in done.out
    assert "0 epochs in the store, 74 to train" in done.out


def test_auto_without_mnist_takes_the_digits_and_says_so(tmp_path: Path) -> None:
    started = time.monotonic()
    done = succeeded(run("--data-dir", "empty", "--vary", "lr=0.01", "--dry-run", folder=tmp_path, **NO_NETWORK))
    assert time.monotonic() - started < 20 + 20  # 20 s at most to give up; the rest is for the probe
    assert re.search(r"digits instead of MNIST: .*cannot be downloaded", done.err)
    assert "0 epochs in the store, 5 to train" in done.out


def test_the_standard_sweeps_are_a_file_that_can_be_given_back(planned: Finished, tmp_path: Path) -> None:
    printed = succeeded(run("--print-config", folder=tmp_path)).out
    (tmp_path / "standard.yaml").write_text(printed, "utf-8")
    again = succeeded(run("--print-config", "--config", "standard.yaml", folder=tmp_path))
    assert again.out == printed
    done = succeeded(run(*SMALL, "--config", "standard.yaml", "--dry-run", folder=tmp_path))
    plan = [line for line in done.out.splitlines() if "about" not in line]
    assert plan == [line for line in planned.out.splitlines() if "about" not in line]


# The same command again


def test_a_repeated_command_ends_well_with_the_same_tables(standard: Finished, repeated: Finished) -> None:
    assert repeated.code == 0
    for name in (RESULTS, HISTORY):
        assert (repeated.results / name).read_bytes() == (standard.results / name).read_bytes()


def test_a_repeated_command_trains_nothing_and_starts_no_ray(repeated: Finished) -> None:
    imported = set(re.findall(r"\|\s+([\w.]+)$", repeated.err, re.MULTILINE))
    assert {"tune_mnist.store.store", "pandas"} <= imported
    assert not {"ray", "torch", "scipy.special", "tensorboard"} & imported
    assert "45 epochs in the store, 0 to train" in repeated.out
    assert ": epoch " not in repeated.out


def test_a_repeated_command_leaves_all_again(standard: Finished, repeated: Finished) -> None:
    assert {path.name for path in repeated.results.iterdir()} == {path.name for path in standard.results.iterdir()}
    first, again = (
        found[next(n for n, one in enumerate(found) if one.startswith("sweep ")) :]
        for found in (ended(standard), ended(repeated))
    )
    assert "nothing has changed in results/digits" in again
    assert [one for one in again if "nothing" not in one] == [one for one in first if " files in " not in one]
    assert trained(repeated.log()).total() == 45  # the first command's; the log is added to


# Sharing


@pytest.fixture(scope="module")
def unshared(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Each point a run of its own, one at a time, in a store of its own."""
    folder = tmp_path_factory.mktemp("unshared")
    return succeeded(run(*SMALL, "--no-share", "--max-concurrent", "1", folder=folder))


@pytest.mark.long
def test_shared_and_unshared_numbers_are_equal_bit_for_bit(standard: Finished, unshared: Finished) -> None:
    assert len(unshared.epochs()) == 74
    assert numbers(unshared.epochs()) == numbers(standard.epochs())


@pytest.mark.long
def test_shared_and_unshared_points_are_equal_bit_for_bit(standard: Finished, unshared: Finished) -> None:
    names = ("sweep", "value", "test_accuracy", "test_loss", "train_loss")
    assert len({row["run"] for row in unshared.points()}) == 13
    assert [[row[name] for name in names] for row in unshared.points()] == [
        [row[name] for name in names] for row in standard.points()
    ]


@pytest.mark.long
def test_one_trial_at_a_time_has_none_beside_it(unshared: Finished) -> None:
    assert {row["concurrent"] for row in unshared.points()} == {"0"}


# A sweep file, on a terminal

MINE = """\
name: mine
baseline: {epochs: 2, model: mlp, train_size: 100}
vary:
  model: [mlp, linear]
cross:
  lr: [0.01, 0.05]
  dropout: [0.25, 0.0]
seeds: 2
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A sweep file with a name, a categorical, a cross and two seeds; options override its baseline."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "mine.yaml").write_text(MINE, "utf-8")
    overriding = "--config", "mine.yaml", "--set", "epochs=3", "--set", "train_size=320"
    return on_a_terminal(*DIGITS, *overriding, folder=folder)


def test_a_terminal_gets_a_live_display(mine: Finished) -> None:
    assert mine.code == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", mine.out)
    assert "\x1b[?25l" in mine.out  # the cursor is hidden while it is redrawn ...
    assert mine.out.rindex("\x1b[?25h") > mine.out.rindex("\x1b[?25l")  # ... and back afterwards
    assert re.search(r"model [0-4]/4 points +cross [0-8]/8 points", shown)
    assert "epochs to train, time left: measuring" in shown
    assert re.search(r"epoch \d/3", shown)
    stages = ["starting", "starting Ray", "starting the first trials", "training", "stopping Ray", "drawing 7 figures"]
    places = [re.search(rf". {stage}[^\r\n]*  \d", shown) for stage in [*stages, "writing the report"]]
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)
    assert all(places)
    assert "0 epochs to train" not in shown.partition("stopping Ray")[2]
    assert not re.search(r": epoch \d/\d, test", shown)  # the lines that stand for it where there is no terminal
    assert len(re.findall(r": done, 3 epochs", shown)) == 10
    assert [noise for noise in NOISE if noise in shown] == []


def test_a_sweep_file_has_a_folder_of_its_name(mine: Finished) -> None:
    assert mine.results == mine.folder / "results" / "digits-mine"


def test_a_sweep_file_gives_its_points_for_each_seed(mine: Finished) -> None:
    points = [(row["sweep"], row["variable"], row["value"], row["seed"]) for row in mine.points()]
    assert points == [("model", "model", model, seed) for model in ("mlp", "linear") for seed in "12"] + [
        ("cross", "lr*dropout", value, seed)
        for value in ("0.01*0.25", "0.01*0.0", "0.05*0.25", "0.05*0.0")
        for seed in "12"
    ]


def test_the_command_line_overrides_the_sweep_file(mine: Finished) -> None:
    assert {(row["epochs"], row["train_size"]) for row in mine.points()} == {("3", "320")}


def test_a_categorical_sweep_has_its_plots(mine: Finished) -> None:
    pictures = {path.name for path in mine.results.glob("*.png")}
    assert pictures == {
        "accuracy_vs_model.png",
        "time_vs_model.png",
        "learning_model.png",
        "learning_cross.png",
        "accuracy_vs_time.png",
        "heatmap_cross.png",
        "interaction_cross.png",
    }


def test_the_same_seed_gives_the_same_numbers_in_another_store(mine: Finished, standard: Finished) -> None:
    asked = {("mlp", "0.01", "0.25", "1"), ("mlp", "0.05", "0.25", "1")}
    chosen = [row for row in mine.epochs() if (row["model"], row["lr"], row["dropout"], row["seed"]) in asked]
    assert len(chosen) == 6
    assert numbers(chosen) < numbers(standard.epochs())


def test_another_seed_gives_other_numbers(mine: Finished) -> None:
    losses = {row["seed"]: row["test_loss"] for row in mine.points() if row["value"] == "mlp"}
    assert losses["1"] != losses["2"]


def test_every_hyperparameter_counts(mine: Finished) -> None:
    """Equal numbers come from equal configs alone: the baseline stands twice, for each seed."""
    assert len({row["test_loss"] for row in mine.points()}) == 10


# Interrupted


@dataclass(frozen=True)
class Interrupted:
    """What was seen of a command that got a Ctrl-C in mid-run."""

    first: Finished
    seconds: float
    kept: list[dict[str, str]]
    log: str
    listening: set[str]
    processes: dict[int, str]


def listening(pids: set[int]) -> set[str]:
    """The addresses, in hexadecimal as the kernel gives them, that these processes accept TCP connections on."""
    inodes = set()
    for pid in pids:
        with suppress(OSError):
            for handle in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    inodes.add(str(handle.readlink()).removeprefix("socket:[").removesuffix("]"))
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes}


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    with under_way(*SLOW, folder=folder) as slow:
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        started = descendants(slow.process.pid)
        ports = listening(set(started)) if sys.platform == "linux" else set()
        os.killpg(slow.process.pid, signal.SIGINT)  # as a terminal sends it: to all of the group
        before = time.monotonic()
        first = slow.finished(60)
        seconds = time.monotonic() - before
    kept, log = first.points(), first.log()
    assert not list(first.results.glob("report.*"))
    assert not list(first.results.glob("*.png"))
    return Interrupted(first, seconds, kept, log, ports, started)


@pytest.fixture(scope="module")
def gone_on(interrupted: Interrupted) -> Finished:
    """The same command after it."""
    return run(*SLOW, folder=interrupted.first.folder)


def test_an_interrupt_ends_it_soon_with_130(interrupted: Interrupted) -> None:
    assert interrupted.first.code == 130
    assert interrupted.seconds < 10
    assert interrupted.first.err.count("\n") == 1


def test_an_interrupt_says_what_is_kept(interrupted: Interrupted) -> None:
    last = interrupted.first.err.splitlines()[-1]
    said = re.search(r"interrupted; (\d+) finished epochs? .* kept in results/store", last)
    assert said
    assert int(said[1]) == trained(interrupted.log).total() >= 2
    left = re.search(r"the same command again trains the remaining (\d+)", last)
    assert left
    assert int(left[1]) == 20 - int(said[1])


def test_an_interrupted_table_has_every_point(interrupted: Interrupted) -> None:
    assert [row["value"] for row in interrupted.kept] == list(SLOW_LRS)
    statuses = {row["status"] for row in interrupted.kept}
    assert "missing" in statuses <= {"missing", "done"}
    assert all((row["test_accuracy"] == "") == (row["status"] == "missing") for row in interrupted.kept)


@linux
def test_a_local_ray_listens_on_loopback_alone(interrupted: Interrupted) -> None:
    loopback = {
        "0100007F",  # 127.0.0.1
        "0000000000000000FFFF00000100007F",  # ::ffff:127.0.0.1
        "00000000000000000000000001000000",  # ::1
    }
    assert interrupted.listening
    assert interrupted.listening <= loopback


def test_a_local_ray_has_no_process_that_nothing_asks(interrupted: Interrupted) -> None:
    lines = interrupted.processes.values()
    assert not [line for line in lines if re.search(r"dashboard/dashboard\.py|monitor\.py", line)]
    workers = [line for line in lines if "ray::" in line and "Agent" not in line]
    assert len(workers) == 3  # two trials, and the mailbox


def test_nothing_is_left_running_or_lying_about(interrupted: Interrupted) -> None:
    assert any("raylet" in line for line in interrupted.processes.values())
    wait_for(lambda: not set(processes()) & set(interrupted.processes), "an end of Ray's processes", 20)
    folders = ray_folders(interrupted.processes)
    assert folders
    assert not any(folder.exists() for folder in folders)


@pytest.mark.long
def test_after_an_interrupt_the_same_command_finishes(gone_on: Finished, uninterrupted: Finished) -> None:
    assert gone_on.code == 0
    assert numbers(gone_on.epochs()) == numbers(uninterrupted.epochs())
    assert {row["status"] for row in gone_on.points()} == {"done"}


@pytest.mark.long
def test_after_an_interrupt_no_stored_epoch_is_trained_again(interrupted: Interrupted, gone_on: Finished) -> None:
    both = gone_on.log()
    assert both.startswith(interrupted.log)
    assert trained(both).total() == 20


# A cluster that is there


@pytest.mark.long
def test_a_cluster_gives_the_same_numbers_as_this_machine(ray: Cluster, standard: Finished, tmp_path: Path) -> None:
    done = succeeded(ray.run(*SMALL, "--vary", "lr=0.01,0.05", folder=tmp_path))
    assert len(done.epochs()) == 10
    assert numbers(done.epochs()) < numbers(standard.epochs())
    assert "\x1b" not in done.out
    assert [noise for noise in NOISE if noise in done.out] == []


def test_a_trial_that_no_node_has_room_for_is_refused(ray: Cluster, tmp_path: Path) -> None:
    done = ray.run(*SMALL, "--vary", "lr=0.01", "--cpus-per-trial", "3", folder=tmp_path)
    assert done.code == 2
    assert re.fullmatch("error: no node has the 3 CPU, 1 GB of memory that a trial asks for; .* 2 CPU.*\n", done.err)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({}, "asks for a token; set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "another" * 8}, "refuses the token it was given; set RAY_AUTH"),
    ],
    ids=["no token", "a wrong token"],
)
def test_a_cluster_that_refuses_the_token_is_named_at_once(
    ray: Cluster, settings: dict[str, str], error: str, tmp_path: Path
) -> None:
    before = time.monotonic()
    done = run(*SMALL, "--address", ray.address, folder=tmp_path, **settings)
    assert time.monotonic() - before < 15  # Ray itself tries for 30 s
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"error: the Ray cluster at '{ray.address}' {error}")


def test_a_token_file_that_is_not_there_is_named(ray: Cluster, tmp_path: Path) -> None:
    settings = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
    done = run(*SMALL, "--address", ray.address, folder=tmp_path, **settings)
    said = f"error: the token file '{tmp_path / 'token'}' cannot be read: No such file or directory; set RAY_AUTH_"
    assert done.code == 2
    assert done.err.startswith(said)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ray_cluster() as there:
        yield there


@pytest.mark.long
def test_a_lost_head_is_named_within_a_minute_and_loses_nothing(
    cluster: Cluster, uninterrupted: Finished, tmp_path: Path
) -> None:
    with under_way(*SLOW, "--address", cluster.address, folder=tmp_path, **cluster.settings) as slow:
        wait_for(lambda: ": epoch 2/5" in slow.log(), "a second epoch")
        port = cluster.address.rpartition(":")[2]
        lines = {pid: line for pid, (_, line) in processes().items()}
        (head,) = [pid for pid, line in lines.items() if "gcs_server" in line and f"_port={port}" in line]
        os.kill(head, signal.SIGKILL)
        before = time.monotonic()
        done = slow.finished(90)
        assert time.monotonic() - before < 60
    assert done.code == 1, done.out + done.err
    assert f"the Ray head at '{cluster.address}' was lost; every finished epoch is in the store" in done.err
    again = succeeded(run(*SLOW, folder=tmp_path))
    assert numbers(again.epochs()) == numbers(uninterrupted.epochs())
    assert 20 <= trained(again.log()).total() <= 20 + len(SLOW_LRS)
