"""Data sets: what loads, what is refused, what a download leaves. Real files, sockets, processes; no network."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision

from tune_mnist.errors import UserError
from tune_mnist.mnist import datasets, downloads
from tune_mnist.mnist.datasets import NAMES, load

ROOT = Path(__file__).parents[1]
MNIST_TEST_LABELS = "t10k-labels-idx1-ubyte"


def idx(magic: int, *shape: int, fill: int = 0) -> bytes:
    """An idx file of `shape`, all of its elements `fill`; labels are classes in turn, a few turned by `fill`."""
    element = {0x0801: ">u1", 0x0803: ">u1", 0x0C02: ">i4"}[magic]
    elements = np.full(shape, fill, element)
    if len(shape) == 1:
        elements = (np.arange(shape[0]) % 10).astype(element)
        elements[: 10 * fill] = np.roll(elements[: 10 * fill], fill)
    return struct.pack(f">{1 + len(shape)}I", magic, *shape) + elements.tobytes()


# A data set in MNIST's form, as large as each of its relatives: all of one grey, and as many images of each class.
PLAIN = {
    "train-images-idx3-ubyte": idx(0x0803, 60_000, 28, 28, fill=9),
    "train-labels-idx1-ubyte": idx(0x0801, 60_000),
    "t10k-images-idx3-ubyte": idx(0x0803, 10_000, 28, 28, fill=9),
    "t10k-labels-idx1-ubyte": idx(0x0801, 10_000),
}


@cache
def archive(content: bytes) -> bytes:
    return gzip.compress(content, 1)


@pytest.fixture
def mnist_dir() -> Path:
    """Where the real MNIST lies; a test that wants it is skipped without."""
    place = Path(os.environ.get("TUNE_MNIST_DATA", ROOT.parent / "shared" / "mnist"))
    if not (place / "MNIST" / "raw" / MNIST_TEST_LABELS).is_file():
        pytest.skip(f"no MNIST in {place}: set TUNE_MNIST_DATA to the folder that has MNIST/raw")
    return place


@pytest.fixture
def own_mnist(mnist_dir: Path, tmp_path: Path) -> Path:
    """A data folder with the real MNIST, whose t10k-labels file the test may damage: the others are links."""
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in datasets.IDX_FILES:
        (raw / file).symlink_to(mnist_dir.resolve() / "MNIST" / "raw" / file)
    labels = (raw / MNIST_TEST_LABELS).read_bytes()
    (raw / MNIST_TEST_LABELS).unlink()
    (raw / MNIST_TEST_LABELS).write_bytes(labels)
    return tmp_path


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every data set's server refuses connections, as all do on a machine without a network."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for kind in (torchvision.datasets.MNIST, torchvision.datasets.KMNIST):
        monkeypatch.setattr(kind, "mirrors", [f"http://127.0.0.1:{port}/"])


class Server(ThreadingHTTPServer):
    """Serves `files` on 127.0.0.1, counts what is fetched, and can be slow to begin, or stop half-way."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.fetched, self.delay, self.stall = files, list[str](), 0.0, threading.Event()
        self.stall.set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        content = self.server.files.get(self.path[1:])
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content or b"")))
        if content and self.headers["Method"] != "HEAD":  # torchvision asks so whether it will be redirected
            self.server.fetched.append(self.path[1:])
            time.sleep(self.server.delay)
            self.end_headers()
            self._send(content)
        else:
            self.end_headers()

    def _send(self, content: bytes) -> None:
        half = len(content) // 2
        with contextlib.suppress(ConnectionError):  # of a client that has given up
            self.wfile.write(content[:half])
            self.server.stall.wait()
            self.wfile.write(content[half:])

    def log_message(self, *_: Any) -> None:
        pass


Serve = Callable[[str, dict[str, bytes]], Server]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Makes a server of the given extracted files the one that torchvision's class of that name downloads from."""
    servers: list[Server] = []

    def start(kind: str, files: dict[str, bytes]) -> Server:
        archives = {f"{file}.gz": archive(content) for file, content in files.items()}
        server = Server(archives)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setattr(getattr(torchvision.datasets, kind), "mirrors", [server.address])
        monkeypatch.setattr(getattr(torchvision.datasets, kind), "resources", resources(archives))
        return server

    yield start
    for server in servers:
        server.stall.set()
        server.shutdown()
        server.server_close()


def resources(archives: dict[str, bytes]) -> list[tuple[str, str]]:
    return [(name, hashlib.md5(content).hexdigest()) for name, content in archives.items()]


def put(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def refused(name: str, data_dir: Path) -> str:
    """The one line with which loading is refused."""
    with pytest.raises(UserError) as caught:
        load(name, data_dir, lambda _: None)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left_in(data_dir: Path) -> list[str]:
    """The files under a data folder, without the lock, which stays."""
    return sorted(path.name for path in data_dir.rglob("*") if path.is_file() and path.name != ".download.lock")


# --- MNIST as it is


def test_real_mnist_loads(mnist_dir: Path) -> None:
    said: list[str] = []
    data = load("mnist", mnist_dir, said.append)
    assert (data.train.images.shape, data.test.images.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert {data.train.images.dtype, data.test.images.dtype} == {np.dtype(np.uint8)}
    assert {data.train.labels.dtype, data.test.labels.dtype} == {np.dtype(np.int64)}
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert data.checksums == datasets.MNIST_SHA256
    assert said == []


def test_training_pixels_have_the_known_mean(mnist_dir: Path) -> None:
    images = load("mnist", mnist_dir, print).train.images
    assert float(images.mean() / 255) == pytest.approx(0.1307, abs=1e-4)


def test_auto_is_mnist_where_its_files_are(mnist_dir: Path) -> None:
    said: list[str] = []
    assert load("auto", mnist_dir, said.append).name == "mnist"
    assert said == []


# --- files that are not what they should be


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_altered_byte_is_refused_with_both_sums(own_mnist: Path, name: str) -> None:
    path = own_mnist / "MNIST" / "raw" / MNIST_TEST_LABELS
    content = bytearray(path.read_bytes())
    content[5_000] ^= 1
    path.write_bytes(content)
    message = refused(name, own_mnist)
    known, found = datasets.MNIST_SHA256[MNIST_TEST_LABELS], hashlib.sha256(content).hexdigest()
    assert f"{MNIST_TEST_LABELS} is damaged: SHA-256 {known} expected, {found} found; remove it" in message
    assert "--data-dir" in message


@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_truncated_file_is_refused_with_both_sizes(own_mnist: Path, name: str) -> None:
    path = own_mnist / "MNIST" / "raw" / MNIST_TEST_LABELS
    path.write_bytes(path.read_bytes()[:1_234])
    assert f"{MNIST_TEST_LABELS} is damaged: 10,008 bytes expected by its header, 1,234 found" in refused(
        name, own_mnist
    )


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["mnist", "auto"])
def test_a_part_of_mnist_is_an_error_that_names_the_rest(own_mnist: Path, name: str) -> None:
    (own_mnist / "MNIST" / "raw" / MNIST_TEST_LABELS).unlink()
    message = refused(name, own_mnist)
    assert message.startswith(f"{MNIST_TEST_LABELS} is not in {own_mnist / 'MNIST' / 'raw'}, and cannot be downloaded")
    assert "Connection refused" in message


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("train-images-idx3-ubyte", b"", "0000ea60 0000001c 0000001c expected first, 0 that start with nothing found"),
        ("t10k-labels-idx1-ubyte", b"<html>404</html>", "8 that start with 3c68746d 6c3e3430 found"),
        (
            "train-images-idx3-ubyte",
            PLAIN["train-images-idx3-ubyte"] + b"!",
            "47,040,016 bytes expected by its header, 47,040,017",
        ),
        ("train-labels-idx1-ubyte", idx(0x0801, 6), "00000801 0000ea60 expected first, 8 that start with"),
        (
            "train-labels-idx1-ubyte",
            PLAIN["train-labels-idx1-ubyte"][:-1] + b"\n",
            "6,000 labels of class 9 expected, 5,999 found",
        ),
        (
            "train-labels-idx1-ubyte",
            PLAIN["train-labels-idx1-ubyte"][:8] + bytes(60_000),
            "6,000 labels of class 0 expected, 60,000 found",
        ),
        ("t10k-images-idx3-ubyte", idx(0x0803, 3, 27, 28), "00000803 00002710 0000001c 0000001c expected first"),
    ],
    ids=["empty", "not idx", "too long", "labels missing", "label of 10", "all labels 0", "27 x 28"],
)
def test_wrong_file_of_another_set_is_refused(tmp_path: Path, file: str, content: bytes, says: str) -> None:
    put(tmp_path / "KMNIST" / "raw", PLAIN | {file: content})
    message = refused("kmnist", tmp_path)
    assert file in message
    assert says in message


def test_unknown_name_lists_the_choices() -> None:
    message = refused("mnits", Path("nowhere"))
    assert message == f"unknown dataset 'mnits' (did you mean 'mnist'?); choose from: auto, {', '.join(NAMES)}"


# --- the relatives


def test_files_of_another_set_load_and_their_sums_are_recorded(tmp_path: Path) -> None:
    put(tmp_path / "FashionMNIST" / "raw", PLAIN)
    data = load("fashion-mnist", tmp_path, print)
    assert (data.train.images.shape, data.test.images.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert data.checksums == {file: hashlib.sha256(content).hexdigest() for file, content in PLAIN.items()}


def test_qmnist_gives_the_class_and_the_first_ten_thousand_test_digits(tmp_path: Path) -> None:
    train, test = (np.repeat(np.arange(10), counts) for counts in datasets.CLASSES["qmnist"])
    files = {
        "qmnist-train-images-idx3-ubyte": idx(0x0803, 60_000, 28, 28),
        "qmnist-train-labels-idx2-int": facts(train),
        "qmnist-test-images-idx3-ubyte": idx(0x0803, 60_000, 28, 28),
        "qmnist-test-labels-idx2-int": facts(np.concatenate([test, np.full(50_000, 3)])),
    }
    put(tmp_path / "QMNIST" / "raw", files)
    data = load("qmnist", tmp_path, print)
    assert data.train.labels.tolist() == train.tolist()
    assert data.test.labels.tolist() == test.tolist()
    assert data.test.images.shape == (10_000, 28, 28)


def facts(labels: np.ndarray[Any, Any]) -> bytes:
    """QMNIST's labels: of each image the class, and seven facts."""
    columns = np.full((len(labels), 8), 70_000, ">i4")
    columns[:, 0] = labels
    return struct.pack(">3I", 0x0C02, len(labels), 8) + columns.tobytes()


@pytest.mark.parametrize("labels", ["train", "test"])
def test_qmnist_with_other_classes_than_mnist_is_refused(labels: str, tmp_path: Path) -> None:
    train, test = (np.repeat(np.arange(10), counts) for counts in datasets.CLASSES["qmnist"])
    files = {f"qmnist-{part}-images-idx3-ubyte": idx(0x0803, 60_000, 28, 28) for part in ("train", "test")}
    files["qmnist-train-labels-idx2-int"] = facts(train)
    files["qmnist-test-labels-idx2-int"] = facts(np.concatenate([test, np.full(50_000, 3)]))
    files[f"qmnist-{labels}-labels-idx2-int"] = facts(np.zeros(60_000))
    put(tmp_path / "QMNIST" / "raw", files)
    assert f"qmnist-{labels}-labels-idx2-int is damaged: " in refused("qmnist", tmp_path)


def test_the_classes_of_mnist_are_those_of_its_files(mnist_dir: Path) -> None:
    data = load("mnist", mnist_dir, print)
    found = [tuple(np.bincount(split.labels).tolist()) for split in (data.train, data.test)]
    assert tuple(found) == datasets.CLASSES["qmnist"]


def test_a_header_that_promises_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    """A file of 2.3 GB that takes no room, with a header that fits it: it took twice as much of memory."""
    path = put(tmp_path / "KMNIST" / "raw", PLAIN) / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">4I", 0x803, 3_000_000, 28, 28))
    os.truncate(path, 16 + 3_000_000 * 28 * 28)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "is damaged" in refused("kmnist", tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 19  # KiB


def test_the_four_files_of_each_set_are_those_that_torchvision_fetches() -> None:
    for name, files in datasets.FILES.items():
        assert set(files) <= set(datasets._sources(name))


# --- downloads


def test_download_puts_whole_files_in_place_and_nothing_else(
    tmp_path: Path, serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve("KMNIST", PLAIN)
    said: list[str] = []
    data = load("kmnist", tmp_path, said.append)
    assert data.train.labels[:12].tolist() == [*range(10), 0, 1]
    assert said == [f"downloading KMNIST to {tmp_path / 'KMNIST' / 'raw'}"]
    assert left_in(tmp_path) == sorted(PLAIN)
    assert len(server.fetched) == 4
    output = capsys.readouterr()
    assert output.out == ""
    assert "100%" in output.err


def test_second_load_fetches_nothing(tmp_path: Path, serve: Serve) -> None:
    server = serve("KMNIST", PLAIN)
    checksums = [load("kmnist", tmp_path, print).checksum for _ in range(2)]
    assert checksums[0] == checksums[1]
    assert len(server.fetched) == 4


def test_only_what_is_missing_is_fetched(tmp_path: Path, serve: Serve) -> None:
    server = serve("KMNIST", PLAIN)
    put(tmp_path / "KMNIST" / "raw", {file: PLAIN[file] for file in list(PLAIN)[:3]})
    load("kmnist", tmp_path, print)
    assert server.fetched == [f"{list(PLAIN)[3]}.gz"]


def test_archives_put_there_by_hand_need_no_network(tmp_path: Path, serve: Serve) -> None:
    server = serve("KMNIST", PLAIN)
    put(tmp_path / "KMNIST" / "raw", server.files)
    server.files = {}
    assert load("kmnist", tmp_path, print).train.labels[:12].tolist() == [*range(10), 0, 1]
    assert server.fetched == []


@pytest.mark.usefixtures("no_network")
def test_second_mirror_serves_when_the_first_does_not(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = torchvision.datasets.KMNIST.mirrors
    server = serve("KMNIST", PLAIN)
    monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", [*dead, server.address])
    assert load("kmnist", tmp_path, print).name == "kmnist"


def test_mnist_of_other_content_is_refused_and_removed(tmp_path: Path, serve: Serve) -> None:
    serve("MNIST", PLAIN)  # with MD5 sums that fit: only the SHA-256 in datasets.py can tell
    message = refused("mnist", tmp_path)
    known = datasets.MNIST_SHA256["train-images-idx3-ubyte"]
    assert f"downloaded was refused: train-images-idx3-ubyte is damaged: SHA-256 {known} expected" in message
    assert left_in(tmp_path) == []


def test_transfer_cut_short_leaves_nothing(tmp_path: Path, serve: Serve) -> None:
    server = serve("KMNIST", PLAIN)
    last = f"{list(PLAIN)[3]}.gz"
    server.files[last] = server.files[last][:-7]
    assert "corrupted" in refused("kmnist", tmp_path)
    assert left_in(tmp_path) == []


def test_what_a_killed_download_left_is_cleared_away(tmp_path: Path, serve: Serve) -> None:
    serve("KMNIST", PLAIN)
    put(tmp_path / ".KMNIST-killed" / "raw", {"train-images-idx3-ubyte": b"half of it"})
    load("kmnist", tmp_path, print)
    assert left_in(tmp_path) == sorted(PLAIN)


def test_two_processes_download_once(tmp_path: Path, serve: Serve) -> None:
    server = serve("KMNIST", PLAIN)
    server.delay = 0.3  # of each of four files: both have started well before the first is done
    code = f"""
import sys, torchvision
from pathlib import Path
from tune_mnist.mnist.datasets import load
torchvision.datasets.KMNIST.mirrors = {[server.address]!r}
torchvision.datasets.KMNIST.resources = {resources(server.files)!r}
print("ready", flush=True)
sys.stdin.readline()
print(load("kmnist", Path({str(tmp_path)!r}), print).checksum)
"""
    said: list[str] = []
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin and other.stdout and other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        said.append(load("kmnist", tmp_path, said.append).checksum)
        others = other.stdout.read().splitlines()
    first, second = sorted([said, others])
    assert first[0].startswith("downloading KMNIST")
    assert second[0].startswith("waiting for another process")
    assert first[1:] == second[1:]
    assert len(server.fetched) == 4


# --- no network


def test_deadline_is_within_twenty_seconds() -> None:
    assert downloads.DEADLINE <= 20


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["mnist", "kmnist"])
def test_without_network_the_error_says_what_where_why_and_the_way_out(tmp_path: Path, name: str) -> None:
    message = refused(name, tmp_path)
    assert message.startswith(f"{name.upper()} is not in {tmp_path / name.upper() / 'raw'}, and cannot be downloaded")
    assert "from http://127.0.0.1:" in message
    assert message.endswith("Connection refused); put it there, give another --data-dir, or use --dataset digits")
    assert left_in(tmp_path) == []


@pytest.mark.usefixtures("no_network")
def test_auto_falls_back_to_digits_and_says_so_in_one_line(tmp_path: Path) -> None:
    said: list[str] = []
    assert load("auto", tmp_path, said.append).name == "digits"
    assert said[-1].startswith("using scikit-learn's digits instead of MNIST: MNIST is not in ")
    assert "Connection refused" in said[-1]
    assert "\n" not in said[-1]


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A short deadline; what hangs in the test waits for this, and is let go after it."""
    monkeypatch.setattr(downloads, "DEADLINE", 1.2)
    release = threading.Event()
    yield release
    release.set()
    for thread in threading.enumerate():
        if thread.name.endswith("(work)"):
            thread.join(10)


@pytest.mark.usefixtures("hang")
def test_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and then nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(torchvision.datasets.KMNIST, "mirrors", [address])
        started = time.monotonic()
        assert "timed out" in refused("kmnist", tmp_path)
    assert time.monotonic() - started < 5
    assert socket.getdefaulttimeout() is None


def test_name_server_that_never_answers_is_given_up(
    tmp_path: Path, hang: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*_: Any, **__: Any) -> Any:
        hang.wait()
        raise socket.gaierror("let go")

    monkeypatch.setattr(socket, "getaddrinfo", unanswered)
    started = time.monotonic()
    assert "nothing came for 1.2 s" in refused("mnist", tmp_path)
    assert time.monotonic() - started < 5
    assert left_in(tmp_path) == []


@pytest.mark.usefixtures("hang")
def test_server_that_stops_half_way_is_given_up(tmp_path: Path, serve: Serve) -> None:
    server = serve("KMNIST", PLAIN)
    server.stall.clear()
    refused("kmnist", tmp_path)
    server.stall.set()
    assert left_in(tmp_path) == []


@pytest.mark.usefixtures("hang")
def test_slow_download_is_not_given_up_while_it_grows(tmp_path: Path, serve: Serve) -> None:
    server = serve("KMNIST", PLAIN)
    server.delay = 0.35  # 1.4 s for the four, with a deadline of 1.2 s
    assert load("kmnist", tmp_path, print).name == "kmnist"


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_folder_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("not a folder", "utf-8")
    assert f"and {tmp_path / folder} cannot be written" in refused("kmnist", tmp_path / folder)


# --- digits


def test_digits_shapes_and_classes(tmp_path: Path) -> None:
    data = load("digits", tmp_path / "never made", print)
    assert (data.train.images.shape, data.test.images.shape) == ((1438, 28, 28), (359, 28, 28))
    assert np.bincount(data.train.labels).tolist() == [142, 146, 142, 146, 145, 146, 145, 143, 139, 144]
    assert np.bincount(data.test.labels).tolist() == [36, 36, 35, 37, 36, 36, 36, 36, 35, 36]
    assert left_in(tmp_path) == []


def test_digits_pixels_are_three_by_three_within_a_border_of_two(tmp_path: Path) -> None:
    images = load("digits", tmp_path, print).train.images
    blocks = images[:, 2:-2, 2:-2].reshape(-1, 8, 3, 8, 3)
    assert (blocks == blocks[:, :, :1, :, :1]).all()
    assert int(images.sum()) == int(blocks.sum())
    assert sorted(set(images.flatten().tolist())) == [(grey * 255 + 8) // 16 for grey in range(17)]


def test_digits_are_the_same_bytes_everywhere(tmp_path: Path) -> None:
    checksum = load("digits", tmp_path, print).checksum
    assert checksum == "895a14b1d25bb914ff559c7f7c161c273b7c28fe9be0317adb487eafa7811653"


# --- the data's identity


def test_checksum_depends_on_every_file_and_not_on_their_order(tmp_path: Path) -> None:
    data = load("digits", tmp_path, print)
    assert replace(data, checksums=dict(reversed(data.checksums.items()))).checksum == data.checksum
    assert all(replace(data, checksums=data.checksums | {key: "0"}).checksum != data.checksum for key in data.checksums)


def test_checksum_changes_with_the_data(tmp_path: Path) -> None:
    raw = put(tmp_path / "KMNIST" / "raw", PLAIN)
    before = load("kmnist", tmp_path, print).checksum
    put(raw, {MNIST_TEST_LABELS: idx(0x0801, 10_000, fill=5)})
    assert load("kmnist", tmp_path, print).checksum != before
