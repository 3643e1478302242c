"""What can be said of docker/ without an engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from engine import ROOT, compose_command

DOCKER = ROOT / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]


def test_the_dockerfile_is_clean() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    if not hadolint.exists():
        pytest.skip("hadolint has no build for this platform")
    done = subprocess.run([hadolint, DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", ["packages", "ray-node"])
def test_a_script_is_of_the_shell_it_names(script: str) -> None:
    assert os.access(DOCKER / script, os.X_OK)
    dash = shutil.which("dash") or "sh"
    assert subprocess.run([dash, "-n", DOCKER / script], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_can_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["user"] == "${MNIST_USER:-1000:1000}"


def test_only_the_dashboard_and_tensorboard_are_published_and_on_loopback() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "head": ["127.0.0.1:${DASHBOARD_PORT:-8265}:8265"],
        "tensorboard": ["127.0.0.1:${TENSORBOARD_PORT:-6006}:6006"],
    }


def test_workers_mount_nothing_but_the_token() -> None:
    assert SERVICES["worker"]["volumes"] == ["token:/ray-token:ro"]


@pytest.mark.parametrize("name", ["head", "worker", "sweep"])
def test_a_node_asks_for_a_token_and_is_not_told_it(name: str) -> None:
    surroundings = SERVICES[name]["environment"]
    assert surroundings["RAY_AUTH_MODE"] == "token"
    assert "RAY_AUTH_TOKEN" not in surroundings


def test_ray_is_told_what_a_worker_has() -> None:
    worker, script = SERVICES["worker"], (DOCKER / "ray-node").read_text("utf-8")
    assert worker["cpus"] == worker["environment"]["WORKER_CPUS"] == "${WORKER_CPUS:-1}"
    assert worker["mem_limit"] == worker["environment"]["WORKER_GB"] + "g"
    assert '--num-cpus="$WORKER_CPUS"' in script
    assert "--memory=$(((WORKER_GB << 30) - objects))" in script


def test_the_image_gets_nothing_that_it_does_not_name() -> None:
    """Each thing that the Dockerfile copies from the context is let through by .dockerignore, and nothing else is."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text("utf-8"), flags=re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(let_through)


def test_the_image_has_the_locked_versions() -> None:
    """The lock with Ray's dashboard differs from the lock in what it adds, never in a version."""
    locks = [(ROOT / name).read_text("utf-8") for name in ("requirements.txt", "docker/requirements.txt")]
    lock, grown = (set(re.findall(r"^([a-z]\S*==\S+)", text, flags=re.MULTILINE)) for text in locks)
    named = {version.partition("==")[0] for version in lock}
    assert {version for version in grown if version.partition("==")[0] in named} == lock
    assert any(version.startswith("aiohttp==") for version in grown)


def test_the_gpu_file_gives_a_worker_every_gpu_and_asks_for_a_share_a_trial() -> None:
    """As Docker's compose reads both files together."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    files = ["-f", str(DOCKER / "compose.yaml"), "-f", str(DOCKER / "compose.gpu.yaml")]
    done = subprocess.run([*compose_command(), *files, "config"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    (device,) = services["worker"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", [["gpu"]]) or device["capabilities"] == ["gpu"]
    assert services["sweep"]["command"] == ["--gpus-per-trial", "0.25"]
    assert services["worker"]["container_name"] == "tune-mnist-gpu-worker"  # compose refuses a second one


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("image", ["docker build -t mnist -f docker/Dockerfile", "--build-arg VERSION="]),
        ("cluster", ["up --detach --no-build --scale worker=5 head worker tensorboard", "run --rm --no-deps sweep"]),
        ("cluster-down", ["-f docker/compose.yaml down --volumes\n"]),  # what is not ours stays
    ],
)
def test_make_says_what_it_would_do(target: str, words: list[str]) -> None:
    done = subprocess.run(["make", "-n", target, "N=5"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(word in done.stdout for word in words), done.stdout


def test_two_checkouts_have_clusters_of_two_names(tmp_path: Path) -> None:
    """As the shell reads what make would do; and compose by hand is not called after the folder docker/."""
    (name,) = re.findall(r"COMPOSE_PROJECT_NAME=(\".*?\") VERSION", makes("cluster-down"))
    names = [
        subprocess.run(["sh", "-c", f"echo {name}"], cwd=folder, capture_output=True, text=True, check=True).stdout
        for folder in (ROOT, tmp_path)
    ]
    assert [bool(re.fullmatch(r"tune-mnist-\d+\n", name)) for name in names] == [True, True]
    assert names[0] != names[1]
    assert "COMPOSE_PROJECT_NAME=tune-mnist\n" in (DOCKER / ".env").read_text("utf-8")


def test_an_image_is_told_its_commit_and_whether_there_are_changes(tmp_path: Path) -> None:
    (told,) = re.findall(r'REVISION=("\$\(\{ git .*?\}.*?\)")', makes("image").replace("\\\n", ""))

    def revision(*commands: str) -> str:
        for command in (*commands, f"printf %s {told}"):
            done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    who = "-c user.name=a -c user.email=a@example.org"
    assert revision() == ""
    clean = revision("git init -q .", "touch code Makefile", f"git add . && git {who} commit -qm first")
    assert re.fullmatch("[0-9a-f]{40}", clean)
    assert revision("mkdir results && touch results/a") == clean
    assert revision("echo 1 >code") == f"{clean}-dirty"


def makes(target: str) -> str:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout
