"""Many at once, many in a row, and trainings that go wrong by themselves."""

from __future__ import annotations

import math
import os
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from sandbox import MISHAPS, SIDE_BY_SIDE, WALK, dice, full_only, note, quiet, sandbox, times, undisturbed, walk

pytestmark = MISHAPS


@pytest.mark.parametrize("commands", [2, pytest.param(8, marks=full_only)])
def test_commands_on_one_store_and_one_output(commands: int, tmp_path: Path) -> None:
    subject, chosen = walk(epochs=12), dice(f"{commands} commands")
    expected = undisturbed(subject, tmp_path.joinpath)
    with sandbox(subject, tmp_path / "box") as box:
        with ExitStack() as running:
            started = []
            for _ in range(commands):
                started.append(running.enter_context(box.started()))
                time.sleep(chosen.uniform(0, 1))
            ended = [one.ended(900) for one in started]
        for done in ended:
            quiet(done)
            assert done.code == 0, done.out
        assert subject.numbers(box.out) == expected
        assert box.trained() == subject.epochs, "something was trained twice"
        box.settle(expected)
    note(f"{commands} commands at once on one store and one output", 1, "nothing", "exit 0, each run trained once")


WRONG = {
    "raises": 'raise RuntimeError(f"no way\\nat {epoch}")',
    "nan": 'place = float("nan")',
    "exits": "raise SystemExit(3)",
    "ends": "return",
    "text": 'place = "far"',
}


@pytest.mark.parametrize("wrong", WRONG)
@full_only
def test_a_trial_that_always_goes_wrong(wrong: str, tmp_path: Path) -> None:
    """One of four runs does, at a seeded epoch: the others are whole, and the command says which failed, and why."""
    chosen = dice(f"wrong {wrong}")
    epoch, rate = chosen.randint(1, 6), 0.01 * chosen.randint(1, 4)
    marker = "        epoch += 1\n"
    fault = f'        if epoch == {epoch} and config["rate"] == {rate:g}:\n            {WRONG[wrong]}\n'
    subject = walk(loop=WALK.replace(marker, marker + fault).replace("place * place}", "place * 1.0 * place}"))
    expected = undisturbed(subject, tmp_path.joinpath)
    with sandbox(subject, tmp_path / "box") as box:
        for _ in range(2):  # again: what failed is said again
            done = box.run()
            if wrong not in ("raises", "text"):  # whose traceback is the user's own
                quiet(done)
            diverges = wrong == "nan"  # which is a result
            assert done.code == (0 if diverges else 1), done.out
            assert ("diverged" if diverges else "failed") in done.out, done.out
            found = subject.numbers(box.out)
            assert not found - expected
            assert sum((expected - found).values()) == 8 - (epoch - 1)
        assert box.family.left(20) == []
    note(f"a trial that always goes wrong ({wrong})", 1, "nothing of the others", f"exit {done.code}, named")


@full_only
def test_workers_that_run_out_of_memory(tmp_path: Path) -> None:
    """Ray's own guard ends every worker: a named cause, tables, nothing left; with memory again, all is trained."""
    subject = walk(points=3, epochs=12)
    with sandbox(subject, tmp_path / "box") as box:
        with box.started(RAY_memory_usage_threshold="0.01", RAY_memory_monitor_refresh_ms="100") as running:
            done = running.ended(400)
        quiet(done)
        assert done.code in (0, 1), done.out
        assert "memory" in done.out
        assert (box.out / "history.csv").exists()
        assert box.family.left(20) == []
        box.settle(undisturbed(subject, tmp_path.joinpath), losses=100)
    note("every worker out of memory", 1, "nothing stored", f"exit {done.code}, cause named")


@full_only
def test_500_small_runs_in_flat_memory(tmp_path: Path) -> None:
    """The command, its mailbox and its workers, measured from the 50th run on."""
    runs = int(os.environ.get("CHAOS_RUNS", "500"))
    subject = walk(points=runs, epochs=2, seconds=0.01)
    with sandbox(subject, tmp_path / "box") as box:
        taken: list[tuple[int, int]] = []
        with box.started() as running:
            while running.process.poll() is None:
                trained = box.trained() // 2
                if 50 <= trained < runs:
                    taken.append((trained, memory([*box.family.part("mailbox"), running.process.pid])))
                time.sleep(1)
            done = running.ended()
        quiet(done)
        assert done.code == 0, done.out
        assert box.subject.numbers(box.out) == undisturbed(subject, tmp_path.joinpath)
        assert box.family.left(20) == []
    early = max(size for trained, size in taken if trained < runs // 4)
    late = max(size for trained, size in taken if trained > runs * 3 // 4)
    note(
        f"{runs} small runs in one command", 1, "nothing", f"exit 0, {(late - early) >> 20:+} MiB from the 50th run on"
    )
    assert late - early < math.ceil(runs * 0.05) << 20, f"{early >> 20} MiB, later {late >> 20} MiB"


def memory(pids: list[int]) -> int:
    """Bytes that these processes hold in memory."""
    total = 0
    for pid in pids:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
        total += int(pages) * os.sysconf("SC_PAGE_SIZE")
    return total


@full_only
def test_the_command_is_told_to_end_at_its_start(tmp_path: Path) -> None:
    """SIGTERM at seeded instants of the first seconds: code 130, which a shell also makes of an end by SIGINT (-2), or
    the signal's own before Python listens.
    """
    chosen, tries = dice("start"), times(3, 12)
    subject = walk(points=2, epochs=4)
    with sandbox(subject, tmp_path / "box") as box:
        for _ in range(tries):
            with box.started() as running:
                time.sleep(chosen.uniform(0, 6))
                running.process.terminate()
                done = running.ended(60)
                assert done.code in (130, -2, -15, 0), done.out
                quiet(done)
            assert box.family.left(20) == []
        box.settle(undisturbed(subject, tmp_path.joinpath), tries * SIDE_BY_SIDE)
    note("SIGTERM within the first 6 s", tries, "nothing", "exit 130")
