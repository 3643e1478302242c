"""Disks that are full, read-only, slow or broken, and folders that vanish under way; the file systems are real."""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sandbox import MISHAPS, SIDE_BY_SIDE, Sandbox, dice, full_only, note, quiet, sandbox, times, undisturbed, walk

from tune_mnist.store.store import Store

pytestmark = MISHAPS
WALK = walk(epochs=12)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[None]:
    """A file system in memory of this size, at the folder."""
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """What is opened there from now on cannot be written.

    A mount of its own over the folder: one that has files open for writing, as the runs' locks are, stays as it is.
    """
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The layer of faults.c, built."""
    if not (compiler := shutil.which("cc")):
        pytest.skip("no C compiler")
    made = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-Wall", "-o", made, source, "-ldl"], check=True)
    return str(made)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return ballast


def failed_with_tables(box: Sandbox, said: str, words: str) -> None:
    """One error line that names the folder, and the tables of what is finished."""
    lines = [line for line in said.splitlines() if words in line]
    assert len(lines) == 1, said
    assert (box.out / "history.csv").exists(), said


@pytest.mark.parametrize("points", [1, pytest.param(4, marks=full_only)], ids=["one trial", "two at once"])
def test_a_full_disk_under_the_store(points: int, tmp_path: Path) -> None:
    subject, chosen = walk(points, epochs=12), dice(f"full store {points}")
    with sandbox(subject, tmp_path / "box") as box, mounted(box.store, "1m"):
        with box.started() as running:
            running.reaches(chosen.randint(2, 8))
            ballast = fill(box.store)
            since = time.monotonic()
            done = running.ended(120)
            seconds = time.monotonic() - since
        quiet(done)
        assert done.code == 1, done.out
        failed_with_tables(box, done.out, str(box.store.name) + "'")
        ballast.unlink()
        twice = box.settle(undisturbed(subject, tmp_path.joinpath), SIDE_BY_SIDE)
    note(f"the store's disk full, {points} runs", 1, f"{twice} epochs", f"exit 1 after {seconds:.0f} s, tables written")


@full_only
def test_a_full_disk_under_the_output(tmp_path: Path) -> None:
    """By-products stop no training."""
    chosen = dice("full output")
    with sandbox(WALK, tmp_path / "box") as box, mounted(box.out, "8m"):
        with box.started() as running:
            running.reaches(chosen.randint(2, 8))
            ballast = fill(box.out)
            done = running.ended(240)
        quiet(done)
        assert done.code == 1, done.out
        assert box.trained() == WALK.epochs, "by-products stopped the training"
        ballast.unlink()
        box.settle(undisturbed(WALK, tmp_path.joinpath))
    note("the output's disk full", 1, "nothing stored", "exit 1, all epochs stored")


@full_only
@pytest.mark.parametrize("which", ["store", "out"])
def test_a_disk_that_becomes_read_only(which: str, tmp_path: Path) -> None:
    chosen = dice(f"read-only {which}")
    with sandbox(WALK, tmp_path / "box") as box, mounted(box.folder / which, "8m"):
        with box.started() as running:
            running.reaches(chosen.randint(2, 8))
            with read_only(box.folder / which):
                done = running.ended(240)
        quiet(done)
        assert done.code == 1, done.out
        twice = box.settle(undisturbed(WALK, tmp_path.joinpath), SIDE_BY_SIDE)
    note(f"{which} remounted read-only", 1, f"{twice} epochs", "exit 1")


def test_a_claim_ends_where_the_disk_has_become_read_only(tmp_path: Path) -> None:
    """Who holds a run is a note for whoever waits: that it cannot be removed hides no other error."""
    with mounted(tmp_path / "store", "1m"), ExitStack() as claimed:
        claimed.enter_context(Store(tmp_path / "store").claim(["0123456789abcdef"]))
        with read_only(tmp_path / "store"):
            claimed.close()


@full_only
def test_a_disk_that_is_slow_at_every_write(faults: str, tmp_path: Path) -> None:
    chosen = dice("slow")
    delay = chosen.randint(100, 300)
    with sandbox(WALK, tmp_path / "box") as box:
        done = box.run(LD_PRELOAD=faults, CHAOS_FILES=str(tmp_path / "box" / "store"), CHAOS_DELAY_MS=str(delay))
        quiet(done)
        assert done.code == 0, done.out
        box.settle(undisturbed(WALK, tmp_path.joinpath))
    note(f"a store that takes {delay} ms longer for each write and sync", 1, "nothing", "exit 0")


@full_only
def test_a_write_that_fails(faults: str, tmp_path: Path) -> None:
    """The n-th write or sync in the store gives EIO or ENOSPC, each time another one."""
    chosen, tries, lost = dice("failing write"), times(2, 12), 0
    with sandbox(WALK, tmp_path / "box") as box:
        for attempt in range(tries):
            kind = chosen.choice((errno.EIO, errno.ENOSPC))
            env = {"CHAOS_FILES": str(box.store), "CHAOS_ERRNO": str(kind)}
            done = box.run(
                LD_PRELOAD=faults, CHAOS_FAIL_FROM=str(chosen.randint(4, 40)), CHAOS_FAIL_COUNT="100000", **env
            )
            quiet(done)
            assert done.code in ((0, 1) if attempt else (1,)), done.out
            lost += SIDE_BY_SIDE
        twice = box.settle(undisturbed(WALK, tmp_path.joinpath), lost)
    note("the n-th write or sync in the store failed (EIO, ENOSPC)", tries, f"{twice} epochs trained again", "exit 1")


@full_only
@pytest.mark.parametrize("how", ["deleted", "moved"])
@pytest.mark.parametrize("which", ["store", "out"])
def test_a_folder_that_vanishes_under_way(which: str, how: str, tmp_path: Path) -> None:
    """A deleted store is lost, and the command says so; nothing else is."""
    chosen = dice(f"{which} {how}")
    with sandbox(WALK, tmp_path / "box") as box:
        folder, aside = box.folder / which, box.folder / "aside"
        with box.started() as running:
            running.reaches(chosen.randint(4, 8))
            before = box.stored()
            folder.rename(aside)
            if how == "deleted":
                shutil.rmtree(aside)
            done = running.ended(120)
        quiet(done)
        assert done.code in ((1,) if which == "store" else (0, 1)), done.out
        if which == "store" and how == "moved":  # put back where it was
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
            assert all(box.stored()[key].startswith(content) for key, content in before.items())
        whole = WALK.epochs if (which, how) == ("store", "deleted") else SIDE_BY_SIDE
        twice = box.settle(undisturbed(WALK, tmp_path.joinpath), whole)
    name = "output" if which == "out" else which
    note(f"{name} {how} under way", 1, f"{twice} epochs trained again", f"exit {done.code}")


@full_only
def test_a_store_copied_from_another_machine_while_it_is_written(tmp_path: Path) -> None:
    """The copy is whole up to some epoch, and the command goes on from it elsewhere."""
    chosen, expected = dice("copied"), undisturbed(WALK, tmp_path.joinpath)
    with sandbox(WALK, tmp_path / "box") as box, sandbox(WALK, tmp_path / "other") as other:
        with box.started() as running:
            running.reaches(chosen.randint(8, 20))
            subprocess.run(["cp", "-a", box.store, other.store], capture_output=True, check=False)
            shutil.copy(box.folder / "epochs.txt", other.folder)
            running.ended()
        box.settle(expected)
        wrap: tuple[str, ...] = ("unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh")
        if subprocess.run([*wrap, "true"], capture_output=True, check=False).returncode:
            wrap = ()
        with other.started(wrap=wrap) as running:
            done = running.ended()
        quiet(done)
        twice = other.settle(expected, SIDE_BY_SIDE * 2)
    note("a store copied while it is written, gone on with under another host's name", 1, f"{twice} epochs", "exit 0")


@full_only
@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_is_set_back_between_two_commands(days: int, faults: str, tmp_path: Path) -> None:
    chosen = dice(f"clock {days}")
    with sandbox(WALK, tmp_path / "box") as box:
        with box.started() as running:
            running.reaches(chosen.randint(4, 12))
            running.process.terminate()
            assert running.ended().code == 130, running.text()
        done = box.run(LD_PRELOAD=faults, CHAOS_CLOCK=str(days * 86400))
        quiet(done)
        assert done.code == 0, done.out
        twice = box.settle(undisturbed(WALK, tmp_path.joinpath), SIDE_BY_SIDE)
    note(f"the clock moved by {days} days between two commands", 1, f"{twice} epochs trained again", "exit 0")
