"""Who joins a cluster of one's own machines, who is still installing, who failed and why: lines, said as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from tune_mnist.background import Background
from tune_mnist.errors import ClusterError
from tune_mnist.remote.hosts import Host, ask
from tune_mnist.remote.ssh import Way, addresses, everywhere, resolved, way_of
from tune_mnist.words import clock, several

CONFIG = Path("~/ray_bootstrap_config.yaml")  # the cluster file, as `ray up` leaves it on a head
KNOWN_HOSTS = Path("~/tune-mnist/known_hosts")  # a head's, of its workers
LOOK_S = 5.0  # from the end of one look to the next
AGAIN_S = 60.0  # after which it is said again for whom the cluster waits


@dataclass
class News:
    """What is new about a cluster's machines since it was last asked. The head is one of the `total`, and there."""

    total: int
    begin: float = field(default_factory=time.monotonic)
    _joined: set[str] | None = None
    _told: dict[tuple[str, bool], int] = field(default_factory=dict)  # (address, installs) -> minutes, when last said
    _failed: set[str] = field(default_factory=set)

    def lines(self, joined: Collection[str], absent: Sequence[Host]) -> list[str]:
        """Of the workers: the addresses of those that have `joined`, and what the others say of themselves."""
        count = f"{len(joined) + 1} of {self.total} machine{'' if self.total == 1 else 's'}"
        is_first, new = self._joined is None, sorted(set(joined) - (self._joined or set()))
        self._joined = (self._joined or set()) | set(joined)
        said = [count] if is_first else []
        if new and not is_first:
            said = [f"{several(new)} {'has' if len(new) == 1 else 'have'} joined: {count}"]
        failed = [host for host in absent if host.failed and host.address not in self._failed]
        self._failed |= {host.address for host in failed}
        waiting = [self._waited(host) for host in absent if host.address not in self._failed and self._is_due(host)]
        said += [f"{host.address} {host.state}" for host in failed]
        return [*said, *([f"{count}; {'; '.join(waiting)}"] if waiting else [])]

    def _is_due(self, host: Host) -> bool:
        """Whether it is to be said that it is not there: when it begins to install, and each minute."""
        installs = host.installing is not None
        minute, what = int(self._seconds(host) // AGAIN_S), (host.address, installs)
        is_due = minute > self._told.get(what, -1 if installs else 0)
        if is_due:
            self._told[what] = minute
        return is_due

    def _seconds(self, host: Host) -> float:
        return host.installing if host.installing is not None else time.monotonic() - self.begin

    def _waited(self, host: Host) -> str:
        since = "" if host.installing is not None else f" ({clock(self._seconds(host))})"
        return f"{host.address} {host.state}{since}"


@contextmanager
def watched(say: Callable[[str], None], nodes: Callable[[], Collection[str]]) -> Iterator[None]:
    """On the head, for the length of the block: say who joins a cluster of one's own machines, until all have.

    `nodes` tells the addresses of those that are there, in numbers.
    """
    path = CONFIG.expanduser()
    config = yaml.safe_load(path.read_text("utf-8")) if path.exists() else {"provider": {}}
    provider = config["provider"]
    if provider.get("type") != "local" or not provider["worker_ips"]:  # a cloud's come and go as the plan needs them
        yield
        return
    workers, news = addresses(config)[1:], News(len(addresses(config)))
    way = Way(config["auth"], KNOWN_HOSTS.expanduser())

    def look() -> bool:
        try:
            there = nodes()
        except Exception:  # whatever Ray raises before it is ready: the next look tells
            return False
        joined = [address for address in workers if resolved(address) in there]
        absent = everywhere([address for address in workers if address not in joined], partial(ask, way=way))
        for line in news.lines(joined, absent):
            say(line)
        return not absent

    with Background("joining", look, LOOK_S, patience=1.0):
        yield


@contextmanager
def installing(config: Mapping[str, Any], file: Path, say: Callable[[str], None]) -> Iterator[None]:
    """While `ray up` sets up the head, which may take minutes, within the block: say how far that is.

    Where it fails for that, the ClusterError says why, with the last lines of the set-up.
    """
    if config["provider"].get("type") != "local" or "docker" in config:
        yield
        return
    address, way = addresses(config)[0], way_of(config, file)
    told = -1

    def look() -> None:
        nonlocal told
        host = ask(address, way)
        minute = -1 if host.installing is None else int(host.installing // AGAIN_S)
        if minute > told:
            told = minute
            say(f"{address} {host.state}")

    try:
        with Background("set-up", look, LOOK_S, patience=1.0):
            yield
    except ClusterError:
        host = ask(address, way)
        if host.failed:
            raise ClusterError(f"{address} {host.state}") from None
        raise
