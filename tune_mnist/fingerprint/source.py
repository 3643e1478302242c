"""The files of the user's own project that a loop's module uses: read, hashed, and kept in a store.

source = read_source(module)        # source.fingerprint, source.hashes, source.libraries
keep(source, store_folder)          # once per fingerprint, below <store>/.code/
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path, PurePosixPath
from types import ModuleType

from filelock import FileLock

from tune_mnist.errors import UserError
from tune_mnist.fingerprint.project import Walk, root_of
from tune_mnist.fingerprint.syntax import parse, tree_hash

CODE = ".code"  # in a store's folder
_FINGERPRINT = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Source:
    """The user's own files: their path below the folder that is on sys.path -> their content when they were read.

    `root` is that folder. Files of other folders on sys.path have the path that they are imported by; `places` says
    where each lies. `libraries`: distribution -> version of what the files import from outside of the project.
    """

    root: Path
    files: Mapping[str, bytes]
    libraries: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, Path] = field(default_factory=dict)

    @cached_property
    def hashes(self) -> dict[str, str]:
        """Path -> SHA-256, in hex, of the file's syntax tree, or of the content if it is not Python's text."""
        return {path: self._hash(path) for path in sorted(self.files)}

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of all paths and their hashes."""
        lines = "".join(f"{hashed} {path}\n" for path, hashed in self.hashes.items())
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    def _hash(self, path: str) -> str:
        if not path.endswith(".py"):
            return hashlib.sha256(self.files[path]).hexdigest()
        return tree_hash(parse(self.files[path], str(self.places.get(path, self.root / path))))


def read_source(module: ModuleType) -> Source:
    """The module's file and every file of the project that it imports, in functions too, and so on.

    The project is what lies in `root`, the folder above the module's topmost package, and whatever else it imports
    that is neither installed (site-packages, a virtual environment) nor Python's own nor this program. Where a file
    imports by a name that is made up as it runs, all of the project's modules that are loaded count.

    Not followed: data files that the code opens (bind them, as paths, to be hashed), and what a worker loads under a
    made-up name for the first time. Raises UserError for a module that is in no file, and with file and line for a file
    that cannot be read as Python.
    """
    name = module.__name__
    path = Path(vars(module).get("__file__") or "")
    if path.suffix != ".py" or not path.is_file():
        raise UserError(
            f"the code of module '{name}' is in no file, so a change of it would not be seen; "
            'save it in a file, or answer for it yourself with version="1"'
        )
    path = path.absolute()
    name = module.__spec__.name if module.__spec__ else name
    above = root_of(path, name)
    walk = Walk(above.resolve(), path.relative_to(above).parts[0].removesuffix(".py"))
    walk.follow(walk.root, PurePosixPath(path.relative_to(above).as_posix()))
    return Source(walk.root, walk.files, walk.libraries(), walk.places)


def keep(source: Source, folder: Path) -> None:
    """Write the files below `<folder>/.code/<fingerprint>/`, whole or not at all; nothing if they are there."""
    _put(source.files, source.fingerprint, folder / CODE)


def kept(folder: Path, fingerprint: str) -> Source | None:
    """What was kept under the fingerprint; None if it is not there, or is not what the fingerprint says."""
    place = folder / CODE / fingerprint
    if not _FINGERPRINT.fullmatch(fingerprint) or (folder / CODE).is_symlink() or not _is_folder(place):
        return None
    with contextlib.suppress(OSError, UserError):
        source = Source(place, {path: (place / path).read_bytes() for path in _paths(place)})
        return source if source.fingerprint == fingerprint else None
    return None


def carry(fingerprint: str, source: Path, target: Path) -> None:
    """Keep in the folder `target` what `source` has under the fingerprint; nothing if it has nothing."""
    if found := kept(source, fingerprint):
        keep(found, target)


def drop_unused(folder: Path, used: Collection[str]) -> int:
    """Remove what is kept in the folder under fingerprints that are not `used`; returns how many there were.

    What a command keeps at this very moment may go, too: a change of its code is then not told in detail.
    """
    if _is_folder(folder / CODE):
        unused = {path.name.strip(".")[:16] for path in (folder / CODE).iterdir()} - set(used)
        gone = {one for one in unused if _FINGERPRINT.fullmatch(one)}
        for path in [path for path in (folder / CODE).iterdir() if path.name.strip(".")[:16] in gone]:
            if _is_folder(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(gone)
    return 0


def _put(files: Mapping[str, bytes], fingerprint: str, above: Path) -> None:
    """Make the folder `above`/`fingerprint` with these files: written beside and renamed, by one process at a time."""
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError(f"'{fingerprint}' is no fingerprint")
    folder = above / fingerprint
    if kept(above.parent, fingerprint):
        return
    above.mkdir(parents=True, exist_ok=True)
    with FileLock(above / f".{fingerprint}.lock"):
        if not kept(above.parent, fingerprint):
            with _beside(folder) as beside:
                _write(files, beside / "new")
                if os.path.lexists(folder):  # damaged
                    folder.rename(beside / "old")
                (beside / "new").rename(folder)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    folder.mkdir()
    for path, content in files.items():
        parts = PurePosixPath(path).parts
        if not parts or parts[0] == "/" or ".." in parts:
            raise ValueError(f"'{path}' is no path below a folder")
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _paths(folder: Path) -> list[str]:
    """The code below the folder: regular files alone, and no folder that a link leads to."""
    found = []
    for above, _, names in os.walk(folder):
        paths = [Path(above) / name for name in names if name.endswith((".py", *EXTENSION_SUFFIXES))]
        found += [path.relative_to(folder).as_posix() for path in paths if stat.S_ISREG(path.lstat().st_mode)]
    return found


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
