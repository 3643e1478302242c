"""A sweep's values against its baseline, seed by seed: differences, their tests, and what is resolved. `summary` asks.

No test sets two points of one training against each other as if they were independent.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from tune_mnist.measure import Measure
from tune_mnist.statistics.improvement import improvement
from tune_mnist.statistics.intervals import LEVEL, Difference, apart, bounded, holm, levels, paired
from tune_mnist.statistics.margin import against_margin
from tune_mnist.statistics.sequential import Looks
from tune_mnist.statistics.shares import is_guessing, share_error, two_shares

BASELINE_DIVERGED = "baseline diverged"  # a verdict: there is nothing to take a difference to


def by_examples(seeds: pd.Series, judged: Measure) -> dict[str, float]:
    """What the number of test examples says of one setting; nothing where that is not known."""
    error, guessing = math.nan, 0
    if judged.examples and len(seeds):
        error = share_error(float(seeds.mean()), judged.examples)
        if judged.chance is not None:
            guessing = sum(is_guessing(one, judged.examples, judged.chance) for one in seeds)
    return {"share_error": error, "guessing": guessing}


def compared(
    seeds: pd.Series, base: pd.Series, is_baseline: bool, judged: Measure, looks: Looks | None = None
) -> dict[str, object]:
    """The difference of a value's seeds to those of the baseline, and why it has no verdict, if that is so.

    The interval is for itself alone: `corrected` gives the one that holds beside the sweep's others.
    """
    found = Difference(0, math.nan) if is_baseline else _difference(seeds, base, LEVEL, judged, looks)
    shared = [seed for seed in seeds.index if seed in base.index]
    spread = float((seeds[shared] - base[shared]).std()) if found.n > 1 else math.nan
    ends = {
        "difference": found.mean,
        "difference_sd": spread,
        "difference_low": found.low,
        "difference_high": found.high,
    }
    verdict = "baseline" if is_baseline else _untested(seeds, base, found, looks.least if looks else 2)
    return ends | {"pairs": found.n, "p": found.p, "resolved": verdict}


def _difference(seeds: pd.Series, base: pd.Series, level: float, judged: Measure, looks: Looks | None) -> Difference:
    shared, test = [seed for seed in seeds.index if seed in base.index], looks.paired if looks else paired
    found = test(seeds[shared].tolist(), base[shared].tolist(), level) if shared else Difference(0, math.nan)
    low, high = judged.bounds
    return bounded(found, low - high, high - low)


def improved(seeds: pd.Series, base: pd.Series, is_baseline: bool, judged: Measure) -> dict[str, float]:
    """Of several seeds on both sides."""
    if is_baseline or min(len(seeds), len(base)) < 2:
        return dict.fromkeys(("improvement", "improvement_low", "improvement_high"), math.nan)
    way = 1 if judged.better == "higher" else -1
    found = improvement((way * seeds).tolist(), (way * base).tolist())
    return {"improvement": found.probability, "improvement_low": found.low, "improvement_high": found.high}


def _untested(seeds: pd.Series, base: pd.Series, found: Difference, least: int) -> str:
    """Why no verdict can be given; nothing if one can."""
    if base.empty:
        return "no baseline"
    if seeds.empty:
        return "not done"
    if found.n < 2:
        return "one seed" if found.n else "no seed in common"
    if found.n < least:
        return f"fewer than {least} seeds"
    return "no spread" if math.isnan(found.p) else ""


def corrected(
    rows: pd.DataFrame, by_value: dict[str, pd.Series], base: pd.Series, judged: Measure, looks: Looks | None
) -> pd.DataFrame:
    """With p corrected within the sweep, what follows from it, and the intervals that go with that."""
    rows.insert(rows.columns.tolist().index("p") + 1, "p_holm", holm(rows["p"].tolist()))
    tested = rows["resolved"] == ""
    rows.loc[tested, "resolved"] = np.where(rows.loc[tested, "p_holm"] < 1 - LEVEL, "yes", "no")
    for place, level in zip(rows.index, levels(rows["p"].tolist()), strict=True):
        if tested[place]:
            found = _difference(by_value[rows.loc[place, "value"]], base, level, judged, looks)
            rows.loc[place, ["difference_low", "difference_high"]] = found.low, found.high
    rows[["answers_low", "answers_high"]] = _by_answers(rows, judged)
    rows["apart_from"] = _apart(by_value) if rows["resolved"].isin(["no baseline", BASELINE_DIVERGED]).any() else ""
    return rows


def _by_answers(rows: pd.DataFrame, judged: Measure) -> list[tuple[float, float]]:
    """The interval of each difference of one pair of trainings by the examples that both were asked."""
    single = (rows["resolved"] == "one seed") if judged.examples else pd.Series(False, rows.index)
    level = 1 - (1 - LEVEL) / max(int(single.sum()), 1)
    means, found = rows[f"{judged.stem}_mean"], []
    for mean, difference, alone in zip(means, rows["difference"], single, strict=True):
        one = two_shares(mean, mean - difference, judged.examples, level) if alone else Difference(0, math.nan)
        found.append((one.low, one.high))
    return found


def _apart(by_value: dict[str, pd.Series]) -> list[str]:
    table = pd.DataFrame({value: seeds.astype(float) for value, seeds in by_value.items()})
    names = list(by_value)
    return [" ".join(names[other] for other in sorted(others)) for others in apart(table.to_numpy(float))]


def against(rows: pd.DataFrame, margin: float | None, judged: Measure) -> pd.DataFrame:
    """With the verdict against the margin, which is given as the measure is shown: points of a share."""
    if margin is None:
        return rows.assign(margin=math.nan, to_margin="")
    low, high = (rows[f"difference_{end}"] for end in ("low", "high"))
    gains = zip(low, high, strict=True) if judged.better == "higher" else zip(-high, -low, strict=True)
    words = pd.Series([against_margin(gain, margin / judged.factor) for gain in gains], rows.index)
    return rows.assign(margin=margin, to_margin=words.mask(rows["resolved"] == "baseline", ""))
