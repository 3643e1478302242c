"""The pages: no broken link, no file or option that is not there, commands that run, nothing of one machine."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from tasks import asked, mnist

from tune_mnist.commands.options import application
from tune_mnist.commands.run import run
from tune_mnist.plan.plan import Plan, make_plan
from tune_mnist.results import folder
from tune_mnist.store.store import Held

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
# What a user reads: the pages whose commands must run as they stand.
READ = ["README.md", *(f"docs/{name}.md" for name in ("tutorial", "sweeps", "results-folder", "clusters", "published"))]
TOLD = "\n".join((ROOT / name).read_text("utf-8") for name in READ)
PROSE = re.sub(r"^```.*?^```$", "", TOLD, flags=re.DOTALL | re.MULTILINE)
COMMANDS = {"run", "check", "train", "runs", "report", "compare", "verify", "cluster"}
LEFT = {folder.results_csv("mnist"), folder.HISTORY_CSV, folder.log_name("mnist"), folder.ENVIRONMENT_JSON}
PLOTS = {f"{measure}_vs_{sweep}.png" for measure in ("accuracy", "time") for sweep in ("epochs", "batch", "lr")}


@cache
def tracked() -> list[Path]:
    """Every file of the repository: what git has, and what it would take."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


PAGES = [*ROOT.glob("*.md"), *(path for folder in ROOT.glob("[a-z]*") for path in folder.rglob("*.md"))]
LINKS = [
    (page.relative_to(ROOT), link)
    for page in sorted(PAGES)
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    if "://" not in link
]


def anchors(page: Path) -> set[str]:
    """The page's headings as GitHub makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "link"), LINKS, ids=[f"{page}:{link}" for page, link in LINKS])
def test_a_link_leads_somewhere(page: Path, link: str) -> None:
    file, _, anchor = link.partition("#")
    target = (ROOT / page).parent / file if file else ROOT / page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", TOLD, flags=re.DOTALL | re.MULTILINE))


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_page_on_the_results_folder_names_what_a_command_leaves() -> None:
    table = (ROOT / "docs" / "results-folder.md").read_text("utf-8")
    files = {name for name in re.findall(r"`([^`\s/]+)`", table) if re.search(r"\.(csv|log|png|json)$", name)}
    drawn = {"learning_epochs.png", "interaction_cross.png", "accuracy_vs_time.png"}
    assert files == LEFT | PLOTS | drawn | {"summary.csv", "interaction.csv"}
    assert f"`{folder.TENSORBOARD}/`" in table


@cache
def options(command: str) -> set[str]:
    """The long options that the command's --help shows, with `-` between words."""
    told = subprocess.run(
        [sys.executable, "-m", "tune_mnist", command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)", told.stdout, flags=re.MULTILINE))


def commands(which: str) -> list[str]:
    """The arguments of each of the pages' commands of this kind, without its comment."""
    found = re.findall(rf"^tune-mnist {which}\b(.*)$", blocks("sh"), flags=re.MULTILINE)
    return [arguments.partition("#")[0].strip() for arguments in found]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_a_command_of_the_pages_has_the_options_it_is_given(command: str) -> None:
    given = set(re.findall(r"--[a-z_-]+", " ".join(commands(command))))
    assert {name.replace("_", "-") for name in given} <= options(command)
    assert commands(command)


def test_an_option_in_the_text_is_one_of_a_command() -> None:
    ours = re.sub(r"tensorboard --logdir|tune-mnist --install-completion", "", PROSE)
    assert set(re.findall(r"(?<!-)--[a-z][a-z_-]*", ours)) <= set.union(*map(options, COMMANDS))


def plan(arguments: str) -> Plan:
    """The plan of `tune_mnist.run` with these arguments, nothing being stored."""
    command = typer.main.get_command(application(run))
    given = command.make_context("run", shlex.split(arguments)).params
    lists: dict[str, Any] = {name: given[name] or () for name in ("sweep", "vary", "settings", "words")}
    options: dict[str, Any] = {name: given[name] for name in ("config", "seed", "seeds")}
    request = asked(**options, **lists)
    return make_plan(request.points, mnist(), lambda _: Held())


MNISTS = [arguments for arguments in commands("run") if "--task" not in arguments]  # others: tests/test_examples.py


@pytest.mark.parametrize("arguments", MNISTS)
def test_a_sweep_of_the_pages_can_be_planned(arguments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert plan(arguments).runs


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```$", TOLD, flags=re.DOTALL | re.MULTILINE))
def test_a_sweep_file_of_the_pages_can_be_planned(text: str, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(text, "utf-8")
    assert plan(f"--config {tmp_path / 'sweep.yaml'}").runs


def test_the_readmes_numbers_of_the_standard_sweeps_are_the_plans() -> None:
    said = re.sub(r"\s+", " ", README)
    whole = plan("")
    assert f"ask for {len(whole.points)} points and {whole.epochs_asked} epochs; {whole.distinct} points are" in said
    assert f"and {len(whole.runs)} runs with {whole.epochs_to_train} epochs answer them all" in said


@pytest.mark.parametrize(
    ("target", "action"),
    [
        ("sweep", "-m tune_mnist run"),
        ("report", "-m tune_mnist report"),
        ("test", "-m pytest"),
        ("test-all", "-m pytest"),
        ("check", "mypy"),
        ("lock", "requirements.txt"),
        ("image", "docker build"),
        ("cluster", "--scale worker=2"),
        ("cluster-down", "down"),
        ("chaos", "-m '(chaos or mishap) and not measures'"),
        ("audit", "pip-audit"),
        ("sbom", "sbom.json"),
        (".venv", ""),
    ],
)
def test_a_make_target_of_the_pages_exists(target: str, action: str) -> None:
    assert re.search(rf"\bmake {re.escape(target)}\b", "\n".join(page.read_text("utf-8") for page in PAGES))
    around = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "ARGS")}
    told = subprocess.run(
        ["make", "--dry-run", target], cwd=ROOT, env=around, capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert action in told.stdout


# Put together here, so that this file may be searched too.
FOREIGN = [
    "py" + "pi",
    "python" + "hosted",
    "/wo" + "rk/",
    "/tmp/" + "venv",
    "/ro" + "ot/",
    "/ho" + "me/",
    "/Us" + "ers/",
]


@pytest.mark.parametrize("text", FOREIGN)
def test_no_file_names_a_registry_or_a_path_of_one_machine(text: str) -> None:
    naming = [path.relative_to(ROOT) for path in tracked() if text.encode() in path.read_bytes()]
    assert not naming


def test_only_two_files_know_the_shared_folder() -> None:
    shared = ("../" + "shared").encode()
    naming = {str(path.relative_to(ROOT)) for path in tracked() if shared in path.read_bytes()}
    assert naming <= {".ci/run", "CONTRIBUTING.md"}


def test_every_module_is_listed() -> None:
    """In the tree at the end of the page on architecture: two spaces deeper is one folder deeper."""
    tree = (ROOT / "docs" / "architecture.md").read_text("utf-8").rpartition("## Every file")[2]
    folder, listed = "", set()
    for indent, name in re.findall(r"^( {2}|  {4}| {4})([\w.]+/?)(?: |$)", tree, flags=re.MULTILINE):
        folder = name if name.endswith("/") else folder if len(indent) > 2 else ""
        listed.add(name if name.endswith("/") else f"{folder}{name}")
    package = ROOT / "tune_mnist"
    there = {
        path.relative_to(package).as_posix() for path in package.rglob("*") if path.suffix in (".py", ".yaml", ".jinja")
    }
    modules = {path for path in there if not path.endswith("__init__.py")}
    assert {one for one in listed if not one.endswith("/")} == modules
