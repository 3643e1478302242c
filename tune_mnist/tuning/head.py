"""Is a Ray cluster at an address, does it take our token, is it still there? Asked without Ray, which takes longer."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tune_mnist.background import Background
from tune_mnist.errors import ClusterError, UserError
from tune_mnist.exits import told

REACH_S = 3.0  # to answer; Ray itself tries for 40 s before it says that nothing is there
GRACE_S = 4.0  # for the program to leave Ray by itself once that is lost
LOOK_S, LOCAL_LOOK_S = 2.0, 1.0  # between two looks at a head, and at the parts of a local Ray
TOLD_S = 1.0  # that a signal to the whole process group, which ends Ray too, may take to reach this process
UNAUTHENTICATED, UNAVAILABLE = "UNAUTHENTICATED", "UNAVAILABLE"  # gRPC's names
MISSES = 4  # looks without an answer, one after another, after which it is lost: 8 to 20 s


class HeadLost(ClusterError):
    """The head of a cluster, or a part of a local one. A process that ends in Ray's own way waits a minute for it."""


def reach(address: str, insecure: bool) -> None:
    """Raise UserError if nothing answers at HOST:PORT, or a cluster that refuses this process's token.

    Also, unless `insecure`, if the cluster is open to whoever reaches it.
    """
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_S).close()
    except (OSError, OverflowError, ValueError) as error:
        raise unreachable(address, error) from None
    check_token(address, insecure)


def unreachable(address: str, error: Exception) -> UserError:
    """The error for an address that no cluster answers at."""
    cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"no Ray cluster answers at '{address}' ({cause}); give --address HOST:PORT of its head")


def check_token(address: str, insecure: bool) -> None:
    """Raise UserError if the cluster refuses the token. Ray tries for 30 s, and does not say that it was the token.

    A cluster that asks for none is refused, too, unless it is `insecure`, or on loopback, where nobody else reaches it.
    The token is told only to one that asks.
    """
    answer = _answer(address, "")
    if answer == UNAVAILABLE:  # what answers is no gRPC, or only one end speaks TLS: Ray would try for two minutes
        here = "is" if _has_tls() else "is not"
        raise unreachable(address, OSError(f"what listens there speaks otherwise; RAY_USE_TLS {here} set here"))
    if answer is None:
        if not insecure and not is_loopback(address):
            what = "asks for no token, so that whoever reaches it may run code on it"
            way_out = "start it with RAY_AUTH_MODE=token, or give --insecure"
            raise UserError(f"the Ray cluster at '{address}' {what}; {way_out}")
        return
    token = _token()
    if answer == UNAUTHENTICATED and (not token or _answer(address, token) == UNAUTHENTICATED):
        refused = "refuses the token it was given" if token else "asks for a token"
        way_out = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the file with the cluster's token"
        raise UserError(f"the Ray cluster at '{address}' {refused}; {way_out}")


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT is this machine's own loopback."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name
        return False


def _answer(address: str, token: str) -> str | None:
    """How a head answers who gives this token: None if well, else the name of gRPC's code."""
    import grpc

    with _channel(address) as channel:
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")
        try:
            ask(b"", timeout=REACH_S, metadata=[("authorization", f"Bearer {token}")] if token else [])
        except grpc.RpcError as error:
            return str(error.code().name)
    return None


def _has_tls() -> bool:
    return os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")


def _channel(address: str) -> Any:
    """As Ray's own: in plain text, or with TLS and the certificates that Ray is told of."""
    import grpc

    options = [("grpc.enable_http_proxy", 0)]
    if not _has_tls():
        return grpc.insecure_channel(address, options)
    names = ("RAY_TLS_CA_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_SERVER_CERT")
    try:
        files = [Path(os.environ.get(name, "")).read_bytes() for name in names]
    except OSError as error:
        raise UserError(f"RAY_USE_TLS asks for {', '.join(names)}, and '{error.filename}' cannot be read") from None
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(*files), options)


def _token() -> str:
    """The token that Ray will give, from where Ray takes it; empty if there is none."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return ""
    if token := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        return token
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    try:
        return path.read_text("utf-8").strip()
    except OSError as error:
        raise UserError(f"the token file '{path}' cannot be read: {error.strerror}; set RAY_AUTH_TOKEN_PATH") from None


class Watch(Background):
    """Looks whether what Ray needs is there, within its `with` block; interrupts the process once it is not.

    `missing` says what is not there, or None; it is lost after so many looks, one after another, that missed it. Ray's
    own driver tries for a minute, and then ends the process. Its calls cannot be interrupted: where the block has not
    ended after GRACE_S, `give_up` is called. `every`: seconds between two looks.
    """

    def __init__(
        self, missing: Callable[[], str | None], misses: int, every: float, give_up: Callable[[str], None]
    ) -> None:
        super().__init__("watch", self._look, every, patience=0)
        self.missing, self.misses, self.give_up = missing, misses, give_up
        self.lost: str | None = None
        self._missed = 0

    def gone(self) -> str | None:
        """What is lost, now: for an error of Ray's that may come of it."""
        if self.lost is None and self.missing():
            return self.missing()
        return self.lost

    def _look(self) -> bool:
        missing = self.missing()
        self._missed = self._missed + 1 if missing else 0
        if missing is None or self._missed < self.misses:
            return False
        if not told.wait(TOLD_S):
            self.lost = missing
            os.kill(os.getpid(), signal.SIGINT)
        if not self.ending.wait(GRACE_S):
            self.give_up(missing)
        return True


class Head:
    """The head of a cluster at HOST:PORT."""

    def __init__(self, address: str) -> None:
        self.address = address
        host, _, port = address.rpartition(":")
        self.place = host.strip("[]"), int(port)

    def missing(self) -> str | None:
        try:
            socket.create_connection(self.place, REACH_S).close()
        except OSError:
            return f"the Ray head at '{self.address}'"
        return None
