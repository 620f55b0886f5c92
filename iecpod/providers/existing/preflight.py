"""Everything that keeps machines from becoming the nodes of a POD, of all of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from iecpod.cni.registry import ALL_TRACES
from iecpod.descriptors.addresses.cidrs import TakenNetwork
from iecpod.design.cluster import DesiredCluster
from iecpod.design.owner import Owner
from iecpod.errors import Problem
from iecpod.model import Arch
from iecpod.providers.existing.machine_rules import Candidate, check_machine
from iecpod.providers.existing.node_facts import NodeFacts, NodeRoute

#: Devices that pod networks make: their routes are the POD's own, where it has been deployed.
POD_DEVICES = (
    *("cni", "kube-", "veth"),
    *(pattern.rstrip("*") for pattern in (*ALL_TRACES.devices, *ALL_TRACES.lasting_devices)),
)


def check_nodes(
    facts: Mapping[str, NodeFacts], cluster: DesiredCluster, archs: Mapping[str, Arch], owner: Owner
) -> tuple[Problem, ...]:
    """`facts` and `archs` go by host name. A node without facts is passed over: that it does not answer is an error
    of its own.
    """
    machines = [
        Candidate(node=node, arch=archs[node.hostname], facts=facts[node.hostname], cluster=cluster, owner=owner)
        for node in cluster.nodes
        if node.hostname in facts
    ]
    return (
        *(problem for machine in machines for problem in check_machine(machine)),
        *_check_unique(machines),
        *_check_archs(machines),
    )


def _check_unique(machines: Sequence[Candidate]) -> Iterator[Problem]:
    """kubeadm's own list of what must not be the same on two nodes (Kubernetes, "Installing kubeadm")."""
    macs = [(link.mac, machine) for machine in machines for link in machine.facts.links if link.addresses and link.mac]
    for what, rule, pairs in (
        ("host name", "node-hostname", [(machine.facts.hostname, machine) for machine in machines]),
        ("product_uuid", "node-product-uuid", [(machine.facts.product_uuid, machine) for machine in machines]),
        ("machine-id", "node-machine-id", [(machine.facts.machine_id, machine) for machine in machines]),
        ("MAC", "node-mac", macs),
    ):
        users: dict[str, list[Candidate]] = {}
        for value, machine in pairs:
            if value and machine not in users.setdefault(value, []):
                users[value].append(machine)
        for value, found in users.items():
            if len(found) > 1:
                others = ", ".join(machine.node.hostname for machine in found[1:])
                yield found[0].problem(rule, f"its {what} {value} is also that of {others}", _REMEDIES[rule])


_REMEDIES = {
    "node-hostname": "give each a host name of its own with `hostnamectl set-hostname`",
    "node-product-uuid": "copies of a machine keep it: give each a UUID of its own in its hypervisor or firmware",
    "node-machine-id": "copies of a disk keep it: remove /etc/machine-id there, run `systemd-machine-id-setup`, reboot",
    "node-mac": "give each interface a MAC of its own",
}


def _check_archs(machines: Sequence[Candidate]) -> Iterator[Problem]:
    """The cluster's images are of one architecture."""
    for machine in machines:
        if machine.arch is not machine.cluster.arch:
            yield machine.problem(
                "node-arch",
                f"its architecture is {machine.arch.value}, that of the control plane {machine.cluster.arch.value}",
                "use machines of one architecture",
            )


def taken_networks(facts: Mapping[str, NodeFacts], cluster: DesiredCluster, owner: Owner) -> tuple[TakenNetwork, ...]:
    """What nodes reach already, each network once; what the POD itself has made there is left out."""
    taken: dict[object, TakenNetwork] = {}
    for node in cluster.nodes:
        if node.hostname not in facts:
            continue
        name, found = node.hostname, facts[node.hostname]
        is_ours = Candidate.has_record_of(found, owner, name)
        for route in found.routes:
            if not (is_ours and _is_of_pod(route, cluster)):
                where = f"interface {route.device}" if route.device else "a route"
                taken.setdefault(route.cidr, TakenNetwork(route.cidr, f"{where} of {name}"))
        for link in found.links:
            for own in link.addresses:
                if not (is_ours and link.name.startswith(POD_DEVICES)) and not own.ip.is_loopback:
                    taken.setdefault(own.network, TakenNetwork(own.network, f"interface {link.name} of {name}"))
    return tuple(taken.values())


def _is_of_pod(route: NodeRoute, cluster: DesiredCluster) -> bool:
    """A route that the POD's own network has made: by a device of its own, or to pods of another node."""
    return route.device.startswith(POD_DEVICES) or route.cidr.subnet_of(cluster.pod_cidr)
