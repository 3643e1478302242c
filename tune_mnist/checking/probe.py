"""One short training of a loop under set conditions, in a process of its own: what it gave, and what was seen of it.

bench = Bench(find("spiral.py"), "spiral.py", packed, unpacked)
outcome = bench.train(Job({"lr": 0.1, "seed": 1}, total=10))
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import resource
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from tune_mnist.checking import generators
from tune_mnist.checking.belongings import belongings, content, forgotten
from tune_mnist.checking.watch import Seen, Watch
from tune_mnist.errors import TrainingFailed, UserError
from tune_mnist.tasks.loop import Loop, find

COUNT = -1
ALIKE = dict.fromkeys(generators.NAMES, 1)
HELD = {"clock": generators.clock, "entropy": generators.entropy, "cudnn": generators.cudnn}


@dataclass(frozen=True)
class Job:
    """A short training: with which values, told of how many epochs, and what is set or held meanwhile."""

    values: Mapping[str, Any]
    total: int
    epochs: int = 2
    seeds: Mapping[str, int] = field(default_factory=lambda: ALIKE)  # what the global generators begin with
    afresh: bool = False  # the user's code is imported again
    searched: bool = False  # for what it keeps between its epochs
    undo: bool = False  # what evaluation draws is taken back
    state: bytes | None = None  # to go on from
    restored: Mapping[str, Any] = field(default_factory=dict)  # global generators, set when the state has been read
    looks: int = 0  # at which look at its state that is; 0: before the first, COUNT: only count them
    held: str = ""  # one of HELD


@dataclass
class Outcome:
    """What a training gave. Lists have one item per epoch; generators also one for the beginning."""

    rows: list[dict[str, float]] = field(default_factory=list)
    states: list[bytes | None] = field(default_factory=list)
    weights: list[dict[str, str]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    generators: list[dict[str, Any]] = field(default_factory=list)
    memory: int = 0  # bytes by which the process grew at most
    yields_state: bool = False
    unsaved: str = ""  # why the state cannot be saved
    looks: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)  # (kind, words) of what changes and is not in the state
    seen: Seen = field(default_factory=Seen)
    asked: list[str] = field(default_factory=list)  # what was seeded by the operating system
    paced: list[str] = field(default_factory=list)  # schedulers that know the total
    failure: str = ""
    mistake: str = ""


class Looked(dict[str, Any]):
    """A state that counts how often it is looked at, and calls `action` at one of these looks."""

    looks, last = 0, 0
    action: Callable[[], None] = staticmethod(lambda: None)

    def _look(self) -> None:
        self.looks += 1
        if self.looks == self.last:
            self.action()


def _counted(name: str) -> Callable[..., Any]:
    def look(self: Looked, *given: Any) -> Any:
        self._look()
        return getattr(dict, name)(self, *given)

    return look


for _name in ("__getitem__", "__iter__", "get", "pop", "items", "keys", "values", "copy"):
    setattr(Looked, _name, _counted(_name))


class Bench:
    """Where trainings are tried: each in a new process, forked where that is safe, so that none leaves a trace.

    `saved` and `loaded` turn a state into a checkpoint's bytes and back. Without `spec` and fork: in this process.
    """

    def __init__(
        self, loop: Loop, spec: str | None, saved: Callable[[Any], bytes | None], loaded: Callable[[bytes], Any]
    ) -> None:
        self.loop, self.spec, self.saved, self.loaded = loop, spec, saved, loaded

    def train(self, job: Job) -> Outcome:
        """Raises UserError for a config that the user's code refuses."""
        if _can_fork():
            _load_once()
            outcome = self._apart(job, "fork", self.loop)
        elif self.spec:
            outcome = self._apart(job, "spawn", self.spec)
        else:
            before = generators.states()
            outcome = trained(self.loop, None, job, self.saved, self.loaded)
            generators.restore(before)
        if outcome.mistake:
            raise UserError(outcome.mistake)
        return outcome

    def _apart(self, job: Job, method: str, where: Loop | str) -> Outcome:
        context: Any = multiprocessing.get_context(method)
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_child, args=(theirs, where, self.spec, job, self.saved, self.loaded))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads: none of them is Python's
            process.start()
        theirs.close()
        try:
            outcome: Outcome = pickle.loads(ours.recv_bytes())  # of our own process
        except EOFError:
            process.join()
            outcome = Outcome(failure=f"its process ended with exit code {process.exitcode}")
        finally:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
        return outcome


def _load_once() -> None:
    """An optimizer imports this when it is made: 1 s in each of the processes, if it is not there."""
    if "torch" in sys.modules:
        with suppress(ImportError):
            importlib.import_module("torch._dynamo")


def _can_fork() -> bool:
    torch: Any = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_initialized()
    return sys.platform == "linux" and threading.active_count() == 1 and not cuda


def _child(connection: Any, where: Loop | str, spec: str | None, job: Job, *ways: Callable[[Any], Any]) -> None:
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            loop = find(where) if isinstance(where, str) else where
            outcome = trained(loop, spec, job, *ways)
        except UserError as error:
            outcome = Outcome(mistake=str(error))
        except KeyboardInterrupt:
            return
    connection.send_bytes(pickle.dumps(outcome))


def trained(
    loop: Loop, spec: str | None, job: Job, saved: Callable[[Any], bytes | None], loaded: Callable[[bytes], Any]
) -> Outcome:
    """Do the job here. What the user's code raises is the outcome's `failure`. Raises UserError."""
    outcome, grown = Outcome(), _peak()
    with ExitStack() as stack:
        if job.held:
            outcome.asked = stack.enter_context(HELD[job.held]())
        _prepare(job.seeds)
        if job.afresh and spec:
            loop = _again(loop, spec)
            _prepare(job.seeds)
        watch = stack.enter_context(Watch(job.undo))  # always: what is compiled may differ where it is watched
        try:
            _train(loop, job, outcome, (saved, loaded), watch)
        except UserError:
            raise
        except Exception as error:  # whatever the user's code raises
            outcome.failure = _told(error)
        outcome.seen = watch.seen()
    outcome.memory = max(0, _peak() - grown)
    return outcome


def _prepare(seeds: Mapping[str, int]) -> None:
    generators.seed(seeds)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(1)  # a forked process cannot use the threads of the one that it comes from


def _train(loop: Loop, job: Job, outcome: Outcome, ways: tuple[Any, Any], watch: Watch) -> None:
    saved, loaded = ways
    state = None if job.state is None else _looked(loaded(job.state), job)
    epochs = loop.steps(job.values, state, job.total)
    kept: list[Any] = []
    outcome.generators.append(generators.states())
    for epoch in range(1, job.epochs + 1):
        start = perf_counter()
        metrics, now = next(epochs, (None, None))
        if metrics is None:
            outcome.failure = f"ended after {epoch - 1} of {job.epochs} epochs"
            return
        outcome.seconds.append(perf_counter() - start)
        outcome.rows.append(metrics)
        outcome.generators.append(generators.states())
        _keep(now, outcome, saved, loaded)
        if epoch == 1:
            kept = belongings(epochs, loop.module) if job.searched else []
            outcome.paced = [one.words for one in kept if _knows(one.thing, job.total)]
            watch.next_epoch((one.name, one.thing) for one in kept if type(one.thing).__module__ == "torch._C")
    if isinstance(state, Looked):
        outcome.looks = state.looks
    if kept and outcome.states[0] is not None:
        lost = forgotten(kept, loaded(outcome.states[0]))
        outcome.lost = [(one.kind, one.words) for one in lost]


def _looked(state: Any, job: Job) -> Any:
    """The state, set to restore the global generators at one of the loop's looks at it; or, of no dict, at once."""
    if type(state) is not dict or not job.looks:
        generators.restore(job.restored)
        return state
    found = Looked(state)
    found.last, found.action = job.looks, lambda: generators.restore(job.restored)
    return found


def _keep(state: Any, outcome: Outcome, saved: Callable[[Any], bytes | None], loaded: Callable[[bytes], Any]) -> None:
    """The state as a checkpoint has it, or why there can be none."""
    outcome.yields_state = state is not None
    held = None
    try:
        held = saved(state)
        again = None if held is None else loaded(held)
        outcome.weights.append(content(again).weights)
    except Exception as error:  # of pickling or unpickling whatever it is
        held = None
        outcome.weights.append({})
        strange = content(state).kinds
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        outcome.unsaved = "; ".join(f"{path} is a {kind}" for path, kind in [*strange.items()][:3]) or said
    outcome.states.append(held)


def _knows(thing: Any, total: int) -> bool:
    return any(getattr(thing, name, None) == total for name in ("T_max", "total_steps", "total_iters"))


def _again(loop: Loop, spec: str) -> Loop:
    """The loop of the user's code imported anew: what was made while it was imported is made again, too."""
    home = Path(sys.path[0] or ".").resolve()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        mine = module is loop.module or (file and home in Path(file).parents and "site-packages" not in file)
        if mine and name != "__main__" and name.partition(".")[0] != __name__.partition(".")[0]:
            del sys.modules[name]
    return find(spec)


def _peak() -> int:
    """Bytes of the process's greatest size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _told(error: Exception) -> str:
    """The error, and the last line of code outside of libraries that it comes from, unless it speaks for itself."""
    if isinstance(error, (TrainingFailed, UserError)):
        return str(error)
    said = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
    here = str(Path(__file__).parent)
    frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(here)]
    theirs = [one for one in frames if "site-packages" not in one.filename] or frames
    return f"{theirs[-1].filename}:{theirs[-1].lineno}: {said}" if theirs else said
