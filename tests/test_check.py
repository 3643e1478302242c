"""`tune-mnist check`: loops with one planted fault each, named by its own line, and good ones, that none accuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from tune_mnist.checking import probe
from tune_mnist.checking.check import FAILS, OK, UNKNOWN, Report, checked, quick
from tune_mnist.checking.probe import Bench
from tune_mnist.commands.check import check, values_of
from tune_mnist.errors import UserError
from tune_mnist.store.checkpoint import packed, unpacked
from tune_mnist.tasks.loop import Loop, find

LOOPS = Path(__file__).parent / "loops"
NAMES = ["deterministic", "going on", "evaluation", "another seed", "number of epochs", "state"]


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops are found by putting their folder first in the path."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def report(spec: str, *settings: str) -> Report:
    loop = find(spec)
    return checked(Bench(loop, spec, packed, unpacked), values_of(loop, list(settings), None))


def of(name: str) -> Report:
    return report(str(LOOPS / f"{name}.py"))


def marks(found: Report) -> dict[str, str]:
    return {line.name: line.mark for line in found.lines}


def said(found: Report, name: str) -> str:
    return next(line.said for line in found.lines if line.name == name)


def written(folder: Path, name: str, body: str) -> str:
    """A loop in a file of its own."""
    (folder / f"{name}.py").write_text(body, "utf-8")
    return str(folder / f"{name}.py")


@pytest.mark.parametrize(
    ("loop", "fails", "cause"),
    [
        ("unseeded_shuffling", "deterministic", "Python's global generator (random), which nothing seeds"),
        ("unseeded_generator", "deterministic", "numpy.random.default_rng() without a seed; give it config.seed"),
        ("time_dependent", "deterministic", "it depends on the time"),
        ("drawing_evaluation", "evaluation", "it draws from torch's global generator; give it a generator of its own"),
        ("left_in_eval", "evaluation", "in epoch 2, BatchNorm1d and Dropout trained in eval mode: call model.train()"),
        ("forgotten_optimizer", "going on", "not in it: optimizer (Adam), add its state_dict()"),
        ("forgotten_generator", "going on", "the state of torch's global generator is not in it; add torch.get_rng_st"),
        ("forgotten_shuffling", "going on", "not in it: shuffling (Generator), add its state"),
        ("schedule_by_total", "number of epochs", "scheduler (CosineAnnealingLR) knows the total; ask for it instead"),
        ("seed_ignored", "another seed", "config.seed is not used"),
    ],
)
def test_a_fault_is_named_and_nothing_else_is_accused(loop: str, fails: str, cause: str) -> None:
    found = of(loop)
    assert found.fails == (fails,)
    assert cause in said(found, fails)
    resting = {"going on", "another seed", "number of epochs"}  # on determinism
    assert {name for name, mark in marks(found).items() if mark == UNKNOWN} <= {
        "evaluation",
        *(resting if fails == "deterministic" else ()),
    }


def test_a_good_torch_loop_keeps_every_promise() -> None:
    """And its seconds, which differ, are found to be a time."""
    found = of("good_torch")
    assert marks(found) == dict.fromkeys(NAMES, OK)
    assert said(found, "deterministic").endswith("not compared, because it measures time: seconds")
    assert [name for name, _ in found.costs] == ["an epoch", "memory", "a checkpoint", "3 measures"]
    assert dict(found.costs)["3 measures"] == "loss, val_loss, seconds"


def test_a_loop_that_asks_for_the_total_is_not_accused_of_looking_at_it() -> None:
    found = of("good_total")
    assert marks(found) == dict.fromkeys(NAMES, OK)
    assert "neither shared nor extended" in said(found, "number of epochs")


def test_a_loop_that_yields_no_state_is_told_what_that_means() -> None:
    found = of("good_stateless")
    assert marks(found) == {name: UNKNOWN if name == "evaluation" else OK for name in NAMES if name != "going on"}
    assert "starts again from the beginning" in said(found, "state")
    assert dict(found.costs)["a checkpoint"] == "none"


def test_a_plain_loop_is_checked_without_torch() -> None:
    """By the command itself, in a process that has not loaded it: the exit code says whether something failed."""
    program = (
        "import sys; from tune_mnist.commands.check import check; "
        "codes = [check(f'{name}.py') for name in ('good_plain', 'seed_ignored')]; "
        "sys.exit(0 if codes == [0, 1] and 'torch' not in sys.modules else f'{codes}')"
    )
    environment = {"PYTHONPATH": str(ROOT), "COLUMNS": "200", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=LOOPS,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("gives the same numbers as without a stop") == 2
    assert "fails      another seed      gives the same numbers: config.seed is not used" in done.stdout


def test_processes_that_are_not_forked_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_can_fork", lambda: False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert of("good_plain").fails == ()


PLAIN = "def train(config: dict, state=None):\n"
COUNTS = PLAIN + "    x = config['seed']\n    while True:\n        x += 1\n        yield {'x': x}, "
NAN = PLAIN + "    while True:\n        yield {'x': float('nan'), 'seed': config['seed']}\n"


@pytest.mark.parametrize(
    ("body", "fails", "cause"),
    [
        (f"{COUNTS}{{'x': x}}\n", "going on", "it starts again at epoch 1; load the state"),
        (f"{COUNTS}{{'x': object()}}\n", "state", "state['x'] is a object"),
        (f"{PLAIN}    yield {{'x': 1}}\n", "training", "ended after 1 of 2 epochs"),
        (f"{PLAIN}    yield {{'x': 1 / 0}}\n", "training", "loop3.py:2: ZeroDivisionError: division by zero"),
        (f"{PLAIN}    yield {{'x': 'high'}}\n", "training", "metric x is a str, and no number"),
        (f"{PLAIN}    import os\n    os._exit(7)\n    yield {{}}\n", "training", "its process ended with exit code 7"),
        (NAN, None, ""),
        (f"{PLAIN}    yield {{'a\\nb': 1}}\n", "training", "a measure is called 'a\\nb'; it is a column's name"),
    ],
    ids=[
        "starts again",
        "object in state",
        "ends early",
        "raises",
        "no number",
        "dies",
        "nan equals nan",
        "unreadable name",
    ],
)
def test_what_else_can_go_wrong(
    body: str, fails: str | None, cause: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    number = request.node.callspec.indices["body"]
    found = report(written(tmp_path, f"loop{number}", body))
    assert found.fails == ((fails,) if fails else ())
    assert not fails or cause in said(found, fails)


def test_what_is_drawn_while_the_code_is_imported_counts(tmp_path: Path) -> None:
    spec = written(
        tmp_path,
        "drawn_at_import",
        "import random\nDATA = random.random()\ndef train(config: dict):\n    while True:\n        yield {'x': DATA}\n",
    )
    found = report(spec)
    assert found.fails == ("deterministic",)
    assert "Python's global generator" in said(found, "deterministic")


def test_a_task_that_cannot_be_loaded_is_a_users_mistake(tmp_path: Path) -> None:
    for spec, settings, cause in (
        ("nowhere.py", (), "there is no file 'nowhere.py'"),
        (str(LOOPS / "seed_ignored.py"), ("lrr=1",), "did you mean 'lr'?"),
        (str(LOOPS / "seed_ignored.py"), ("lr",), "--set takes NAME=VALUE, not 'lr'"),
        (written(tmp_path, "unimportable", "import nothing_of_the_sort\n"), (), "nothing_of_the_sort"),
    ):
        with pytest.raises(UserError, match=r".+") as error:
            check(spec, list(settings))
        assert cause in str(error.value)


def loop_and_values(name: str) -> tuple[Loop, dict[str, object]]:
    loop = find(str(LOOPS / f"{name}.py"))
    return loop, values_of(loop, [], None)


@pytest.mark.parametrize(
    ("name", "resumes", "deterministic"),
    [
        ("good_torch", True, True),
        ("good_stateless", False, True),
        ("forgotten_generator", False, True),
        ("time_dependent", False, False),
    ],
)
def test_in_short_before_runs_are_shared(name: str, resumes: bool, deterministic: bool) -> None:
    verdict = quick(*loop_and_values(name), packed, unpacked)
    assert (verdict.resumes, verdict.deterministic) == (resumes, deterministic)
    assert bool(verdict.lines) is not (resumes and deterministic)


def test_in_short_three_epochs_are_trained_where_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    train = Bench.train

    def counted(self: Bench, job: probe.Job) -> probe.Outcome:
        trained.append(job.epochs)
        return train(self, job)

    monkeypatch.setattr(Bench, "train", counted)
    assert quick(*loop_and_values("good_plain"), packed, unpacked).resumes
    assert trained == [2, 1]


def test_a_failure_is_a_mark_and_a_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(LOOPS / "time_dependent.py")) == 1
    assert capsys.readouterr().out.startswith(FAILS)
