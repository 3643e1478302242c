"""Ray's cluster launcher, asked from here: `ray up`, `ray exec`, `ray rsync-up`, `ray rsync-down`, `ray down`.

Ray's commands take three seconds to load; where SSH and rsync reach what they would reach, these are called directly.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import yaml

from tune_mnist.errors import ClusterError, UserError
from tune_mnist.files import read_written
from tune_mnist.launch.head_job import BEGIN, END
from tune_mnist.remote.ssh import ssh, way_of

PLACE = "~/tune-mnist"  # on every machine of a cluster; its .venv has Ray and what tune_mnist needs
DOWN = "tune-mnist cluster down"
CALL_S, STOP_S = 60.0, 120.0  # for a short question to the head, and until its sweeps have stopped
LONGEST = 200  # letters of what is told of a failure
_SSH = re.compile(r"^.*Command '?\[?'?ssh\b.* exit status (\d+)\.?$")  # Ray repeats the whole command, a screen of it
VANISHED = 24  # rsync's exit code where a file was replaced as it came; the next time it brings the new one
_ECHOES = ("Shared connection", "Connection to", "ssh -", "rsync -", "Command failed", "Error: Command failed")
_NOISE = re.compile(r"\x1b\[[0-9;]*m|^\d{4}-\d\d-\d\d \S+\s+[A-Z]+ \S+ -- ")
_LEFT = re.compile(r"HEAD|WORKER\d+|USER|AMI|GROUP|IMAGE|PROJECT|ACCOUNT|REGISTRY/.*")
_NEEDS = {"aws": ("boto3",), "gcp": ("googleapiclient", "google_auth_httplib2", "cryptography")}


@dataclass(frozen=True)
class Launcher:
    """A cluster file, read and checked, and Ray's commands for it."""

    file: Path
    config: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.config["cluster_name"])

    @property
    def is_local(self) -> bool:
        """Whether these are machines of one's own, of which no cloud's API tells."""
        return bool(self.config["provider"].get("type") == "local")

    @property
    def is_direct(self) -> bool:
        """Whether SSH alone reaches the head, and what is not in a container there."""
        return self.is_local and "docker" not in self.config

    @property
    def head(self) -> str:
        """user@address of a head of one's own."""
        provider = self.config["provider"]
        return f"{self.config['auth']['ssh_user']}@{provider.get('external_head_ip') or provider['head_ip']}"

    def up(self) -> None:
        """Start the cluster, or restart it with the code of this checkout. Raises ClusterError."""
        self._ray("up", "--yes")

    def down(self) -> str:
        """Stop it and give its machines back; returns the last of what Ray says. Raises ClusterError."""
        return _last(self._ray("down", "--yes"))

    def shell(self, command: str) -> None:
        """Run a command on the head. Raises ClusterError."""
        self._run(self._exec(command), f"a command on the head of {self.file}", CALL_S)

    def send(self, here: Path, there: str) -> None:
        """Copy a file to the head, or everything in a folder into a folder there. Raises ClusterError."""
        folder = "/" if here.is_dir() else ""
        target = f"{PLACE}/{there}{folder}"
        if self.is_direct:
            self._rsync(f"{here}{folder}", f"{self.head}:{target}")
        else:
            self._ray("rsync-up", f"{here}{folder}", target)

    def fetch(self, there: str, here: Path) -> None:
        """Copy everything in a folder of the head. Raises ClusterError."""
        here.mkdir(parents=True, exist_ok=True)
        source = f"{PLACE}/{there}/"
        if self.is_direct:
            self._rsync(f"{self.head}:{source}", f"{here}/", 10 * CALL_S)
        else:
            self._ray("rsync-down", source, f"{here}/", seconds=10 * CALL_S)

    def call(
        self, arguments: str, hear: Callable[[bytes], None] = lambda _: None, seconds: float | None = CALL_S
    ) -> dict[str, Any]:
        """Run `head_job` on the head; `hear` gets what it shows, as it comes, and nothing when it begins. Returns what
        it ends with.

        Raises ClusterError if the connection breaks before, or after `seconds`.
        """
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                self._exec(f"cd {PLACE} && {arguments}"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_surroundings(),
                start_new_session=True,  # Ctrl-C is for this process: it puts things in order
            )
            try:
                assert process.stdout is not None
                if seconds is not None:
                    _limit(process, seconds)
                heard = b"".join(_between(process.stdout, hear))
            finally:
                _end(process)
            if not heard:
                raise ClusterError(f"the head of {self.file}: {_cause(_read(errors))}")
        found = json.loads(heard)
        assert isinstance(found, dict)
        return found

    def _ray(self, verb: str, *arguments: str, seconds: float | None = None) -> str:
        options = [one for one in arguments if one.startswith("--")]
        others = [one for one in arguments if not one.startswith("--")]
        return self._run([*_RAY, verb, *options, str(self.file), *others], f"ray {verb} {self.file}", seconds)

    def _exec(self, command: str) -> list[str]:
        """What runs the command on the head; on a terminal, so that it ends with the connection."""
        if self.is_direct:
            return [*self._ssh(), "-tt", self.head, command]
        return [*_RAY, "exec", str(self.file), command]

    def _ssh(self) -> list[str]:
        way = way_of(self.config, self.file)
        return ssh(way.auth, way.known_hosts)

    def _rsync(self, source: str, target: str, seconds: float | None = None) -> None:
        skipped = [f"--exclude={pattern}" for pattern in self.config.get("rsync_exclude") or []]
        by = shlex.join(self._ssh())
        self._run(["rsync", "-az", "--rsh", by, *skipped, source, target], f"rsync with {self.head}", seconds, VANISHED)

    def _run(self, command: list[str], what: str, seconds: float | None, fine: int = 0) -> str:
        if shutil.which(command[0]) is None:
            raise UserError(f"there is no {command[0]} command on this machine; install it")
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=_surroundings(),
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise ClusterError(f"{what}: no answer in {seconds:g} s") from None
            finally:
                _end(process)
            if code not in (0, fine):
                raise ClusterError(f"{what} failed: {_cause(_read(said))}")
            return _read(said)


_RAY = (sys.executable, "-m", "ray.scripts.scripts")


def read_cluster_file(file: Path) -> Launcher:
    """The cluster file, with every value filled in. Raises UserError."""
    try:
        config = yaml.safe_load(read_written(file))
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        cause = getattr(error, "strerror", None) or str(error).replace("\n", " ")
        raise UserError(f"cluster file '{file}' cannot be read: {cause}") from None
    if not isinstance(config, dict) or not isinstance(config.get("provider"), dict) or not config.get("cluster_name"):
        raise UserError(f"'{file}' is no cluster file of Ray's: it needs cluster_name and provider")
    kind = str(config["provider"].get("type"))
    if missing := [name for name in _NEEDS.get(kind, ()) if find_spec(name) is None]:
        raise UserError(
            f"{file} needs {' and '.join(missing)} here, for {kind}'s API; install what its first lines name"
        )
    for name, value in _values(config):
        if _LEFT.fullmatch(str(value)):
            raise UserError(f"{name} in {file} is still '{value}'; fill it in, as the file says")
    if kind == "local":
        _check_own(config, file)
    for target, source in (config.get("file_mounts") or {}).items():
        if not Path(os.path.expanduser(source)).exists():  # noqa: PTH111
            way_out = "give the command in the repository's root"
            raise UserError(f"'{source}', which {file} copies to {target}, is not here; {way_out}")
    return Launcher(file, config)


def _check_own(config: dict[str, Any], file: Path) -> None:
    """Raise UserError where it is not said which machines are to be reached, or as whom."""
    provider, auth = config["provider"], config.get("auth")
    named = {
        "provider.head_ip": provider.get("head_ip"),
        "auth.ssh_user": isinstance(auth, dict) and auth.get("ssh_user"),
    }
    if lacking := [name for name, value in named.items() if not value]:
        raise UserError(f"{file} needs {' and '.join(lacking)}, as cluster/onprem.yaml has them")
    if not isinstance(provider.get("worker_ips"), list):
        raise UserError(f"{file} needs provider.worker_ips, a list of addresses; [] for none")


def _values(config: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every (name, value) of the file."""
    if isinstance(config, dict):
        for key, value in config.items():
            yield from _values(value, str(key))
    elif isinstance(config, list):
        for value in config:
            yield from _values(value, name)
    else:
        yield name, config


def _surroundings() -> dict[str, str]:
    return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore", "COLUMNS": "500"}


def _between(stream: IO[bytes], hear: Callable[[bytes], None]) -> Iterator[bytes]:
    """Pass on what stands between the marks of `head_job`; yield what stands after the second, up to the third."""
    state = 0  # before the begin, within, in the end's JSON
    while chunk := os.read(stream.fileno(), 1 << 16):
        while chunk:
            mark = (BEGIN, END, END)[state].encode() if state < 3 else b""
            part, found, chunk = chunk.partition(mark) if mark else (b"", b"", b"")
            if state == 1 and part:
                hear(part)
            if state == 2 and part:
                yield part
            state += bool(found)
            if found and state == 1:
                hear(b"")
        if state == 3:
            return


def _limit(process: subprocess.Popen[bytes], seconds: float) -> None:
    timer = threading.Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End Ray's command, its ssh included."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    if process.stdout:
        process.stdout.close()


def _read(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _cause(said: str) -> str:
    """The line of Ray's or ssh's that says what is wrong."""
    lines = [_SSH.sub(r"ssh ended with \1", line) for line in _lines(said) if not line.startswith(_ECHOES)]
    told = [
        line for line in lines if re.search(r"error|fail|denied|refused|timed out|unreachable|not found", line, re.I)
    ]
    line = (told or lines or ["it ended without a word"])[-1]
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _last(said: str) -> str:
    return (_lines(said) or ["it ended without a word"])[-1]


def _lines(said: str) -> list[str]:
    """What Ray's commands say, without colours and times."""
    lines = (_NOISE.sub("", line).strip() for line in said.replace("\r", "\n").splitlines())
    return [line for line in lines if line]
