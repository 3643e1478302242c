"""What a training does with torch while it is watched: which modules run in which mode, and what evaluation draws.

with Watch() as watch: ...one epoch...; watch.next_epoch(); ...another...; seen = watch.seen()
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tune_mnist.checking.generators import moved, replaced, restore, states


@dataclass(frozen=True)
class Seen:
    """What was seen of evaluation: phases without gradients, entered by the user's own code."""

    evaluations: int = 0  # those in which all modules ran in eval mode, or nothing was drawn
    unclear: bool = False  # there is one that draws, with modules in training mode
    left_in_eval: tuple[str, ...] = ()  # classes that trained in training mode first, and only in eval mode later
    updated: tuple[str, ...] = ()  # classes whose running statistics are changed without gradients
    drawn: tuple[str, ...] = ()  # global generators that an evaluation draws from
    shared: tuple[str, ...] = ()  # the user's own generators that an evaluation and the training draw from
    loaders: bool = False  # an evaluation's DataLoader draws the seed of its workers from the global generator


@dataclass
class Phase:
    """A stretch without gradients: the generators when it began, and in which modes modules ran."""

    before: dict[str, Any]
    own: list[bytes]
    modes: set[bool] = field(default_factory=set)


class Watch:
    """Watches what runs in a `with` block. `undo`: an evaluation's draws are taken back when it ends."""

    def __init__(self, undo: bool = False) -> None:
        self.undo = undo
        self.epoch, self.depth, self.phase = 1, 0, Phase({}, [])
        self.modes: dict[int, dict[tuple[int, str], set[bool]]] = defaultdict(lambda: defaultdict(set))
        self.counts: dict[str, int] = defaultdict(int)
        self.found: dict[str, dict[str, None]] = defaultdict(dict)
        self.own: list[tuple[str, Any]] = []  # the user's own torch.Generators, by their names
        self.at_start: list[bytes] = []  # theirs at the beginning of the epoch
        self._stack = ExitStack()

    def __enter__(self) -> Watch:
        if "torch" in sys.modules:
            import torch
            from torch.nn.modules.module import register_module_forward_pre_hook
            from torch.utils.data import dataloader

            hook = register_module_forward_pre_hook(self._forward)
            self._stack.callback(hook.remove)
            changes: list[tuple[Any, str, Any]] = []
            for kind in (torch.no_grad, torch.inference_mode):
                changes += [(kind, "__enter__", self._entering(kind.__enter__))]
                changes += [(kind, "__exit__", self._leaving(kind.__exit__))]
            base = dataloader._BaseDataLoaderIter
            changes.append((base, "__init__", self._loading(base.__init__)))
            self._stack.enter_context(replaced(changes))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def next_epoch(self, own: Iterable[tuple[str, Any]] = ()) -> None:
        """The next epoch begins; `own` are the user's own generators."""
        self.epoch += 1
        self.own = list(own)
        self.at_start = self._own_states()

    def seen(self) -> Seen:
        """What was seen of two epochs."""
        first, second = self.modes[1], self.modes[2]
        left = {kind: None for (key, kind), modes in second.items() if modes == {False} and True in first[key, kind]}
        updated, drawn, shared = (tuple(self.found[name]) for name in ("updated", "drawn", "shared"))
        unclear, loaders = bool(self.counts["unclear"]), bool(self.counts["loaders"])
        return Seen(self.counts["evaluations"], unclear, tuple(left), updated, drawn, shared, loaders)

    def _own_states(self) -> list[bytes]:
        return [one.get_state().numpy().tobytes() for _, one in self.own]

    def _forward(self, module: Any, _: Any) -> None:
        import torch

        if torch.is_grad_enabled():
            if depends_on_mode(module):
                self.modes[self.epoch][id(module), type(module).__name__].add(module.training)
        elif self.depth:
            self.phase.modes.add(module.training)
            trained = (id(module), type(module).__name__) in self.modes[self.epoch]
            if module.training and trained and getattr(module, "running_mean", None) is not None:
                self.found["updated"][type(module).__name__] = None

    def _entering(self, enter: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def entered(context: Any) -> Any:
            if self.depth or _is_users(sys._getframe(1)):
                self.depth += 1
                if self.depth == 1:
                    self.phase = Phase(states(), self._own_states())
            return enter(context)

        return entered

    def _leaving(self, leave: Callable[..., Any]) -> Callable[..., Any]:
        def left(context: Any, *error: Any) -> Any:
            done = leave(context, *error)
            if self.depth:
                self.depth -= 1
                if not self.depth:
                    self._ended(self.phase)
            return done

        return left

    def _ended(self, phase: Phase) -> None:
        names = moved(phase.before, states())
        unclear = bool(names) and True in phase.modes
        self.counts["unclear"] += unclear
        if unclear or not phase.modes:
            return
        self.counts["evaluations"] += 1
        self.found["drawn"].update(dict.fromkeys(names))
        own = zip(self.own, self.at_start, phase.own, self._own_states(), strict=False)  # none, if it began before
        for (name, _), start, before, after in own:
            if before not in (start, after):  # drawn from since the epoch began, and by this evaluation
                self.found["shared"][name] = None
        if self.undo:
            restore({name: phase.before[name] for name in names if name in phase.before})

    def _loading(self, start: Callable[..., None]) -> Callable[..., None]:
        """A DataLoader draws one number for its workers whenever it is iterated; that alone is no fault of anyone's."""

        def started(iterator: Any, *given: Any, **named: Any) -> None:
            before = states() if self.depth else {}
            start(iterator, *given, **named)
            if self.depth and before == self.phase.before:
                self.phase.before = states()
                self.counts["loaders"] += before != self.phase.before

        return started


def depends_on_mode(module: Any) -> bool:
    """Whether training and eval mode differ for the module itself."""
    names = {one.__name__ for one in type(module).__mro__}
    rate = getattr(module, "dropout", 0.0)
    return any("BatchNorm" in name or "Dropout" in name for name in names) or (isinstance(rate, float) and rate > 0)


def _is_users(frame: FrameType | None) -> bool:
    """Whether it is not torch's own code that switches gradients off, as its optimizers and initial weights do."""
    import torch

    if frame is not None and Path(frame.f_code.co_filename).name == "_contextlib.py":  # @torch.no_grad()
        code = getattr(frame.f_locals.get("func"), "__code__", None)
        name = code.co_filename if code else ""
    else:
        name = frame.f_code.co_filename if frame else ""
    return not name.startswith(str(Path(torch.__file__).parent))
