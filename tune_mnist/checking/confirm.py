"""Before runs are shared or extended: does the loop go on exactly from its state? Asked once for each code."""

from __future__ import annotations

from collections.abc import Callable

from tune_mnist.checking.check import quick
from tune_mnist.store.checkpoint import packed, unpacked
from tune_mnist.task import Config, Task
from tune_mnist.tasks import user
from tune_mnist.tasks.loop import Loop


def confirmed(loop: Loop, task: Task, config: Config, where: user.Where, say: Callable[[str], None]) -> Task:
    """The task as it may be planned with: its state is not kept where going on from it gives other numbers.

    The check trains three epochs of `config`; `say` hears what it finds.
    """
    if user.is_confirmed(task, where):
        return task
    say(f"checking once that {loop.name} goes on exactly from its state (three {task.unit}s; --trust skips it)")
    verdict = quick(loop, config, packed, unpacked)
    for line in verdict.lines:
        say(line)
    if verdict.forgets:
        say("its runs are not shared or extended; tune-mnist check tells more, and --trust shares them all the same")
        return user.prepared(loop, task, where, resumes=False)
    if verdict.resumes:
        user.confirm(task, where)
    return task
