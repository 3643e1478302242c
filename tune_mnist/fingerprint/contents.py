"""A hash of what a file or a folder contains, remembered by size and time: data may have gigabytes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tune_mnist.errors import UserError
from tune_mnist.files import write_whole

REMEMBERED = ".digests.json"  # in a store's folder: path -> [stamp, hash]
YOUNG = 2.0  # seconds; a file system may not tell two writes apart that are closer than that
_HASH = re.compile(r"[0-9a-f]{64}")
_in_this_process: dict[str, tuple[str, str]] = {}


@dataclass(frozen=True)
class _File:
    relative: str  # below the folder; empty for a file that was named itself
    path: Path
    size: int
    mtime_ns: int


def content_hash(path: Path, where: str, cache: Path | None = None) -> str:
    """SHA-256, in hex, of a file's content, or of all names and contents in a folder, links followed.

    Raises UserError, which says `where` the path is bound, if there is nothing or it cannot be read.
    """
    try:
        return _content_hash(path.absolute(), where, cache)
    except OSError as error:
        raise UserError(f"{where}: '{error.filename or path}' cannot be read: {error.strerror or error}") from None


def _content_hash(path: Path, where: str, cache: Path | None) -> str:
    files = _files(path, where)
    stamp, began = _stamp(files), time.time()
    for known in (_in_this_process, _remembered(cache)):
        if known.get(str(path), ("", ""))[0] == stamp:
            return known[str(path)][1]
    hashed = _hash(files)
    youngest = max((one.mtime_ns for one in files), default=0)
    if youngest / 1e9 < began - YOUNG and _stamp(_files(path, where)) == stamp:
        _in_this_process[str(path)] = stamp, hashed
        _remember(cache, str(path), (stamp, hashed))
    return hashed


def _files(path: Path, where: str) -> list[_File]:
    """The file itself, or all files in the folder, by name."""
    found = []
    for one in sorted(_below(path, ())):
        status = one.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{where}: '{one}' is neither a file nor a folder")
        relative = "" if one == path else one.relative_to(path).as_posix()
        found.append(_File(relative, one, status.st_size, status.st_mtime_ns))
    return found


def _below(path: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    if not path.is_dir():
        yield path
    elif (real := path.resolve()) not in above:  # a link to a folder that it is in leads to nothing new
        for one in path.iterdir():
            yield from _below(one, (*above, real))


def _stamp(files: list[_File]) -> str:
    told = "".join(f"{one.relative!r} {one.size} {one.mtime_ns}\n" for one in files)
    return hashlib.sha256(told.encode("utf-8", "surrogateescape")).hexdigest()


def _hash(files: list[_File]) -> str:
    hashed = hashlib.sha256()
    for one in files:
        content = hashlib.sha256()
        with one.path.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
        hashed.update(os.fsencode(one.relative) + b"\0" + content.digest())
    return hashed.hexdigest()


def _remembered(cache: Path | None) -> dict[str, tuple[str, str]]:
    """What earlier commands hashed; nothing of what is not in the form that `_remember` writes."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((cache / REMEMBERED).read_text("utf-8")) if cache else None
        if isinstance(found, dict):
            pairs = {path: one for path, one in found.items() if isinstance(one, list) and len(one) == 2}
            return {path: (one[0], one[1]) for path, one in pairs.items() if all(map(_is_hash, one))}
    return {}


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HASH.fullmatch(value) is not None


def _remember(cache: Path | None, path: str, hashed: tuple[str, str]) -> None:
    if cache is None:
        return
    known = {**_remembered(cache), path: hashed}
    with contextlib.suppress(OSError):  # a store that cannot be written is told of by whoever writes runs
        cache.mkdir(parents=True, exist_ok=True)
        write_whole(cache / REMEMBERED, (json.dumps(known, indent=2) + "\n").encode())
