"""What is on disk is data, never code; the token is told to nobody; a cluster's TLS is spoken."""

from __future__ import annotations

import ast
import io
import os
import pickle
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from conftest import ROOT

from tune_mnist.errors import UserError
from tune_mnist.store.checkpoint import unpacked
from tune_mnist.store.store import Store
from tune_mnist.tuning.head import REACH_S, reach

# Calls that make code of data, or a shell's line of words. Where one is right, it is said why.
FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "os.system", "os.popen", "marshal.load", "marshal.loads"),
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "cloudpickle.load", "cloudpickle.loads", "shelve.open"),
    *("joblib.load", "pd.read_pickle", "pandas.read_pickle", "yaml.load", "yaml.full_load", "yaml.unsafe_load"),
    *("yaml.load_all", "np.load", "numpy.load", "torch.load", "torch.jit.load", "subprocess.getoutput"),
}
EXCEPTIONS = {
    ("tune_mnist/checking/probe.py", "pickle.loads"): "a pipe from a process that it started itself",
    ("tune_mnist/trials/process.py", "cloudpickle.loads"): "a pipe from the process that started it",
}
SAFELY = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def tracked() -> list[Path]:
    """Every file that is in git, or will be."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Each call with the name it is called by, as `torch.load`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> Any:
    found = [one.value for one in call.keywords if one.arg == name]
    return found[0].value if found and isinstance(found[0], ast.Constant) else None


def test_nothing_on_disk_is_run_or_unpickled() -> None:
    found, unused = [], dict(EXCEPTIONS)
    for path in python_files():
        place = path.relative_to(ROOT).as_posix()
        for name, call in calls(path):
            is_safe = name in SAFELY and keyword(call, SAFELY[name][0]) is SAFELY[name][1]
            if name in FORBIDDEN and not is_safe and unused.pop((place, name), EXCEPTIONS.get((place, name))) is None:
                found.append(f"{place}:{call.lineno}: {name}")
    assert not found
    assert not unused, "an exception that nothing needs any more"


def test_no_command_goes_through_a_shell() -> None:
    """Names of files and values are words of a command, never parts of a line."""
    found = [
        f"{path.name}:{call.lineno}"
        for path in python_files()
        for _, call in calls(path)
        if any(one.arg == "shell" and keyword(call, "shell") is not False for one in call.keywords)
    ]
    assert not found


class Bomb:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "in torch's archive"])
def test_a_checkpoint_with_code_in_it_is_not_run(wrapped: bool, tmp_path: Path) -> None:
    """Under its right name, which is the hash of its content: whoever can write a file can write that."""
    import torch

    fired, key = tmp_path / "fired", "0" * 16
    buffer = io.BytesIO()
    if wrapped:
        torch.save({"model": Bomb(fired)}, buffer)
    else:
        pickle.dump(Bomb(fired), buffer)
    store = Store(tmp_path / "store")
    with store.claim([key]):
        store.open(key, {"config": {}})
        store.append(key, {"epoch": 1, "val_loss": 1.0})
        store.save_checkpoint(key, 1, buffer.getvalue())
        found = store.load_checkpoint(key)
    assert found is not None
    try:
        assert unpacked(found[1]) == found[1]  # bytes, as those of a task without torch are
    except Exception as error:
        assert wrapped, error
    assert not fired.exists()


def command_lines() -> Iterator[tuple[str, str]]:
    """(file, line) of all that starts something: cluster files, compose file, shell scripts, Makefile, Dockerfile."""
    for path in tracked():
        place = path.relative_to(ROOT).as_posix()
        is_script = path.suffix in (".yaml", ".yml", "") and place.split("/")[0] in (
            "cluster",
            "docker",
            "Makefile",
            ".ci",
        )
        if is_script and path.suffix != ".py":
            yield from ((place, line) for line in path.read_text("utf-8").splitlines())


def test_no_command_line_holds_the_token() -> None:
    """It travels in files of mode 0600 and in the environment of this process's children, never as a word."""
    told = re.compile(r"RAY_AUTH_TOKEN=|--token|\$\(cat [^)]*token|Bearer ")
    assert not [(place, line) for place, line in command_lines() if told.search(line)]
    secret = re.compile(r"\b(_TOKEN|token)\b")
    for path in (ROOT / "tune_mnist").rglob("*.py"):
        for name, call in calls(path):
            if name.startswith(("subprocess.", "log.", "print", "json.dump")) and secret.search(ast.unparse(call)):
                pytest.fail(f"{path.name}:{call.lineno} may tell the token")


def test_the_images_and_the_compose_file_are_not_told_a_token() -> None:
    services = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text("utf-8"))["services"]
    assert not [name for name, one in services.items() if "RAY_AUTH_TOKEN" in (one.get("environment") or {})]
    assert "token" not in " ".join(
        re.findall(r"^(?:COPY|ENV|ARG) .*", (ROOT / "docker" / "Dockerfile").read_text("utf-8"))
    )


@pytest.mark.parametrize(
    ("name", "releases"),
    [
        ("requirements.txt", 100),
        ("docker/requirements.txt", 100),
        ("requirements-dev.txt", 100),
        ("requirements-uv.txt", 1),
    ],
)
def test_every_locked_release_has_its_hashes(name: str, releases: int) -> None:
    text = re.sub(r" \\\n\s*", " ", (ROOT / name).read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) >= releases
    assert not [line for line in lines if not re.fullmatch(r"\S+==\S+( ; .+?)?( --hash=sha256:[0-9a-f]{64})+", line)]


def test_whoever_installs_the_lock_asks_for_its_hashes() -> None:
    for name in ("Makefile", "docker/packages", "cluster/setup.sh"):
        text = re.sub(r"\\\n\s*", " ", (ROOT / name).read_text("utf-8"))
        installs = [
            line
            for line in text.splitlines()
            if re.search(r"(install\b|\$\((PIP|INSTALL)\)).* -r ", line) and "torch.txt" not in line
        ]
        assert installs, name
        assert not [line for line in installs if "--require-hashes" not in line], name


# TLS: a gRPC server of a test's own that asks for the token as a Ray head does


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What cluster/README.md says to make, for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    page = (ROOT / "cluster" / "README.md").read_text("utf-8")
    (script,) = re.findall(r"```sh\n([^`]*openssl[^`]*)```", page)
    done = subprocess.run(
        ["sh", "-e", "-c", script.replace("ADDRESS", "127.0.0.1")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {
        "RAY_USE_TLS": "1",
        "RAY_TLS_CA_CERT": str(folder / "ca.crt"),
        "RAY_TLS_SERVER_CERT": str(folder / "node.crt"),
        "RAY_TLS_SERVER_KEY": str(folder / "node.key"),
    }


class Head(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers whoever gives the token."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        metadata = dict(details.invocation_metadata)

        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            if metadata.get("authorization") != "Bearer right":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "no")
            return b""

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def secured(certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server with TLS; this process has the token and no certificates."""
    for name in certificates:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "right")
    key, certificate, authority = (
        Path(certificates[name]).read_bytes()
        for name in ("RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT", "RAY_TLS_CA_CERT")
    )
    credentials = grpc.ssl_server_credentials([(key, certificate)], authority, require_client_auth=True)
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads, handlers=(Head(),))
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(0).wait()


def test_a_cluster_with_tls_is_reached_with_its_certificates(
    secured: str, certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in certificates.items():
        monkeypatch.setenv(name, value)
    reach(secured, insecure=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    with pytest.raises(UserError, match="refuses the token it was given"):
        reach(secured, insecure=False)


def test_a_cluster_with_tls_is_named_to_who_has_none(secured: str) -> None:
    """Ray tries for two minutes, and says nothing."""
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"speaks otherwise; RAY_USE_TLS is not set here"):
        reach(secured, insecure=False)
    assert time.monotonic() - begin < 2 * REACH_S


def test_certificates_that_are_not_there_are_named(
    secured: str, certificates: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in certificates.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_TLS_CA_CERT", os.devnull + "/none")
    with pytest.raises(UserError, match=r"'/dev/null/none' cannot be read"):
        reach(secured, insecure=False)
