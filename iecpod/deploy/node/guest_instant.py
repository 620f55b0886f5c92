"""What nodes do around the instant of a checkpoint: little memory to store, and no clock that jumps under a kubelet.

On each node a transient unit (`iecpod-instant`) stops the processes that act on the time, by SIGSTOP, until it sees
that time has passed while the node stood still. It sees that by the RTC, which follows the host's clock, and it is in
the memory that is saved: so it steps the clock of a restored node before the kubelet runs there, and before anybody
can log in. The controller manager of a restored node continues later, when kubelets have renewed their leases. A node
that is not paused continues when the connection of the run that saves it ends, or by itself after minutes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iecpod.deploy.node.signal_script import SIGNAL
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.errors import IecpodError, NodeError
from iecpod.ports import Reporter, Shell

_ANSWER_SECONDS = 120.0
#: How far a clock is behind is known by half of the time that the question takes, so it is asked again.
_TRIES = 5
#: For what runs on a node while the rest is cleared.
_LEFT_FREE_MIB = 96
#: How far clocks of a POD may differ: nodes read their RTC in whole seconds.
MOST_SECONDS_OFF = 2

#: The controller manager counts the hour of its tokens by the monotonic clock, which stands still in a paused guest:
#: after a restore an hour later, its requests were unauthorized, and no worker could join. Its kubelet starts another.
_MOST_SECONDS_OF_TOKENS = 300
#: A node that stood still for longer was restored: a save takes seconds. The controller manager takes a node for lost
#: whose lease it has not seen renewed for 40 s, so it does not wait after each of several saves.
_MOST_SECONDS_OF_PAUSE = 15

# Nothing is started while it looks, since each program costs an emulated guest tenths of a second, and seconds on a
# busy host: date(1) adds to the time at which it runs. `uptime` stands still in a guest that is paused, the RTC not.
INSTANT = f"""
rtc=/sys/class/rtc/rtc0/since_epoch
over=/run/iecpod-instant.over
look() {{
    read -r up _ < /proc/uptime
    read -r now < $rtc
    up=${{up%.*}}
    ahead=$(( now - up ))
}}
{SIGNAL}
# QEMU forgets which VLANs a virtio NIC takes when it loads memory. A NIC that takes all frames needs no such list.
take_vlans() {{
    [ -e /proc/net/vlan/config ] || return
    while IFS=' |' read -r _ _ nic; do
        [ -n "$nic" ] && [ -e "/sys/class/net/$nic" ] && ip link set dev "$nic" promisc on
    done < /proc/net/vlan/config
}}
look
before=$ahead
began=$up
moved=0
signal STOP "kubelet kube-controller kube-scheduler"
while [ $(( up - began )) -lt 240 ] && [ ! -e $over ]; do
    # Before it looks: sshd of a restored node may end at once.
    gone=
    [ -e "/proc/$1" ] || gone=yes
    look
    moved=$(( ahead - before ))
    [ "${{moved#-}}" -gt {MOST_SECONDS_OFF} ] || [ -n "$gone" ] && break
    sleep 0.2
done
[ "${{moved#-}}" -gt {MOST_SECONDS_OFF} ] && date --set "$moved seconds"
signal CONT kubelet
touch $over
take_vlans
[ "${{moved#-}}" -gt {_MOST_SECONDS_OF_PAUSE} ] && sleep 15
[ "${{moved#-}}" -gt {_MOST_SECONDS_OF_TOKENS} ] && signal KILL kube-controller
signal CONT "kube-controller kube-scheduler"
"""

#: A second where the host has the guest's memory; where it has not, since the guest has not used it or was restored
#: without it, the host has to find it first, which took 25 s. Such memory is zeros already.
_CLEARING_SECONDS = 5

# sshd's process ends with the run that saves, however that ends: a node whose saver was killed continues at once.
# The script is a file, since systemd would put values of its own in the place of `${...}`.
PREPARE = f"""
rm -f /run/iecpod-instant.over
if [ -e /run/systemd/transient/iecpod-instant.service ]; then
    systemctl stop iecpod-instant.service
    systemctl reset-failed iecpod-instant.service
fi 2>/dev/null
saver=$$
until read -r name < "/proc/$saver/comm" && [ "${{name#sshd}}" != "$name" ]; do
    while read -r key saver && [ "$key" != PPid: ]; do :; done < "/proc/$saver/status" && [ "$saver" -gt 1 ] && continue
    echo 'no sshd that this runs under' >&2
    exit 1
done
printf '%s' "$1" > /run/iecpod-instant.sh
systemd-run --quiet --collect --unit=iecpod-instant sh /run/iecpod-instant.sh "$saver" || exit 1
choom -n 1000 -- timeout {_CLEARING_SECONDS} python3 -I -S -c "$2" 2>/dev/null
exit 0
"""

#: Drops caches and clears what is free: zeros are not stored. The kernel clears huge pages in a second, where a file of
#: zeros, or small pages, took twenty. No more is taken than there are free blocks of 2 and 4 MiB (the last two columns
#: of buddyinfo): to make others, the kernel moved pages for half a minute. The kubelet stands still by then: it would
#: take that for the memory of pods, and evict some. Where memory becomes scarce, the kernel ends this program.
#: 23 is MADV_POPULATE_WRITE, since Linux 5.14; before, nothing is cleared.
CLEAR_MEMORY = f"""
import mmap, os
os.sync()
with open("/proc/sys/vm/drop_caches", "w") as file:
    file.write("3")
with open("/proc/buddyinfo") as file:
    blocks = [line.split() for line in file]
free = sum(2 * int(columns[-2]) + 4 * int(columns[-1]) for columns in blocks) - {_LEFT_FREE_MIB}
if free > 0:
    memory = mmap.mmap(-1, free << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    memory.madvise(23)
"""

#: Prints the node's time; fails on a node that stands still yet.
LOOK = "date +%s.%N; test -e /run/iecpod-instant.over"

#: Lets a node continue, with its clock moved by so many seconds.
SETTLE = """
[ "$1" = 0 ] || date --set "$1 seconds" > /dev/null
touch /run/iecpod-instant.over
"""


def prepare_nodes(shells: Mapping[str, Shell], reporter: Reporter) -> None:
    """Before machines are paused. A node that cannot be prepared is saved as it is: that costs room, and no more."""

    def prepare(hostname: str) -> None:
        try:
            shells[hostname].run(["sh", "-c", PREPARE, "prepare", INSTANT, CLEAR_MEMORY], timeout_seconds=180)
        except IecpodError as error:
            reporter.warn(f"{hostname} is saved unprepared: {error.cause}")

    run_on_nodes(tuple(shells), prepare)


def settle_nodes(shells: Mapping[str, Shell], unix_time: Callable[[], float] = time.time) -> dict[str, int]:
    """Lets nodes continue, with the host's time; by how many seconds each clock was moved. Raises `NodeError`."""

    def settle(hostname: str) -> int:
        moved = 0
        for _ in range(_TRIES):
            behind = _look(shells[hostname], unix_time).behind
            shells[hostname].run(["sh", "-c", SETTLE, "settle", str(behind)], timeout_seconds=_ANSWER_SECONDS)
            moved += behind
            if not behind:
                break
        return moved

    return run_on_nodes(tuple(shells), settle)


@dataclass(frozen=True, slots=True)
class _Clock:
    """`behind` is 0 where the node's time may be the host's, as far as the time of the question shows."""

    behind: int
    is_settled: bool


def _look(shell: Shell, unix_time: Callable[[], float]) -> _Clock:
    asked_at = unix_time()
    answer = shell.run(["sh", "-c", LOOK], timeout_seconds=_ANSWER_SECONDS, check=False)
    answered_at = unix_time()
    text = answer.stdout.strip()
    if not re.fullmatch(r"[0-9]{1,12}\.[0-9]{9}", text, re.ASCII):
        raise NodeError(shell.node, f"its clock cannot be read: {(text or answer.stderr)[:80]!r}")
    at = float(text)
    is_right = asked_at - MOST_SECONDS_OFF <= at <= answered_at + MOST_SECONDS_OFF
    return _Clock(0 if is_right else round((asked_at + answered_at) / 2 - at), answer.returncode == 0)


@dataclass(frozen=True, slots=True)
class ClockPhase:
    """The clocks of nodes that a checkpoint has brought back, before anything is asked of the cluster."""

    shells: Mapping[str, Shell]
    reporter: Reporter
    unix_time: Callable[[], float] = time.time
    name: str = "clock"
    summary: str = "clocks of the nodes, after the time in which they stood still"

    def probe(self) -> str | None:
        clocks = run_on_nodes(tuple(self.shells), lambda hostname: _look(self.shells[hostname], self.unix_time))
        if any(clock.behind or not clock.is_settled for clock in clocks.values()):
            return None
        return f"{len(clocks)} within {MOST_SECONDS_OFF} s of the host's"

    def run(self) -> None:
        for hostname, seconds in settle_nodes(self.shells, self.unix_time).items():
            if seconds:
                self.reporter.progress(f"its clock was moved by {seconds} s", hostname)
