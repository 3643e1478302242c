"""The head's side of `run --cluster`: a sweep as a job of Ray's on the cluster, followed until it ends.

`launch` calls it on the head, in ~/tune-mnist, over SSH: `python -m tune_mnist.launch.head_job follow NAME STARTED
OPTIONS…` attaches to the job of that name or submits it, shows what it says, and holds ready what is to come home;
`… stop NAME` interrupts it, `… find NAME` looks for it. What `head_status` answers is of no job alone: `… status -`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import shutil
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tune_mnist.background import Background
from tune_mnist.display.screen import SCREEN, SCREEN_WIDTH
from tune_mnist.exits import leave_at_once
from tune_mnist.launch.boxes import PLAN, PLAN_NAME, STORE, inbox, outbox, stage
from tune_mnist.launch.head_status import ACTIONS, joined, ours
from tune_mnist.machine.environment import COMMAND_NAME, COMMIT_NAME
from tune_mnist.remote.joining import watched
from tune_mnist.store.merge import merge
from tune_mnist.store.store import Store
from tune_mnist.tuning.resources import NODES_S_NAME

BEGIN, END = "\x02", "\x03"  # what `ray exec` itself says stands outside of these; the end carries JSON
HEAD_JOB = ".venv/bin/python -W ignore -m tune_mnist.launch.head_job"  # as its callers say it
STARTED = Path("started")  # what Ray was started from, in the caller's words, and its session
SESSION = Path("/tmp/ray/session_latest")  # another one for each start of Ray
ANY = "any"  # said by who has just started Ray
ALIVE_S = 5.0  # between two looks whether Ray is still there
MISSES = 3  # looks without an answer, one after another, after which it is lost
# Told by `launch`, and to be told to the job.
PASSED = (SCREEN_WIDTH, NODES_S_NAME, COMMAND_NAME, COMMIT_NAME)
READY_S = 30.0
STAGE_S = 3.0  # between two looks at what is to go home
LEFT_S = 3600.0  # after which nobody fetches any more what is in the outbox of a job that has ended
TOKEN = Path("~/.ray/auth_token")


def main() -> None:
    """`python -m tune_mnist.launch.head_job follow NAME STARTED OPTIONS…`, `… stop NAME` or `… find NAME`."""
    action, name, *options = sys.argv[1:]
    if TOKEN.expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    print(BEGIN, end="", flush=True)
    ended: dict[str, Any] = {"lost": True}
    client = None
    try:
        client = _client()
        if action in ACTIONS:
            ended = ACTIONS[action](client)
        elif action == "find":
            running = _running(client, name) is not None
            ended = {"running": running, "others": _others(client), "ray": version("ray")}
        elif action == "stop":
            ended = _stop(client, name)
        else:
            ended = _attach(client, name, *options)
    except (OSError, RuntimeError, TimeoutError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        ended = {"lost": True, "cause": cause, "restart": client is None}
    print(f"{END}{json.dumps(ended)}{END}", flush=True)
    leave_at_once(0)  # a thread may still wait for a Ray that is gone


def _client() -> Any:
    """Ray's job server on this machine; just after `ray up` it is not there yet."""
    from ray.job_submission import JobSubmissionClient

    logging.disable(logging.WARNING)  # what Ray's client says of its connection
    end = time.monotonic() + READY_S
    while True:
        try:
            return JobSubmissionClient("http://127.0.0.1:8265")
        except (ConnectionError, RuntimeError):
            if time.monotonic() > end:
                raise
        time.sleep(0.5)


def _running(client: Any, name: str) -> str | None:
    """The job of that name that has not ended, if there is one."""
    jobs = [job for job in client.list_jobs() if str(job.submission_id).startswith(f"{name}-")]
    return next((job.submission_id for job in jobs if not job.status.is_terminal()), None)


def _store() -> Store:
    """The head's, which every job trains into."""
    return Store(Path("results/store"))


def _attach(client: Any, name: str, started: str, *options: str) -> dict[str, Any]:
    """Follow the job of that name, which is submitted if it does not run; returns what it ends with.

    Where no job runs, and Ray was not `started` from what the caller has, nothing is submitted: Ray is to be restarted.
    """
    job, others = _running(client, name), _others(client)
    is_same = started in (ANY, _started())
    if not (job or others or is_same):
        return {"restart": True}
    if job:
        print("attaching to the sweep that runs on the cluster", flush=True)
    elif not is_same:
        print("another job runs on the cluster: this one joins it, with the code that is there", flush=True)
    followed, store = job or _submit(client, name, list(options)), _store()
    shutil.rmtree(inbox(name) / STORE, ignore_errors=True)  # taken in, or too late for a job that runs

    def hold_ready() -> None:
        with suppress(OSError):  # of a disk that is full for now
            stage(name, store)

    with Background("stage", hold_ready, STAGE_S):
        ended = asyncio.run(_follow(client, followed, name))
    stage(name, store)
    return ended


def _started() -> str:
    """What the Ray that runs was started from; empty where that is not known."""
    with suppress(OSError, ValueError):
        said, session = STARTED.read_text("utf-8").split()
        return said if session == str(SESSION.readlink()) else ""
    return ""


def _submit(client: Any, name: str, options: list[str]) -> str:
    """Start the job, with what came from the caller's store merged into the head's, and with an empty outbox."""
    merge(inbox(name) / STORE, _store())
    _clear(client, name)
    outbox(name).mkdir(parents=True, exist_ok=True)
    _screen(name).unlink(missing_ok=True)
    submission = f"{name}-{time.time_ns() // 1_000_000}"
    return str(client.submit_job(entrypoint=entrypoint(name, options), submission_id=submission))


def entrypoint(name: str, options: list[str]) -> str:
    """The job's command line. Ray's job server starts it, so it has nothing of this process's environment by itself."""
    settings = {key: os.environ[key] for key in PASSED if os.environ.get(key)}
    settings[PLAN_NAME] = str(outbox(name) / PLAN)
    if SCREEN_WIDTH in settings:
        settings[SCREEN] = str(_screen(name))
    command = ["env", *(f"{key}={value}" for key, value in settings.items())]
    command += [sys.executable, "-m", "tune_mnist.run", "--address", "auto", *options]
    return f"cd {shlex.quote(str(Path.cwd()))} && exec {shlex.join(command)}"


def _clear(client: Any, name: str) -> None:
    """Remove the job's outbox of an earlier time, and those that nobody fetches from any more."""
    shutil.rmtree(outbox(name), ignore_errors=True)
    for left in outbox("").glob("*"):
        with suppress(FileNotFoundError):  # another command clears, too
            if time.time() - left.stat().st_mtime > LEFT_S and _running(client, left.name) is None:
                shutil.rmtree(left, ignore_errors=True)


def _screen(name: str) -> Path:
    """Where the job keeps the picture of its live display."""
    return Path(f"jobs/{name}.screen")


def _stop(client: Any, name: str) -> dict[str, Any]:
    """Interrupt the job and wait until it has ended: it keeps what is finished and writes its tables."""
    if job := _running(client, name):
        client.stop_job(job)
        while not client.get_job_status(job).is_terminal():
            time.sleep(0.5)
    stage(name, _store())
    return {"code": 130}


async def _follow(client: Any, job: str, name: str) -> dict[str, Any]:
    """Show what the job says until it ends, or until Ray is lost."""
    show = asyncio.create_task(_show(client, job, _screen(name)))
    watch = asyncio.create_task(_watch(client, job))
    await asyncio.wait({show, watch}, return_when=asyncio.FIRST_COMPLETED)
    if watch.done():
        show.cancel()
        return {"lost": True, "cause": watch.result()}
    watch.cancel()
    with suppress(RuntimeError, OSError):  # of the log alone; the job's own end is asked for
        show.result()
    return await _ended(client, job)


async def _show(client: Any, job: str, screen: Path) -> None:
    width = int(os.environ.get(SCREEN_WIDTH) or 0)
    if not width:
        with watched(lambda line: print(line, flush=True), joined):
            async for text in client.tail_job_logs(job):
                sys.stdout.write(ours(text))
                sys.stdout.flush()
        return
    console = Console(force_terminal=True, width=width, highlight=False)
    live = Live(get_renderable=lambda: _picture(screen), console=console, refresh_per_second=2, transient=True)
    with live, watched(lambda line: console.print(Text(line)), joined):
        async for text in client.tail_job_logs(job):
            if said := ours(text).rstrip("\n"):
                console.print(Text.from_ansi(said))


def _picture(screen: Path) -> Text:
    with suppress(OSError):
        return Text.from_ansi(screen.read_text("utf-8"))
    return Text("starting the sweep")


async def _watch(client: Any, job: str) -> str:
    """Returns, with the cause, once Ray is no longer there."""
    missed, cause = 0, ""
    while missed < MISSES:
        await asyncio.sleep(ALIVE_S)
        try:
            await asyncio.wait_for(asyncio.to_thread(client.get_job_info, job), ALIVE_S)
            missed = 0
        except Exception as error:
            missed, cause = missed + 1, f"Ray no longer answers ({type(error).__name__})"
    return cause


async def _ended(client: Any, job: str) -> dict[str, Any]:
    """The job's exit code, and how many other jobs run. Raises RuntimeError if it has not ended within a minute."""
    end = time.monotonic() + 60
    while not (info := client.get_job_info(job)).status.is_terminal():
        if time.monotonic() > end:
            raise RuntimeError("its log has ended, and the job has not")
        await asyncio.sleep(0.5)
    code = info.driver_exit_code
    if code is None:
        return {"code": 130 if info.status == "STOPPED" else 1, "cause": info.message, "others": _others(client)}
    return {"code": code, "others": _others(client)}


def _others(client: Any) -> int:
    return sum(not job.status.is_terminal() for job in client.list_jobs() if job.submission_id)


if __name__ == "__main__":
    main()
