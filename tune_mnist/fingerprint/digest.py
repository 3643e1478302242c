"""A SHA-256 of what a bound argument contains: the same in another process and on another day.

digest({"x": array, "labels": Path("labels.csv")}, "data", store_folder)
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

from tune_mnist.errors import UserError
from tune_mnist.fingerprint.contents import content_hash

Part = Callable[[Any, str], str]  # digest of a part, whose place among the bound arguments is the text
PLAIN = (type(None), bool, int, float, complex, range)  # whose repr is their content
DICTS = (dict, OrderedDict, defaultdict, Counter)


def digest(value: Any, name: str = "data", cache: Path | None = None) -> str:
    """SHA-256, in hex, of the value's content: its type, shape and elements; of a Path, what lies there.

    A text is a text, also if it names a file. Where `cache` is given, the folder of a store, the digests of files are
    remembered there, with their sizes and times. Raises UserError that names the part that cannot be hashed.
    """

    def part(one: Any, where: str) -> str:
        if isinstance(one, Path):
            return _hashed("Path", content_hash(one, where, cache))
        return _digest(one, where, part)

    try:
        return part(value, name)
    except RecursionError:
        raise UserError(
            f"{name} is nested too deeply to be hashed, or contains itself; bind something simpler"
        ) from None


def _digest(value: Any, where: str, part: Part) -> str:
    kind: type = type(value)
    if kind in PLAIN:
        return _hashed(kind.__name__, hex(value) if kind is int else repr(value))
    if kind is str:
        return _hashed("str", value.encode("utf-8", "surrogatepass"))
    if kind in (bytes, bytearray):
        return _hashed(kind.__name__, value)
    if isinstance(value, Enum):
        return _hashed("Enum", kind.__qualname__, value.name)
    parts = _parts(value, where, part)
    if parts is not None:
        return _hashed(kind.__qualname__, *parts)
    # Each is imported only where a value comes from it, in which case it is imported already.
    found: str | None = None
    home = kind.__module__.partition(".")[0]
    if home == "numpy":
        found = _numpy(value, where, part)
    elif home == "torch":
        found = _torch(value, where, part)
    elif home == "pandas":
        found = _pandas(value, where, part)
    if found is None:
        raise _refused(value, where)
    return found


def _hashed(*parts: str | bytes) -> str:
    """One hash of several parts, each with its length, so that no two ways of cutting give the same."""
    hashed = hashlib.sha256()
    for one in parts:
        content = one.encode() if isinstance(one, str) else one
        hashed.update(f"{len(content)}:".encode())
        hashed.update(content)
    return hashed.hexdigest()


def _refused(value: Any, where: str) -> UserError:
    kind = f"{type(value).__name__} of {value.dtype}" if hasattr(value, "dtype") else type(value).__name__
    return UserError(
        f"{where} ({kind}) cannot be hashed, so a change of it would not be seen; bind something simpler (numbers, "
        "texts, arrays, tensors, tables, a pathlib.Path to a file), or give the task a VERSION"
    )


def _parts(value: Any, where: str, part: Part) -> list[str] | None:
    """The digests of what a container of Python's holds; None if it is not one."""
    kind = type(value)
    if kind is list or kind is tuple or (isinstance(value, tuple) and hasattr(kind, "_fields")):
        return [part(one, f"{where}[{number}]") for number, one in enumerate(value)]
    if kind in (set, frozenset):
        return sorted(part(one, f"{where}, an element") for one in value)
    if kind in DICTS:
        return sorted(part(key, f"{where}, a key") + part(one, f"{where}[{key!r}]") for key, one in value.items())
    if dataclasses.is_dataclass(value) and getattr(getattr(kind, "__dataclass_params__", None), "frozen", False):
        names = [one.name for one in dataclasses.fields(value)]
        return [name + part(getattr(value, name), f"{where}.{name}") for name in names]
    return None


def _numpy(value: Any, where: str, part: Part) -> str | None:
    import numpy as np

    if isinstance(value, np.generic):
        return _hashed("scalar", part(np.asarray(value), where))
    if type(value) not in (np.ndarray, np.memmap) or value.dtype.char in "OTgG":  # objects, texts by address, padded
        return None
    if value.dtype.names is not None:  # field by field: what lies between them is not content
        return _hashed("fields", *(name + part(value[name], f"{where}[{name!r}]") for name in value.dtype.names))
    flat = np.ascontiguousarray(value).reshape(-1)
    content: Any = flat.view(np.uint8) if flat.nbytes else b""
    return _hashed("array", value.dtype.str, repr(value.shape), content)


def _torch(value: Any, where: str, part: Part) -> str | None:
    import torch
    from torch.utils.data import ConcatDataset, Subset, TensorDataset

    kind = type(value)
    if kind is torch.Size:
        return part(tuple(value), where)
    if kind in (torch.dtype, torch.device):
        return _hashed(kind.__name__, str(value))
    for known, names in (
        (TensorDataset, ("tensors",)),
        (Subset, ("dataset", "indices")),
        (ConcatDataset, ("datasets",)),
    ):
        if kind is known:
            return _hashed(kind.__name__, *(part(getattr(value, one), f"{where}.{one}") for one in names))
    if kind not in (torch.Tensor, torch.nn.Parameter) or value.layout != torch.strided or value.is_quantized:
        return None
    if value.device.type == "meta":
        return None
    flat = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    content: Any = flat.view(torch.uint8).numpy() if flat.numel() else b""
    return _hashed("tensor", str(value.dtype), repr(tuple(value.shape)), content)


def _pandas(value: Any, where: str, part: Part) -> str | None:
    import pandas as pd

    if type(value) is pd.DataFrame:
        columns = [_column(value.iloc[:, at], f"{where}[{name!r}]", part) for at, name in enumerate(value.columns)]
        labels = [part(one, f"{where}, its labels") for one in (value.columns, value.index)]
        return _hashed("DataFrame", *labels, *columns)
    if type(value) is pd.Series:
        labels = [part(one, f"{where}, its labels") for one in (value.name, value.index)]
        return _hashed("Series", *labels, _column(value, where, part))
    if isinstance(value, pd.MultiIndex):
        return _hashed("MultiIndex", *(part(value.get_level_values(at), where) for at in range(value.nlevels)))
    if isinstance(value, pd.Index):
        return _hashed("Index", part(value.name, f"{where}.name"), _column(value, where, part))
    return None


def _column(values: Any, where: str, part: Part) -> str:
    """The digest of a column's dtype and elements; of objects, element by element."""
    import numpy as np
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        codes = pd.Categorical(values).codes
        return _hashed(
            "category", str(dtype.ordered), part(dtype.categories, f"{where}, its categories"), part(codes, where)
        )
    if isinstance(dtype, np.dtype) and not dtype.hasobject:
        return part(values.to_numpy(), where)
    if isinstance(dtype, np.dtype) and pd.api.types.infer_dtype(values, skipna=True) not in ("string", "empty"):
        return _hashed("objects", *(part(one, f"{where}[{number}]") for number, one in enumerate(values)))
    try:
        hashes = pd.util.hash_pandas_object(values, index=False).to_numpy()
    except (TypeError, NotImplementedError):
        raise _refused(values, where) from None
    return _hashed(str(dtype), part(hashes, where))
