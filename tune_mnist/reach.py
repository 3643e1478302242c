"""Is a Ray cluster at an address, and does it take our token? Asked without Ray, in a second instead of a minute."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from tune_mnist.errors import UserError

REACH_S = 3.0  # to answer; Ray itself tries for 40 s before it says that nothing is there


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
