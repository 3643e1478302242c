"""How long sweeps take when a run may give way to another after any epoch: simulated.

    .venv/bin/python bench/turns.py

Makespans, in shares of those of starting the longest run first and letting each go on to its end: of the three sweeps
with 1, 3 and 5 seeds, and of twenty random plans; on 2, 8 and 64 slots; with epoch times as foreseen, and with those of
each run off by at most 20 %. A change of turns costs 3 % of an epoch.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Sequence

from tune_mnist.plan.plan import makespan
from tune_mnist.tuning.turns import gives_way

Jobs = Sequence[tuple[int, float]]  # epochs, and the seconds of each as foreseen
OFF, CHANGE = 0.2, 0.03
SLOWER_AT_32 = 1.19  # an epoch at batch size 32, against one at 64


def in_turns(jobs: Jobs, true: Sequence[float], slots: int) -> float:
    """The makespan with `tuning.turns`."""
    left, epoch = [epochs for epochs, _ in jobs], [seconds for _, seconds in jobs]
    waiting, running = set(range(len(jobs))), {}
    ends: list[tuple[float, int]] = []
    now = 0.0

    def begin(slot: int, late: float) -> None:
        if waiting:
            job = max(waiting, key=lambda one: (left[one] * epoch[one], -one))
            waiting.remove(job)
            running[slot] = job
            heapq.heappush(ends, (now + late + true[job], slot))

    for slot in range(slots):
        begin(slot, 0.0)
    while ends:
        now, slot = heapq.heappop(ends)
        job = running.pop(slot)
        left[job] -= 1
        epoch[job] = true[job]
        others = [[left[one] * epoch[one] for one in those] for those in (waiting, running.values())]
        if left[job] and not gives_way(left[job] * epoch[job], epoch[job], *others):
            running[slot] = job
            heapq.heappush(ends, (now + true[job], slot))
            continue
        begin(slot, CHANGE * epoch[job] if left[job] else 0.0)
        if left[job]:
            waiting.add(job)
    return now


def shares(jobs: Jobs, slots: int, off: float, times: int) -> list[float]:
    """Makespans in turns, in shares of those without."""
    order = sorted(range(len(jobs)), key=lambda job: -jobs[job][0] * jobs[job][1])
    found = []
    for seed in range(times if off else 1):
        chance = random.Random(seed)
        true = [seconds * chance.uniform(1 - off, 1 + off) for _, seconds in jobs]
        whole = makespan([jobs[job][0] * true[job] for job in order], slots)
        found.append(in_turns(jobs, true, slots) / whole)
    return found


def three_sweeps(seeds: int) -> Jobs:
    return [(15, 1.0), (5, SLOWER_AT_32), *[(5, 1.0)] * 5] * seeds


def random_plan(seed: int, slots: int) -> Jobs:
    chance = random.Random(seed)
    count = chance.randint(slots // 2 + 1, 3 * slots)
    return [(chance.choice((1, 3, 5, 10, 15, 20)), chance.choice((0.5, 1.0, 1.0, 2.0))) for _ in range(count)]


def main() -> None:
    print(f"{'plan':>24} {'slots':>5} {'off':>4}   mean   least  most")
    for slots in (2, 8, 64):
        plans = {f"three sweeps, {seeds} seed{'s' * (seeds > 1)}": [three_sweeps(seeds)] for seeds in (1, 3, 5)}
        plans["twenty random plans"] = [random_plan(seed, slots) for seed in range(20)]
        for name, of in plans.items():
            for off in (0.0, OFF):
                found = [share for jobs in of for share in shares(jobs, slots, off, 100)]
                said = f"{statistics.mean(found):.3f}  {min(found):.3f}  {max(found):.3f}"
                print(f"{name:>24} {slots:>5} {off:>4.0%}   {said}")


if __name__ == "__main__":
    main()
