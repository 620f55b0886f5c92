"""Rules about the NICs of the PDF: MACs, names and addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iecpod.descriptors.rules.documents import MachineView, NicView, PodView
from iecpod.descriptors.rules.machines import line_of, machines, repeated
from iecpod.descriptors.rules.rule import Finding, error, warning
from iecpod.descriptors.value_parsers import ZERO_MAC

_MULTICAST_BIT = 0x01


@dataclass(frozen=True, slots=True)
class _Owned:
    machine: MachineView
    nic: NicView


def _shared_macs(pod: PodView) -> Iterator[tuple[_Owned, _Owned]]:
    """Every NIC whose MAC a NIC of an earlier machine has, with that NIC."""
    first: dict[str, _Owned] = {}
    for machine in machines(pod):
        for nic in machine.nics:
            if nic.mac is None or nic.mac == ZERO_MAC:
                continue
            other = first.setdefault(nic.mac, _Owned(machine, nic))
            if other.machine is not machine:
                yield _Owned(machine, nic), other


def _shared_mac_finding(pod: PodView, one: _Owned, other: _Owned) -> Finding:
    place = line_of(pod.pdf, (*other.nic.path, "mac_address"))
    return Finding(
        pod.pdf,
        (*one.nic.path, "mac_address"),
        f"{one.machine.label} has the MAC {one.nic.mac} that {other.machine.label} has already ({place})",
        'give every NIC its own MAC, or "00:00:00:00:00:00" to let iecpod choose',
    )


@error("duplicate-mac", reason="two VMs with one MAC on a network cannot communicate", source="IEEE 802")
def duplicate_mac(pod: PodView) -> Iterator[Finding]:
    for one, other in _shared_macs(pod):
        if "virtual" in (one.machine.type, other.machine.type):
            yield _shared_mac_finding(pod, one, other)


@warning("duplicate-mac-baremetal", reason="no two NICs have one MAC", source="ool/pod1 repeats MACs by mistake")
def duplicate_mac_baremetal(pod: PodView) -> Iterator[Finding]:
    for one, other in _shared_macs(pod):
        if "virtual" not in (one.machine.type, other.machine.type):
            yield _shared_mac_finding(pod, one, other)


@error("duplicate-mac-in-node", reason="a VM's NICs are found by their MACs", source="cloud-init matches by MAC")
def duplicate_mac_in_node(pod: PodView) -> Iterator[Finding]:
    yield from _repeated_macs(pod, {"virtual"})


@warning("duplicate-mac-in-machine", reason="VLANs are not NICs", source="lf/pod4 lists VLAN sub-interfaces as NICs")
def duplicate_mac_in_machine(pod: PodView) -> Iterator[Finding]:
    yield from _repeated_macs(pod, {"baremetal", None})


def _repeated_macs(pod: PodView, types: set[str | None]) -> Iterator[Finding]:
    for machine in machines(pod):
        if machine.type not in types:
            continue
        for index, first in repeated(None if nic.mac == ZERO_MAC else nic.mac for nic in machine.nics):
            yield Finding(
                pod.pdf,
                (*machine.nics[index].path, "mac_address"),
                f"NIC {index + 1} of {machine.label} has the MAC of its NIC {first + 1}, {machine.nics[index].mac}",
                "give every NIC its own MAC; a VLAN on a NIC is not listed as a NIC",
            )


@error("multicast-mac-on-virtual", reason="libvirt and Linux refuse a multicast MAC", source="IEEE 802")
def multicast_mac_on_virtual(pod: PodView) -> Iterator[Finding]:
    yield from _multicast_macs(pod, {"virtual"})


@warning("multicast-mac", reason="no NIC has a multicast MAC", source="IEEE 802")
def multicast_mac(pod: PodView) -> Iterator[Finding]:
    yield from _multicast_macs(pod, {"baremetal", None})


def _multicast_macs(pod: PodView, types: set[str | None]) -> Iterator[Finding]:
    for machine in machines(pod):
        for nic in machine.nics if machine.type in types else ():
            if nic.mac is not None and int(nic.mac[:2], 16) & _MULTICAST_BIT:
                yield Finding(
                    pod.pdf,
                    (*nic.path, "mac_address"),
                    f"{nic.mac} is a multicast MAC: the last bit of its first byte is set",
                    "make the first byte even, such as 52",
                )


@error("zero-mac-on-admin", reason="a machine that boots over PXE is known by that MAC", source="Fuel's MaaS states")
def zero_mac_on_admin(pod: PodView) -> Iterator[Finding]:
    admin = pod.network("admin")
    for node, index, nic in _zero_macs(pod):
        if admin is not None and admin.interface == index:
            yield Finding(
                pod.pdf,
                (*nic.path, "mac_address"),
                f"the NIC of {node.label} on the admin network has no MAC",
                "write the MAC of the NIC that boots over PXE",
            )


@warning("zero-mac-on-baremetal", reason="a NIC that is there has a MAC", source="ericsson/pod1 leaves one out")
def zero_mac_on_baremetal(pod: PodView) -> Iterator[Finding]:
    admin = pod.network("admin")
    for node, index, nic in _zero_macs(pod):
        if admin is None or admin.interface != index:
            yield Finding(
                pod.pdf, (*nic.path, "mac_address"), f"NIC {index + 1} of {node.label} has no MAC", "write its MAC"
            )


def _zero_macs(pod: PodView) -> Iterator[tuple[MachineView, int, NicView]]:
    for node in pod.nodes:
        for index, nic in enumerate(node.nics if node.type == "baremetal" else ()):
            if nic.mac == ZERO_MAC:
                yield node, index, nic


@warning("duplicate-nic-name", reason="NICs of a machine are identified by their names", source="arm/pod10 repeats one")
def duplicate_nic_name(pod: PodView) -> Iterator[Finding]:
    for machine in machines(pod):
        for index, _ in repeated(nic.name for nic in machine.nics):
            nic = machine.nics[index]
            yield Finding(
                pod.pdf,
                (*nic.path, "name"),
                f"{machine.label} has two NICs named {nic.name!r}",
                "give every NIC a name of its own",
            )


@warning(
    "duplicate-nic-address", reason="two machines with one address cannot communicate", source="bii/pod1 repeats one"
)
def duplicate_nic_address(pod: PodView) -> Iterator[Finding]:
    first: dict[object, _Owned] = {}
    for machine in machines(pod):
        for nic in machine.nics:
            other = first.setdefault(nic.address, _Owned(machine, nic))
            if nic.address is not None and other.machine is not machine:
                place = line_of(pod.pdf, (*other.nic.path, "address"))
                yield Finding(
                    pod.pdf,
                    (*nic.path, "address"),
                    f"{machine.label} has the address {nic.address} that {other.machine.label} has already ({place})",
                    "give every NIC its own address",
                )
