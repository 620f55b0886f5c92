"""What a pod reaches, tried by its node in the pod's network namespace.

A command in a pod (`kubectl exec`) takes an emulated guest seconds for each try, since its runtime makes a container's
environment for it; here the tries of a check are one command on the node.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Address

from iecpod.deploy.node.node_poll import look
from iecpod.errors import NodeError, NodeUnreachable, WaitTimeout
from iecpod.ports import CommandResult, Shell
from iecpod.wait import NotYet

WELCOME = "Welcome to nginx"

#: Sets `inside` to what runs a command in the namespace that has the address `own`, and `device`. Exit 3: none has it.
_ENTER = """
device=
for process in $(lsns --noheadings --type net --output PID); do
    inside="nsenter --target $process --net"
    device=$($inside ip -oneline -4 address | awk -v ip="$own/" 'index($4, ip) == 1 {print $2}')
    test -z "$device" || break
done
test -n "$device" || exit 3
"""

#: Arguments: the pod's address, and the other's. Exit 4: the page does not come; other than 0: full packets do not.
#: The largest packet that the device takes must not be fragmented; 28 bytes are the headers of IPv4 and ICMP.
REACH = f"""
own=$1
{_ENTER}
$inside curl --silent --show-error --max-time 20 "http://$2/" || exit 4
mtu=$($inside ip -oneline link show dev "$device" | sed -n 's/.* mtu \\([0-9]*\\) .*/\\1/p')
$inside ping -c 3 -i 0.2 -W 10 -M do -s $((mtu - 28)) "$2" >&2
"""

#: Arguments: seconds, the pod's address, the other's, and `denied` or `allowed`. Prints what was seen last, where that
#: is not what is awaited. curl's exit status is 7 for a connection that is refused, 28 for one that is not answered.
AWAIT_POLICY = f"""
end=$(($(date +%s) + $1))
own=$2
{_ENTER}
while :; do
    page=$($inside curl --silent --show-error --max-time 20 "http://$3/" 2>&1)
    case "$4 $?" in "denied 7" | "denied 28" | "allowed 0") exit 0 ;; esac
    test "$(date +%s)" -lt "$end" || break
    sleep 1
done
printf %s "$page" | tail -c 300
exit 5
"""
_NO_NAMESPACE, _NO_PAGE = 3, 4


class Policy(enum.Enum):
    """What a network policy is to do with a connection."""

    DENIED = "denied"
    ALLOWED = "allowed"


def check_reach(shell: Shell, own: IPv4Address, other: IPv4Address, network_remedy: str) -> None:
    """The page at `other`, and packets of the pods' full MTU. Raises `NodeError`.

    Raises `NotYet` where the node is silent or the page does not come: nginx listens some time after its pod runs, and
    the pod network lets traffic to a new pod through some time after that.
    """
    result = _run(shell, REACH, own, other)
    if result.returncode == _NO_NAMESPACE:
        raise NodeError(shell.node, f"no namespace has the address {own} of a pod", network_remedy)
    if result.returncode == _NO_PAGE or WELCOME not in result.stdout:
        raise NotYet(f"pod {own} does not reach pod {other}: {(result.stderr or result.stdout).strip()[-300:]}")
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or ["no answer"]
        raise NodeError(
            shell.node,
            f"packets of full size do not get from pod {own} to pod {other}: {last[0]}",
            "the pods' MTU is larger than the path carries: check idf.fuel.network.interface_mtu and the lab's bridges",
        )


def check_policy(shell: Shell, own: IPv4Address, other: IPv4Address, policy: Policy, *, most_seconds: float) -> None:
    """Raises `NotYet` where connections of the one pod to the other are not what they are to be, for that long."""
    result = look(shell, AWAIT_POLICY, str(own), str(other), policy.value, most_seconds=most_seconds)
    if result.returncode != 0:
        seen = (result.stdout or result.stderr).strip()[-300:] or f"no namespace has the address {own}"
        raise NotYet("nginx still answers" if WELCOME in seen else seen)


def _run(shell: Shell, script: str, own: IPv4Address, other: IPv4Address) -> CommandResult:
    try:
        return shell.run(["sh", "-c", script, "reach", str(own), str(other)], check=False)
    except (NodeUnreachable, WaitTimeout) as error:
        raise NotYet(error.cause.removeprefix(f"{shell.node}: ")) from error
