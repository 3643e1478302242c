"""Gradient-boosted trees of scikit-learn, without torch: a round takes the place of an epoch.

tune-mnist run --task examples/boosting.py --vary depth=1,2,4 --seeds 5 --minimize val_loss

It yields measures alone, because a tree is not a tensor: a run that is lost, or is to go on, begins again at round 1.
"""

from dataclasses import dataclass

from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

MEASURES = {"val_accuracy": "%"}
UNIT = "round"
EPOCHS = 100


@dataclass(frozen=True)
class Config:
    depth: int = 2
    lr: float = 0.1
    subsample: float = 0.5  # the part of the patients that each tree is fitted to
    seed: int = 1


def data():
    return load_breast_cancer(as_frame=True).frame


def train(config: Config, data):
    x, val_x, y, val_y = train_test_split(data.drop(columns="target"), data["target"], test_size=0.3, random_state=0)
    trees = GradientBoostingClassifier(
        n_estimators=0,
        learning_rate=config.lr,
        max_depth=config.depth,
        subsample=config.subsample,
        random_state=config.seed,
        warm_start=True,  # the next fit adds trees to those that are there
    )
    while True:
        trees.n_estimators += 1
        trees.fit(x, y)
        yield {
            "train_loss": log_loss(y, trees.predict_proba(x)),
            "val_loss": log_loss(val_y, trees.predict_proba(val_x)),
            "val_accuracy": trees.score(val_x, val_y),
        }
