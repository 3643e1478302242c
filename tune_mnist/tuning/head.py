"""Is a Ray cluster at an address, does it take our token, is it still there? Asked without Ray, which takes longer."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tune_mnist.errors import UserError

REACH_S = 3.0  # to answer; Ray itself tries for 40 s before it says that nothing is there
GRACE_S = 15.0
LOOK_S, MISSES = 2.0, 4  # between two looks at a head; so many in vain, after 8 to 20 s, and it is lost


def reach(address: str) -> None:
    """Raise UserError if nothing answers at HOST:PORT, or a cluster that refuses this process's token."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, OverflowError, ValueError) as error:
        raise unreachable(address, error) from None
    _check_token(address)


def unreachable(address: str, error: Exception) -> UserError:
    """The error for an address that no cluster answers at."""
    cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"no Ray cluster answers at '{address}' ({cause}); give --address HOST:PORT of its head")


def _check_token(address: str) -> None:
    """Raise UserError if the cluster refuses the token. Ray tries for 30 s, and does not say that it was the token."""
    import grpc

    token = _token()
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
        try:
            ask(b"", timeout=REACH_S, metadata=[("authorization", f"Bearer {token}")] if token else [])
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                return  # not of our concern: to join tells what is wrong
            refused = "refuses the token it was given" if token else "asks for a token"
            way_out = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file with the cluster's token"
            raise UserError(f"the Ray cluster at '{address}' {refused}; {way_out}") from None


def _token() -> str:
    """The token that Ray will give, from where Ray takes it; empty without one."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return ""
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise UserError(f"the token file '{path}' cannot be read: {error.strerror}; set RAY_AUTH_TOKEN_PATH") from None


class HeadWatch:
    """Looks whether the head at HOST:PORT is there, within its `with` block; interrupts the process once it is not.

    Ray's own driver tries for a minute, and then ends the process. Its calls to the head cannot be interrupted: where
    the block has not ended after GRACE_S, `give_up` is called.
    """

    def __init__(self, address: str, give_up: Callable[[], None]) -> None:
        self.give_up = give_up
        host, _, port = address.rpartition(":")
        self.place = host.strip("[]"), int(port)
        self.lost = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="head watch", daemon=True)

    def __enter__(self) -> HeadWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def gone(self) -> bool:
        """Whether it is lost, now: for an error of Ray's that may come of it."""
        return self.lost or all(not self._there() for _ in range(2))

    def _watch(self) -> None:
        missed = 0
        while missed < MISSES:
            if self._stop.wait(LOOK_S):
                return
            missed = 0 if self._there() else missed + 1
        self.lost = True
        os.kill(os.getpid(), signal.SIGINT)
        if not self._stop.wait(GRACE_S):
            self.give_up()

    def _there(self) -> bool:
        try:
            socket.create_connection(self.place, REACH_S).close()
        except OSError:
            return False
        return True
