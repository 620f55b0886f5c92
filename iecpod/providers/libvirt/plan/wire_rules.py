"""Whether the NICs of a plan can be plugged in, and where they lead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from iecpod.design.owner import Owner
from iecpod.errors import Problem, Severity
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.objects import Kind, ObservedResource
from iecpod.providers.libvirt.ownership import is_owned


def check_wires(
    machines: DesiredMachines, observed: Sequence[ObservedResource], owner: Owner, no_links: str
) -> Iterator[Problem]:
    """`no_links` is why this process cannot make VLAN links; empty where it can."""
    yield from _check_whole(machines)
    yield from _check_links(machines, no_links)
    yield from _check_lab_bridges(machines, observed, owner)
    yield from _check_way_out(machines)


def _check_whole(machines: DesiredMachines) -> Iterator[Problem]:
    for wire in machines.wires:
        if not wire.is_whole:
            places = zip(wire.networks, wire.bridges, strict=True)
            said = ", ".join(f"{network.name.value} {bridge or '(made by iecpod)'}" for network, bridge in places)
            yield Problem(
                path="idf.fuel.jumphost.bridges",
                message=f"NIC {wire.interface} (counted from 0) carries {said}, and one NIC is plugged into one bridge",
                remedy="name the lab's bridge that carries all of their tags for each of them, or ~ for each of them",
                file=machines.pod.spec.idf_file,
                rule="trunk-bridges-differ",
            )


def _check_links(machines: DesiredMachines, no_links: str) -> Iterator[Problem]:
    if machines.vlan_links and no_links:
        tags = ", ".join(str(link.vlan) for link in machines.vlan_links)
        yield Problem(
            path="idf.net_config",
            message=f"iecpod makes networks with VLAN tags ({tags}), and {no_links}",
            remedy="run iecpod with sudo, name bridges of the lab that carry the tags, or write vlan: native",
            file=machines.pod.spec.idf_file,
            rule="vlan-links",
        )


def _check_lab_bridges(
    machines: DesiredMachines, observed: Sequence[ObservedResource], owner: Owner
) -> Iterator[Problem]:
    """A network with addresses is libvirt's to give out; one without them may stand for a bridge of the host."""
    foreign = {
        seen.bridge: seen.name
        for seen in observed
        if seen.kind is Kind.NETWORK and seen.cidrs and not is_owned(seen, owner)
    }
    for wire in machines.wires:
        for network, bridge in zip(wire.networks, wire.bridges, strict=True):
            if bridge in foreign:
                yield Problem(
                    path=f"idf.fuel.jumphost.bridges.{network.name.value}",
                    message=f"the bridge {bridge!r} is that of the libvirt network {foreign[bridge]}, which is not "
                    "the lab's",
                    remedy="name a bridge of the lab, or ~ to let iecpod make one",
                    file=machines.pod.spec.idf_file,
                    rule="bridge-of-libvirt",
                )


def _check_way_out(machines: DesiredMachines) -> Iterator[Problem]:
    networks = (network for domain in machines.domains for vnic in domain.vnics for network in vnic.networks)
    if not any(network.gateway for network in networks):
        yield Problem(
            path="idf.net_config",
            message="nodes have no default route: no network has a gateway. They reach their own networks and services "
            "of the cluster only: no packages, images, name servers or time servers elsewhere",
            remedy="add gateway to public, mgmt or admin, unless nodes are to be cut off",
            file=machines.pod.spec.idf_file,
            rule="no-way-out",
            severity=Severity.WARNING,
        )
