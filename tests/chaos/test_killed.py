"""Whoever dies or stands still, at a seeded instant: nothing is lost but the epoch under way, and no number changes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from processes import PARTS
from sandbox import (
    DIGITS,
    MISHAPS,
    SIDE_BY_SIDE,
    SPIRAL,
    WALK,
    Sandbox,
    Subject,
    dice,
    full_only,
    note,
    quiet,
    sandbox,
    times,
    undisturbed,
    walk,
)

pytestmark = MISHAPS
LONG = walk(epochs=12)


def again(epochs: int) -> str:
    return f"nothing stored; {epochs} epochs trained again"


def test_a_killed_worker(tmp_path: Path) -> None:
    chosen, kills = dice("worker"), times(2, 5)
    with sandbox(LONG, tmp_path / "box") as box:
        with box.started() as running:
            for _ in range(kills):
                running.reaches(box.trained() + chosen.randint(2, 5))
                time.sleep(chosen.uniform(0, 0.2))
                os.kill(chosen.choice(box.family.part("worker")), signal.SIGKILL)
                time.sleep(1)
            token = box.family.variable("RAY_AUTH_TOKEN")
            done = running.ended()
        told_nowhere(token, box)
        quiet(done)
        assert done.code == 0, done.out
        twice = box.settle(undisturbed(LONG, tmp_path.joinpath), kills)
    note("a worker killed", kills, again(twice), "exit 0")


def told_nowhere(token: str, box: Sandbox) -> None:
    """The token of the command's own Ray is in no command line and in no file."""
    assert len(token) == 64
    assert not [one.line for one in box.family.seen.values() if token in one.line]
    assert not [path for path in box.folder.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]


CUT = """\
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

import psutil


def cut(rate, epoch):
    if epoch not in CUTS or Path(f"cut-{rate}-{epoch}").exists():
        return
    Path(f"cut-{rate}-{epoch}").touch()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        found = psutil.Process().net_connections("tcp")
        own = {one.laddr.port for one in found if one.status == "LISTEN"}
        for one in found:
            if one.status == "ESTABLISHED" and one.laddr.port not in own:
                with suppress(OSError), socket.socket(fileno=os.dup(one.fd)) as connection:
                    connection.shutdown(socket.SHUT_RDWR)
        time.sleep(0.005)
"""


def test_the_connections_of_a_worker_are_cut(tmp_path: Path) -> None:
    """As a network does that is gone for a moment: its message is lost, and worker, mailbox and driver live on."""
    chosen, cuts, points = dice("cut"), times(1, 4), times(SIDE_BY_SIDE, 4)
    loop = WALK.replace("import time\n", f"{CUT}\n\nCUTS = {sorted(chosen.sample(range(1, 12), cuts))}\n", 1)
    begins = "        time.sleep(config"  # while the message of the epoch before is on its way
    subject = walk(points, epochs=12, loop=loop.replace(begins, f'        cut(config["rate"], epoch)\n{begins}'))
    with sandbox(subject, tmp_path / "box") as box:
        with box.started() as running:
            done = running.ended()
        quiet(done)
        assert done.code == 0, done.out
        made = len(list(box.folder.glob("cut-*")))
        assert made == points * cuts
        twice = box.settle(undisturbed(subject, tmp_path.joinpath), made)
    note("a worker's connections cut", made, again(twice), "exit 0")


@full_only
def test_a_stopped_worker(tmp_path: Path) -> None:
    chosen, stops = dice("stopped worker"), times(1, 3)
    with sandbox(LONG, tmp_path / "box") as box:
        with box.started("--epoch-timeout", "20") as running:
            for _ in range(stops):
                running.reaches(box.trained() + chosen.randint(2, 5))
                stopped = chosen.choice(box.family.part("worker"))
                os.kill(stopped, signal.SIGSTOP)
                running.reaches(box.trained() + SIDE_BY_SIDE + 1)
            done = running.ended()
        quiet(done)
        assert done.code == 0, done.out
        twice = box.settle(undisturbed(LONG, tmp_path.joinpath), stops)
    note("a worker stopped (SIGSTOP)", stops, again(twice), "exit 0")


@pytest.mark.parametrize(
    "subject", [LONG, *(pytest.param(one, marks=full_only) for one in (SPIRAL, DIGITS))], ids=lambda one: one.name
)
def test_a_command_killed_again_and_again(subject: Subject, tmp_path: Path) -> None:
    """At any instant from its start on; the histories only grow."""
    chosen, kills = dice(f"command {subject.name}"), times(3, 25 if subject is LONG else 5)
    with sandbox(subject, tmp_path / "box") as box:
        for kill in range(kills):
            grown = box.stored()
            with box.started() as running:
                if kill % 3 == 1:  # in the middle of training, if anything is left to train
                    wanted, end = box.trained() + chosen.randint(1, 3), time.monotonic() + 40
                    while box.trained() < wanted and running.process.poll() is None and time.monotonic() < end:
                        time.sleep(0.05)
                time.sleep(chosen.uniform(0, 9 if kill % 3 == 2 else 1))
                box.family.look()
                running.process.kill()
                running.process.wait()
                quiet(running.ended())
            assert not [key for key, content in grown.items() if not box.stored()[key].startswith(content)]
        twice = box.settle(undisturbed(subject, tmp_path.joinpath), kills * SIDE_BY_SIDE)
    note(f"the command killed in one sweep ({subject.name})", kills, again(twice), "killed")


@full_only
def test_ctrl_z_and_back(tmp_path: Path) -> None:
    chosen, stops = dice("ctrl-z"), times(1, 3)
    with sandbox(LONG, tmp_path / "box") as box:
        with box.started() as running:
            for _ in range(stops):
                running.reaches(box.trained() + chosen.randint(2, 5))
                os.killpg(running.process.pid, signal.SIGTSTP)
                time.sleep(chosen.uniform(3, times(4, 20)))
                os.killpg(running.process.pid, signal.SIGCONT)
            done = running.ended()
        quiet(done)
        assert done.code == 0, done.out
        twice = box.settle(undisturbed(LONG, tmp_path.joinpath))
    note("Ctrl-Z and back", stops, again(twice), "exit 0")


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(one, marks=full_only) for one in (signal.SIGINT, signal.SIGHUP))],
    ids=lambda one: one.name,
)
def test_a_signal_to_the_whole_group(number: signal.Signals, tmp_path: Path) -> None:
    """As systemd, Slurm, Ctrl-C and a closed terminal send it: Ray gets it, too; it is an interrupt."""
    chosen = dice(f"group {number.name}")
    with sandbox(LONG, tmp_path / "box") as box:
        with box.started(wrap=("env", "--default-signal=HUP")) as running:  # nohup may have started this test
            running.reaches(chosen.randint(3, 10))
            time.sleep(chosen.uniform(0, 0.2))
            os.killpg(running.process.pid, number)
            since = time.monotonic()
            done = running.ended(120)
            seconds = time.monotonic() - since
        quiet(done)
        assert done.code == 130, done.out
        assert "interrupted; " in done.out
        assert "Ray, was lost" not in done.out
        assert (box.out / "history.csv").exists()
        assert box.family.left(20) == []
        twice = box.settle(undisturbed(LONG, tmp_path.joinpath), SIDE_BY_SIDE)
    note(
        f"{number.name} to the command's whole process group",
        1,
        again(twice),
        f"exit 130 after {seconds:.0f} s, tables",
    )


LOSSES = [(part, how) for part in PARTS if part != "worker" for how in (signal.SIGKILL, signal.SIGSTOP)]


@full_only
@pytest.mark.parametrize(
    ("part", "how"),
    [pytest.param(*one, id=f"{one[0]}-{one[1].name}") for one in LOSSES],
)
def test_a_lost_part_of_a_local_ray(part: str, how: signal.Signals, tmp_path: Path) -> None:
    """One line within 15 s, or the next minutes where it only stands still; tables; exit code 1."""
    chosen = dice(f"{part} {how.name}")
    with sandbox(LONG, tmp_path / "box") as box:
        with box.started() as running:
            running.reaches(chosen.randint(3, 10))
            time.sleep(chosen.uniform(0, 0.2))
            os.kill(box.family.part(part)[0], how)
            since = time.monotonic()
            done = running.ended(seconds=240)
            seconds = time.monotonic() - since
        quiet(done)
        assert done.code in ((0, 1) if how is signal.SIGSTOP else (1,)), done.out
        assert (box.out / "history.csv").exists()
        assert box.family.left(20) == []
        twice = box.settle(undisturbed(LONG, tmp_path.joinpath), SIDE_BY_SIDE)
    did = "killed" if how is signal.SIGKILL else "stopped"
    note(f"Ray's {part} {did}", 1, again(twice), f"exit {done.code} after {seconds:.0f} s")
