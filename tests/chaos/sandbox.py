"""A folder where the real command runs and is disturbed, and the laws that hold whatever was done to it.

CHAOS_SEED=7 chooses the instants: the same seed disturbs at the same epochs and delays again. CHAOS_FULL=1 is the long
form, `make chaos`; without it a few of each kind run in some minutes, as a part of `make test-all`. CHAOS_TABLE names
a file that gets a line for each scenario; table.py makes the table of docs/reliability.md from it.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from conftest import HISTORY, NUMBERS, ROOT, Finished, command, rows, surroundings, wait_for
from processes import MARK, Family

SEED = int(os.environ.get("CHAOS_SEED", "1"))
FULL = os.environ.get("CHAOS_FULL") == "1"
TABLE = os.environ.get("CHAOS_TABLE")
MISHAPS = [
    pytest.mark.mishap,
    pytest.mark.alone,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc"),
]
full_only = pytest.mark.chaos  # not of the short form
SIDE_BY_SIDE = 2
# Finished and not stored when a trial dies: the epoch whose message is on its way, and the one that waits for it.
UNDER_WAY = 2

WALK = """\
import time


def train(config, state=None):
    place, epoch = (state["place"], state["epoch"]) if state else (1.0 + config["seed"] / 10, 0)
    while True:
        time.sleep(config["seconds"])
        epoch += 1
        place -= place * config["rate"] * 0.7
        with open("epochs.txt", "a") as file:
            file.write(f"{config['rate']} {epoch}\\n")
        yield {"val_loss": place * place}, {"place": place, "epoch": epoch}
"""


def dice(name: str) -> random.Random:
    """The random numbers of one scenario; the seed and the name decide them."""
    print(f"CHAOS_SEED={SEED}")
    return random.Random(f"{SEED} {name}")


def times(short: int, full: int) -> int:
    """How often to try something: in `make test-all`, and in `make chaos`."""
    return full if FULL else short


@dataclass(frozen=True)
class Subject:
    """What is swept: the command's words, and the columns of history.csv that a disturbance may not change."""

    name: str
    words: tuple[str, ...]
    columns: tuple[str, ...]
    epochs: int
    files: dict[str, str] = field(default_factory=dict)
    task: str = ""

    def numbers(self, folder: Path) -> Counter[tuple[str, ...]]:
        """Each epoch's config and measures, as they are written: equal text is an equal number, bit for bit."""
        return Counter(tuple(row[name] for name in self.columns) for row in rows(folder / HISTORY))


def walk(points: int = 4, epochs: int = 8, seconds: float = 0.15, **more: str) -> Subject:
    """A loop of a user's own without libraries: an epoch sleeps, moves a number, and notes in a file that it ended."""
    rates = ",".join(f"{0.01 * place:g}" for place in range(1, points + 1))
    given = "--vary", f"rate={rates}", "--set", f"seconds={seconds:g}", "--set", f"epochs={epochs}"
    words = "--task", "walk.py", "--trust", *given, "--minimize", "val_loss"
    files = {"walk.py": more.get("loop", WALK)}
    return Subject("walk", words, ("rate", "seed", "epoch", "val_loss"), points * epochs, files)


SPIRAL = Subject(
    "spiral",
    ("--task", str(ROOT / "examples" / "spiral.py"), "--trust", "--vary", "lr=0.03,0.1,0.3", "--set", "epochs=8"),
    ("lr", "width", "seed", "epoch", "train_loss", "val_loss", "val_accuracy"),
    24,
)
DIGITS = Subject(
    "digits",
    ("--dataset", "digits", "--set", "model=mlp", "--set", "batch_size=4", "--vary", "lr=0.01,0.05,0.1"),
    NUMBERS,
    15,
)


@dataclass(frozen=True)
class Sandbox:
    """A folder, what is swept in it, and all processes that were started there."""

    folder: Path
    subject: Subject
    family: Family

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.subject.words, "--store", "store", "--output", "out", "--max-concurrent", str(SIDE_BY_SIDE))

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @contextmanager
    def started(self, *more: str, wrap: tuple[str, ...] = (), **env: str) -> Iterator[Running]:
        """The command under way, in a process group of its own as a shell gives it one; killed at the block's end."""
        said = self.folder / f"said-{time.monotonic_ns()}.txt"
        with said.open("wb") as file:
            process = subprocess.Popen(
                [*wrap, *command(*self.words, *more)],
                cwd=self.folder,
                env=surroundings(**{MARK: self.family.mark}, **env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=os.setpgrp,  # noqa: PLW1509 - process_group= is Python 3.11's
            )
        try:
            yield Running(self, process, said)
        finally:
            self.family.look()
            if process.poll() is None:
                process.kill()
                process.wait()

    def run(self, *more: str, **env: str) -> Finished:
        """The command from its start to its end, in peace."""
        with self.started(*more, wrap=(), **env) as running:
            return running.ended()

    def trained(self) -> int:
        """How many epochs were trained to their end so far, stored or not."""
        notes = self.folder / "epochs.txt"
        if self.subject.name == "walk":
            return len(notes.read_text().splitlines()) if notes.exists() else 0
        return len(re.findall(r": epoch \d+/", "".join(path.read_text() for path in self.out.glob("*.log"))))

    def stored(self) -> dict[str, bytes]:
        """Every history's content, by its folder."""
        return {path.parent.name: path.read_bytes() for path in self.store.glob("*/history.jsonl")}

    def settle(self, expected: Counter[tuple[str, ...]], losses: int = 0, patience: float = 90) -> int:
        """The same command once more, undisturbed; the laws; returns how many epochs were trained more than once."""
        before = self.stored()
        done = self.run()
        quiet(done)
        assert done.code == 0, done.out
        assert self.subject.numbers(self.out) == expected
        after = self.stored()
        assert not [key for key, content in before.items() if not after[key].startswith(content)]
        again = self.trained() - self.subject.epochs
        assert 0 <= again <= losses * UNDER_WAY, f"{again} epochs were trained twice, for {losses} losses"
        left = self.family.left(patience)
        assert left == [], left
        return again


@dataclass(frozen=True)
class Running:
    """A command under way."""

    sandbox: Sandbox
    process: subprocess.Popen[bytes]
    said: Path

    def reaches(self, epochs: int, seconds: float = 300) -> None:
        """Wait until so many epochs have been trained in the sandbox in all."""

        def there() -> bool:
            assert self.process.poll() is None, f"it ended with {self.process.poll()}: {self.text()}"
            return self.sandbox.trained() >= epochs

        wait_for(there, f"{epochs} epochs", seconds)

    def text(self) -> str:
        return self.said.read_text("utf-8", errors="replace")

    def ended(self, seconds: float = 300) -> Finished:
        """Wait for its end, and for nothing else: a command that stands still for so long has hung."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it still runs after {seconds:g} s: {self.text()}"
            self.sandbox.family.look()
            time.sleep(0.3)
        return Finished(self.sandbox.folder, self.process.returncode, self.text(), "")


@contextmanager
def sandbox(subject: Subject, folder: Path) -> Iterator[Sandbox]:
    """An empty folder with the subject's files; what still runs at its end is ended."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in subject.files.items():
        (folder / name).write_text(text, "utf-8")
    made = Sandbox(folder, subject, Family(str(folder)))
    try:
        yield made
    finally:
        made.family.bury()


def quiet(done: Finished) -> None:
    """Nothing of Python's or Ray's own came out."""
    for noise in ("Traceback", "ray::", "(raylet)", 'File "', "SIGABRT", "*** "):
        assert noise not in done.out, done.out


def undisturbed(subject: Subject, make: Callable[[str], Path]) -> Counter[tuple[str, ...]]:
    """What a command that nobody disturbs writes. The walk's is known without one: its loop is called right here."""
    if subject.name != "walk":
        with sandbox(subject, make(f"undisturbed-{subject.name}")) as peaceful:
            done = peaceful.run()
            assert done.code == 0, done.out
            return subject.numbers(peaceful.out)
    sets = dict(word.split("=") for word in subject.words if "=" in word)
    expected: Counter[tuple[str, ...]] = Counter()
    for rate in map(float, sets["rate"].split(",")):
        place = 1.0 + 1 / 10
        for epoch in range(1, int(sets["epochs"]) + 1):
            place -= place * rate * 0.7
            expected[repr(rate), "1", str(epoch), repr(place * place)] += 1
    return expected


def note(what: str, tried: int, lost: str, ended: str) -> None:
    """A row of the table in docs/reliability.md."""
    if TABLE:
        with Path(TABLE).open("a", encoding="utf-8") as file:
            print(json.dumps([what, tried, lost, ended]), file=file)
    print(f"{what}: {tried} times; lost: {lost}; {ended}", file=sys.stderr)
