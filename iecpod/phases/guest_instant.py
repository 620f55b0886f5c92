"""What nodes do around the instant of a checkpoint: little memory to store, and no clock that jumps under a kubelet.

On each node a transient unit (`iecpod-instant`) stops the processes that act on the time, by SIGSTOP, until it sees
that time has passed while the node stood still. It sees that by the RTC, which follows the host's clock, and it is in
the memory that is saved: so it steps the clock of a restored node before the kubelet runs there, and before anybody
can log in. The controller manager goes on later, when kubelets have renewed their leases. A node that nobody pauses
goes on by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.errors import CommandFailed, IecpodError, NodeError, NodeErrors
from iecpod.ports import Reporter, Shell
from iecpod.waiting.parallel import run_on_nodes

#: How far clocks of a POD may differ: nodes read their RTC in whole seconds.
_MOST_SECONDS_OFF = 2

INSTANT = f"""
rtc=/sys/class/rtc/rtc0/since_epoch
uptime() {{ cut -d. -f1 /proc/uptime; }}
ahead() {{ echo $(( $(cat $rtc) - $(date +%s) )); }}
signal() {{
    for comm in /proc/[0-9]*/comm; do
        read -r name < "$comm" || continue
        pid=${{comm#/proc/}}
        case " $2 " in *" $name "*) kill -s "$1" "${{pid%/comm}}" ;; esac
    done 2>/dev/null
}}
before=$(ahead)
moved=0
began=$(uptime)
signal STOP "kubelet kube-controller kube-scheduler"
while [ $(( $(uptime) - began )) -lt 240 ] && [ ! -e /run/iecpod-instant.over ]; do
    moved=$(( $(ahead) - before ))
    [ "${{moved#-}}" -gt {_MOST_SECONDS_OFF} ] && break
    sleep 0.1
done
if [ "${{moved#-}}" -gt {_MOST_SECONDS_OFF} ]; then
    second=$(cat $rtc)
    while [ "$(cat $rtc)" = "$second" ]; do sleep 0.02; done
    date --set "@$(( $(cat $rtc) - before ))"
fi
signal CONT kubelet
sleep 15
signal CONT "kube-controller kube-scheduler"
"""

# Caches are dropped, and what is free is filled with zeros, which a checkpoint does not store. The kubelet stands still
# by then: it would take the zeros for the memory of pods, and evict some.
PREPARE = """
rm -f /run/iecpod-instant.over
systemctl stop iecpod-instant.service 2>/dev/null
systemctl reset-failed iecpod-instant.service 2>/dev/null
systemd-run --quiet --collect --unit=iecpod-instant sh -c "$1" || exit 1
sync
echo 3 > /proc/sys/vm/drop_caches
free=$(awk '/^MemFree:/ { print int($2 / 1024) }' /proc/meminfo)
fill=$(( free - 160 ))
if [ "$fill" -gt 0 ] && zeros=$(mktemp -d /run/iecpod-zeros.XXXXXX); then
    if mount -t tmpfs -o "size=${fill}m,mode=0700" tmpfs "$zeros"; then
        timeout 30 dd if=/dev/zero of="$zeros/zeros" bs=1M count="$fill" 2>/dev/null
        umount "$zeros"
    fi
    rmdir "$zeros"
fi
exit 0
"""

SETTLE = f"""
touch /run/iecpod-instant.over
ahead=$(( $1 - $(date +%s) ))
[ "${{ahead#-}}" -le {_MOST_SECONDS_OFF} ] || date --set "@$1" > /dev/null
echo "$ahead"
"""

LOOK = "test -e /run/iecpod-instant.over && echo $(( $1 - $(date +%s) ))"


def prepare_nodes(shells: Mapping[str, Shell], reporter: Reporter) -> None:
    """Before machines are paused. A node that cannot be prepared is saved as it is: that costs room, and no more."""

    def prepare(hostname: str) -> None:
        try:
            shells[hostname].run(["sh", "-c", PREPARE, "prepare", INSTANT], timeout_seconds=180)
        except IecpodError as error:
            reporter.warn(f"{hostname} is saved unprepared: {error.cause}")

    run_on_nodes(tuple(shells), prepare)


def settle_nodes(shells: Mapping[str, Shell], unix_time: Callable[[], float] = time.time) -> dict[str, int]:
    """Lets nodes go on, with the host's time; by how many seconds each clock was behind. Raises `NodeError`."""
    return run_on_nodes(tuple(shells), lambda hostname: _behind(shells[hostname], SETTLE, unix_time))


def _behind(shell: Shell, script: str, unix_time: Callable[[], float]) -> int:
    answer = shell.run(["sh", "-c", script, "clock", str(round(unix_time()))], timeout_seconds=120).stdout.strip()
    if not re.fullmatch(r"-?[0-9]{1,12}", answer, re.ASCII):
        raise NodeError(shell.node, f"its clock cannot be read: {answer[:80]!r}")
    return int(answer)


@dataclass(frozen=True, slots=True)
class ClockPhase:
    """The clocks of nodes that a checkpoint has brought back, before anything is asked of the cluster."""

    shells: Mapping[str, Shell]
    reporter: Reporter
    unix_time: Callable[[], float] = time.time
    name: str = "clock"
    summary: str = "clocks of the nodes, after the time in which they stood still"

    def probe(self) -> str | None:
        try:
            behind = run_on_nodes(tuple(self.shells), self._look)
        except (CommandFailed, NodeErrors):  # a node has not been settled yet
            return None
        if any(abs(seconds) > _MOST_SECONDS_OFF for seconds in behind.values()):
            return None
        return f"{len(behind)} within {_MOST_SECONDS_OFF} s of the host's"

    def run(self) -> None:
        for hostname, seconds in settle_nodes(self.shells, self.unix_time).items():
            if abs(seconds) > _MOST_SECONDS_OFF:
                self.reporter.progress(f"its clock was stepped by {seconds} s", hostname)

    def _look(self, hostname: str) -> int:
        return _behind(self.shells[hostname], LOOK, self.unix_time)
