"""Rules about the PDF alone: how machines are managed, by BMC or libvirt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from iecpod.descriptors.encrypted import is_encrypted
from iecpod.descriptors.rules.documents import MachineView, PodView, read
from iecpod.descriptors.rules.machines import line_of, machines, repeated
from iecpod.descriptors.rules.rule import Finding, error, warning
from iecpod.descriptors.value_parsers import ZERO_MAC, parse_ipv4_interface, parse_mac

_LABS = "34 descriptor pairs that labs used"


@error("duplicate-bmc-address", reason="two machines would be switched by one BMC", source=_LABS)
def duplicate_bmc_address(pod: PodView) -> Iterator[Finding]:
    seen: dict[tuple[str, object], MachineView] = {}
    for machine in machines(pod):
        address, port = machine.management.get("address"), machine.management.get("port")
        if machine.management.get("type") not in ("ipmi", "amt") or not isinstance(address, str):
            continue
        key = (address.partition("/")[0], port if isinstance(port, int) else None)
        first = seen.setdefault(key, machine)
        if first is not machine and key[0] != "0.0.0.0":
            yield Finding(
                pod.pdf,
                (*machine.path, "remote_management", "address"),
                f"{machine.label} has the BMC address {key[0]} that {first.label} has already "
                f"({line_of(pod.pdf, (*first.path, 'remote_management', 'address'))})",
                "give every machine the address of its own BMC",
            )


@warning("bmc-address-not-ip", reason="Fuel and MaaS require an address there", source="ool/pod1 has a stray quote")
def bmc_address_not_ip(pod: PodView) -> Iterator[Finding]:
    for machine in machines(pod):
        address = machine.management.get("address")
        if machine.management.get("type") not in ("ipmi", "amt") or is_encrypted(address):
            continue
        if isinstance(address, str) and address and read(parse_ipv4_interface, address) is None:
            yield Finding(
                pod.pdf,
                (*machine.path, "remote_management", "address"),
                f"the BMC address {address[:80]!r} is not an IPv4 address",
                "write the address of the BMC",
            )


@error("libvirt-on-baremetal", reason="libvirt cannot switch a machine", source=_LABS)
def libvirt_on_baremetal(pod: PodView) -> Iterator[Finding]:
    for node in pod.nodes:
        if node.type == "baremetal" and node.management.get("type") == "libvirt":
            yield Finding(
                pod.pdf,
                (*node.path, "remote_management", "type"),
                f"{node.label} is baremetal and would be managed by libvirt",
                "make the node virtual, or describe its BMC",
            )


@warning("libvirt-on-baremetal-jumphost", reason="libvirt cannot switch a machine", source=_LABS)
def libvirt_on_baremetal_jumphost(pod: PodView) -> Iterator[Finding]:
    jumphost = pod.jumphost
    # localhost needs no switching: it is where iecpod runs.
    if jumphost is None or jumphost.type != "baremetal" or jumphost.name == "localhost":
        return
    if jumphost.management.get("type") == "libvirt":
        yield Finding(
            pod.pdf,
            ("jumphost", "remote_management", "type"),
            "the jump host is baremetal and would be managed by libvirt",
            "describe its BMC",
        )


@warning("ipmi-on-virtual", reason="a VM has a BMC only with vbmc or its like", source="kuberef's libvirt VMs have one")
def ipmi_on_virtual(pod: PodView) -> Iterator[Finding]:
    for node in pod.nodes:
        if node.type == "virtual" and node.management.get("type") in ("ipmi", "amt"):
            yield Finding(
                pod.pdf,
                (*node.path, "remote_management", "type"),
                f"{node.label} is virtual and would be managed by a BMC",
                "write type: libvirt, and the URI of its libvirt as address",
            )


@warning("duplicate-bmc-mac", reason="no two BMCs have one MAC", source="two labs repeat one")
def duplicate_bmc_mac(pod: PodView) -> Iterator[Finding]:
    owners = list(machines(pod))
    macs = [_bmc_mac(machine) for machine in owners]
    for index, first in repeated(macs):
        yield Finding(
            pod.pdf,
            (*owners[index].path, "remote_management", "mac_address"),
            f"{owners[index].label} has the BMC MAC {macs[index]} that {owners[first].label} has already "
            f"({line_of(pod.pdf, (*owners[first].path, 'remote_management', 'mac_address'))})",
            "give every BMC its own MAC",
        )


@warning("bmc-mac-is-nic-mac", reason="a BMC and a NIC with one MAC are ambiguous", source="two labs do it")
def bmc_mac_is_nic_mac(pod: PodView) -> Iterator[Finding]:
    nics = Counter(nic.mac for machine in machines(pod) for nic in machine.nics)
    for machine in machines(pod):
        mac = _bmc_mac(machine)
        if mac is not None and nics[mac]:
            yield Finding(
                pod.pdf,
                (*machine.path, "remote_management", "mac_address"),
                f"the BMC of {machine.label} has the MAC of a NIC, {mac}",
                "give the BMC its own MAC",
            )


def _bmc_mac(machine: MachineView) -> str | None:
    mac = read(parse_mac, machine.management.get("mac_address"))
    return None if mac == ZERO_MAC else mac
