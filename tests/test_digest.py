"""The digest of bound data: equal content gives the same, a changed element another; what cannot be hashed is named."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset

from tune_mnist.errors import UserError
from tune_mnist.fingerprint.digest import digest

ROOT = Path(__file__).parents[1]
LAWS = settings(deadline=None, max_examples=60)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=5))
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=3),
        st.sets(st.integers(), max_size=4),
    ),
    max_leaves=8,
)
ARRAYS = arrays.arrays(
    st.sampled_from(["i4", ">i4", "f8", "f2", "?", "c8", "u1", "U3", "M8[s]"]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


def named(value: object) -> str:
    """The processes that share the tests must know each by the same name: none has an address in it."""
    return type(value).__name__ if " at 0x" in str(value) else str(value)


class Colour(Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True)
class Pair:
    left: Any
    right: Any


@dataclass
class Loose:
    left: Any


Named = namedtuple("Named", "left right")


@LAWS
@given(VALUES)
def test_a_copy_has_the_same_digest(value: Any) -> None:
    assert digest(copy.deepcopy(value)) == digest(value)


@LAWS
@given(VALUES, VALUES)
def test_two_values_that_read_differently_have_different_digests(one: Any, two: Any) -> None:
    if _read(one) != _read(two):
        assert digest(one) != digest(two)


def _read(value: Any) -> str:
    """As Python writes it, whatever the order of sets and dicts."""
    if isinstance(value, dict):
        return f"dict {sorted((repr(key), _read(one)) for key, one in value.items())}"
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__} {[_read(one) for one in value]}"
    return f"set {sorted(value)}" if isinstance(value, set) else repr(value)


@LAWS
@given(st.dictionaries(st.integers(), st.integers(), min_size=2), st.randoms())
def test_the_order_of_a_dict_does_not_count(value: dict[int, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(value)


@LAWS
@given(ARRAYS)
def test_an_array_counts_by_its_elements_not_by_their_layout(value: Any) -> None:
    assert digest(np.asfortranarray(value) if value.ndim else value.copy()) == digest(value)
    assert digest(value[...].copy()) == digest(value)
    assert digest(value) != digest(value.reshape(1, *value.shape))


@LAWS
@given(arrays.arrays("i4", arrays.array_shapes(max_side=4)), st.data())
def test_a_changed_element_changes_the_digest(value: Any, data: st.DataObject) -> None:
    changed = value.copy()
    changed[data.draw(st.sampled_from(list(np.ndindex(value.shape))))] ^= 1  # the largest number has no successor
    frame, other = (pd.DataFrame({"a": one.ravel(), "b": "x"}) for one in (value, changed))
    assert digest(changed) != digest(value)
    assert digest(torch.from_numpy(changed)) != digest(torch.from_numpy(value))
    assert digest(frame) != digest(other)
    assert digest(frame.copy()) == digest(frame)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (1, True),
        (1, 1.0),
        (0.0, -0.0),
        ("1", b"1"),
        ([1, 2], (1, 2)),
        ([1, 2], [2, 1]),
        (["ab", "c"], ["a", "bc"]),
        ([[1], 2], [1, [2]]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        ({1}, frozenset({1})),
        (Colour.RED, Colour.BLUE),
        (Pair(1, 2), Pair(2, 1)),
        (Pair(1, 2), Named(1, 2)),
        (np.arange(4), np.arange(4.0)),
        (np.float32(1), np.float64(1)),
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float16)),
        (torch.zeros(2, 3), torch.zeros(3, 2)),
        (TensorDataset(torch.zeros(2)), TensorDataset(torch.ones(2))),
        (Subset(TensorDataset(torch.zeros(2)), [0]), Subset(TensorDataset(torch.zeros(2)), [1])),
        (pd.Series([1, 2]), pd.Series([2, 1])),
        (pd.Series([1, 2]), pd.Series([1, 2], index=[1, 2])),
        (pd.Series([1, 2]), pd.Series([1, 2], name="a")),
        (pd.Series([1, 2]), pd.Series([1.0, 2.0])),
        (pd.Series(["a", None]), pd.Series(["a", "b"])),
        (pd.Series([1, "1"], dtype=object), pd.Series(["1", 1], dtype=object)),
        (pd.Series(["a", "b"], dtype="category"), pd.Series(["b", "a"], dtype="category")),
        (pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]})),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
        (pd.array([1, None], dtype="Int64").isna(), pd.array([1, 2], dtype="Int64").isna()),
        (pd.Series([1, None], dtype="Int64"), pd.Series([1, 0], dtype="Int64")),
    ],
    ids=named,
)
def test_what_differs_has_another_digest(one: Any, two: Any) -> None:
    assert digest(one) != digest(two)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (float("nan"), -float("nan")),
        (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
        (pd.RangeIndex(3), pd.Index([0, 1, 2])),
        (torch.arange(6).reshape(2, 3).T, torch.tensor([[0, 3], [1, 4], [2, 5]])),
        (torch.ones(2), torch.ones(2, requires_grad=True)),
        (torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])),
        (ConcatDataset([TensorDataset(torch.ones(2))]), ConcatDataset([TensorDataset(torch.ones(2))])),
        (np.zeros(2, "u1,f8"), np.zeros(2, np.dtype("u1,f8", align=True))),
    ],
    ids=named,
)
def test_what_is_equal_has_the_same_digest(one: Any, two: Any) -> None:
    assert digest(one) == digest(two)


def made() -> dict[str, Any]:
    """Something of everything."""
    return {
        "plain": [None, True, 1, 2.5, "é", b"x", (1,), {3, 1, 2}, frozenset({"b", "a"}), range(3)],
        "own": [Colour.RED, Pair(1, [2]), Named(1, 2)],
        "numpy": [np.arange(3), np.float32(2), np.array(["a", "bc"])],
        "torch": [torch.arange(3), torch.ones(2, dtype=torch.bfloat16), TensorDataset(torch.zeros(2, 2))],
        "pandas": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.Categorical(["p", "q"])}),
        "times": pd.Series(pd.to_datetime(["2020-01-01", "2021-01-01"]).tz_localize("UTC")),
    }


def test_another_process_gives_the_same() -> None:
    told = "from tests.test_digest import made; from tune_mnist.fingerprint.digest import digest; print(digest(made()))"
    done = subprocess.run(
        [sys.executable, "-c", told],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == digest(made())


def test_a_plain_value_loads_none_of_the_libraries() -> None:
    told = "import sys; from tune_mnist.fingerprint.digest import digest; digest([1])"
    told += "; print({'torch', 'pandas', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: {"collate": print}, r"data\['collate'\] \(builtin_function_or_method\)"),
        (lambda: [1, lambda: 0], r"data\[1\] \(function\)"),
        (lambda: Pair(1, {"a": object()}), r"data\.right\['a'\] \(object\)"),
        (lambda: Loose(1), r"data \(Loose\)"),
        (lambda: Pair, r"data \(type\)"),
        (lambda: DataLoader(TensorDataset(torch.zeros(2))), r"data \(DataLoader\)"),
        (lambda: torch.nn.Linear(1, 1), r"data \(Linear\)"),
        (lambda: torch.zeros(2, device="meta"), r"data \(Tensor of torch.float32\)"),
        (lambda: np.array([object()]), r"data \(ndarray of object\)"),
        (lambda: np.ma.array([1], mask=[True]), r"data \(MaskedArray of int64\)"),
        (lambda: np.random.default_rng(1), r"data \(Generator\)"),
        (lambda: pd.DataFrame({"a": [object()]}), r"data\['a'\]\[0\] \(object\)"),
    ],
    ids=named,
)
def test_what_cannot_be_hashed_is_named_with_the_way_out(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(UserError, match=rf"^{said} cannot be hashed.*VERSION") as caught:
        digest(make())
    assert "\n" not in str(caught.value)


def test_an_open_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(UserError, match=r"images\[0\] \(TextIOWrapper\)"):
        digest([file], "images")


def test_a_list_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(UserError, match="contains itself"):
        digest(value)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of two files, an hour old."""
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.txt", "deep/b.txt"):
        old(folder / name, name)
    return folder


def old(path: Path, text: str, age: float = 3600) -> None:
    path.write_text(text)
    os.utime(path, (time.time() - age,) * 2)


def test_a_file_counts_by_its_content_and_a_folder_by_all_names_and_contents(data: Path, tmp_path: Path) -> None:
    before = digest(data / "a.txt"), digest(data)
    old(tmp_path / "copy", "a.txt", age=100)
    assert digest(tmp_path / "copy") == before[0]
    old(data / "deep" / "b.txt", "another")
    assert (digest(data / "a.txt"), digest(data) == before[1]) == (before[0], False)
    old(data / "deep" / "b.txt", "deep/b.txt", age=100)
    assert digest(data) == before[1]
    (data / "a.txt").rename(data / "c.txt")
    assert digest(data) != before[1]


def test_links_are_followed_and_a_circle_ends(data: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(data)
    assert digest(tmp_path / "link") == digest(data)
    before = digest(data)
    (data / "deep" / "up").symlink_to(data)
    assert digest(data) == before


def test_a_path_to_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\['x'\]: '.*gone' cannot be read: No such file"):
        digest({"x": tmp_path / "gone"})


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="neither a file nor a folder"):
        digest(tmp_path)


def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr("tune_mnist.fingerprint.contents._in_this_process", {})


def test_a_file_is_not_read_again_in_this_process_or_by_the_next_command(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digest(data, cache=tmp_path)
    (path, _), *_ = json.loads((tmp_path / ".digests.json").read_text()).items()
    assert path == str(data)
    monkeypatch.setattr("tune_mnist.fingerprint.contents._hash", None)  # whoever reads a file fails
    assert digest(data) == before
    forgotten(monkeypatch)
    assert digest(data, cache=tmp_path) == before


def test_a_young_file_is_not_remembered(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old(data / "a.txt", "one", age=1)
    status = (data / "a.txt").stat()
    before = digest(data / "a.txt", cache=tmp_path)
    assert not (tmp_path / ".digests.json").exists()
    (data / "a.txt").write_text("two")
    os.utime(data / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    forgotten(monkeypatch)
    assert digest(data / "a.txt", cache=tmp_path) != before


@pytest.mark.parametrize("text", ["", "[1]", '{"PATH": 1}', '{"PATH": ["x", "y"]}', '{"PATH": [[], {}]}', "\0"])
def test_a_damaged_memory_is_not_used(text: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(data)
    forgotten(monkeypatch)
    (tmp_path / ".digests.json").write_text(text.replace("PATH", str(data)))
    assert digest(data, cache=tmp_path) == before
