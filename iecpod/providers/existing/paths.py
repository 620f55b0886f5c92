"""The way between nodes: whether each reaches the others on the ports that Kubernetes will listen on.

Something must listen there for that. A transient unit of systemd does for a minute, on the ports that are free; it
leaves nothing behind. perl is part of every Debian and Ubuntu.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.errors import IecpodError, Problem
from iecpod.ports import Shell
from iecpod.release.scenario import Role

T = TypeVar("T")

_UNIT = "iecpod-way-check.service"
_LISTEN_SECONDS = 90
_START_SECONDS = 60
_CONNECT_SECONDS = 5
_API_PORT, _KUBELET_PORT = 6443, 10250

#: Arguments: address, then ports. A port that is taken is left to who has it: that answers as well. systemd waits for
#: READY (sd_notify(3)), and systemd-run for systemd.
LISTEN = """
use IO::Socket::INET; use IO::Socket::UNIX; use IO::Select;
$SIG{ALRM} = sub { exit }; alarm SECONDS;
my $address = shift;
my @open = grep { defined } map { IO::Socket::INET->new(LocalAddr => $address, LocalPort => $_, Proto => 'tcp',
    Listen => 16, ReuseAddr => 1) } @ARGV;
if (my $socket = $ENV{NOTIFY_SOCKET}) {
    $socket =~ s/^@/\\0/;
    IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $socket)->send("READY=1");
}
my $ready = IO::Select->new(@open);
while (1) { close($_->accept) for $ready->can_read }
""".replace("SECONDS", str(_LISTEN_SECONDS))

#: Arguments: `ADDRESS:PORT` each. Prints those that cannot be reached, each with the reason.
CONNECT = """
use IO::Socket::INET;
for (@ARGV) {
    IO::Socket::INET->new(PeerAddr => $_, Proto => 'tcp', Timeout => SECONDS) or print "$_ $@\\n";
}
""".replace("SECONDS", str(_CONNECT_SECONDS))

_START = f"""
systemctl stop {_UNIT} 2> /dev/null || true
systemctl reset-failed {_UNIT} 2> /dev/null || true
exec systemd-run --quiet --collect --unit={_UNIT} --service-type=notify --property=TimeoutStartSec={_START_SECONDS} \\
    --property=RuntimeMaxSec={_LISTEN_SECONDS} perl -e "$@"
"""


def check_paths(shells: Mapping[str, Shell], cluster: DesiredCluster) -> tuple[Problem, ...]:
    """A problem for each way that is closed, in either direction. Raises what a node raises that does not answer."""
    nodes = [node for node in cluster.nodes if node.hostname in shells]
    names = [node.hostname for node in nodes]
    if len(nodes) < 2:
        return ()
    by_name = {node.hostname: node for node in nodes}
    try:
        run_on_nodes(names, lambda name: _listen(shells[name], by_name[name]))
        found = run_on_nodes(names, lambda name: tuple(_closed(shells[name], by_name[name], nodes)))
    finally:
        _at_each(names, lambda name: shells[name].run(["systemctl", "stop", _UNIT], check=False, timeout_seconds=60))
    return tuple(problem for name in names for problem in found[name])


def _at_each(names: list[str], work: Callable[[str], T]) -> None:
    """As the listeners end by themselves, a node that cannot be asked to end its own is no error."""

    def attempt(name: str) -> None:
        try:
            work(name)
        except IecpodError:
            return

    run_on_nodes(names, attempt)


def _ports(node: ClusterNode) -> tuple[int, ...]:
    return (_API_PORT, _KUBELET_PORT) if node.role is Role.CONTROL_PLANE else (_KUBELET_PORT,)


def _listen(shell: Shell, node: ClusterNode) -> None:
    ports = map(str, _ports(node))
    argv = ["sh", "-c", _START, "listen", LISTEN, str(node.address), *ports]
    shell.run(argv, timeout_seconds=_START_SECONDS + 30)


def _closed(shell: Shell, node: ClusterNode, nodes: list[ClusterNode]) -> Iterator[Problem]:
    targets = {
        f"{other.address}:{port}": other for other in nodes if other.hostname != node.hostname for port in _ports(other)
    }
    seconds = 30.0 + _CONNECT_SECONDS * len(targets)
    said = shell.run(["perl", "-e", CONNECT, *targets], timeout_seconds=seconds).stdout
    for line in said.splitlines():
        target, _, reason = line.partition(" ")
        if target in targets:
            reason = reason.removeprefix("IO::Socket::INET: ").removeprefix("connect: ")
            yield Problem(
                path=f"node {node.hostname}",
                message=f"it does not reach {targets[target].hostname} at {target} (TCP): {reason[:100]}",
                remedy="open it in the firewalls of both and of what is between them",
                rule="node-path",
            )
