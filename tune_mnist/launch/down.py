"""The end of a cluster, and whether it has come: `tune-mnist cluster down FILE`, and what `run --cluster` ends with."""

from __future__ import annotations

from functools import partial

from tune_mnist.errors import ClusterError
from tune_mnist.launch.ray_up import Launcher
from tune_mnist.remote.ending import Ended, end, to_forget
from tune_mnist.remote.ssh import Unreachable, addresses, everywhere, way_of


def down(launcher: Launcher) -> list[Ended]:
    """End the cluster; of machines of one's own, what came of it on each, the head's first.

    `ray down` stops Ray on the head alone, and its workers would notice a minute later; a set-up would go on. Raises
    ClusterError where a cloud's cluster does not end.
    """
    if not launcher.is_local:
        return [Ended(f"ray down {launcher.file}: {launcher.down()}")]
    head, *workers = addresses(launcher.config)
    way = way_of(launcher.config, launcher.file)
    failed: list[Ended] = []
    try:
        way.ask(head, "true")
        launcher.down()
    except Unreachable:
        pass  # Ray would wait two minutes for it; that it cannot be reached is told below
    except ClusterError as error:
        failed.append(Ended(str(error), True))
    return [end(head, way, to_forget(launcher.config)), *everywhere(workers, partial(end, way=way)), *failed]
