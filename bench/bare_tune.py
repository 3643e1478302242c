"""Trials of Ray Tune that train nothing, actors reused and no loggers: what bookkeeping costs there.

python bench/bare_tune.py 100
"""

from __future__ import annotations

import os
import sys
import tempfile

os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import ray
from ray import tune


def nothing(config: dict[str, float]) -> None:
    tune.report({"loss": config["lr"]})


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ray.init(include_dashboard=False, log_to_driver=False)
        tune.Tuner(
            tune.with_resources(nothing, {"cpu": 1}),
            param_space={"lr": tune.grid_search([0.001 * i for i in range(1, int(sys.argv[1]) + 1)])},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        ray.shutdown()


if __name__ == "__main__":
    main()
