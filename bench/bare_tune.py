"""Trials of Ray Tune that train next to nothing, actors reused and no loggers: what bookkeeping costs there.

python bench/bare_tune.py 100 data
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0", "RAY_USAGE_STATS_ENABLED": "0"}

import ray
from ray import tune

from tune_mnist.mnist import datasets
from tune_mnist.mnist.config import TrainConfig


def trainable(config: dict[str, float], data: datasets.Dataset) -> None:
    """One image, one epoch, a linear model: the same as in the trials that it is held against."""
    from tune_mnist.mnist.training import Training

    tiny = TrainConfig(lr=config["lr"], epochs=1, train_size=1, batch_size=1, model="linear")
    for result in Training(tiny, data):
        tune.report(asdict(result))


def main() -> None:
    trials, data = int(sys.argv[1]), datasets.load("mnist", Path(sys.argv[2]), print)
    with tempfile.TemporaryDirectory() as folder:
        ray.init(include_dashboard=False, log_to_driver=False)
        tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, data=data), {"cpu": 1}),
            param_space={"lr": tune.grid_search([round(0.001 * i, 3) for i in range(1, trials + 1)])},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        ray.shutdown()


if __name__ == "__main__":
    main()
