"""The user's own files behind a loop: which count, which changes count, how they are kept, unpacked and compared."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tune_mnist.errors import UserError
from tune_mnist.fingerprint.changes import changes
from tune_mnist.fingerprint.source import Source, keep, kept, read_source

ROOT = Path(__file__).parents[1]
PROJECT = {
    "spiral.py": '''"""A loop."""
import json
from dataclasses import dataclass

import helper
import pack.step
import speedups

WIDTH = 64


@dataclass(frozen=True)
class Config:
    """What is varied."""

    lr: float = 0.1


def scaled(factor=2):
    return lambda x: factor * x


def train(config: Config, state=None):
    """Trains."""
    from late import schedule

    rate = scaled()(config.lr)
    while True:
        yield {"loss": rate * helper.SCALE * schedule(WIDTH)}, None
''',
    "helper.py": "SCALE = 3  # times\n",
    "late.py": "def schedule(x):\n    return x / 2\n",
    "pack/__init__.py": "",
    "pack/step.py": "from . import deeper\nfrom .sub.other import THING\n",
    "pack/deeper.py": "import spiral\n\nDEPTH = 1\n",
    "pack/sub/__init__.py": "",
    "pack/sub/other.py": "from ..deeper import DEPTH\n\nTHING = 1\n",
    "unused.py": "UNUSED = 1\n",
    "site-packages/speedups.py": "FAST = 1\n",
    "site-packages/speedups-1.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: speedups\nVersion: 1.5\n",
    "site-packages/speedups-1.5.dist-info/top_level.txt": "speedups\n",
}
IMPORTED = {
    *("spiral.py", "helper.py", "late.py", "pack/__init__.py", "pack/step.py", "pack/deeper.py"),
    *("pack/sub/__init__.py", "pack/sub/other.py"),
}


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """What a test imports of its project is gone after it, and sys.path is as it was."""
    modules, path = dict(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - set(modules):
        if "pytest" in (getattr(sys.modules[name], "__file__", None) or ""):  # its temporary folders
            del sys.modules[name]


def written(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, "utf-8")
    return folder


def imported(folder: Path, name: str = "spiral") -> types.ModuleType:
    """The module as a new process would import it from this folder."""
    sys.path[:] = [str(folder), str(folder / "site-packages"), *sys.path]
    mine = {path.name.partition(".")[0] for path in folder.rglob("*")}
    for one in [one for one in sys.modules if one.partition(".")[0] in mine - {"os"}]:
        del sys.modules[one]
    importlib.invalidate_caches()
    return importlib.import_module(name)


def read(folder: Path, name: str = "spiral") -> Source:
    return read_source(imported(folder, name))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return written(tmp_path / "project", PROJECT)


def edit(folder: Path, path: str, old: str, new: str) -> None:
    text = (folder / path).read_text("utf-8")
    assert old in text
    (folder / path).write_text(text.replace(old, new), "utf-8")


def test_every_imported_file_of_the_project_counts_and_no_other(project: Path) -> None:
    source = read(project)
    assert set(source.files) == set(source.hashes) == IMPORTED
    assert source.root == project
    assert source.files["helper.py"] == b"SCALE = 3  # times\n"
    assert source.libraries == {"speedups": "1.5"}
    assert len(source.fingerprint) == 16


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        pytest.param("helper.py", "# times", "# many times", id="comment"),
        pytest.param("spiral.py", '"""A loop."""', '"""Another loop."""', id="docstring of the module"),
        pytest.param("spiral.py", '    """Trains."""\n', "", id="docstring of a function"),
        pytest.param("spiral.py", "What is varied", "What a sweep varies", id="docstring of a class"),
        pytest.param("spiral.py", "WIDTH = 64", "WIDTH = (\n    64\n)", id="formatting"),
        pytest.param("spiral.py", '"loss"', "'loss'", id="quotes"),
        pytest.param("spiral.py", "WIDTH = 64\n", "\n\n\n\nWIDTH = 64\n", id="moved lines"),
        pytest.param("unused.py", "UNUSED = 1", "UNUSED = 2", id="a file that is not imported"),
        pytest.param("site-packages/speedups.py", "FAST = 1", "FAST = 2", id="a file of site-packages"),
    ],
)
def test_what_does_not_shape_the_numbers_does_not_count(project: Path, path: str, old: str, new: str) -> None:
    before = read(project)
    edit(project, path, old, new)
    after = read(project)
    assert after.fingerprint == before.fingerprint
    assert changes(before, after) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "said"),
    [
        pytest.param("helper.py", "3", "4", "helper.py (SCALE: 1 line)", id="constant of a helper"),
        pytest.param("helper.py", "3", "3.0", "helper.py (SCALE: 1 line)", id="kind of a constant"),
        pytest.param("spiral.py", "factor=2", "factor=3", "spiral.py (scaled: 1 line)", id="default argument"),
        pytest.param("spiral.py", "factor * x", "factor + x", "spiral.py (scaled: 1 line)", id="body of a closure"),
        pytest.param("spiral.py", "= 0.1", "= 0.2", "spiral.py (Config: 1 line)", id="default of a dataclass"),
        pytest.param("spiral.py", "WIDTH = 64", "WIDTH = 65", "spiral.py (WIDTH: 1 line)", id="constant"),
        pytest.param("late.py", "x / 2", "x / 3", "late.py (schedule: 1 line)", id="import inside a function"),
        pytest.param("pack/deeper.py", "= 1", "= 2", "pack/deeper.py (DEPTH: 1 line)", id="relative import"),
        pytest.param("pack/sub/other.py", "THING = 1", "THING = 2", "pack/sub/other.py (THING: 1 line)", id="package"),
        pytest.param("pack/__init__.py", "", "A = 1", "pack/__init__.py (A: 1 line)", id="file of a package"),
        pytest.param("spiral.py", "import json", "import math", "spiral.py (imports: 1 line)", id="imports"),
        pytest.param(
            "spiral.py",
            "    rate = scaled()(config.lr)\n    while True:\n",
            "    rate = scaled()(config.lr)\n    rate += 1\n    # on and on\n    while 1:\n",
            "spiral.py (train: 2 lines)",
            id="lines of a function",
        ),
    ],
)
def test_what_shapes_the_numbers_counts_and_is_named(project: Path, path: str, old: str, new: str, said: str) -> None:
    before = read(project)
    edit(project, path, old, new)
    after = read(project)
    assert after.fingerprint != before.fingerprint
    assert changes(before, after) == [said]


def test_a_renamed_file_is_a_new_one_and_one_that_is_gone(project: Path) -> None:
    before = read(project)
    (project / "helper.py").rename(project / "helpers.py")
    edit(project, "spiral.py", "import helper", "import helpers as helper")
    said = changes(before, read(project))
    assert said == ["helper.py is gone", "new file helpers.py", "spiral.py (imports: 1 line)"]


def test_many_changes_in_a_file_are_counted_not_listed(tmp_path: Path) -> None:
    one = Source(tmp_path, {"a.py": b"\n".join(b"x%d = 1" % n for n in range(9))})
    two = Source(tmp_path, {"a.py": b"\n".join(b"x%d = 2" % n for n in range(9))})
    assert changes(one, two) == ["a.py (x0: 1 line, x1: 1 line, x2: 1 line, 6 others)"]


def test_another_order_of_definitions_is_a_change(tmp_path: Path) -> None:
    one, two = (Source(tmp_path, {"a.py": text}) for text in (b"x = 1\ny = 2\n", b"y = 2\nx = 1\n"))
    assert changes(one, two) == ["a.py (the order of its definitions)"]


def test_another_process_and_a_path_with_a_link_give_the_same(project: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(project)
    told = "import spiral, json; from tune_mnist.fingerprint.source import read_source; s = read_source(spiral)"
    out = subprocess.run(
        [sys.executable, "-c", f"{told}; print(json.dumps([s.fingerprint, s.hashes, s.libraries]))"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}/link:{project}/site-packages:{ROOT}", "PYTHONHASHSEED": "7"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    source = read(project)
    assert json.loads(out) == [source.fingerprint, source.hashes, source.libraries]


def test_a_folder_on_the_path_that_is_not_installed_is_the_users_own(tmp_path: Path) -> None:
    project = written(tmp_path / "project", {"spiral.py": "import common.tools\n"})
    elsewhere = written(tmp_path / "elsewhere", {"common/__init__.py": "", "common/tools.py": "from . import more\n"})
    written(elsewhere, {"common/more.py": ""})
    sys.path.insert(0, str(elsewhere))
    source = read(project)
    assert set(source.files) == {"spiral.py", "common/__init__.py", "common/tools.py", "common/more.py"}
    assert source.places["common/tools.py"] == elsewhere / "common" / "tools.py"
    assert changes(source, source) == []


def test_a_module_of_a_package_counts_from_the_folder_above_it(tmp_path: Path) -> None:
    files = {"lib/__init__.py": "", "lib/deep/__init__.py": "", "lib/deep/loop.py": "from ..tool import a\n"}
    source = read(written(tmp_path, {**files, "lib/tool.py": "a = 1\n"}), "lib.deep.loop")
    assert source.root == tmp_path
    assert set(source.files) == {*files, "lib/tool.py"}


def test_a_package_without_an_init_file_counts_by_its_name(tmp_path: Path) -> None:
    source = read(written(tmp_path, {"space/loop.py": "from space import tool\n", "space/tool.py": ""}), "space.loop")
    assert set(source.files) == {"space/loop.py", "space/tool.py"}


def test_a_file_called_as_a_loaded_module_of_pythons_is_not_imported_and_does_not_count(tmp_path: Path) -> None:
    written(tmp_path, {"loop.py": "import os\nimport this\n", "os.py": "", "this.py": "x = 1\n"})
    assert set(read(tmp_path, "loop").files) == {"loop.py", "this.py"}


def test_a_package_that_is_installed_to_be_edited_counts_unless_it_has_compiled_parts(tmp_path: Path) -> None:
    project = written(
        tmp_path / "project", {"loop.py": "import own_plain, own_built\n", "src/own_plain/__init__.py": ""}
    )
    written(project, {"built/own_built/__init__.py": "", "built/own_built/fast.so": ""})
    sys.path[:0] = [str(project / "src"), str(tmp_path / "built")]
    (project / "built").rename(tmp_path / "built")
    assert set(read(project, "loop").files) == {"loop.py", "own_plain/__init__.py"}


def test_imports_by_name_count(tmp_path: Path) -> None:
    files = {
        "loop.py": 'import importlib\nfor name in "ab":\n    importlib.import_module("part_" + name)\n',
        "part_a.py": "",
        "part_b.py": 'def late():\n    return __import__("part_c")\n',
        "part_c.py": "from stars import *\n",
        "stars/__init__.py": '__all__ = ["first"]\n',
        "stars/first.py": "",
    }
    written(tmp_path, {**files, ".venv/pyvenv.cfg": "", ".venv/lib/part_d.py": "", "stars/second.py": ""})
    sys.path.insert(0, str(tmp_path / ".venv" / "lib"))
    importlib.invalidate_caches()
    importlib.import_module("part_d")
    assert set(read(tmp_path, "loop").files) == set(files)


@pytest.mark.parametrize("name", ["test_source", "test_digest"])
def test_this_repository_as_a_root_brings_neither_its_environment_nor_the_program(name: str) -> None:
    module = types.ModuleType(f"tests.{name}")
    module.__file__ = str(ROOT / "tests" / f"{name}.py")
    source = read_source(module)
    assert source.root == ROOT
    assert all(place.is_relative_to(ROOT / "tests") for place in source.places.values())
    assert "pytest" in source.libraries
    assert "tune-mnist" not in source.libraries


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param(b"x = 1\n\ndef (:\n", 3, id="syntax"),
        pytest.param(b"x = '\xff'\n", 1, id="not UTF-8"),
        pytest.param(b"x = 1\0\n", 1, id="a zero byte"),
    ],
)
def test_a_file_that_is_not_python_is_named_with_its_line(project: Path, content: bytes, line: int) -> None:
    (project / "late.py").write_bytes(content)
    with pytest.raises(UserError, match=rf"^{project}/late\.py:{line}: .+") as caught:
        read(project)
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_that_says_so_is_read(tmp_path: Path) -> None:
    (tmp_path / "loop.py").write_bytes("# -*- coding: latin-1 -*-\nx = 'é'\n".encode("latin-1"))
    assert read(tmp_path, "loop").hashes == {
        "loop.py": read(written(tmp_path, {"loop.py": "x = 'é'\n"}), "loop").hashes["loop.py"]
    }


def test_a_long_expression_is_hashed(tmp_path: Path) -> None:
    one, two = (Source(tmp_path, {"a.py": f"x = {' + '.join(['1'] * 900)} + {last}\n".encode()}) for last in "12")
    assert one.fingerprint != two.fingerprint


def test_a_module_that_is_in_no_file_is_refused_with_the_way_out() -> None:
    with pytest.raises(UserError, match=r"in no file.*version=") as caught:
        read_source(types.ModuleType("__main__"))
    assert "\n" not in str(caught.value)


def test_sources_are_kept_once_and_read_again(project: Path, tmp_path: Path) -> None:
    store, source = tmp_path / "store", read(project)
    assert kept(store, source.fingerprint) is None
    keep(source, store)
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*.py")}
    edit(project, "helper.py", "# times", "# many times")
    keep(read(project), store)
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*.py")} == times
    again = kept(store, source.fingerprint)
    assert again is not None
    assert again.files == dict(source.files)
    assert [path.name for path in (store / ".code").iterdir() if path.is_dir()] == [source.fingerprint]


def test_damaged_sources_are_not_read_and_are_written_again(project: Path, tmp_path: Path) -> None:
    source = read(project)
    keep(source, tmp_path)
    (tmp_path / ".code" / source.fingerprint / "helper.py").write_text("SCALE = 4\n")
    assert kept(tmp_path, source.fingerprint) is None
    keep(source, tmp_path)
    assert kept(tmp_path, source.fingerprint) is not None


def test_a_store_from_elsewhere_cannot_point_out_of_itself(project: Path, tmp_path: Path) -> None:
    source = read(project)
    keep(source, tmp_path)
    folder = tmp_path / ".code" / source.fingerprint
    (folder / "helper.py").unlink()
    (folder / "helper.py").symlink_to(project / "helper.py")
    assert kept(tmp_path, source.fingerprint) is None
    shutil.rmtree(folder)
    folder.symlink_to(project)
    assert kept(tmp_path, source.fingerprint) is None
    assert kept(tmp_path, f"../{project.name}") is None


def test_several_commands_keep_at_once(project: Path, tmp_path: Path) -> None:
    source = read(project)
    with ProcessPoolExecutor(4, get_context("fork")) as pool:
        list(pool.map(keep, [source] * 8, [tmp_path / "store"] * 8))
    folder = tmp_path / "store" / ".code" / source.fingerprint
    assert {path: (folder / path).read_bytes() for path in source.files} == source.files
    assert {path.name for path in folder.parent.iterdir()} <= {folder.name, f".{folder.name}.lock"}


@pytest.mark.parametrize("path", ["../out.py", "/tmp/out.py", "a/../../out.py", ""])
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no path below"):
        keep(Source(tmp_path, {path: b""}), tmp_path / "store")
    assert not [*tmp_path.rglob("out.py")]


PROGRAM = """
import sys
from pathlib import Path
from tune_mnist.tasks.imports import Sources, imported
files = {path: Path(sys.argv[1], path).read_bytes() for path in sys.argv[2:]}
sources = Sources(files, {path: str(Path(sys.argv[1], path)) for path in files})
for path in files:
    Path(sys.argv[1], path).write_text("raise RuntimeError('this is not what was read')")
module = imported("package.main", sources, sys.argv[1])
print(module.answer(), module.__file__, module.beside())
"""


def test_what_was_read_is_imported_though_it_was_changed_since(tmp_path: Path) -> None:
    """With helpers, packages with and without __init__.py, imports in functions, and a data file beside the code."""
    (tmp_path / "package" / "part").mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "data.txt").write_text("from beside")
    (tmp_path / "helper.py").write_text("VALUE = 40")
    (tmp_path / "package" / "part" / "late.py").write_text("MORE = 2")
    (tmp_path / "package" / "main.py").write_text(
        "from pathlib import Path\nfrom helper import VALUE\n"
        "def answer():\n    from .part.late import MORE\n    return VALUE + MORE\n"
        "def beside():\n    return (Path(__file__).parent / 'data.txt').read_text()\n"
    )
    files = ["package/__init__.py", "helper.py", "package/part/late.py", "package/main.py"]
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.strip() == f"42 {tmp_path / 'package' / 'main.py'} from beside", done.stderr
