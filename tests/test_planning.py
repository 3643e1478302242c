"""Plans and forecasts: their laws for any points and any store, and the numbers that the issue promises."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tasks import CONDITIONS, asked, config, mnist

from tune_mnist.plan.forecast import forecast, stored_epoch_times
from tune_mnist.plan.plan import Plan, make_plan, makespan, run_names
from tune_mnist.plan.sweeps import Point
from tune_mnist.store.store import Held, Store
from tune_mnist.task import Config, Task, run_key

TASK = mnist()
CONFIGS = st.builds(
    config,
    epochs=st.integers(1, 6),
    batch_size=st.sampled_from([32, 64]),
    lr=st.sampled_from([0.01, 0.05]),
    schedule=st.sampled_from(["step", "cosine"]),
    seed=st.integers(1, 2),
)
POINTS = st.lists(
    st.builds(
        lambda config, sweep: Point(sweep, (("epochs", config.epochs),), config),
        CONFIGS,
        st.sampled_from(["epochs", "batch", "lr"]),
    ),
    max_size=12,
)
# (epochs stored, the epoch of the newest checkpoint) of any run; a checkpoint is never ahead of the rows.
STATES = st.integers(0, 8).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(0, rows)))
LAWS = settings(deadline=None, max_examples=40)


@st.composite
def stores(draw: st.DrawFn) -> Callable[[str], Held]:
    """What some store holds: for each key that is asked for, always the same."""
    seed = draw(st.lists(STATES, min_size=1, max_size=8))

    def held(key: str) -> Held:
        rows, resume = seed[int(key, 16) % len(seed)]
        return Held(tuple({"epoch": epoch} for epoch in range(1, rows + 1)), resume)

    return held


def nothing(_: str) -> Held:
    """What an empty store holds."""
    return Held()


def plan_of(share: bool = True, held: Callable[[str], Held] = nothing, **options: Any) -> Plan:
    """The plan of a command's options."""
    return make_plan(asked(**options).points, TASK, held, share)


def train(plan: Plan, store: Store, seconds: float = 2.0, task: Task = TASK) -> None:
    """Store what training the plan would: a row for each epoch, taking `seconds`, and a checkpoint at the end."""
    for run in plan.runs:
        with store.claim([run.key]):
            store.open(run.key, {"config": run.config.identity(), "conditions": dict(task.conditions)})
            for epoch in range(run.held.resume + 1, run.config.epochs + 1):
                store.append(run.key, {"epoch": epoch, "train_time_s": seconds - 0.5, "eval_time_s": 0.5})
            store.save_checkpoint(run.key, run.config.epochs, b"state")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


# Laws


@given(POINTS, stores(), st.booleans())
@LAWS
def test_every_point_is_read_off_a_run_that_is_long_enough(
    points: list[Point], held: Callable[[str], Held], share: bool
) -> None:
    plan = make_plan(points, TASK, held, share)
    runs = {run.key: run for run in plan.runs}
    answered = [runs[key] for key in plan.keys]
    assert all(
        run.config.identity() == point.config.identity() and run.config.epochs >= point.config.epochs
        for point, run in zip(points, answered, strict=True)
    )


@given(POINTS, stores(), st.booleans())
@LAWS
def test_each_run_is_trained_or_stored_to_its_end_and_no_further(
    points: list[Point], held: Callable[[str], Held], share: bool
) -> None:
    plan = make_plan(points, TASK, held, share)
    longest = {
        key: max(p.config.epochs for p, k in zip(points, plan.keys, strict=True) if k == key) for key in plan.keys
    }
    assert {run.key: run.config.epochs for run in plan.runs} == longest


@given(POINTS, stores(), st.booleans())
@LAWS
def test_no_epoch_is_trained_that_the_store_can_go_on_from(
    points: list[Point], held: Callable[[str], Held], share: bool
) -> None:
    for run in make_plan(points, TASK, held, share).runs:
        rows, resume = held(run.key).epochs, held(run.key).resume
        assert run.to_train == (0 if rows >= run.config.epochs else run.config.epochs - resume)


@given(POINTS, stores())
@LAWS
def test_points_that_only_differ_in_epochs_are_one_run(points: list[Point], held: Callable[[str], Held]) -> None:
    distinct = {run_key(point.config, CONDITIONS) for point in points}
    assert len(make_plan(points, TASK, held).runs) == len(distinct)


@given(POINTS, stores())
@LAWS
def test_a_run_with_a_cosine_schedule_answers_points_of_its_own_length_only(
    points: list[Point], held: Callable[[str], Held]
) -> None:
    plan = make_plan(points, TASK, held)
    runs = {run.key: run for run in plan.runs}
    cosine = [(p, runs[key]) for p, key in zip(points, plan.keys, strict=True) if p.config["schedule"] == "cosine"]
    assert all(run.config == point.config for point, run in cosine)


@given(POINTS, stores(), st.booleans(), st.randoms(use_true_random=False))
@LAWS
def test_the_plan_is_the_same_for_any_order_of_the_points(
    points: list[Point], held: Callable[[str], Held], share: bool, random: Any
) -> None:
    shuffled = points.copy()
    random.shuffle(shuffled)
    one, other = (make_plan(order, TASK, held, share) for order in (points, shuffled))
    assert one.runs == other.runs
    assert dict(zip(points, one.keys, strict=True)) == dict(zip(shuffled, other.keys, strict=True))


@given(POINTS, stores())
@LAWS
def test_longest_trainings_come_first(points: list[Point], held: Callable[[str], Held]) -> None:
    lengths = [run.to_train for run in make_plan(points, TASK, held).runs]
    assert lengths == sorted(lengths, reverse=True)


@given(POINTS)
@LAWS
def test_sharing_never_trains_more(points: list[Point]) -> None:
    """From an empty store; what either way holds already is another matter."""
    shared, unshared = (make_plan(points, TASK, nothing, share).epochs_to_train for share in (True, False))
    assert shared <= unshared


@given(POINTS, stores(), st.booleans())
@LAWS
def test_the_plans_sums_add_up(points: list[Point], held: Callable[[str], Held], share: bool) -> None:
    plan = make_plan(points, TASK, held, share)
    assert plan.epochs_asked == sum(point.config.epochs for point in points)
    assert plan.epochs_to_train == sum(run.to_train for run in plan.todo)
    assert plan.epochs_stored + plan.epochs_to_train >= sum(run.config.epochs for run in plan.runs)


# The numbers that the issue promises


def test_the_standard_sweeps_plan() -> None:
    plan = plan_of()
    numbers = len(plan.points), plan.distinct, len(plan.runs), plan.epochs_asked, plan.epochs_to_train
    assert numbers == (13, 11, 7, 74, 45)


def test_with_everything_stored_nothing_is_trained(store: Store) -> None:
    train(plan_of(), store)
    plan = plan_of(held=store.held)
    assert (plan.epochs_to_train, plan.epochs_stored, plan.todo) == (0, 45, ())


def test_five_epochs_more_are_five_epochs(store: Store) -> None:
    train(plan_of(), store)
    plan = plan_of(held=store.held, sweep=["batch", "lr"], vary=["epochs=1,3,5,10,15,20"])
    assert plan.epochs_to_train == 5


def test_one_value_more_is_one_run(store: Store) -> None:
    train(plan_of(), store)
    plan = plan_of(held=store.held, sweep=["epochs", "batch"], vary=["lr=0.001,0.005,0.01,0.05,0.1"])
    assert [(run.config["lr"], run.to_train) for run in plan.todo] == [(0.1, 5)]


def test_without_its_checkpoints_a_longer_run_is_trained_from_its_start(store: Store) -> None:
    train(plan_of(sweep=["epochs"]), store)
    for key in store.run_keys():
        store.prune(key)
    assert plan_of(held=store.held, sweep=["epochs"]).epochs_to_train == 0
    assert plan_of(held=store.held, vary=["epochs=20"]).epochs_to_train == 20


def test_without_sharing_each_point_is_a_run() -> None:
    plan = plan_of(share=False)
    assert (len(plan.runs), plan.epochs_to_train) == (13, 74)


def test_shared_runs_do_not_answer_for_unshared_ones(store: Store) -> None:
    train(plan_of(), store)
    assert plan_of(share=False, held=store.held).epochs_to_train == 74


def test_a_cosine_schedule_shares_no_epochs() -> None:
    plan = plan_of(sweep=["epochs"], settings=["schedule=cosine", "gamma=0.7"])
    assert (len(plan.runs), plan.epochs_to_train) == (5, 34)


def test_identical_points_of_a_cosine_schedule_are_one_run() -> None:
    plan = plan_of(settings=["schedule=cosine"])
    assert (len(plan.points), len(plan.runs)) == (13, 11)


@pytest.mark.parametrize("seeds", [2, 3])
def test_each_seed_is_trained(seeds: int) -> None:
    plan = plan_of(seeds=seeds)
    assert (len(plan.points), len(plan.runs), plan.epochs_to_train) == (13 * seeds, 7 * seeds, 45 * seeds)


def test_of_equally_long_runs_those_of_small_batches_start_first() -> None:
    plan = plan_of(sweep=["batch"])
    assert [run.config["batch_size"] for run in plan.runs] == [32, 64, 128, 256]


def test_no_points_are_no_runs() -> None:
    plan = make_plan([], TASK, nothing)
    assert (plan.runs, plan.epochs_to_train, plan.distinct) == ((), 0, 0)


# Names


def test_a_run_is_named_by_what_is_not_the_baselines() -> None:
    plan = plan_of()
    assert sorted(run_names(plan, asked().baseline, TASK).values()) == [
        "baseline",
        "batch_size=128",
        "batch_size=256",
        "batch_size=32",
        "lr=0.001",
        "lr=0.005",
        "lr=0.05",
    ]


def test_a_baseline_is_called_so_at_every_seed() -> None:
    options: dict[str, Any] = {"vary": ["lr=0.01,0.05"], "seeds": 2}
    plan = plan_of(**options)
    assert sorted(run_names(plan, asked(**options).baseline, TASK).values()) == [
        "baseline",
        "baseline, seed=2",
        "lr=0.05",
        "lr=0.05, seed=2",
    ]


def test_a_run_is_named_by_values_as_people_type_them() -> None:
    options: dict[str, Any] = {
        "vary": ["lr=1e6,1e-05", "shuffle=false", "train_size=all,500"],
        "settings": ["train_size=1000"],
    }
    plan = plan_of(**options)
    assert sorted(run_names(plan, asked(**options).baseline, TASK).values()) == [
        "lr=1e-5",
        "lr=1e6",
        "shuffle=false",
        "train_size=500",
        "train_size=all",
    ]


@given(POINTS, st.booleans())
@LAWS
def test_no_two_runs_have_one_name(points: list[Point], share: bool) -> None:
    plan = make_plan(points, TASK, nothing, share)
    names = run_names(plan, config(), TASK)
    assert len(set(names.values())) == len(plan.runs)


# The time that it takes

LENGTHS = st.lists(st.integers(0, 20), max_size=6)  # whole seconds: exact sums


@given(LENGTHS, st.integers(1, 3))
@LAWS
def test_a_slot_is_never_idle_while_a_training_waits(lengths: list[int], slots: int) -> None:
    """Second by second: at the start of each, free slots take the next trainings in line."""
    waiting, running, second = [length for length in lengths if length], list[int](), 0
    while waiting or running:
        while waiting and len(running) < slots:
            running.append(waiting.pop(0))
        running = [left - 1 for left in running if left > 1]
        second += 1
    assert makespan(lengths, slots) == second


@given(LENGTHS, st.integers(1, 3))
@LAWS
def test_the_forecast_is_not_below_the_best_there_is(lengths: list[int], slots: int) -> None:
    """By trying every way to share the trainings out; longest first is at most 4/3 - 1/3m of the best (Graham 1969)."""
    best = min(
        max(sum(x for x, at in zip(lengths, places, strict=True) if at == slot) for slot in range(slots))
        for places in itertools.product(range(slots), repeat=len(lengths))
    )
    taken = makespan(sorted(lengths, reverse=True), slots)
    assert best <= taken <= best * (4 / 3 - 1 / (3 * slots)) + 1e-9


def unwanted(config: Config) -> NoReturn:
    """A probe where none is needed."""
    pytest.fail(f"{config} was probed although the store has its times")


def test_stored_epoch_times_are_used_and_named(store: Store) -> None:
    train(plan_of(), store, seconds=2.0)
    plan = plan_of(held=store.held, sweep=["lr"], vary=["epochs=20"])
    assert forecast(plan, TASK, store, 1, unwanted) == (5 * 2.0, "from stored epoch times")


def test_without_stored_times_a_probe_is_used_and_named(store: Store) -> None:
    assert forecast(plan_of(), TASK, store, 1, lambda _: 3.0) == (45 * 3.0, "from a short probe")


def test_where_only_some_kinds_are_stored_both_are_named(store: Store) -> None:
    train(plan_of(sweep=["lr"]), store, seconds=2.0)
    plan = plan_of(held=store.held, vary=["epochs=15", "batch_size=32"])
    assert forecast(plan, TASK, store, 1, lambda _: 3.0) == (
        10 * 2.0 + 5 * 3.0,
        "from stored epoch times and, for other kinds of run, a short probe",
    )


def test_with_nothing_to_train_no_time_is_named(store: Store) -> None:
    train(plan_of(), store)
    assert forecast(plan_of(held=store.held), TASK, store, 1, unwanted) == (0, "nothing to train")


def test_a_kind_of_run_is_probed_once(store: Store) -> None:
    probed: list[int] = []

    def probe(config: Config) -> float:
        probed.append(config["batch_size"])
        return 1.0

    forecast(plan_of(), TASK, store, 1, probe)
    assert sorted(probed) == [32, 32, 64, 64, 128, 128, 256, 256]  # once, and once more to be sure


def test_trainings_side_by_side_take_less_time(store: Store) -> None:
    """15 epochs in one slot, six runs of 5 in the others."""
    assert forecast(plan_of(), TASK, store, 3, lambda _: 1.0) == (15, "from a short probe")


def test_where_nothing_tells_there_is_no_forecast(store: Store) -> None:
    assert forecast(plan_of(), TASK, store, 1, None) is None


@pytest.mark.parametrize(
    "other",
    [
        {"dataset": "mnist"},
        {"device": "cuda NVIDIA H200"},
        {"threads": 2},
        {"precision": "bf16"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_times_under_other_conditions_are_not_used(store: Store, other: dict[str, Any]) -> None:
    train(plan_of(), store, task=mnist(**other))
    assert stored_epoch_times(store, TASK) == {}


def test_the_median_epoch_counts(store: Store) -> None:
    """One epoch beside a busy neighbour does not double the forecast."""
    train(plan_of(vary=["lr=0.1"], settings=["epochs=1"]), store, seconds=100.0)
    train(plan_of(vary=["lr=0.2"], settings=["epochs=4"]), store, seconds=2.0)
    assert list(stored_epoch_times(store, TASK).values()) == [2.0]


@pytest.mark.parametrize("record", ["{", "{}"])
def test_a_damaged_record_of_another_run_does_not_stop_the_forecast(store: Store, record: str) -> None:
    (store.folder / "0123456789abcdef").mkdir()
    (store.folder / "0123456789abcdef" / "run.json").write_text(record)
    assert forecast(plan_of(), TASK, store, 1, lambda _: 3.0) == (45 * 3.0, "from a short probe")
