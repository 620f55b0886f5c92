"""What a machine must be like to become a node: rules about one machine by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from iecpod.design.cluster import ClusterNode, DesiredCluster, NodePort, Transport
from iecpod.design.owner import Owner
from iecpod.errors import Problem, Severity
from iecpod.model import Arch
from iecpod.providers.existing.node_facts import KUBELETS, MODULES, PROGRAMS, RUNTIMES, NodeFacts, NodeLink
from iecpod.providers.existing.node_ports import cni_ports, kubernetes_ports
from iecpod.release.kubernetes_version import kubernetes_minor
from iecpod.release.scenario import Role

#: kubeadm's own check (`ControlPlaneNumCPU`, `ControlPlaneMem`), and what a worker with a few pods needs.
_CONTROL_PLANE_CPUS, _CONTROL_PLANE_MIB, _WORKER_MIB = 2, 1700, 700
#: Packages, images and their layers, and what the kubelet keeps free of a disk.
_DISK_MIB = 4096
#: Certificates are valid from the moment they are made, and tokens for minutes.
_MOST_SKEW_SECONDS = 30.0
#: The kubelet refuses to start on cgroup v1 since (kubelet's `failCgroupV1`).
_NEEDS_CGROUP_2 = (1, 35)
_WORDS_OF_UNKNOWN = "could not be read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One machine, and the node that it is to become; `owner` is the POD that it is for."""

    node: ClusterNode
    arch: Arch
    facts: NodeFacts
    cluster: DesiredCluster
    owner: Owner

    @property
    def is_ours(self) -> bool:
        """Whether a deploy of this POD has started on it: what is there of a cluster is the POD's."""
        found = self.facts.owner
        return found is not None and (found.installation, found.pod) == (self.owner.installation, str(self.owner.ref))

    @staticmethod
    def has_record_of(facts: NodeFacts, owner: Owner, hostname: str) -> bool:
        """Whether a machine keeps a record of that node of the POD."""
        found = facts.owner
        expected = (owner.installation, str(owner.ref), hostname)
        return found is not None and (found.installation, found.pod, found.node) == expected

    def problem(self, rule: str, message: str, remedy: str, severity: Severity = Severity.ERROR) -> Problem:
        path = f"node {self.node.hostname}"
        return Problem(path=path, message=message, remedy=remedy, rule=rule, severity=severity)


def check_machine(machine: Candidate) -> Iterator[Problem]:
    for rule in _RULES:
        yield from rule(machine)


def _check_record(machine: Candidate) -> Iterator[Problem]:
    facts = machine.facts
    if facts.owner is not None and not machine.is_ours:
        yield machine.problem(
            "node-of-another-pod",
            f"it is node {facts.owner.node} of POD {facts.owner.pod}, which installation {facts.owner.installation} "
            "of iecpod deployed",
            "tear that POD down from where it was deployed, or choose another machine",
        )
    elif facts.owner is not None and facts.owner.node != machine.node.hostname:
        yield machine.problem(
            "node-of-another-pod",
            f"it is node {facts.owner.node} of this POD already",
            "correct the addresses in the PDF, or tear the POD down first",
        )
    if facts.record_is_odd:
        yield machine.problem(
            "node-of-another-pod",
            "it has a record of iecpod that names no owner",
            "see /var/lib/iecpod/record there; without it, the machine counts as one that iecpod never changed",
        )


def _check_system(machine: Candidate) -> Iterator[Problem]:
    facts, release = machine.facts, machine.cluster.release
    if release.base_os and facts.os_name != release.base_os:
        yield machine.problem(
            "node-os",
            f"it runs {facts.os_title or 'an unknown operating system'}, and release {release.name} is made for "
            f"{release.base_os}",
            "choose a --release or --os for that operating system (`iecpod releases list`), or install the other one",
        )
    if facts.machine != machine.arch.value:
        yield machine.problem(
            "node-arch",
            f"it is a machine of architecture {facts.machine or '(unknown)'}, and the PDF says {machine.arch.value}",
            f"correct `arch` of {machine.node.hostname} in the PDF",
        )
    if not facts.has_systemd:
        yield machine.problem(
            "node-systemd", "systemd does not run there", "Kubernetes is run by it: use a machine that boots with it"
        )
    if facts.has_cgroup_2 is False and kubernetes_minor(release.kubernetes_version) >= _NEEDS_CGROUP_2:
        yield machine.problem(
            "node-cgroup",
            f"it has cgroup v1, and the kubelet of {release.kubernetes_version} starts on v2 only",
            "boot it with systemd.unified_cgroup_hierarchy=1",
        )


def _check_programs(machine: Candidate) -> Iterator[Problem]:
    missing = [program for program in PROGRAMS if program not in machine.facts.programs]
    if missing:
        yield machine.problem("node-program", f"it has no {' and no '.join(missing)}", "install what brings them")
    for module in (*MODULES, *machine.cluster.cni.kernel_modules(machine.cluster.release)):
        if machine.facts.modules.get(module, "missing") == "missing":
            yield machine.problem(
                "node-module",
                f"its kernel {machine.facts.kernel} has no module {module}".replace("  ", " "),
                "install the modules of that kernel, or boot a kernel that has it",
            )


def _check_size(machine: Candidate) -> Iterator[Problem]:
    facts, is_first = machine.facts, machine.node.role is Role.CONTROL_PLANE
    ignored = {name.lower() for name in machine.cluster.release.ignored_preflight_checks}
    wanted_mib = _CONTROL_PLANE_MIB if is_first and not ignored & {"mem", "all"} else _WORKER_MIB
    if facts.memory_mib is None or facts.memory_mib < wanted_mib:
        seen = f"is {facts.memory_mib} MiB" if facts.memory_mib is not None else _WORDS_OF_UNKNOWN
        yield machine.problem("node-memory", f"its memory {seen}, and {wanted_mib} MiB are needed", "give it more")
    wanted_cpus = _CONTROL_PLANE_CPUS if is_first and not ignored & {"numcpu", "all"} else 1
    if facts.cpus is None or facts.cpus < wanted_cpus:
        seen = f"is {facts.cpus}" if facts.cpus is not None else _WORDS_OF_UNKNOWN
        yield machine.problem(
            "node-cpus",
            f"the number of its processors {seen}, and kubeadm requires {wanted_cpus}",
            "give it more, or make another machine the control plane",
        )
    if not machine.is_ours and (facts.free_mib is None or facts.free_mib < _DISK_MIB):
        seen = f"is {facts.free_mib} MiB" if facts.free_mib is not None else _WORDS_OF_UNKNOWN
        yield machine.problem(
            "node-disk", f"free space below /var/lib {seen}, and {_DISK_MIB} MiB are needed", "make room there"
        )


def _check_swap(machine: Candidate) -> Iterator[Problem]:
    """Swap is switched off by the deploy; what it holds must fit into memory then."""
    swaps, available = machine.facts.swaps, machine.facts.available_mib
    used = sum(swap.used_mib for swap in swaps or ())
    if swaps is None:
        yield machine.problem("node-swap", f"its swap {_WORDS_OF_UNKNOWN}", "see /proc/swaps there")
    elif used and available is not None and used >= available:
        yield machine.problem(
            "node-swap",
            f"{used} MiB of its swap are in use, and {available} MiB of memory are available: it cannot be switched "
            "off",
            "end programs there that use memory",
        )


def _check_clock(machine: Candidate) -> Iterator[Problem]:
    skew, error = machine.facts.skew_seconds, machine.facts.skew_error_seconds
    if skew is None or abs(skew) - error > _MOST_SKEW_SECONDS:
        seen = f"is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'}" if skew is not None else "is not known by"
        yield machine.problem(
            "node-time",
            f"its clock {seen} this machine's",
            "have both synchronised by NTP; certificates and tokens are valid for some time only",
        )


def _check_cluster(machine: Candidate) -> Iterator[Problem]:
    facts = machine.facts
    if machine.is_ours:
        return
    units = [f"{unit}.service runs" for unit in sorted(facts.units or ()) if unit not in RUNTIMES.values()]
    idle = [program for program in KUBELETS if program in facts.programs]
    found = [*(facts.clusters or ()), *units]
    if facts.clusters is None or (facts.units is None and facts.has_systemd):
        seen = "what is in /etc and /var/lib" if facts.clusters is None else "which services run, by systemd,"
        yield machine.problem(
            "node-has-cluster",
            f"whether it belongs to a cluster is unknown: {seen} {_WORDS_OF_UNKNOWN}",
            "see `systemctl is-system-running` there, and run again",
        )
    if found:
        yield machine.problem(
            "node-has-cluster",
            f"it belongs to a cluster already, or did: {', '.join(found)}",
            "take it out of that cluster, run `kubeadm reset` there and remove what stays; iecpod resets only nodes "
            "that it made",
        )
    elif idle:
        yield machine.problem(
            "node-has-cluster",
            f"{' and '.join(idle)} of others {'is' if len(idle) == 1 else 'are'} installed there, and not in use",
            "remove the packages or programs there, or choose another machine; iecpod installs those of the release",
        )


def _check_runtime(machine: Candidate) -> Iterator[Problem]:
    facts = machine.facts
    if machine.is_ours:
        return
    for program, unit in RUNTIMES.items():
        runs = unit in (facts.units or ())
        if runs or program in facts.programs:
            yield machine.problem(
                "node-has-runtime",
                f"{unit}.service runs there: deploy replaces its configuration and restarts it"
                if runs
                else f"{program} is installed there, and does not run: deploy may replace its configuration",
                "teardown puts the configuration back; move containers that must not be interrupted",
                Severity.WARNING,
            )


def _check_ports(machine: Candidate) -> Iterator[Problem]:
    if machine.is_ours:
        return
    node, cluster = machine.node, machine.cluster
    groups = {"Kubernetes": kubernetes_ports(node), cluster.cni.name: cni_ports(node, cluster)}
    used = {Transport.TCP: machine.facts.listening, Transport.UDP: machine.facts.udp_ports}
    for transport in dict.fromkeys(port.transport for ports in groups.values() for port in ports):
        if used[transport] is None:
            name = transport.value
            yield machine.problem("node-port", f"what listens there {_WORDS_OF_UNKNOWN}", f"see /proc/net/{name} there")
    for user, ports in groups.items():
        taken = [port for port in ports if port.number in (used[port.transport] or ())]
        if taken:
            yield machine.problem(
                "node-port",
                f"something listens on {_listed(taken)} there, which {user} needs",
                f"see which with `ss -tulnp` there, and stop it{_if_listed(machine)}",
            )


def _listed(ports: list[NodePort]) -> str:
    """As `TCP 10250, 10256`."""
    by_transport: dict[Transport, list[int]] = {}
    for port in ports:
        by_transport.setdefault(port.transport, []).append(port.number)
    return " and ".join(
        f"{transport.name} {', '.join(map(str, sorted(numbers)))}" for transport, numbers in by_transport.items()
    )


def _if_listed(machine: Candidate) -> str:
    return "" if not machine.facts.clusters else "; it may be the other cluster"


def _check_interface(machine: Candidate) -> Iterator[Problem]:
    node, cluster = machine.node, machine.cluster
    link = machine.facts.link_of(node.address)
    if link is None:
        yield machine.problem(
            "node-address",
            f"none of its interfaces has {node.address}, its address on mgmt",
            "give the address that the nodes know each other by (a machine behind NAT has another one), or give "
            "it to an interface there",
        )
        return
    if link.name != node.mgmt_device:
        yield machine.problem(
            "node-device",
            f"{node.address} is on its interface {link.name}, and the IDF says {node.mgmt_device}",
            f"name {link.name} in idf.fuel.network.node",
        )
    if link.mtu < cluster.mgmt_mtu:
        yield machine.problem(
            "node-mtu",
            f"its interface {link.name} has an MTU of {link.mtu}, and nodes are to have {cluster.mgmt_mtu}",
            f"set idf.fuel.network.interface_mtu to {link.mtu} or less, or raise the interface's",
        )
    if cluster.cni.routes_directly and not _reaches_directly(link, cluster):
        yield machine.problem(
            "node-network",
            f"some nodes are behind a router for it, and {cluster.cni.name} sends packets of pods to them directly",
            "put all nodes into one network, or choose a scenario (-s) with another pod network, such as Calico",
        )


def _reaches_directly(link: NodeLink, cluster: DesiredCluster) -> bool:
    return all(any(node.address in own.network for own in link.addresses) for node in cluster.nodes)


_RULES: tuple[Callable[[Candidate], Iterator[Problem]], ...] = (
    _check_record,
    _check_system,
    _check_programs,
    _check_size,
    _check_swap,
    _check_clock,
    _check_cluster,
    _check_runtime,
    _check_ports,
    _check_interface,
)
