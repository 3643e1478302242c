"""The Makefile's targets for containers, with a stand-in for `docker` that writes down what it is told."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine import ROOT
from repositories import git

DOCKER = '#!/bin/sh\nprintf "%s " "$@" >>"$TOLD"; echo >>"$TOLD"\ncase " $* " in *" $FAILS "*) exit 1 ;; esac\n'


@dataclass(frozen=True)
class Checkout:
    """A folder with what these targets need."""

    folder: Path
    beside: Path

    def make(self, *words: str, fails: str = "nothing") -> tuple[str, str]:
        """What docker was told, and what was said on stderr; docker fails where it is told that word."""
        told = self.beside / "told"
        told.unlink(missing_ok=True)
        kept = {name: os.environ[name] for name in ("HOME",) if name in os.environ}
        around = {"PATH": f"{self.beside}:{os.environ['PATH']}", "TOLD": str(told), "FAILS": fails, **kept}
        done = subprocess.run(
            ["make", *words], cwd=self.folder, env=around, capture_output=True, text=True, check=False
        )
        assert (done.returncode != 0) == (fails != "nothing"), done.stderr
        return told.read_text("utf-8") if told.exists() else "", done.stderr

    @property
    def project(self) -> str:
        (name,) = re.findall(r"^COMPOSE_PROJECT_NAME=(.*)$", self.settings.read_text("utf-8"), flags=re.MULTILINE)
        return str(name)

    @property
    def settings(self) -> Path:
        return self.folder / "docker" / ".env"


def checkout(folder: Path, beside: Path) -> Checkout:
    for name in ("Makefile", "docker/compose.yaml", "tune_mnist/__init__.py", ".gitignore"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    beside.mkdir(exist_ok=True)
    (beside / "docker").write_text(DOCKER, "utf-8")
    (beside / "docker").chmod(0o755)
    return Checkout(folder, beside)


@pytest.fixture
def clone(tmp_path: Path) -> Checkout:
    return checkout(tmp_path / "clone", tmp_path / "bin")


def revision(told: str) -> str:
    (found,) = re.findall(r"--build-arg REVISION=(\S*) ", told)
    return str(found)


@pytest.mark.parametrize("target", ["image", "cluster"])
def test_an_image_is_told_its_commit_and_whether_it_was_changed(target: str, clone: Checkout) -> None:
    assert revision(clone.make(target)[0]) == ""  # no checkout
    git("init", "-q", folder=clone.folder)
    git("add", "--all", folder=clone.folder)
    git("commit", "-q", "-m", "first", folder=clone.folder)
    commit = git("rev-parse", "HEAD", folder=clone.folder)
    (clone.folder / "results" / "published").mkdir(parents=True)
    (clone.folder / "results" / "published" / "table.csv").touch()  # what a command leaves is no change
    assert revision(clone.make(target)[0]) == commit
    (clone.folder / "tune_mnist" / "more.py").touch()
    assert revision(clone.make(target)[0]) == f"{commit}-dirty"


def test_another_repository_around_it_does_not_count(tmp_path: Path) -> None:
    git("init", "-q", folder=tmp_path)
    git("commit", "-q", "--allow-empty", "-m", "another", folder=tmp_path)
    assert revision(checkout(tmp_path / "clone", tmp_path / "bin").make("image")[0]) == ""


def test_two_checkouts_have_two_projects(clone: Checkout, tmp_path: Path) -> None:
    other = checkout(tmp_path / "other" / "clone", tmp_path / "bin")
    clone.make("cluster")
    other.make("cluster-down")
    assert re.fullmatch(r"tune-mnist-\d+", clone.project)
    assert clone.project != other.project
    shutil.copytree(clone.folder, tmp_path / "copy")
    copied = Checkout(tmp_path / "copy", tmp_path / "bin")
    copied.make("docker/.env")
    assert copied.project not in (clone.project, other.project)


def test_a_projects_other_settings_stay_and_its_name_by_any_path(clone: Checkout, tmp_path: Path) -> None:
    clone.settings.write_text("WORKER_CPUS=4\nCOMPOSE_PROJECT_NAME=docker\n", "utf-8")
    clone.make("docker/.env")
    before = clone.settings.read_text("utf-8")
    assert before == f"WORKER_CPUS=4\nCOMPOSE_PROJECT_NAME={clone.project}\n"
    (tmp_path / "link").symlink_to(clone.folder)
    Checkout(tmp_path / "link", tmp_path / "bin").make("docker/.env")
    assert clone.settings.read_text("utf-8") == before


def test_the_clusters_end_removes_nothing_of_others(clone: Checkout) -> None:
    told = clone.make("cluster-down")[0].splitlines()[-1]
    assert told.split() == ["compose", "-f", "docker/compose.yaml", "down", "--volumes"]


def test_a_cluster_that_does_not_start_says_what_to_do_about_a_port(clone: Checkout) -> None:
    told, said = clone.make("cluster", fails="up")
    assert " run " not in told
    assert re.search(r"^error: the cluster has not started; .* make cluster DASHBOARD_PORT=8266 TENSOR", said, re.M)
