"""The end of Ray on a machine of one's own, of a set-up that is under way there too, and a look whether it has come."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tune_mnist.remote.ssh import Unreachable, Way
from tune_mnist.words import several

END_S = 60.0
# First a head's connections to its workers, or these would go on with what they were told; then set-ups, each with all
# that it has started, such as pip; then Ray. What is left after ten seconds is told. Who is dead and not yet buried
# (Z) does not count, nor do other people's processes.
_END = r"""
{
pids() { sed 's|^/proc/\([0-9]*\)/.*|\1|'; }
state() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null; }
setups() { grep -lzxE "$HOME/tune-mnist/[s]etup\.sh" /proc/[0-9]*/cmdline 2>/dev/null | pids; }
rays() {
  for pid in $(grep -lxE 'raylet|gcs_server' /proc/[0-9]*/comm 2>/dev/null | pids); do
    case $(state $pid) in ''|Z*) ;; *) [ -O /proc/$pid/comm ] && echo $pid ;; esac
  done
}
end_setups() {
  for pid in $(setups); do
    group=$(state $pid | cut -d ' ' -f 3)
    [ -n "$group" ] && kill "-$1" -- "-$group" 2>/dev/null
  done
}
connections() { grep -lzxE "(~|$HOME)/ray_bootstrap_key\.[p]em" /proc/[0-9]*/cmdline 2>/dev/null | pids; }
kill $(connections) 2>/dev/null
[ -n "$(setups)" ] && echo setup
end_setups TERM
[ -x ~/tune-mnist/.venv/bin/ray ] && ~/tune-mnist/.venv/bin/ray stop >/dev/null 2>&1
for second in 1 2 3 4 5 6 7 8 9 10; do
  [ -z "$(setups; rays)" ] && break
  [ $second = 5 ] && end_setups KILL
  sleep 1
done
for pid in $(setups; rays); do echo "left $(cat /proc/$pid/comm) ($pid)"; done
[ -z "$(setups; rays)" ] && rm -f FORGOTTEN
} </dev/null
true
"""


@dataclass(frozen=True)
class Ended:
    """What came of the end of a machine, or of a cloud's cluster, in a line; `wrong` if it runs, or nobody knows."""

    line: str
    wrong: bool = False


def end(address: str, way: Way, forgotten: str = "") -> Ended:
    """End Ray and a set-up on a machine; once nothing runs there, the files to be `forgotten` are removed."""
    try:
        said = way.ask(address, _END.replace("FORGOTTEN", forgotten), END_S).splitlines()
    except Unreachable as error:
        return Ended(f"{address} cannot be reached by SSH ({error}): what runs there is not known", True)
    left = [line.removeprefix("left ") for line in said if line.startswith("left ")]
    if left:
        return Ended(f"{address}: {several(left)} would not end; kill it there", True)
    return Ended(f"{address}: ended" + ("; its set-up was under way, and is ended, too" if "setup" in said else ""))


def to_forget(config: Mapping[str, Any]) -> str:
    """A head's files, as words of a shell: the key to its workers, and that these are up, which Ray would believe."""
    state = f"/tmp/ray/cluster-{config['cluster_name']}.state"
    return f"~/ray_bootstrap_key.pem {shlex.quote(state)}"
