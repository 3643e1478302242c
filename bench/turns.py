"""Would a sweep end sooner if a run gave its slot to a longer one between two epochs? Simulated; docs/performance.md.

    .venv/bin/python bench/turns.py

A run can be stopped after any epoch, and gone on with: then the least time for a plan is the larger of its longest run
and the mean load of a slot (McNaughton, Management Science 6, 1-12, 1959), where starting the longest first may take
more. After each epoch the rule compares the run with the longest that waits, by what epochs are expected to take; the
true times are off by up to 20 %. Printed: the time with the rule over the time without it, as mean and highest.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Callable, Sequence

Run = tuple[int, float]  # epochs, seconds that each is expected to take
Plan = Callable[[random.Random], Sequence[Run]]
# The longest waiting run's seconds left and of an epoch, the same of this run, and the mean load of a slot.
Rule = Callable[[float, float, float, float, float], bool]

OFF, SWITCH_S = 0.2, 0.5  # of an epoch's time; for a worker to take another run
THREE = ((15, 75.0), (5, 81.0), (5, 73.0), (5, 69.0), (5, 75.0), (5, 75.0), (5, 75.0))  # MNIST on two quiet cores
RULES: dict[str, Rule] = {
    "it would end last, even if it began now": lambda other, epoch, own, own_epoch, mean: (
        other > own + own_epoch / 2 and other + epoch > mean
    ),
    "it alone is more than the mean load": lambda other, _, own, own_epoch, mean: (
        other > own + 1.5 * own_epoch and other > mean
    ),
}


def seconds(runs: Sequence[Run], slots: int, rng: random.Random, rule: Rule | None) -> float:
    """Until the last run has ended."""
    true = [expected * (1 + rng.uniform(-OFF, OFF)) for _, expected in runs]
    left, known = [epochs for epochs, _ in runs], [expected for _, expected in runs]
    waiting = sorted(range(len(runs)), key=lambda one: -left[one] * known[one])
    running = [(true[one], one) for one in waiting[:slots]]
    waiting, now = waiting[slots:], 0.0
    heapq.heapify(running)
    while running:
        now, this = heapq.heappop(running)
        left[this], known[this] = left[this] - 1, true[this]
        rest = [left[one] * known[one] for one in range(len(runs))]
        longest = max(waiting, key=rest.__getitem__, default=None)
        follows, begin = (this, now) if left[this] else (None, now)
        if longest is not None and (
            follows is None
            or (rule and rule(rest[longest], known[longest], rest[this], known[this], sum(rest) / (len(running) + 1)))
        ):
            waiting = [one for one in waiting if one != longest] + ([] if follows is None else [this])
            follows, begin = longest, now + SWITCH_S * (follows is not None)
        if follows is not None:
            heapq.heappush(running, (begin + true[follows], follows))
    return now


def ratios(plan: Plan, slots: int, rule: Rule, count: int) -> list[float]:
    """The time with the rule over that without, of `count` draws of the plan and of its true times."""
    found = []
    for seed in range(count):
        runs = plan(random.Random(seed))
        without = seconds(runs, slots, random.Random(seed), None)
        found.append(seconds(runs, slots, random.Random(seed), rule) / without)
    return found


def drawn(rng: random.Random) -> list[Run]:
    """A plan of 3 to 20 runs."""
    return [
        (rng.choice((1, 2, 3, 5, 10, 15, 20)), rng.choice((30.0, 60.0, 60.0, 120.0))) for _ in range(rng.randint(3, 20))
    ]


def main() -> None:
    """A line for each plan, of each rule."""
    plans: tuple[tuple[str, Plan, int, int], ...] = (
        ("the three sweeps, 2 slots", lambda _: THREE, 2, 200),
        ("the three sweeps with 3 seeds, 2 slots", lambda _: THREE * 3, 2, 50),
        ("the three sweeps with 3 seeds, 8 slots", lambda _: THREE * 3, 8, 50),
        ("the three sweeps with 12 seeds, 64 slots", lambda _: THREE * 12, 64, 10),
        ("plans drawn at random, 2 slots", drawn, 2, 200),
        ("plans drawn at random, 8 slots", drawn, 8, 200),
    )
    for words, rule in RULES.items():
        print(f"The longest waiting run gets the slot where {words}:")
        for name, plan, slots, count in plans:
            found = ratios(plan, slots, rule, count)
            print(f"  {name:42} {statistics.mean(found):.3f}, at most {max(found):.3f}")


if __name__ == "__main__":
    main()
