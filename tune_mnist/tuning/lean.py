"""A local Ray without the parts that a sweep has no use for: its start is mostly Python processes that import it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

# The dashboard's server, which is started, and waited for, even where no dashboard is asked for; the autoscaler, which
# has no machine to start; and what carries the workers' output, which nobody reads.
UNUSED = ("start_api_server", "start_monitor", "start_log_monitor")


@contextmanager
def lean() -> Iterator[None]:
    """What is started within the `with` block has none of them.

    Ray has no option for that (2.60); where another release calls them otherwise, they are started.
    """
    from ray._private.node import Node

    kept = {name: getattr(Node, name) for name in UNUSED if hasattr(Node, name)}
    for name in kept:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(Node, name, method)
