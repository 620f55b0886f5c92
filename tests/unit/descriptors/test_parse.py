"""Documents as typed values, with Fuel's defaults."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iecpod.descriptors import value_parsers
from iecpod.descriptors.formats import FORMATS, check_format
from iecpod.descriptors.parse import parse_pod
from iecpod.hypervisor_uri import SYSTEM
from iecpod.model import Arch, Disk, Interface, Network, NetworkName, NodeType, PodRef, PodSpec, RemoteManagement
from tests.unit.descriptors.broken_pod import REMOVED, Edits, break_pod

REF = PodRef("test", "virtual")


def parse(pdf: Edits | None = None, idf: Edits | None = None) -> PodSpec:
    return parse_pod(REF, break_pod(pdf, idf))


def network(spec: PodSpec, name: NetworkName) -> Network:
    found = spec.idf.network(name)
    assert found is not None
    return found


def test_pdf() -> None:
    spec = parse()
    assert (spec.ref, spec.pdf.version, spec.idf.version) == (REF, "1.0", "0.1")
    assert (spec.pdf_file, spec.idf_file) == ("virtual.yaml", "idf-virtual.yaml")
    assert [node.name for node in spec.pdf.nodes] == ["node-1", "node-2", "node-3"]
    node = spec.pdf.nodes[0]
    assert (node.type, node.arch, node.cpus, node.cores) == (NodeType.VIRTUAL, Arch.X86_64, 1, 2)
    assert node.memory_bytes == 4 << 30
    assert node.disks == (
        Disk(name="disk1", capacity_bytes=20 << 30, interface="scsi"),
        Disk(name="disk2", capacity_bytes=3 << 39, interface="scsi"),
    )
    assert node.remote_management == RemoteManagement(type="libvirt", hypervisor=SYSTEM)
    assert node.interfaces == (
        Interface(name="nic1", mac="52:54:00:00:01:01"),
        Interface(name="nic2", mac="52:54:00:ab:01:02", vlan=450),
        Interface(name="nic3"),
        Interface(name="nic4", address=IPv4Address("10.0.19.137")),
    )
    assert spec.pdf.nodes[1].interfaces[3].address == IPv4Address("10.0.19.138")


def test_the_password_is_not_kept() -> None:
    assert "secret" not in repr(parse())


def test_idf() -> None:
    spec = parse()
    assert network(spec, NetworkName.OOB).cidr is None
    assert network(spec, NetworkName.OOB).vlan == 410
    assert network(spec, NetworkName.MGMT) == Network(
        name=NetworkName.MGMT,
        interface=1,
        cidr=IPv4Network("172.16.10.0/24"),
        ip_range=(IPv4Address("172.16.10.10"), IPv4Address("172.16.10.254")),
    )
    assert network(spec, NetworkName.STORAGE).ip_range is None
    assert network(spec, NetworkName.PRIVATE).vlan is None
    assert network(spec, NetworkName.PUBLIC).gateway == IPv4Address("10.0.19.1")
    assert network(spec, NetworkName.PUBLIC).dns == (IPv4Address("9.9.9.9"), IPv4Address("1.1.1.1"))
    assert spec.idf.bridges == ((NetworkName.PUBLIC, "br-public"),)
    assert spec.idf.interface_mtu == 9000
    assert spec.idf.ntp_servers == ("ntp.example.org", "198.51.100.7")
    assert spec.idf.node_devices[2].interfaces == ("enp1s0", "enp2s0", "enp3s0", "enp4s0")
    assert spec.idf.public_pool == (IPv4Address("10.0.19.150"), IPv4Address("10.0.19.160"))


def test_defaults() -> None:
    spec = parse(idf={"idf.fuel": REMOVED, "idf.net_config.public.dns": REMOVED})
    assert spec.idf.interface_mtu == 1500
    assert spec.idf.ntp_servers == ("1.pool.ntp.org", "0.pool.ntp.org")
    assert (spec.idf.bridges, spec.idf.node_devices, spec.idf.public_pool) == ((), (), None)
    assert network(spec, NetworkName.PUBLIC).dns == (IPv4Address("8.8.8.8"), IPv4Address("8.8.4.4"))
    assert network(spec, NetworkName.ADMIN).dns == ()


def test_what_labs_write_in_several_ways() -> None:
    spec = parse(
        idf={
            "idf.net_config.public.dns": "9.9.9.9",
            "idf.net_config.private.network": "10.1.2.3",
            "idf.fuel.network.node[0].interfaces[1]": None,
            "idf.net_config.tenant": {"interface": 1},
        }
    )
    assert network(spec, NetworkName.PUBLIC).dns == (IPv4Address("9.9.9.9"),)
    assert network(spec, NetworkName.PRIVATE).cidr == IPv4Network("10.1.0.0/16")
    assert spec.idf.node_devices[0].interfaces == ("enp1s0", "", "enp3s0", "enp4s0")
    assert len(spec.idf.networks) == 6


@pytest.mark.parametrize(
    ("value", "vlan"),
    [
        (450, 450),
        ("450", 450),
        ("native", None),
        (0, None),
        ("0", None),
        (None, None),
        ("1000-1999", None),
        ("native|300", None),
    ],
)
def test_vlans(value: object, vlan: int | None) -> None:
    assert value_parsers.parse_vlan(value) == vlan


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (4095, "4095 is not a VLAN id from 1 to 4094"),
        (-1, "-1 is not a VLAN id from 1 to 4094"),
        (10**40, "the number is not a VLAN id from 1 to 4094"),
        ("9999", "9999 is not a VLAN id from 1 to 4094"),
        ("1-4095", "4095 is not a VLAN id from 1 to 4094"),
        ("20-10", "the VLAN range 20-10 ends before it starts"),
        ("tagged", "'tagged' is not a VLAN: native, a number from 1 to 4094, or a range such as 1000-1999"),
        (True, "a VLAN is native, a number from 1 to 4094, a range such as 1000-1999, or a list with |"),
        ([1], "a VLAN is native, a number from 1 to 4094, a range such as 1000-1999, or a list with |"),
    ],
)
def test_bad_vlans(value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        value_parsers.parse_vlan(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("format", "good", "bad"),
    [
        ("uri", "https://example.org:8443/a?b", "example.org"),
        ("uri", "file:///srv/pods", "https://exa mple.org"),
        ("libvirt-uri", "qemu:///system", "qemu://"),
        ("libvirt-uri", "qemu:///session", "xen:///system"),
        ("libvirt-uri", "qemu:///session", "qemu:///system?socket=/run/x"),
        ("management-address", "10.0.0.1", "qemu+ext:///system?command=/x"),
        ("management-address", "qemu:///system", "test:///etc/shadow"),
        ("host", "ntp.example.org", "ntp_example"),
        ("host", "10.0.0.1", "10.0.0.256"),
        ("host", "a" * 63 + ".b", "a" * 64 + ".b"),
        ("emails", "a@b.org; c@d.org", "a@b.org, c@d"),
        ("cidr", "10.0.0.0/8", "10.0.0.1/8"),
        ("ipv4-interface", "10.0.0.1/32", "10.0.0.1/33"),
        ("ipv4-range", "10.0.0.1 - 10.0.0.2", "10.0.0.1"),
        ("mac", "52-54-00-AA-BB-CC", "52:54:00:aa:bb:gg"),
        ("device", "enP2p1s0f1", "a/b"),
        ("device", "eno3.450", "a$b"),
        ("device", "_x-1", "a%i"),
        ("device", "a", "a;b"),
        ("device", "a", "-a"),
        ("device", "a", "a\n"),
        ("bridge", "", "br ex"),
        ("bus-address", "0002:01:00.1", "0002:01:00"),
        ("bus-address", "e0700000.xgmac", "banana"),
        ("nic-vlan", "native|300", "1000-1999"),
        ("features", "sriov|dpdk", "fast"),
    ],
)
def test_formats(format: str, good: str, bad: str) -> None:
    assert check_format(format, good) is None
    assert check_format(format, bad)


@settings(deadline=None)  # machines are shared
@given(st.sampled_from(sorted(FORMATS)), st.text() | st.text("0123456789abcxyz.:-/|@ ", max_size=300) | st.integers())
def test_any_value_is_judged(format: str, value: object) -> None:
    message = check_format(format, value)
    assert message is None or 0 < len(message) < 300
