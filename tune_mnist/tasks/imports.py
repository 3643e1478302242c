"""Imports a user's modules from the sources that a sweep began with, wherever they lie, or no longer lie, by now.

A module's `__file__` stays the user's own path, so that data beside it are found and tracebacks name it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType


class Sources(MetaPathFinder, SourceLoader):  # type: ignore[misc]
    """Finds the modules of these files. `files`: path as it is imported -> content; `places`: -> where it lay."""

    def __init__(self, files: Mapping[str, bytes], places: Mapping[str, str]) -> None:
        self.files, self.places = files, places
        self._contents = {places[path]: content for path, content in files.items()}

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        base = fullname.replace(".", "/")
        if f"{base}/__init__.py" in self.files:
            place = self.places[f"{base}/__init__.py"]
            folders = [str(Path(place).parent)]
            return spec_from_file_location(fullname, place, loader=self, submodule_search_locations=folders)
        if f"{base}.py" in self.files:
            return spec_from_file_location(fullname, self.places[f"{base}.py"], loader=self)
        if any(one.startswith(f"{base}/") and one.endswith(".py") for one in self.files):
            spec = ModuleSpec(fullname, None, is_package=True)  # a package without an __init__.py
            spec.submodule_search_locations = []
            return spec
        return None

    def get_filename(self, fullname: str) -> str:
        base = fullname.replace(".", "/")
        return self.places.get(f"{base}.py") or self.places[f"{base}/__init__.py"]

    def get_data(self, path: str | bytes) -> bytes:
        try:
            return self._contents[str(path)]
        except KeyError:  # bytecode, which is not kept
            raise OSError(path) from None


def imported(name: str, sources: Sources, root: str) -> ModuleType:
    """The module of that name, and from now on every module of the sources. What else lies in `root` is found last."""
    sys.meta_path.insert(0, sources)
    if root not in sys.path:
        sys.path.append(root)
    return importlib.import_module(name)
