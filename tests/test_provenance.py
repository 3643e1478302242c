"""Which code made a result: the commit and its mark, and git's tree, which is known without git, too."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, surroundings
from repositories import git
from tables import read_folder, seeded_sweep, write_folder

from tune_mnist.machine.environment import git_tree
from tune_mnist.report.write import write_report

COMMIT, TREE = "0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98"
STATE = (
    "import json; from tune_mnist.machine import environment as e; print(json.dumps([e.git_state(), e.told_commit()]))"
)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A folder with a copy of the package, in no repository."""
    without = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tune_mnist", tmp_path / "code" / "tune_mnist", ignore=without)
    return tmp_path / "code"


def state(code: Path, **more: str) -> Any:
    """What that code says of its commit, and as what it would tell it to another machine."""
    around = surroundings(**more) | {"PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, "-c", STATE], cwd=code, env=around, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_the_tree_is_gits(code: Path) -> None:
    git("init", "-q", folder=code)
    git("add", "--all", folder=code)
    assert git_tree(code / "tune_mnist") == git("write-tree", "--prefix=tune_mnist/", folder=code)


def test_the_tree_is_of_what_git_would_take(tmp_path: Path) -> None:
    """Names that sort otherwise than their folders, nothing of Python's own, and no empty folders."""
    for name in ("a.py", "a/b.py", "a-b/c.py", "é.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, "utf-8")
    git("init", "-q", folder=tmp_path)
    git("add", "--all", folder=tmp_path)
    tree = git("write-tree", folder=tmp_path)
    shutil.rmtree(tmp_path / ".git")
    assert git_tree(tmp_path) == tree
    (tmp_path / "gone" / "__pycache__").mkdir(parents=True)
    (tmp_path / "gone" / "__pycache__" / "x.pyc").touch()
    assert git_tree(tmp_path) == tree
    (tmp_path / "a.py").write_text("another", "utf-8")
    assert git_tree(tmp_path) not in (tree, None)


def test_what_cannot_be_read_has_no_tree(tmp_path: Path) -> None:
    """An editor's link that leads nowhere, say: no reason to lose the tables."""
    (tmp_path / ".#a.py").symlink_to("somebody@here")
    assert git_tree(tmp_path) is None


def test_a_checkout_knows_its_commit_and_whether_it_was_changed(code: Path) -> None:
    git("init", "-q", folder=code)
    git("add", "--all", folder=code)
    git("commit", "-q", "-m", "first", folder=code)
    commit = git("rev-parse", "HEAD", folder=code)
    assert state(code, TUNE_MNIST_COMMIT=COMMIT) == [{"commit": commit, "dirty": False}, commit]
    (code / "tune_mnist" / "more.py").touch()
    assert state(code) == [{"commit": commit, "dirty": True}, f"{commit}-dirty"]


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (COMMIT, {"commit": COMMIT, "dirty": False}),
        (f"{COMMIT}-dirty", {"commit": COMMIT, "dirty": True}),
        ("", None),
    ],
)
def test_an_image_knows_what_it_was_told(told: str, known: dict[str, Any] | None, code: Path) -> None:
    assert state(code, TUNE_MNIST_COMMIT=told) == [known, told]


@pytest.mark.parametrize(
    ("known", "said", "cited"),
    [
        ({"commit": COMMIT, "dirty": False}, f"Code: commit {COMMIT}.", "commit 0123456789ab."),
        (
            {"commit": COMMIT, "dirty": True},
            f"Code: commit {COMMIT}, with changes that are in no commit; git’s tree of the package is {TREE}.",
            "commit 0123456789ab with changes.",
        ),
        (None, f"Code: git’s tree of the package is {TREE}.", "git tree fedcba987654."),
    ],
    ids=["a commit", "a changed one", "none"],
)
def test_a_report_names_the_code(known: dict[str, Any] | None, said: str, cited: str, tmp_path: Path) -> None:
    write_folder(tmp_path, seeded_sweep("lr", {0.01: [0.951, 0.949], 0.05: [0.981, 0.982]}))
    path = tmp_path / "environment.json"
    facts = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(facts | {"git": known, "git_tree": TREE}), "utf-8")
    write_report(read_folder(tmp_path))
    report = (tmp_path / "report.md").read_text("utf-8").replace("\\", "")
    assert said in report
    assert f"Made by tune_mnist 0.1.0, {cited}" in report
