"""Which files are the user's own: the imports of a module followed from file to file, and what they end at."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path, PurePosixPath
from types import ModuleType

from tune_mnist.errors import UserError
from tune_mnist.fingerprint.syntax import Imported, exported, imports, is_dynamic, parse

PROGRAM = __name__.partition(".")[0]  # not the user's, though they may import it
INSTALLED = ("site-packages", "dist-packages")
SUFFIXES = (*EXTENSION_SUFFIXES, ".py")  # in the order in which Python looks for them


def root_of(path: Path, name: str) -> Path:
    """The folder that is on sys.path for the file of the module `name`: above its topmost package."""
    parts = tuple(name.split("."))
    itself = path.parent if path.name == "__init__.py" else path.with_suffix("")
    # The name tells of packages without an __init__.py; the files tell of a module that is run as __main__.
    folder = itself.parents[len(parts) - 1] if itself.parts[-len(parts) :] == parts else path.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


class Walk:
    """Follows imports by reading the files. `files` and `places` grow; `outside`: what is imported of elsewhere."""

    def __init__(self, root: Path, top: str) -> None:
        self.root, self.top = root, top
        self.files: dict[str, bytes] = {}
        self.places: dict[str, Path] = {}
        self.outside: set[str] = set()
        self._specs: dict[str, ModuleSpec | None] = {}

    def follow(self, base: Path, first: PurePosixPath) -> None:
        """Take the file `first` of the folder `base`, its packages, and all that they import."""
        waiting, dynamic = [(base, one) for one in _with_packages(base, first)], False
        while waiting or dynamic:
            if not waiting:
                waiting, dynamic = self._loaded(), False
                continue
            base, path = waiting.pop()
            if str(path) in self.files:
                continue
            content = self._read(base, path)
            if path.suffix == ".py":
                tree = parse(content, str(base / path))
                waiting += [found for one in imports(tree) for found in self._found(one, base, path)]
                dynamic = dynamic or is_dynamic(tree)

    def _read(self, base: Path, path: PurePosixPath) -> bytes:
        try:
            content = (base / path).read_bytes()
        except OSError as error:
            raise UserError(f"'{base / path}' cannot be read: {error.strerror}") from None
        self.files[str(path)], self.places[str(path)] = content, base / path
        return content

    def _found(self, one: Imported, base: Path, path: PurePosixPath) -> list[tuple[Path, PurePosixPath]]:
        """The files that an import in the file `path` loads. Where none is the user's, it is noted as outside."""
        name = tuple(filter(None, one.name.split(".")))
        if one.level:
            up = path.parent.parts
            if one.level > len(up):  # Python refuses it
                return []
            return self._members(base, (*up[: len(up) - one.level + 1], *name), one.members)
        for here in self._bases(name[0]):
            if found := self._members(here, name, one.members):
                return found
        self.outside |= {f"{one.name}.{member}" for member in one.members} or {one.name}
        return []

    def _members(self, base: Path, name: tuple[str, ...], members: tuple[str, ...]) -> list[tuple[Path, PurePosixPath]]:
        """The files of a module below `base`, and those of its members that are modules."""
        found = resolved(base, name)
        if "*" in members and found and found[-1].name == "__init__.py":
            members = exported(parse((base / found[-1]).read_bytes(), str(base / found[-1])))
        found += [path for member in members for path in resolved(base, (*name, member))]
        return [(base, path) for path in found]

    def _bases(self, top: str) -> list[Path]:
        """The folders that a topmost module of the user's own may be in; none if it is not the user's."""
        if top == self.top:
            return [self.root]
        if top == PROGRAM or self._is_pythons(top):
            return []
        return [self.root] * self._is_own(self.root / top) + self._elsewhere(top)

    def _is_pythons(self, top: str) -> bool:
        """Whether it is a module of Python's that is loaded: a file of the user's with that name is not, then."""
        file = getattr(sys.modules.get(top), "__file__", None)
        loaded = top in sys.modules and top in sys.stdlib_module_names
        return loaded and not (file and self.root in Path(file).resolve().parents)

    def _elsewhere(self, top: str) -> list[Path]:
        """Where Python itself finds it: in another folder of sys.path, or where an editable installation points to."""
        if top not in self._specs:
            with contextlib.suppress(ImportError, ValueError, AttributeError):  # ValueError: a module made by hand
                self._specs[top] = importlib.util.find_spec(top)
        spec = self._specs.setdefault(top, None)
        places = [one for one in (_places(spec) if spec else ()) if one.name == top]
        return [one.parent.resolve() for one in places if self._is_own(one) and not _is_compiled(one)]

    def _is_own(self, place: Path) -> bool:
        """Whether it is neither installed, nor in a virtual environment, nor Python's or this program's own."""
        libraries = _library_folders()
        if set(INSTALLED) & {*place.parts, *place.resolve().parts} or PROGRAM in place.parts[-1:]:
            return False
        if any(one in libraries for path in (place, place.resolve()) for one in path.parents):
            return False
        inside = [one for one in place.parents if one not in (self.root, *self.root.parents)]
        return not any((one / "pyvenv.cfg").exists() for one in inside)

    def _loaded(self) -> list[tuple[Path, PurePosixPath]]:
        """The files below `root` of the modules that this process has loaded."""
        found = []
        for name, module in sorted(sys.modules.items()):
            file = vars(module).get("__file__") if isinstance(module, ModuleType) else None
            path = Path(file).absolute() if isinstance(file, str) else Path()
            if path.suffix == ".py" and name.partition(".")[0] != PROGRAM and path.is_file():
                above = root_of(path, name)
                base, below = above.resolve(), PurePosixPath(path.relative_to(above).as_posix())
                if self.root in (base, *base.parents) and self._is_own(base / below):
                    found += [(base, one) for one in _with_packages(base, below)]
        return found

    def libraries(self) -> dict[str, str]:
        """Distribution -> version of what is imported of elsewhere and installed; not Python's own."""
        names = {one for one in self.outside if one.partition(".")[0] not in (*sys.stdlib_module_names, PROGRAM)}
        known = _installed(tuple(sys.path)) if names else {}
        found = {each for name in names for each in _distributions(name, known.get(name.partition(".")[0], []))}
        return {one: importlib.metadata.version(one) for one in sorted(found)}


def resolved(base: Path, name: tuple[str, ...]) -> list[PurePosixPath]:
    """The files that importing `name` loads below `base`, its packages first; what follows a module is an attribute."""
    found: list[PurePosixPath] = []
    folder = PurePosixPath()
    for part in name:
        package = folder / part / "__init__.py"
        modules = [folder / f"{part}{suffix}" for suffix in SUFFIXES]
        if (base / package).is_file():
            found.append(package)
        elif there := [one for one in modules if (base / one).is_file()]:
            return [*found, there[0]]
        elif not (base / folder / part).is_dir():
            break
        folder /= part
    return found


def _with_packages(base: Path, path: PurePosixPath) -> list[PurePosixPath]:
    above = [folder / "__init__.py" for folder in path.parents if folder != PurePosixPath()]
    return [path, *(one for one in above if one != path and (base / one).is_file())]


def _places(spec: ModuleSpec) -> list[Path]:
    """A package's folders, or a module's file without its suffix."""
    if spec.submodule_search_locations is not None:
        return [Path(one) for one in spec.submodule_search_locations]
    file = Path(spec.origin) if spec.origin and spec.has_location else None
    return [file.with_suffix("")] if file and file.suffix == ".py" else []


@cache
def _is_compiled(folder: Path) -> bool:
    """Whether a package has compiled parts: such a one, though it is installed to be edited, goes by its version."""
    return any(path.suffix in (".so", ".pyd") for path in folder.rglob("*"))


@cache
def _library_folders() -> frozenset[Path]:
    named = [sysconfig.get_path(one) for one in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders = {Path(one) for one in [*named, site.getusersitepackages()] if one}
    return frozenset(folders | {one.resolve() for one in folders})


@cache
def _installed(_: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Topmost package -> distributions, for this sys.path: it takes 0.2 s to find out."""
    return importlib.metadata.packages_distributions()


def _distributions(name: str, candidates: list[str]) -> set[str]:
    """Those of the distributions with this topmost package that have the module; all, if that does not tell them."""
    all_of_them = set(candidates)
    if len(all_of_them) < 2:
        return all_of_them
    start = name.replace(".", "/")
    having = {
        one
        for one in all_of_them
        if any(str(file).startswith((f"{start}/", f"{start}.")) for file in importlib.metadata.files(one) or ())
    }
    return having or all_of_them
