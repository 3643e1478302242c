"""cluster/slurm.sbatch without Slurm and Ray: what it asks of them, what it does when it is told to end, exit codes.

Small executables stand in for `srun`, `scontrol`, `ray` and the sweep itself. With a real Ray, and with a real Slurm:
tests/containers/test_slurm_jobs.py.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, surroundings, wait_for

from tune_mnist.machine.cpu import cpu_count, memory

SCRIPT = ROOT / "cluster" / "slurm.sbatch"
BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None or sys.platform != "linux", reason="Slurm's nodes have Linux and bash")
STAND_INS = {
    "python3": f'exec "{sys.executable}" "$@"',
    # One node of one task, as Slurm starts it.
    "srun": 'while [ "${1#--}" != "$1" ]; do shift; done; export SLURM_NODEID=0; exec "$@"',
    "scontrol": 'echo "$*" >>"$SLURM_SUBMIT_DIR/scontrol"',
    # What stands behind `--` is the command for the first node. Nothing real is stopped here.
    "ray": """[ "$1" = symmetric-run ] || exit 0
printf '%s\\n' "$@" >"$SLURM_SUBMIT_DIR/ray"
[ ! -e "$SLURM_SUBMIT_DIR/broken" ] || exit 0
while [ "$1" != -- ]; do shift; done
shift
exec "$@\"""",
    # It ends as it is asked to, or is told to, with 130.
    "tune-mnist": """printf '%s\\n' "$@" >"$SLURM_SUBMIT_DIR/asked.new"
stat -c '%a %s' "$RAY_AUTH_TOKEN_PATH" >"$SLURM_SUBMIT_DIR/token"
mv "$SLURM_SUBMIT_DIR/asked.new" "$SLURM_SUBMIT_DIR/asked"
trap 'exit 130' TERM
while [ ! -e "$SLURM_SUBMIT_DIR/end" ]; do sleep 0.1; done
exit "$(cat "$SLURM_SUBMIT_DIR/end")\"""",
}


@dataclass(frozen=True)
class Job:
    """The batch script as Slurm runs it, on the one node of its job; `folder` is where it was submitted."""

    folder: Path

    def start(self, *options: str, restarts: int = 0) -> subprocess.Popen[bytes]:
        script = self.folder / "spool" / "slurm_script"  # a copy, as Slurm makes one
        script.parent.mkdir(exist_ok=True)
        shutil.copy(SCRIPT, script)
        said = self.folder / "said"
        around = surroundings(SLURM_SUBMIT_DIR=str(self.folder), SLURM_JOB_ID=str(os.getpid()))
        around["PATH"] = "/usr/bin:/bin"  # no real `ray` is there: its `stop` would end every Ray on this machine
        if restarts:
            around["SLURM_RESTART_COUNT"] = str(restarts)
        with said.open("w") as out:
            return subprocess.Popen(
                [str(BASH), str(script), *options], cwd=self.folder, env=around, stdout=out, stderr=out
            )

    def sweeping(self, *options: str, restarts: int = 0) -> subprocess.Popen[bytes]:
        """Started, and its sweep is under way."""
        process = self.start(*options, restarts=restarts)
        wait_for(lambda: (self.folder / "asked").exists() or process.poll() is not None, "a sweep", 60)
        assert process.poll() is None, self.told("said")
        return process

    def end(self, code: int) -> None:
        """The sweep ends by itself with this code."""
        (self.folder / "end").write_text(str(code), "utf-8")

    def told(self, name: str) -> list[str]:
        """What a stand-in was given, line by line; nothing if it was not called."""
        path = self.folder / name
        return path.read_text("utf-8").splitlines() if path.exists() else []


@pytest.fixture
def job(tmp_path: Path) -> Job:
    programs = tmp_path / ".venv" / "bin"  # the first place that the script looks in
    programs.mkdir(parents=True)
    for name, text in STAND_INS.items():
        (programs / name).write_text(f"#!{BASH}\n{text}\n", "utf-8")
        (programs / name).chmod(0o755)
    assert shutil.which("ray", path=f"{programs}:/usr/bin:/bin") == str(programs / "ray")
    return Job(tmp_path)


def test_the_script_is_clean() -> None:
    assert subprocess.run([str(BASH), "-n", SCRIPT], check=False).returncode == 0
    if shellcheck := shutil.which("shellcheck"):
        done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")


def test_slurm_reads_every_line_that_is_for_it() -> None:
    """It reads no further than to the first command."""
    lines = SCRIPT.read_text("utf-8").splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    asked = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert asked
    assert max(asked) < first


# As Ray reads it: `ray start --head` on the first node, `ray start --address` on the others.
PARSED = """
import json, sys
from ray.scripts.scripts import start
from ray.scripts.symmetric_run import curate_and_validate_ray_start_args, symmetric_run
given = json.load(sys.stdin)
own = symmetric_run.make_context("_", list(given), resilient_parsing=True).params["address"]
options = curate_and_validate_ray_start_args(list(given))
for role in (["--head"], ["--address", own, "--block"]):
    found = start.make_context("_", role + options).params
print(json.dumps({"address": own, **{name: found[name] for name in ("num_cpus", "memory", "object_store_memory")}}))
"""


def test_ray_knows_what_a_node_asks_it_for(job: Job) -> None:
    job.end(0)
    assert job.start("--seeds", "3").wait(60) == 0, job.told("said")
    command, *given = job.told("ray")
    assert command == "symmetric-run"
    options = given[: given.index("--")]
    done = subprocess.run(
        [sys.executable, "-c", PARSED], input=json.dumps(options), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    asked = json.loads(done.stdout.splitlines()[-1])
    host, _, port = asked["address"].rpartition(":")
    assert port == "6379"
    assert host in {one.address for ones in psutil.net_if_addrs().values() for one in ones}  # by which it is the head
    assert asked["num_cpus"] == cpu_count()
    assert asked["memory"] + asked["object_store_memory"] == memory()


def test_the_sweep_gets_the_options_and_the_address(job: Job) -> None:
    job.end(0)
    assert job.start("--dataset", "digits", "--title", "two words").wait(60) == 0
    run, flag, address, *options = job.told("asked")
    assert (run, flag, options) == ("run", "--address", ["--dataset", "digits", "--title", "two words"])
    assert address == job.told("ray")[job.told("ray").index("--address") + 1]


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_job_ends_with_the_code_of_the_sweep(job: Job, code: int) -> None:
    job.end(code)
    assert job.start().wait(60) == code
    assert job.told("scontrol") == []


def test_a_ray_that_does_not_start_is_a_failed_job(job: Job) -> None:
    """Ray's own command ends with 0 then."""
    (job.folder / "broken").touch()
    assert job.start().wait(60) == 1
    assert job.told("asked") == []


def test_the_token_is_the_owners_alone_and_goes_with_the_job(job: Job) -> None:
    job.end(0)
    assert job.start().wait(60) == 0
    assert job.told("token") == ["600 64"]
    assert not (job.folder / f"slurm-{os.getpid()}").exists()
    assert not Path(f"/tmp/tune-mnist-{os.getpid()}").exists()


def test_at_the_end_of_its_time_the_job_waits_again(job: Job) -> None:
    process = job.sweeping()
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 130
    assert job.told("scontrol") == [f"requeue {os.getpid()}"]
    assert "it waits again, and goes on from the store" in "".join(job.told("said"))


def test_a_cancelled_or_preempted_job_ends_and_leaves_the_rest_to_slurm(job: Job) -> None:
    process = job.sweeping()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130
    assert job.told("scontrol") == []


def test_a_job_does_not_start_again_without_end(job: Job) -> None:
    process = job.sweeping(restarts=20)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 130
    assert job.told("scontrol") == []
    assert "the same command goes on from the store" in "".join(job.told("said"))
