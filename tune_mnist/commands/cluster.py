"""A cluster that `tune-mnist run --cluster` starts: `tune-mnist cluster status cluster/onprem.yaml`; logs, stop, down.

And before it starts one: what its machines say of themselves, for `--dry-run`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tune_mnist.display.log import ConsoleLines, console, listening, log, stage
from tune_mnist.errors import ClusterError, UserError, unknown
from tune_mnist.launch.down import down
from tune_mnist.launch.head_job import HEAD_JOB
from tune_mnist.launch.ray_up import CALL_S, DOWN, STOP_S, Launcher, read_cluster_file
from tune_mnist.remote.hosts import Host, ask, ask_all, check, doubts, judged
from tune_mnist.remote.preflight import side_by_side, table, would_start
from tune_mnist.remote.ssh import addresses, resolved, way_of
from tune_mnist.words import clock, plural, several

if TYPE_CHECKING:
    from rich.console import Console

    from tune_mnist.commands.sweep import Costs
    from tune_mnist.experiment import Experiment


def cluster(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="status, logs, stop or down.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="The cluster file that run --cluster was given.")],
) -> int:
    """Look at a cluster that run --cluster started, or end it.

    \b
    status  its machines, who is missing and why, and the sweeps that run
    logs    what the newest sweep has said so far
    stop    interrupt its sweeps; what is finished is kept, and the cluster stays up
    down    end the cluster, and see on each machine that it has ended
    """
    if action not in ACTIONS:
        raise unknown("action", action, ACTIONS)
    launcher = read_cluster_file(file)
    with listening(ConsoleLines(console())):
        ACTIONS[action](launcher)
    return 0


def _status(launcher: Launcher) -> None:
    hosts = ask_all(launcher.config, launcher.file) if launcher.is_local else []
    is_up = not hosts or hosts[0].head
    for line in status_lines(launcher.name, hosts, _head(launcher, "status") if is_up else None):
        log.info(line)


def status_lines(name: str, hosts: Sequence[Host], found: Mapping[str, Any] | None) -> Iterator[str]:
    """What is known of a cluster: `hosts`, of one's own machines, the head first; and what its head has `found`.

    That is "machines" and "jobs", as `head_status` tells them; None where no head of Ray's answers.
    """
    if found is None:
        yield f"{name} is down: no Ray runs on its head {hosts[0].address}"
        yield from (f"  {one.address}  {one.state}" for one in hosts if one.error or one.said or one.raylet)
        return
    machines = sorted(found["machines"], key=lambda one: (not one["head"], one["address"]))
    count = f"{len(machines)} of {plural(len(hosts), 'machine')}" if hosts else plural(len(machines), "machine")
    yield f"{name}: {count}"
    for one in machines:
        yield f"  {one['address']}  {'head, ' if one['head'] else ''}for {clock(one['seconds'])}"
    there = {one["address"] for one in machines}
    for host in hosts[1:]:
        if resolved(host.address) not in there:
            yield f"  {host.address}  {host.state}"
    jobs = found["jobs"]
    yield f"{plural(len(jobs), 'sweep')} running" if jobs else "no sweep is running"
    yield from (f"  {job['name']}  for {clock(job['seconds'])}" for job in jobs)


def _logs(launcher: Launcher) -> None:
    found = _up(launcher, "logs", _show)
    if not found["job"]:
        log.info(f"no sweep has run on {launcher.name} since it was started")


def _show(heard: bytes) -> None:
    sys.stdout.buffer.write(heard.replace(b"\r", b""))
    sys.stdout.buffer.flush()


def _stop(launcher: Launcher) -> None:
    stopped = _up(launcher, "stop-all", seconds=STOP_S)["stopped"]
    if not stopped:
        log.info(f"no sweep is running on {launcher.name}")
        return
    has = "is" if len(stopped) == 1 else "are"
    kept = "what is finished is kept there, and the same run command brings it home and goes on"
    log.info(f"{several(stopped)} {has} interrupted; {kept}; {DOWN} {launcher.file} ends the cluster")


def _down(launcher: Launcher) -> None:
    log.info(f"bringing {launcher.name} down")
    ended = down(launcher)
    for one in ended:
        (log.warning if one.wrong else log.info)(one.line)
    if any(one.wrong for one in ended):
        raise ClusterError(f"{launcher.name} is not known to have ended everywhere; the same command tries again")
    log.info(f"{launcher.name} is down")


ACTIONS: dict[str, Callable[[Launcher], None]] = {"status": _status, "logs": _logs, "stop": _stop, "down": _down}


def _up(
    launcher: Launcher, action: str, hear: Callable[[bytes], None] = lambda _: None, seconds: float = CALL_S
) -> Any:
    """What the head answers. Raises ClusterError where there is none."""
    if launcher.is_local:
        head = ask(addresses(launcher.config)[0], way_of(launcher.config, launcher.file))
        if head.error:
            raise ClusterError(f"the head {head.address} {head.state}")
        if not head.head:
            starts = f"tune-mnist run --cluster {launcher.file} starts it"
            raise ClusterError(f"{launcher.name} is down: no Ray runs on its head {head.address}; {starts}")
    return _head(launcher, action, hear, seconds)


def _head(
    launcher: Launcher, action: str, hear: Callable[[bytes], None] = lambda _: None, seconds: float = CALL_S
) -> Any:
    found = launcher.call(f"{HEAD_JOB} {action} -", hear, seconds)
    if found.get("lost"):
        raise ClusterError(f"the head of {launcher.name}: {found.get('cause', 'it gave no answer')}")
    return found


def show_plan(experiment: Experiment, costs: Costs, screen: Console, launcher: Launcher | None) -> int:
    """Show the plan, and the machines of the cluster if there is to be one; then refuse them as a start would."""
    from tune_mnist.commands.sweep import print_plan  # not above: it takes a while

    if launcher is None:
        return print_plan(experiment, costs, screen)
    if not launcher.is_local:
        log.info(would_start(launcher.config))
        return print_plan(experiment, costs, screen)
    stage("asking the machines")
    hosts = ask_all(launcher.config, launcher.file)
    for line in table(hosts):
        screen.out(line, highlight=False)
    count, short = side_by_side(hosts, costs.resources)
    code = print_plan(experiment, replace(costs, there=count), screen)
    for line in (*short, *doubts(judged(hosts, launcher.config))):
        log.warning(line)
    check(hosts, launcher.config, launcher.file)
    if not count:
        raise UserError(f"no machine of {launcher.file} has what a trial asks for; give it less")
    return code
