"""Validation data: images held out of the training part, to choose by. The test images are then left to tell.

    data = without_validation(load("mnist", Path("data"), print), 5_000)
    print(len(data.train.labels), len(data.validation.labels))  # 55000 5000

The same images on every machine, and for every training: their choice has a seed of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from tune_mnist.errors import UserError
from tune_mnist.mnist.datasets import Dataset, Split

SEED = tuple(b"validation")  # a seed of several numbers, as no training has one
LEAST = 10  # images, of either part


def without_validation(data: Dataset, count: int) -> Dataset:
    """The data with `count` of their training images held out, as `validation`; as they are where that is 0.

    Of each class there are as many as its share of the training images, by largest remainders, drawn at random. Both
    parts keep the order of the file. Raises UserError for a count that does not fit.
    """
    if not count:
        return data
    check_count(count)
    images, labels = data.train.images, data.train.labels
    if count > len(labels) - LEAST:
        raise UserError(
            f"validation {count} of {len(labels)} training images leaves too few to train on; "
            f"choose at most {len(labels) - LEAST}"
        )
    out = _drawn(labels, count)
    return replace(data, train=Split(images[~out], labels[~out]), validation=Split(images[out], labels[out]))


def check_count(count: int) -> None:
    """Raise UserError for a number of validation images that would be too few for any data."""
    if count and count < LEAST:
        raise UserError(f"validation must be a whole number of at least {LEAST}, or 0 for none, not {count}")


def counted(fraction: float, data: Dataset) -> int:
    """How many images a fraction of the training images is, to the nearest. Raises UserError if they are too few."""
    images = len(data.train.labels)
    if fraction and (count := round(fraction * images)) < LEAST:
        raise UserError(f"val_fraction {fraction:g} is {count} of {images} training images; hold out at least {LEAST}")
    return round(fraction * images)


def _drawn(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.bool_]:
    """Which of the images are held out."""
    order = np.random.RandomState(SEED).permutation(len(labels))  # of all of NumPy's, its stream is promised for good
    classes, sizes = np.unique(labels, return_counts=True)
    out = np.zeros(len(labels), bool)
    for one, share in zip(classes, _shares(sizes, count), strict=True):
        out[order[labels[order] == one][:share]] = True
    return out


def _shares(sizes: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """`count` divided by these sizes, by largest remainders; of equal ones, to the first. In whole numbers alone."""
    shares, remainders = np.divmod(sizes * count, sizes.sum())
    shares[np.argsort(-remainders, kind="stable")[: count - shares.sum()]] += 1
    found: npt.NDArray[np.int64] = shares
    return found
