"""Find, fetch, verify and load MNIST, its relatives and the digits that come with scikit-learn.

    data = load("mnist", Path("data"), print)
    print(data.train.images.shape, data.checksum)

Files lie where torchvision puts them, `<data_dir>/MNIST/raw/train-images-idx3-ubyte` and so on, and appear there whole
and checked or not at all: a download goes to a folder beside, and is moved when all of it has passed.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import struct
import tempfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tune_mnist.errors import UserError, unknown
from tune_mnist.mnist.downloads import Say, Sources, UnavailableError, alone, cause, fetch

NAMES = ("mnist", "fashion-mnist", "kmnist", "qmnist", "digits")
FOLDERS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST", "qmnist": "QMNIST"}
TEST_SIZE = 10_000  # of each idx set; the first 10,000 of QMNIST's 60,000 test digits are MNIST's test set
# Of the files whose MD5 are 6bbc9ace…, a25bea73…, 2646ac64… and 27ae3e4e…, extracted from those that torchvision lists.
MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
IDX_FILES = tuple(MNIST_SHA256)
# qmnist-train-images-idx3-ubyte, qmnist-train-labels-idx2-int, and the same of "test".
QMNIST_FILES = tuple("qmnist-" + f.replace("t10k", "test").replace("idx1-ubyte", "idx2-int") for f in IDX_FILES)
FILES = {name: QMNIST_FILES if name == "qmnist" else IDX_FILES for name in FOLDERS}
# The end of a file's name -> its magic number (element type, dimensions), an element's bytes, the shape of one entry.
KINDS = {"idx1-ubyte": (0x801, 1, ()), "idx3-ubyte": (0x803, 1, (28, 28)), "idx2-int": (0xC02, 4, (8,))}
ENTRIES = {"train": 60_000, "t10k": 10_000, "test": 60_000}  # by a file's name; the last is of QMNIST
# Labels of each class among the training and the test images. QMNIST's are MNIST's, whose files have sums of their own;
# the unpacked files of the other two have no published sums, and so much of them is known.
MNISTS = (
    (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
)
EVEN = (6000,) * 10, (1000,) * 10
CLASSES = {"mnist": MNISTS, "qmnist": MNISTS, "fashion-mnist": EVEN, "kmnist": EVEN}


@dataclass(frozen=True)
class Split:
    """Images, uint8 [N, 28, 28], and their classes, int64 [N], each 0 to 9."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """A training and a test split. `checksums`: file -> SHA-256; for digits, array -> SHA-256 of its bytes.

    `validation`: what was held out of the training split (validation.py), if anything was.
    """

    name: str
    train: Split
    test: Split
    checksums: dict[str, str]
    validation: Split | None = None

    @property
    def checksum(self) -> str:
        """The data's identity: one SHA-256, in hexadecimal, over all `checksums` in the order of their names."""
        return hashlib.sha256(json.dumps(sorted(self.checksums.items())).encode()).hexdigest()


class _DamagedError(Exception):
    """Which file is not what it should be, and how."""


def load(name: str, data_dir: Path, say: Say) -> Dataset:
    """The data set `name` (one of NAMES, or "auto"), read from `data_dir`; what is missing there is downloaded to it.

    "auto" is MNIST, or the digits if no file of MNIST is there and none can be had; `say` then gets the reason in one
    line. MNIST with a file damaged, or only some of its files, was meant to be used: an error under "auto" too. `say`
    also hears of a download and of waiting for another process's. Raises UserError, always one line, for an unknown
    name, for a file that is missing, truncated or altered, and for a `data_dir` that cannot be read or written.
    """
    if name.lower() not in ("auto", *NAMES):
        raise unknown("dataset", name, ("auto", *NAMES))
    name = name.lower()
    if name == "digits":
        return _digits()
    wanted = "mnist" if name == "auto" else name
    raw = data_dir / FOLDERS[wanted] / "raw"
    try:
        return _from_files(wanted, raw, say)
    except UnavailableError as reason:
        if name == "auto" and len(_missing(wanted, raw)) == len(FILES[wanted]):
            say(f"using scikit-learn's digits instead of MNIST: {reason}")
            return _digits()
        raise UserError(f"{reason}; put it there, give another --data-dir, or use --dataset digits") from None
    except _DamagedError as problem:
        way_out = "remove it to have it downloaded again, or give another --data-dir"
        raise UserError(f"in {raw}, {problem}; {way_out}") from None
    except OSError as error:
        raise UserError(f"cannot read {raw} ({cause(error)}); give another --data-dir") from None


def files(name: str, data_dir: Path) -> dict[str, Path]:
    """What another machine needs to have the data set, too: the path on it -> the folder here; nothing for digits."""
    return {f"data/{FOLDERS[name]}": data_dir / FOLDERS[name]} if name in FOLDERS else {}


def _from_files(name: str, raw: Path, say: Say) -> Dataset:
    if _missing(name, raw):
        _complete(name, raw, say)
    checksums = {file: _verify(name, raw / file) for file in FILES[name]}
    train_images, train_labels, test_images, test_labels = (raw / file for file in FILES[name])
    train, test = _read(train_images, train_labels), _read(test_images, test_labels)
    # Copied, so that QMNIST's other 50,000 test digits do not stay in memory.
    test = Split(test.images[:TEST_SIZE].copy(), test.labels[:TEST_SIZE].copy())
    for path, split, classes in zip((train_labels, test_labels), (train, test), CLASSES[name], strict=True):
        _check_classes(path, split.labels, classes)
    return Dataset(name, train, test, checksums)


def _missing(name: str, raw: Path) -> list[str]:
    return [file for file in FILES[name] if not (raw / file).is_file()]


def _verify(name: str, path: Path) -> str:
    """The file's SHA-256 once its header and size are those of the data set and, for MNIST, the sum is the known one.

    What is larger is not read: a header may promise any number of gigabytes.
    """
    header, element = _header(path.name)
    start = struct.pack(f">{len(header)}I", *header)
    with path.open("rb") as file:
        found = file.read(len(start))
    if found != start:
        said = f"{len(found)} that start with {found.hex(' ', 4) or 'nothing'}"
        raise _DamagedError(f"{path.name} is damaged: {start.hex(' ', 4)} expected first, {said} found")
    size, expected = path.stat().st_size, len(start) + element * math.prod(header[1:])
    if size != expected:
        raise _DamagedError(f"{path.name} is damaged: {expected:,} bytes expected by its header, {size:,} found")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    known = MNIST_SHA256[path.name] if name == "mnist" else checksum
    if checksum != known:
        raise _DamagedError(f"{path.name} is damaged: SHA-256 {known} expected, {checksum} found")
    return checksum


def _header(file: str) -> tuple[tuple[int, ...], int]:
    """What the file begins with, big-endian 32 bits each: magic number and shape; and an element's bytes."""
    magic, element, shape = next(kind for end, kind in KINDS.items() if file.endswith(end))
    entries = next(count for part, count in ENTRIES.items() if part in file.split("-"))
    return (magic, entries, *shape), element


def _read(images_path: Path, labels_path: Path) -> Split:
    """Of verified files. QMNIST: the class, then seven facts on its writer."""
    labels = _elements(labels_path)
    return Split(_elements(images_path).astype(np.uint8), labels.reshape(len(labels), -1)[:, 0].astype(np.int64))


def _check_classes(path: Path, labels: npt.NDArray[np.int64], expected: tuple[int, ...]) -> None:
    found = dict(zip(*(each.tolist() for each in np.unique(labels, return_counts=True)), strict=True))
    for value, count in (dict.fromkeys(found, 0) | dict(enumerate(expected))).items():
        if found.get(value, 0) != count:
            counts = f"{count:,} labels of class {value} expected, {found.get(value, 0):,} found"
            raise _DamagedError(f"{path.name} is damaged: {counts}")


def _elements(path: Path) -> npt.NDArray[Any]:
    """A verified file's array. Read here: torchvision's reader costs every command the 2 s of importing torchvision."""
    content = path.read_bytes()
    dimensions = content[3]
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    kind = np.dtype(">i4") if path.name.endswith("int") else np.dtype(np.uint8)
    return np.frombuffer(content, kind, offset=4 + 4 * dimensions).reshape(shape)


def _complete(name: str, raw: Path, say: Say) -> None:
    """Download what `raw` lacks, or raise UnavailableError with all of the reason."""
    missing, data_dir = _missing(name, raw), raw.parents[1]
    try:
        with alone(data_dir, say):
            missing = _missing(name, raw)  # another process may have fetched them meanwhile
            if missing:
                say(f"downloading {FOLDERS[name]} to {raw}")
                _download(name, missing, raw)
    except (UnavailableError, OSError, NotImplementedError) as error:  # the last: a file system that has no locks
        reason = f"{data_dir} cannot be written ({cause(error)})"
        if isinstance(error, UnavailableError):
            reason = str(error)
        what = ", ".join(missing) if len(missing) < len(FILES[name]) else FOLDERS[name]
        raise UnavailableError(f"{what} is not in {raw}, and {reason}") from None


def _download(name: str, missing: list[str], raw: Path) -> None:
    """All of `missing` into `raw`, verified, or none of it. Raises UnavailableError, or OSError if a write fails."""
    data_dir, prefix = raw.parents[1], f".{FOLDERS[name]}-"
    for left in data_dir.glob(f"{prefix}*"):  # by a process that was killed, because the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=data_dir, ignore_cleanup_errors=True) as beside:
        for archive in raw.glob("*.gz"):  # put there by hand: torchvision extracts those with the right MD5 as they are
            shutil.copy(archive, beside)
        sources = {file: source for file, source in _sources(name).items() if file in missing}
        fetch(sources, Path(beside))
        try:
            for file in missing:
                _verify(name, Path(beside, file))
        except _DamagedError as problem:
            raise UnavailableError(f"what was downloaded was refused: {problem}") from None
        raw.mkdir(parents=True, exist_ok=True)
        for file in missing:
            Path(beside, file).replace(raw / file)


def _sources(name: str) -> Sources:
    import torchvision

    kind = getattr(torchvision.datasets, FOLDERS[name])
    archives, mirrors = kind.resources, kind.mirrors
    if name == "qmnist":
        archives, mirrors = archives["train"] + archives["test"], [""]
    return {Path(archive).stem: ([mirror + archive for mirror in mirrors], md5) for archive, md5 in archives}


def _digits() -> Dataset:
    """1,438 + 359 digits of 8 x 8 pixels and 17 greys as 28 x 28 bytes: each pixel 3 x 3, and a border of 2.

    In integers alone, a fifth of each class for testing, drawn with a fixed seed: the same bytes on every machine.
    """
    pixels, labels = _bundled_digits()
    greys = (pixels * 255 + 8) // 16
    images = np.kron(greys, np.ones((1, 3, 3), np.int64)).astype(np.uint8)
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    order = np.random.RandomState(0).permutation(len(labels))  # of all of NumPy's, its stream is promised for good
    position = np.empty(len(labels), np.int64)  # of each image among those of its class, in that order
    for digit in range(10):
        of_class = order[labels[order] == digit]
        position[of_class] = np.arange(len(of_class))
    fifth = position[order] % 5 == 2
    test, train = (Split(images[rows], labels[rows]) for rows in (order[fifth], order[~fifth]))
    named: dict[str, npt.NDArray[Any]] = {"train_images": train.images, "train_labels": train.labels}
    named |= {"test_images": test.images, "test_labels": test.labels}
    checksums = {key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in named.items()}
    return Dataset("digits", train, test, checksums)


def _bundled_digits() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """scikit-learn's digits, pixels [1797, 8, 8] of 0 to 16 and classes, from the file that load_digits reads.

    Read here, for importing scikit-learn takes 1.5 s of a command that is to answer in a few.
    """
    path = distribution("scikit-learn").locate_file("sklearn/datasets/data/digits.csv.gz")
    table = np.loadtxt(str(path), delimiter=",").astype(np.int64)
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
