"""The Dockerfile's two arguments: another base, whose PyTorch is then used, and another index for PyTorch.

The base is made here, with a stand-in for PyTorch and an index of its own: no registry is asked.
"""

from __future__ import annotations

import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from engine import ROOT, checkout, docker, need_engine

# As long as the longest: these come first then, and build their bases while another process builds the image.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

BASE = "tune-mnist-base"
LOCK = (ROOT / "requirements.txt").read_text("utf-8")
NAMES = ("torch", "torchvision")


def locked(name: str) -> str:
    return str(re.findall(rf"^{name}==([\d.]+)", LOCK, flags=re.MULTILINE)[-1])  # the last is for Python 3.11 and later


def stand_in(folder: Path, name: str, local: str) -> None:
    """A wheel with the locked version, which says of itself where it is from."""
    version = f"{locked(name)}+{local}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(f'<a href="{name}-{version}-py3-none-any.whl">{name}</a>', "utf-8")
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        info = f"{name}-{version}.dist-info"
        wheel.writestr(f"{name}/__init__.py", f"__version__ = '{version}'\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with an index in /index, and another with PyTorch from it."""
    need_engine()
    context = tmp_path_factory.mktemp("base")
    for name in NAMES:
        stand_in(context / "index" / name, name, "here")
    plain = "FROM python:3.11-slim-bookworm\nCOPY index /index\n"
    install = "RUN python3 -m pip install --no-deps --index-url file:///index torch torchvision\n"
    for tag, text in ((BASE, plain), (f"{BASE}-torch", plain + install)):
        (context / "Dockerfile").write_text(text, "utf-8")
        docker("build", "-q", "-t", tag, str(context))
    return BASE


@pytest.mark.parametrize("argument", ["BASE", "TORCH_INDEX"])
def test_pytorch_comes_from_where_the_argument_says(base: str, argument: str) -> None:
    arguments = {
        "BASE": [f"BASE={base}-torch"],
        "TORCH_INDEX": [f"BASE={base}", "TORCH_INDEX=file:///index"],
    }[argument]
    options = [f"--build-arg={one}" for one in arguments]
    command = ["docker", "build", "--target=packages", f"--tag={BASE}-built", "--file=docker/Dockerfile", *options, "."]
    done = subprocess.run(command, cwd=checkout(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    look = "import torch, torchvision, ray; print(torch.__version__, torchvision.__version__)"
    said = docker("run", "--rm", f"{BASE}-built", "/opt/venv/bin/python", "-c", look).stdout
    assert said.split() == [f"{locked(name)}+here" for name in NAMES]
    packages = docker("run", "--rm", f"{BASE}-built", "ls", "/opt/venv/lib/python3.11/site-packages").stdout
    assert not re.findall(r"^(?:nvidia|triton|cuda)", packages, flags=re.MULTILINE)
