"""The other nodes, by `kubeadm join`, all at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from iecpod.deploy.kubectl.bootstrap_token import ca_cert_hash, registered_token
from iecpod.deploy.kubectl.kubectl import NODES, Kubectl, KubectlAt, find_nodes, name_of
from iecpod.deploy.kubectl.node_cidrs import assign_pod_cidrs, has_reported
from iecpod.deploy.kubectl.object_waits import wait_for_objects
from iecpod.deploy.node.clean_up import cleaned_up
from iecpod.deploy.node.node_probe import UNIT_STATES, ask
from iecpod.deploy.node.systemd_job import run_job
from iecpod.deploy.phases.control_plane import preflight_flags, reset_node
from iecpod.deploy.phases.verify import RECORD_PATH
from iecpod.deploy.waiting.parallel import run_on_nodes
from iecpod.deploy.waiting.phase_tools import PhaseTools
from iecpod.design.cluster import ClusterNode, DesiredCluster, NodeCidrs
from iecpod.errors import CommandFailed, NodeError
from iecpod.outside_json import Json
from iecpod.ports import Shell
from iecpod.render.kubeadm import render_join_config
from iecpod.wait import NotYet

_CA_CERTIFICATE = "/etc/kubernetes/pki/ca.crt"
_KUBELET_CONF = "/etc/kubernetes/kubelet.conf"
_CONFIG = "/etc/kubernetes/iecpod-join.yaml"
_MANIFESTS = "/etc/kubernetes/manifests"
#: How far a join came. Arguments: the kubelet's configuration, the unit.
LOOK = """
if test -e "$1"; then echo kubelet.conf=yes; else echo kubelet.conf=no; fi
echo "job=$(systemctl is-active "$2")"
exit 0
"""
_LOOKED = re.compile(r"kubelet\.conf=(yes|no)\njob=([a-z]+)\n", re.ASCII)
_UNIT = "iecpod-kubeadm-join.service"
_JOIN_SECONDS = 150.0
_REPORT_SECONDS = 60.0

_ADD_HOSTS = """
for line; do
    grep -qxF -- "$line" /etc/hosts || printf '%s\\n' "$line" >> /etc/hosts
done
"""


@dataclass(frozen=True, slots=True)
class _Join:
    """How far the join of a node came; `job` is the state of its unit, in systemd's words."""

    is_begun: bool
    job: str

    @classmethod
    def parse(cls, printed: str) -> _Join | None:
        """None where it is not, in full, what `LOOK` prints."""
        found = _LOOKED.fullmatch(printed)
        return cls(found[1] == "yes", found[2]) if found and found[2] in UNIT_STATES else None

    @property
    def is_running(self) -> bool:
        return self.job == "activating"

    @property
    def is_over(self) -> bool:
        """A node in the API may be that of an earlier machine: the one there now has joined where kubeadm says so."""
        return self.is_begun and not self.is_running


@dataclass(frozen=True, slots=True)
class WorkersPhase:
    """`hosts` are lines of /etc/hosts, which nodes that were there before a node joins do not have."""

    cluster: DesiredCluster
    shells: Mapping[str, Shell]
    tools: PhaseTools
    name: str = "workers"
    summary: str = "kubeadm join on the other nodes"
    hosts: tuple[str, ...] = ()
    kubectl_at: KubectlAt = Kubectl

    def probe(self) -> str | None:
        nodes = self._find_nodes()
        if self._missing(nodes):
            return None
        return f"{len(self.cluster.workers)} joined"

    def run(self) -> None:
        nodes = self._find_nodes()
        missing = self._missing(nodes)
        former = [node for node in missing if nodes.get(node.hostname)]
        self._discard_former([node.hostname for node in former])
        self._add_hosts([node for node in self.cluster.nodes if node not in missing])
        unlisted = [node for node in missing if node in former or node.hostname not in nodes]
        if self.cluster.cni.node_cidrs is NodeCidrs.REGISTERED and unlisted:
            assign_pod_cidrs(self._kubectl, unlisted)
        pin = self._find_pin()
        seconds = self.tools.deadlines.seconds(_JOIN_SECONDS)
        with registered_token(self._kubectl, 2 * self.tools.deadlines.most_seconds(_JOIN_SECONDS)) as token:
            configs = {
                node.hostname: render_join_config(
                    self.cluster, node, token=token, ca_cert_hash=pin, timeout_seconds=seconds
                )
                for node in missing
            }
            self.tools.node_times.on_nodes(tuple(configs), lambda hostname: self._join(hostname, configs[hostname]))
        self._wait_for_reports([node.hostname for node in missing])

    @property
    def _control_plane(self) -> Shell:
        return self.shells[self.cluster.control_plane.hostname]

    @property
    def _kubectl(self) -> Kubectl:
        return self.kubectl_at(self._control_plane)

    def _find_pin(self) -> str:
        shell = self._control_plane
        read_key = ["openssl", "x509", "-in", _CA_CERTIFICATE, "-noout", "-pubkey"]
        try:
            return ca_cert_hash(shell.run(read_key).stdout.encode())
        except ValueError as error:
            remedy = "see what it runs with `iecpod ssh`"
            raise NodeError(shell.node, f"{_CA_CERTIFICATE} has no public key that can be read", remedy) from error

    def _find_nodes(self) -> dict[str, bool]:
        """Of the nodes that the API server lists, whether a kubelet has reported."""
        return {name: has_reported(item) for name, item in find_nodes(self._kubectl, self.tools.waits).items()}

    def _missing(self, nodes: Mapping[str, bool]) -> tuple[ClusterNode, ...]:
        """Workers that no kubelet has reported for, or that of the machine that they were before."""
        seen = [node.hostname for node in self.cluster.workers if nodes.get(node.hostname)]
        joined = run_on_nodes(seen, self._has_joined)
        return tuple(node for node in self.cluster.workers if not joined.get(node.hostname, False))

    def _wait_for_reports(self, hostnames: Sequence[str]) -> None:
        """kubeadm ends when the kubelet has its certificate, a moment before it reports."""

        def probe(kubectl: Kubectl) -> None:
            nodes = _reports(kubectl.load(NODES))
            silent = [hostname for hostname in hostnames if not nodes.get(hostname)]
            if silent:
                raise NotYet(f"no report of {' and '.join(silent)}")

        wait_for_objects(
            "reports of the kubelets",
            probe,
            self._kubectl,
            [NODES],
            self.tools.waits,
            seconds=_REPORT_SECONDS,
            console_of=self.cluster.control_plane.hostname,
            remedy=f"see `{self.tools.advice.command('kubectl', 'describe', 'nodes')}`",
        )

    def _has_joined(self, hostname: str) -> bool:
        return self._look(hostname).is_over

    def _look(self, hostname: str) -> _Join:
        """Raises `WaitTimeout` where the node does not say it."""
        return ask(self.shells[hostname], self.tools.waits, LOOK, _KUBELET_CONF, _UNIT, read=_Join.parse)

    def _discard_former(self, hostnames: list[str]) -> None:
        """Takes machines out of the cluster that are there no more, and the record that the cluster was verified.

        Another machine could not join under a name that is Ready, and addresses and pod CIDR of a node never change.
        """
        kubectl = self._kubectl
        kubectl.discard(RECORD_PATH)
        for hostname in hostnames:
            if not self._look(hostname).is_running:
                self.tools.reporter.progress("removed from the cluster: its machine was recreated", hostname)
                kubectl.discard(f"{NODES}/{hostname}")

    def _add_hosts(self, nodes: Sequence[ClusterNode]) -> None:
        """Nodes that are made together know each other from their seeds."""
        if len(nodes) > 1:
            argv = ["sh", "-euc", _ADD_HOSTS, "add-hosts", *self.hosts]
            run_on_nodes([node.hostname for node in nodes], lambda hostname: self.shells[hostname].run(argv))

    def _join(self, hostname: str, config: str) -> None:
        shell = self.shells[hostname]
        # It is part of Kubernetes' own package; without it, the kubelet looks for it each second.
        shell.run(["mkdir", "-p", _MANIFESTS])
        seen = self._look(hostname)
        if seen.is_running:
            self.tools.reporter.progress("resuming the join of an earlier run", hostname)
        else:
            if seen.is_begun:
                reset_node(shell, self.cluster)
            shell.write_file(_CONFIG, config.encode(), 0o600)
        with cleaned_up(lambda seconds: shell.run(["rm", "-f", _CONFIG], timeout_seconds=seconds, check=False)):
            self._join_twice(shell)
        self.tools.reporter.progress("joined", hostname)

    def _join_twice(self, shell: Shell) -> None:
        try:
            self._run_join(shell)
        except CommandFailed as first:
            # A starved guest misses kubeadm's fixed deadlines; the second try finds it with less to do.
            self.tools.reporter.warn(f"{first.cause}\n{shell.node}: joining once more")
            reset_node(shell, self.cluster)
            self._run_join(shell)

    def _run_join(self, shell: Shell) -> None:
        run_job(
            shell,
            _UNIT,
            ["kubeadm", "join", f"--config={_CONFIG}", *preflight_flags(self.cluster)],
            seconds=_JOIN_SECONDS,
            tools=self.tools,
            remedy=f"see `{self.tools.advice.command('ssh', shell.node, '--', 'sudo', 'journalctl', '-u', 'kubelet')}`",
        )


def _reports(listing: Json) -> dict[str, bool]:
    """By name of the nodes listed, whether a kubelet has reported."""
    return {name_of(item): has_reported(item) for item in listing.entries("items")}
