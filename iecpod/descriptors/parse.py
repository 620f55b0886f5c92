"""Documents that schema and cross-checks accepted, as `PodSpec`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Address

from iecpod.descriptors.getters import get_integer, get_mapping, get_mappings, get_scalar, get_text, get_texts
from iecpod.descriptors.pod_files import Descriptors
from iecpod.descriptors.value_parsers import (
    ZERO_MAC,
    make_network,
    parse_ip_range,
    parse_ipv4,
    parse_ipv4_interface,
    parse_mac,
    parse_vlan,
)
from iecpod.hypervisor_uri import parse_described
from iecpod.model import (
    Arch,
    Disk,
    Idf,
    Interface,
    Network,
    NetworkName,
    Node,
    NodeDevices,
    NodeType,
    Pdf,
    PodRef,
    PodSpec,
    RemoteManagement,
    StatedAddress,
)
from iecpod.units import parse_size_bytes

DEFAULT_MTU = 1500
#: Fuel's defaults for `ntp_strata_host1` and `ntp_strata_host2` (`semantics.md` 4.2).
DEFAULT_NTP_SERVERS = ("1.pool.ntp.org", "0.pool.ntp.org")
#: Fuel's default for `net_config.public.dns`.
DEFAULT_DNS = (IPv4Address("8.8.8.8"), IPv4Address("8.8.4.4"))

_Mapping = Mapping[str, object]


def parse_pod(ref: PodRef, descriptors: Descriptors) -> PodSpec:
    """The POD as typed values, Fuel's defaults filled in. The documents must have passed
    `check_descriptors`, and `check_needed`."""
    pdf, idf = descriptors.pdf, descriptors.idf
    return PodSpec(
        ref=ref,
        pdf=_parse_pdf(pdf.data if isinstance(pdf.data, dict) else {}),
        idf=_parse_idf(get_mapping(idf.data if isinstance(idf.data, dict) else {}, "idf")),
        pdf_file=pdf.file,
        idf_file=idf.file,
    )


def _parse_pdf(data: _Mapping) -> Pdf:
    return Pdf(
        version=_parse_version(data),
        nodes=tuple(_parse_node(node) for node in get_mappings(data, "nodes")),
        stated_addresses=tuple(_stated_addresses(data)),
    )


def _stated_addresses(data: _Mapping) -> Iterator[StatedAddress]:
    jumphost: tuple[str, int | None, _Mapping] = ("the jump host", None, get_mapping(data, "jumphost"))
    nodes = ((get_text(node, "name"), index, node) for index, node in enumerate(get_mappings(data, "nodes")))
    for name, node, machine in (jumphost, *nodes):
        places = [("the BMC", get_mapping(machine, "remote_management"))]
        places += [(f"NIC {number}", nic) for number, nic in enumerate(get_mappings(machine, "interfaces"), start=1)]
        for what, place in places:
            try:
                address = parse_ipv4_interface(get_text(place, "address"))
            except ValueError:  # of a hypervisor: a URI; or there is none
                continue
            yield StatedAddress(address, f"{what} of {name}", node)


def _parse_version(data: _Mapping) -> str:
    value = data.get("version")
    return f"{value:.1f}" if isinstance(value, (int, float)) else ""


def _parse_node(data: _Mapping) -> Node:
    machine = get_mapping(data, "node")
    return Node(
        name=get_text(data, "name"),
        type=NodeType(get_text(machine, "type")),
        arch=Arch(get_text(machine, "arch")),
        cpus=get_integer(machine, "cpus"),
        cores=get_integer(machine, "cores"),
        memory_bytes=parse_size_bytes(get_text(machine, "memory")),
        disks=tuple(_parse_disk(disk) for disk in get_mappings(data, "disks")),
        remote_management=_parse_remote_management(get_mapping(data, "remote_management")),
        interfaces=tuple(_parse_interface(interface) for interface in get_mappings(data, "interfaces")),
    )


def _parse_disk(data: _Mapping) -> Disk:
    return Disk(
        name=get_text(data, "name"),
        capacity_bytes=parse_size_bytes(get_text(data, "disk_capacity")),
        interface=get_text(data, "disk_interface"),
    )


def _parse_remote_management(data: _Mapping) -> RemoteManagement:
    hypervisor = None
    with suppress(ValueError):  # a BMC's address
        hypervisor = parse_described(get_text(data, "address"))
    return RemoteManagement(type=get_text(data, "type"), hypervisor=hypervisor)


def _parse_interface(data: _Mapping) -> Interface:
    mac = parse_mac(get_text(data, "mac_address"))
    address = get_text(data, "address")
    return Interface(
        name=get_text(data, "name"),
        mac=mac if mac != ZERO_MAC else None,
        vlan=parse_vlan(get_scalar(data, "vlan")),
        address=parse_ipv4_interface(address) if address else None,
    )


def _parse_idf(data: _Mapping) -> Idf:
    fuel = get_mapping(data, "fuel")
    network = get_mapping(fuel, "network")
    bridges = get_mapping(get_mapping(fuel, "jumphost"), "bridges")
    net_config = get_mapping(data, "net_config")
    return Idf(
        version=_parse_version(data),
        networks=tuple(
            _parse_network(name, get_mapping(net_config, name.value))
            for name in NetworkName
            if name.value in net_config
        ),
        bridges=tuple((name, bridge) for name in NetworkName if (bridge := get_text(bridges, name.value))),
        interface_mtu=get_integer(network, "interface_mtu", DEFAULT_MTU),
        ntp_servers=(
            get_text(network, "ntp_strata_host1", DEFAULT_NTP_SERVERS[0]),
            get_text(network, "ntp_strata_host2", DEFAULT_NTP_SERVERS[1]),
        ),
        node_devices=tuple(
            NodeDevices(interfaces=get_texts(node, "interfaces"), busaddr=get_texts(node, "busaddr"))
            for node in get_mappings(network, "node")
        ),
        public_pool=_parse_public_pool(get_mapping(network, "public_pool")),
        upstream_proxy=_parse_proxy(get_mapping(network, "upstream_proxy")),
    )


def _parse_network(name: NetworkName, data: _Mapping) -> Network:
    address, ip_range, gateway = get_text(data, "network"), get_text(data, "ip-range"), get_text(data, "gateway")
    dns = tuple(parse_ipv4(server) for server in get_texts(data, "dns") if server)
    return Network(
        name=name,
        interface=get_integer(data, "interface"),
        cidr=make_network(parse_ipv4(address), get_integer(data, "mask")) if address else None,
        vlan=parse_vlan(get_scalar(data, "vlan")),
        ip_range=parse_ip_range(ip_range) if ip_range else None,
        gateway=parse_ipv4(gateway) if gateway else None,
        dns=dns or (DEFAULT_DNS if name is NetworkName.PUBLIC else ()),
    )


def _parse_public_pool(data: _Mapping) -> tuple[IPv4Address, IPv4Address] | None:
    if not data:
        return None
    return parse_ipv4(get_text(data, "start_ip")), parse_ipv4(get_text(data, "end_ip"))


def _parse_proxy(data: _Mapping) -> str:
    return f"http://{get_text(data, 'address')}:{get_integer(data, 'port')}" if data else ""
