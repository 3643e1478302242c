"""Files that a person wrote, sweep files and cluster files: what is none is refused before it is read."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tune_mnist.errors import UserError
from tune_mnist.files import MOST_BYTES, read_written
from tune_mnist.launch.ray_up import read_cluster_file
from tune_mnist.mnist.task import MNIST
from tune_mnist.plan import sweepfile

Read = Callable[[Path], object]
readers = pytest.mark.parametrize(
    "read",
    [lambda path: sweepfile.read(path, MNIST), sweepfile.named_task, sweepfile.written_values, read_cluster_file],
    ids=["sweep file", "its task", "its values", "cluster file"],
)


@readers
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/full"])
def test_a_device_is_refused(device: str, read: Read) -> None:
    with pytest.raises(UserError, match=f"'{device}' cannot be read: it is a device or a pipe"):
        read(Path(device))


@readers
def test_a_pipe_is_refused_and_not_waited_for(read: Read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="it is a device or a pipe"):
        read(tmp_path / "pipe")


@readers
def test_more_than_a_megabyte_is_refused(read: Read, tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("name: x\n" + "#" * MOST_BYTES, "utf-8")
    with pytest.raises(UserError, match="it has more than 1 MB"):
        read(file)


def test_a_megabyte_is_read(tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text("é" * (MOST_BYTES // 2), "utf-8")
    assert len(read_written(tmp_path / "sweep.yaml")) == MOST_BYTES // 2


def test_a_file_of_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(8 << 30)
    program = (
        f"from pathlib import Path; from tune_mnist.files import read_written; read_written(Path({str(file.name)!r}))"
    )

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))

    done = subprocess.run(
        [sys.executable, "-c", program], preexec_fn=little, capture_output=True, text=True, check=False
    )
    assert "it has more than 1 MB" in done.stderr.splitlines()[-1]
