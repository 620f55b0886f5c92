"""The way between nodes: whether each reaches the others on the ports that Kubernetes and the CNI will listen on.

Something must listen there for that. A transient unit of systemd does for a minute, on the ports that are free; it
leaves nothing behind. perl is part of every Debian and Ubuntu.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.design.cluster import ClusterNode, DesiredCluster, NodePort, Transport
from iecpod.errors import IecpodError, Problem
from iecpod.ports import Shell
from iecpod.providers.existing.node_ports import reached_ports

T = TypeVar("T")

_UNIT = "iecpod-way-check.service"
_LISTEN_SECONDS = 90
_START_SECONDS = 60
_CONNECT_SECONDS = 5
_UDP_TRIES, _UDP_SECONDS = 3, 2

#: Arguments: address, then `tcp:PORT` or `udp:PORT` each. A TCP port that is taken is left to the program that has it,
#: which answers as well. What comes by UDP is sent back. systemd waits for READY (sd_notify(3)), and systemd-run for
#: systemd.
LISTEN = """
use IO::Socket::INET; use IO::Socket::UNIX; use IO::Select;
$SIG{ALRM} = sub { exit }; alarm SECONDS;
my $address = shift;
my @open = grep { defined } map {
    my ($transport, $port) = split /:/;
    IO::Socket::INET->new(LocalAddr => $address, LocalPort => $port, Proto => $transport,
        $transport eq 'tcp' ? (Listen => 16, ReuseAddr => 1) : ());
} @ARGV;
if (my $socket = $ENV{NOTIFY_SOCKET}) {
    $socket =~ s/^@/\\0/;
    IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $socket)->send("READY=1");
}
my $ready = IO::Select->new(@open);
while (1) {
    for my $one ($ready->can_read) {
        if ($one->socktype == SOCK_STREAM) { my $peer = $one->accept; close($peer) if $peer; next }
        my $said;
        $one->send($said) if defined $one->recv($said, 64);
    }
}
""".replace("SECONDS", str(_LISTEN_SECONDS))

#: Arguments: `tcp:ADDRESS:PORT` or `udp:ADDRESS:PORT` each. Prints those that cannot be reached, each with the reason.
CONNECT = (
    """
use IO::Socket::INET; use IO::Select;
sub answers {
    my ($socket, $said) = shift;
    for (1 .. TRIES) {
        $socket->send("iecpod");
        return 1 if IO::Select->new($socket)->can_read(UDP_SECONDS) && defined $socket->recv($said, 64);
    }
    return 0;
}
for my $target (@ARGV) {
    my ($transport, $peer) = split /:/, $target, 2;
    my $socket = IO::Socket::INET->new(PeerAddr => $peer, Proto => $transport, Timeout => TCP_SECONDS);
    if (!$socket) { print "$target $@\\n" }
    elsif ($transport eq 'udp' && !answers($socket)) { print "$target no answer\\n" }
}
""".replace("UDP_SECONDS", str(_UDP_SECONDS))
    .replace("TCP_SECONDS", str(_CONNECT_SECONDS))
    .replace("TRIES", str(_UDP_TRIES))
)

_START = f"""
systemctl stop {_UNIT} 2> /dev/null || true
systemctl reset-failed {_UNIT} 2> /dev/null || true
exec systemd-run --quiet --collect --unit={_UNIT} --service-type=notify --property=TimeoutStartSec={_START_SECONDS} \\
    --property=RuntimeMaxSec={_LISTEN_SECONDS} perl -e "$@"
"""


def check_paths(
    shells: Mapping[str, Shell], cluster: DesiredCluster, used_udp: Mapping[str, Collection[int]]
) -> tuple[Problem, ...]:
    """A problem for each way that is closed, in either direction. Raises what a node raises that does not answer.

    `used_udp` are UDP ports of each node that are taken: nothing can answer there, so they are not tried.
    """
    nodes = [node for node in cluster.nodes if node.hostname in shells]
    names = [node.hostname for node in nodes]
    if len(nodes) < 2:
        return ()
    ports = {node: _free_ports(node, cluster, used_udp.get(node.hostname, ())) for node in nodes}
    by_name = {node.hostname: node for node in nodes}
    try:
        run_on_nodes(names, lambda name: _listen(shells[name], by_name[name], ports[by_name[name]]))
        found = run_on_nodes(names, lambda name: tuple(_closed(shells[name], by_name[name], ports)))
    finally:
        _at_each(names, lambda name: shells[name].run(["systemctl", "stop", _UNIT], check=False, timeout_seconds=60))
    return tuple(problem for name in names for problem in found[name])


def _free_ports(node: ClusterNode, cluster: DesiredCluster, used_udp: Collection[int]) -> tuple[NodePort, ...]:
    return tuple(
        port for port in reached_ports(node, cluster) if port.transport is Transport.TCP or port.number not in used_udp
    )


def _at_each(names: list[str], work: Callable[[str], T]) -> None:
    """As the listeners end by themselves, a node that cannot be asked to end its own is no error."""

    def attempt(name: str) -> None:
        try:
            work(name)
        except IecpodError:
            return

    run_on_nodes(names, attempt)


def _listen(shell: Shell, node: ClusterNode, ports: tuple[NodePort, ...]) -> None:
    listed = (f"{port.transport.value}:{port.number}" for port in ports)
    argv = ["sh", "-c", _START, "listen", LISTEN, str(node.address), *listed]
    shell.run(argv, timeout_seconds=_START_SECONDS + 30)


def _closed(shell: Shell, node: ClusterNode, ports: Mapping[ClusterNode, tuple[NodePort, ...]]) -> Iterator[Problem]:
    targets = {
        f"{port.transport.value}:{other.address}:{port.number}": (other, port)
        for other, reached in ports.items()
        for port in reached
        if other.hostname != node.hostname
    }
    seconds = 30.0 + max(_CONNECT_SECONDS, _UDP_TRIES * _UDP_SECONDS) * len(targets)
    said = shell.run(["perl", "-e", CONNECT, *targets], timeout_seconds=seconds).stdout
    for line in said.splitlines():
        target, _, reason = line.partition(" ")
        if target in targets:
            other, port = targets[target]
            reason = reason.removeprefix("IO::Socket::INET: ").removeprefix("connect: ")
            at = f"{other.address}:{port.number} ({port.transport.name})"
            yield Problem(
                path=f"node {node.hostname}",
                message=f"it does not reach {other.hostname} at {at}: {reason[:100]}",
                remedy="open it in the firewalls of both and of what is between them",
                rule="node-path",
            )
