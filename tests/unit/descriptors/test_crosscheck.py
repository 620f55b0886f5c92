"""Every rule: broken once, with its full message, its place and its severity."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from iecpod.descriptors.crosscheck import RULES, check_pod
from iecpod.descriptors.load_pod import check_descriptors
from iecpod.descriptors.pod_files import Descriptors
from iecpod.errors import Severity
from iecpod.options.value_readers import parse_memory_mib
from iecpod.yaml.document import load_yaml
from tests.unit.descriptors.broken_pod import REMOVED, SCHEMAS_DIR, Edits, break_pod, line_at, sound_text

IPMI = {
    "type": "ipmi",
    "versions": [2.0],
    "user": "u",
    "pass": "p",
    "address": "198.51.100.9",
    "mac_address": "0c:00:00:00:00:09",
}
LIBVIRT = {"type": "libvirt", "user": "u", "pass": "p", "address": "qemu:///system"}
#: Makes machines with BMCs and MACs of the sound POD's VMs.
BAREMETAL: Edits = {
    **{f"nodes[{index}].node.type": "baremetal" for index in range(3)},
    **{
        f"nodes[{index}].remote_management": {
            **IPMI,
            "address": f"198.51.100.{index + 4}",
            "mac_address": f"0c:00:00:00:01:0{index}",
        }
        for index in range(3)
    },
    **{
        f"nodes[{index}].interfaces[{nic}].mac_address": f"0c:00:00:00:0{index + 2}:0{nic}"
        for index in range(3)
        for nic in range(4)
    },
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`source` is the line that the problem points at."""

    rule: str
    pdf: Edits
    idf: Edits
    severity: Severity
    path: str
    source: str
    message: str
    remedy: str


CASES = (
    Case(
        rule="duplicate-node-name",
        pdf={"nodes[1].name": "node-1"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].name",
        source="- name: node-1",
        message="node 2 has the name 'node-1' of node 1 (line 42)",
        remedy="give every node a name of its own",
    ),
    Case(
        rule="node-named-like-jumphost",
        pdf={"nodes[1].name": "jumper"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].name",
        source="- name: jumper",
        message="the node has the name of the jump host, 'jumper' (line 10)",
        remedy="give one of them another name",
    ),
    Case(
        rule="node-name-not-hostname",
        pdf={"nodes[1].name": "node 2"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].name",
        source="- name: node 2",
        message="'node 2' cannot be a host name",
        remedy="use letters, digits and '-', at most 63",
    ),
    Case(
        rule="mixed-architectures",
        pdf={"nodes[2].node.arch": "aarch64"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[2].node.arch",
        source="arch: aarch64",
        message="the nodes are of different architectures: x86_64 and aarch64",
        remedy="make sure that it is meant so",
    ),
    Case(
        rule="mixed-node-types",
        pdf={**BAREMETAL, "nodes[1].node.type": "virtual"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].node.type",
        source="type: virtual",
        message="the nodes are of different kinds: baremetal and virtual",
        remedy="make sure that it is meant so",
    ),
    Case(
        rule="memory-tiny",
        pdf={"nodes[1].node.memory": "512M"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].node.memory",
        source="memory: 512M",
        message="512M of memory is too little for a node",
        remedy="give at least 1536M to a worker and 2560M to the first node",
    ),
    Case(
        rule="memory-too-small",
        pdf={"nodes[1].node.memory": "900K"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].node.memory",
        source="memory: 900K",
        message="no node starts with 900K of memory; the least is 512M",
        remedy="give at least 1536M to a worker and 2560M to the first node",
    ),
    Case(
        rule="bridge-name-reserved",
        pdf={},
        idf={"idf.fuel.jumphost.bridges.mgmt": "all"},
        severity=Severity.ERROR,
        path="idf.fuel.jumphost.bridges.mgmt",
        source="mgmt: all",
        message="no bridge can be named 'all'",
        remedy="name another bridge, or ~ to let iecpod make one",
    ),
    Case(
        rule="device-name-reserved",
        pdf={},
        idf={"idf.fuel.network.node[1].interfaces[0]": "lo"},
        severity=Severity.ERROR,
        path="idf.fuel.network.node[1].interfaces[0]",
        source="- lo",
        message="no NIC can be named 'lo'",
        remedy="write the name that the NIC has on the node, such as enp1s0",
    ),
    Case(
        rule="device-name-of-node",
        pdf={},
        idf={"idf.fuel.network.node[1].interfaces[0]": "cni0"},
        severity=Severity.ERROR,
        path="idf.fuel.network.node[1].interfaces[0]",
        source="- cni0",
        message="a NIC named 'cni0' would be in the way of a device that the node makes for pods",
        remedy="write the name that the NIC has on the node, such as enp1s0",
    ),
    Case(
        rule="bridge-of-program",
        pdf={},
        idf={"idf.fuel.jumphost.bridges.public": "docker0"},
        severity=Severity.ERROR,
        path="idf.fuel.jumphost.bridges.public",
        source="public: docker0",
        message="a bridge named 'docker0' is made and managed by docker",
        remedy="name another bridge, or ~ to let iecpod make one",
    ),
    Case(
        rule="vlan-device-name",
        pdf={},
        idf={
            "idf.net_config.mgmt.vlan": 1015,
            "idf.fuel.network.node[1].interfaces[1]": "enp193s0f1",
            "idf.fuel.network.node[2].interfaces[1]": "enp193s0f1np",
        },
        severity=Severity.ERROR,
        path="idf.fuel.network.node[2].interfaces[1]",
        source="- enp193s0f1np",
        message="the node's device of mgmt would be named 'enp193s0f1np.1015', which has more than 15 characters",
        remedy="write a shorter name of the NIC",
    ),
    Case(
        rule="root-disk-tiny",
        pdf={"nodes[1].disks[0].disk_capacity": "500M"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].disks[0].disk_capacity",
        source="disk_capacity: 500M",
        message="the first disk of node-2 has 500M, too little for a system",
        remedy="give it at least 4G",
    ),
    Case(
        rule="vcpus-many",
        pdf={"nodes[1].node.cores": 1000},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].node.cores",
        source="cores: 1000",
        message="node-2 gets 1 times 1000 CPUs, and a VM has at most 512",
        remedy="lower cpus or cores",
    ),
    Case(
        rule="hypervisors-differ",
        pdf={"nodes[2].remote_management.address": "qemu:///session"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[2].remote_management.address",
        source="address: qemu:///session",
        message="node-3 is on 'qemu:///session', and the first node on 'qemu:///system'",
        remedy="write one libvirt URI for all nodes, or give the hypervisor with -c",
    ),
    Case(
        rule="duplicate-disk-name",
        pdf={"nodes[0].disks[1].name": "disk1"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[0].disks[1].name",
        source="- name: disk1",
        message="node-1 has two disks named 'disk1'",
        remedy="give every disk a name of its own",
    ),
    Case(
        rule="duplicate-bmc-address",
        pdf={**BAREMETAL, "nodes[1].remote_management.address": "198.51.100.2/24"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].remote_management.address",
        source="address: 198.51.100.2/24",
        message="node-2 has the BMC address 198.51.100.2 that jumper has already (line 33)",
        remedy="give every machine the address of its own BMC",
    ),
    Case(
        rule="bmc-address-not-ip",
        pdf={"jumphost.remote_management.address": '198.51.100.2"'},
        idf={},
        severity=Severity.WARNING,
        path="jumphost.remote_management.address",
        source='address: 198.51.100.2"',
        message="the BMC address '198.51.100.2\"' is not an IPv4 address",
        remedy="write the address of the BMC",
    ),
    Case(
        rule="libvirt-on-baremetal",
        pdf={**BAREMETAL, "nodes[0].remote_management": LIBVIRT},
        idf={},
        severity=Severity.ERROR,
        path="nodes[0].remote_management.type",
        source="type: libvirt",
        message="node-1 is baremetal and would be managed by libvirt",
        remedy="make the node virtual, or describe its BMC",
    ),
    Case(
        rule="libvirt-on-baremetal-jumphost",
        pdf={"jumphost.remote_management": LIBVIRT},
        idf={},
        severity=Severity.WARNING,
        path="jumphost.remote_management.type",
        source="type: libvirt",
        message="the jump host is baremetal and would be managed by libvirt",
        remedy="describe its BMC",
    ),
    Case(
        rule="ipmi-on-virtual",
        pdf={"nodes[1].remote_management": IPMI},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].remote_management.type",
        source="type: ipmi",
        message="node-2 is virtual and would be managed by a BMC",
        remedy="write type: libvirt, and the URI of its libvirt as address",
    ),
    Case(
        rule="duplicate-bmc-mac",
        pdf={**BAREMETAL, "nodes[1].remote_management.mac_address": "0C-00-00-00-01-00"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].remote_management.mac_address",
        source="mac_address: '0C-00-00-00-01-00'",
        message="node-2 has the BMC MAC 0c:00:00:00:01:00 that node-1 has already (line 70)",
        remedy="give every BMC its own MAC",
    ),
    Case(
        rule="bmc-mac-is-nic-mac",
        pdf={"jumphost.remote_management.mac_address": "0c:00:00:00:00:02"},
        idf={},
        severity=Severity.WARNING,
        path="jumphost.remote_management.mac_address",
        source="mac_address: '0c:00:00:00:00:02'",
        message="the BMC of jumper has the MAC of a NIC, 0c:00:00:00:00:02",
        remedy="give the BMC its own MAC",
    ),
    Case(
        rule="duplicate-mac",
        pdf={"nodes[1].interfaces[0].mac_address": "52:54:00:ab:01:02"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].interfaces[0].mac_address",
        source="mac_address: '52:54:00:ab:01:02'",
        message="node-2 has the MAC 52:54:00:ab:01:02 that node-1 has already (line 77)",
        remedy='give every NIC its own MAC, or "00:00:00:00:00:00" to let iecpod choose',
    ),
    Case(
        rule="duplicate-mac-baremetal",
        pdf={**BAREMETAL, "nodes[1].interfaces[0].mac_address": "0c:00:00:00:02:00"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].interfaces[0].mac_address",
        source="mac_address: '0c:00:00:00:02:00'",
        message="node-2 has the MAC 0c:00:00:00:02:00 that node-1 has already (line 75)",
        remedy='give every NIC its own MAC, or "00:00:00:00:00:00" to let iecpod choose',
    ),
    Case(
        rule="duplicate-mac-in-node",
        pdf={"nodes[1].interfaces[2].mac_address": "52:54:00:00:02:01"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].interfaces[2].mac_address",
        source="mac_address: '52:54:00:00:02:01'",
        message="NIC 3 of node-2 has the MAC of its NIC 1, 52:54:00:00:02:01",
        remedy="give every NIC its own MAC; a VLAN on a NIC is not listed as a NIC",
    ),
    Case(
        rule="duplicate-mac-in-machine",
        pdf={**BAREMETAL, "nodes[1].interfaces[2].mac_address": "0c:00:00:00:03:00"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].interfaces[2].mac_address",
        source="mac_address: '0c:00:00:00:03:00'",
        message="NIC 3 of node-2 has the MAC of its NIC 1, 0c:00:00:00:03:00",
        remedy="give every NIC its own MAC; a VLAN on a NIC is not listed as a NIC",
    ),
    Case(
        rule="multicast-mac-on-virtual",
        pdf={"nodes[1].interfaces[2].mac_address": "53:54:00:00:02:03"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].interfaces[2].mac_address",
        source="mac_address: '53:54:00:00:02:03'",
        message="53:54:00:00:02:03 is a multicast MAC: the last bit of its first byte is set",
        remedy="make the first byte even, such as 52",
    ),
    Case(
        rule="multicast-mac",
        pdf={"jumphost.interfaces[0].mac_address": "01:00:5e:00:00:01"},
        idf={},
        severity=Severity.WARNING,
        path="jumphost.interfaces[0].mac_address",
        source="mac_address: '01:00:5e:00:00:01'",
        message="01:00:5e:00:00:01 is a multicast MAC: the last bit of its first byte is set",
        remedy="make the first byte even, such as 52",
    ),
    Case(
        rule="zero-mac-on-admin",
        pdf={**BAREMETAL, "nodes[1].interfaces[0].mac_address": "00:00:00:00:00:00"},
        idf={},
        severity=Severity.ERROR,
        path="nodes[1].interfaces[0].mac_address",
        source="mac_address: '00:00:00:00:00:00'",
        message="the NIC of node-2 on the admin network has no MAC",
        remedy="write the MAC of the NIC that boots over PXE",
    ),
    Case(
        rule="zero-mac-on-baremetal",
        pdf={**BAREMETAL, "nodes[1].interfaces[2].mac_address": "00:00:00:00:00:00"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].interfaces[2].mac_address",
        source="mac_address: '00:00:00:00:00:00'",
        message="NIC 3 of node-2 has no MAC",
        remedy="write its MAC",
    ),
    Case(
        rule="duplicate-nic-name",
        pdf={"nodes[1].interfaces[3].name": "nic1"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].interfaces[3].name",
        source="- name: nic1",
        message="node-2 has two NICs named 'nic1'",
        remedy="give every NIC a name of its own",
    ),
    Case(
        rule="duplicate-nic-address",
        pdf={"nodes[1].interfaces[3].address": "10.0.19.137"},
        idf={},
        severity=Severity.WARNING,
        path="nodes[1].interfaces[3].address",
        source="address: '10.0.19.137'",
        message="node-2 has the address 10.0.19.137 that node-1 has already (line 86)",
        remedy="give every NIC its own address",
    ),
    Case(
        rule="network-needed",
        pdf={},
        idf={"idf.net_config.mgmt": REMOVED},
        severity=Severity.ERROR,
        path="idf.net_config",
        source="net_config:",
        message="the network 'mgmt' is missing",
        remedy="add it with interface, network and mask",
    ),
    Case(
        rule="network-missing",
        pdf={},
        idf={"idf.net_config.public": REMOVED},
        severity=Severity.WARNING,
        path="idf.net_config",
        source="net_config:",
        message="the network 'public' is missing",
        remedy="add it, unless nodes are to have no NIC there",
    ),
    Case(
        rule="network-misspelt",
        pdf={},
        idf={"idf.net_config.publik": {"interface": 3}, "idf.net_config.public": REMOVED},
        severity=Severity.ERROR,
        path="idf.net_config.publik",
        source="publik:",
        message="there is no network 'publik'",
        remedy="did you mean public?",
    ),
    Case(
        rule="network-unknown",
        pdf={},
        idf={"idf.net_config.tenant": {"interface": 3}},
        severity=Severity.WARNING,
        path="idf.net_config.tenant",
        source="tenant:",
        message="iecpod knows no network 'tenant'",
        remedy="networks it knows: oob, admin, mgmt, storage, private, public",
    ),
    Case(
        rule="network-key-misspelt",
        pdf={},
        idf={"idf.net_config.public.gatewy": "10.0.19.1", "idf.net_config.public.gateway": REMOVED},
        severity=Severity.ERROR,
        path="idf.net_config.public.gatewy",
        source="gatewy: '10.0.19.1'",
        message="networks have no key 'gatewy'",
        remedy="did you mean gateway?",
    ),
    Case(
        rule="network-key-unknown",
        pdf={},
        idf={"idf.net_config.public.mtu": 9000},
        severity=Severity.WARNING,
        path="idf.net_config.public.mtu",
        source="mtu: 9000",
        message="iecpod knows no key 'mtu' of a network",
        remedy="keys it knows: interface, vlan, network, mask, ip-range, gateway, dns",
    ),
    Case(
        rule="gateway-is-network",
        pdf={},
        idf={"idf.net_config.public.gateway": "10.0.19.255"},
        severity=Severity.ERROR,
        path="idf.net_config.public.gateway",
        source="gateway: '10.0.19.255'",
        message="the gateway 10.0.19.255 is the broadcast address of 10.0.19.0/24",
        remedy="write the router's address, 10.0.19.1 to 10.0.19.254",
    ),
    Case(
        rule="gateway-outside",
        pdf={},
        idf={"idf.net_config.public.gateway": "10.0.20.1"},
        severity=Severity.WARNING,
        path="idf.net_config.public.gateway",
        source="gateway: '10.0.20.1'",
        message="the gateway 10.0.20.1 is outside the network 10.0.19.0/24",
        remedy="correct gateway, network or mask",
    ),
    Case(
        rule="gateway-in-range",
        pdf={},
        idf={"idf.net_config.public.gateway": "10.0.19.140"},
        severity=Severity.WARNING,
        path="idf.net_config.public.ip-range",
        source="ip-range: '10.0.19.130-10.0.19.160'",
        message="the range 10.0.19.130-10.0.19.160 holds the gateway 10.0.19.140",
        remedy="begin the range behind the gateway, or end it before",
    ),
    Case(
        rule="public-gateway-missing",
        pdf={},
        idf={"idf.net_config.public.gateway": None},
        severity=Severity.WARNING,
        path="idf.net_config.public",
        source="public:",
        message="the public network has no gateway",
        remedy="add gateway, the router's address",
    ),
    Case(
        rule="range-outside",
        pdf={},
        idf={"idf.net_config.public.ip-range": "10.0.19.130-10.0.20.10"},
        severity=Severity.ERROR,
        path="idf.net_config.public.ip-range",
        source="ip-range: '10.0.19.130-10.0.20.10'",
        message="10.0.20.10 of the range is outside 10.0.19.0/24",
        remedy="correct ip-range, network or mask",
    ),
    Case(
        rule="range-holds-network",
        pdf={},
        idf={"idf.net_config.public.ip-range": "10.0.19.130-10.0.19.255"},
        severity=Severity.WARNING,
        path="idf.net_config.public.ip-range",
        source="ip-range: '10.0.19.130-10.0.19.255'",
        message="the range holds 10.0.19.255, which is not an address for a host in 10.0.19.0/24",
        remedy="keep within 10.0.19.1-10.0.19.254",
    ),
    Case(
        rule="network-host-bits",
        pdf={},
        idf={"idf.net_config.private.network": "10.1.2.0"},
        severity=Severity.WARNING,
        path="idf.net_config.private.network",
        source="network: '10.1.2.0'",
        message="10.1.2.0/16 is an address within the network 10.1.0.0/16",
        remedy="write network: 10.1.0.0, or correct the mask",
    ),
    Case(
        rule="network-tiny",
        pdf={},
        idf={"idf.net_config.storage.mask": 30},
        severity=Severity.WARNING,
        path="idf.net_config.storage.mask",
        source="mask: 30",
        message="a /30 has no room for the nodes",
        remedy="use a wider network, such as a /24",
    ),
    Case(
        rule="networks-overlap",
        pdf={},
        idf={"idf.net_config.storage.network": "10.1.7.0"},
        severity=Severity.WARNING,
        path="idf.net_config.private.network",
        source="network: '10.1.0.0'",
        message="private (10.1.0.0/16) overlaps storage (10.1.7.0/24)",
        remedy="give every network addresses of its own",
    ),
    Case(
        rule="nic-shared-on-virtual",
        pdf={},
        idf={"idf.net_config.private.interface": 1, "idf.net_config.private.vlan": "native"},
        severity=Severity.ERROR,
        path="idf.net_config.private.interface",
        source="interface: 1",
        message="private is on NIC 1 with VLAN native, and so is mgmt",
        remedy="give one of them another NIC or VLAN",
    ),
    Case(
        rule="nic-shared",
        pdf={**BAREMETAL},
        idf={"idf.net_config.private.interface": 2, "idf.net_config.private.vlan": 300},
        severity=Severity.WARNING,
        path="idf.net_config.private.interface",
        source="interface: 2",
        message="private is on NIC 2 with VLAN 300, and so is storage",
        remedy="give one of them another NIC or VLAN",
    ),
    Case(
        rule="dns-not-a-list",
        pdf={},
        idf={"idf.net_config.public.dns": "9.9.9.9"},
        severity=Severity.WARNING,
        path="idf.net_config.public.dns",
        source="dns: '9.9.9.9'",
        message="dns is one address, not a list",
        remedy="write it as [9.9.9.9]",
    ),
    Case(
        rule="bridge-twice",
        pdf={},
        idf={"idf.fuel.jumphost.bridges.mgmt": "br-public"},
        severity=Severity.WARNING,
        path="idf.fuel.jumphost.bridges.public",
        source="public: br-public",
        message="public is on the bridge 'br-public', and so is mgmt",
        remedy="name another bridge, or ~ to let iecpod make one",
    ),
    Case(
        rule="nic-index-beyond-all",
        pdf={},
        idf={"idf.net_config.public.interface": 9},
        severity=Severity.ERROR,
        path="idf.net_config.public.interface",
        source="interface: 9",
        message="public is on NIC 9 (counted from 0), but no node has more than 4 NICs",
        remedy="write an index from 0 to 3, or describe more NICs in the PDF",
    ),
    Case(
        rule="storage-nic-beyond",
        pdf={},
        idf={"idf.net_config.storage.interface": 4},
        severity=Severity.WARNING,
        path="idf.net_config.storage.interface",
        source="interface: 4",
        message="storage is on NIC 4 (counted from 0), but no node has more than 4 NICs",
        remedy="write an index from 0 to 3, or describe more NICs in the PDF",
    ),
    Case(
        rule="nic-index-beyond-some",
        pdf={"nodes[1].interfaces[3]": REMOVED},
        idf={},
        severity=Severity.WARNING,
        path="idf.net_config.public.interface",
        source="interface: 3",
        message="public is on NIC 3 (counted from 0), but node-2 has 3 NICs",
        remedy="write an index from 0 to 2, or describe more NICs in the PDF",
    ),
    Case(
        rule="device-nodes-missing",
        pdf={},
        idf={"idf.fuel.network.node[2]": REMOVED},
        severity=Severity.ERROR,
        path="idf.fuel.network.node",
        source="node:",
        message="the IDF names the NICs of 2 nodes, the PDF has 3",
        remedy="add an item for every node, in the PDF's order",
    ),
    Case(
        rule="device-nodes-surplus",
        pdf={},
        idf={"idf.fuel.network.node[3]": {"interfaces": ["a"], "busaddr": ["0000:01:00.0"]}},
        severity=Severity.WARNING,
        path="idf.fuel.network.node[3]",
        source="- interfaces:",
        message="the IDF names the NICs of 4 nodes, the PDF has 3",
        remedy="remove the items that are too many",
    ),
    Case(
        rule="device-lists-differ",
        pdf={},
        idf={"idf.fuel.network.node[1].busaddr[3]": REMOVED},
        severity=Severity.ERROR,
        path="idf.fuel.network.node[1].busaddr",
        source="busaddr:",
        message="interfaces names 4 NICs, busaddr 3",
        remedy="write one bus address for each name",
    ),
    Case(
        rule="device-name-twice",
        pdf={},
        idf={"idf.fuel.network.node[1].interfaces[3]": "enp1s0"},
        severity=Severity.ERROR,
        path="idf.fuel.network.node[1].interfaces[3]",
        source="- enp1s0",
        message="'enp1s0' stands for NIC 3 and for NIC 0 (counted from 0)",
        remedy="write what the node itself says of each NIC",
    ),
    Case(
        rule="bus-address-twice",
        pdf={},
        idf={"idf.fuel.network.node[1].busaddr[3]": "0000:01:00.0"},
        severity=Severity.ERROR,
        path="idf.fuel.network.node[1].busaddr[3]",
        source="- '0000:01:00.0'",
        message="'0000:01:00.0' stands for NIC 3 and for NIC 0 (counted from 0)",
        remedy="write what the node itself says of each NIC",
    ),
    Case(
        rule="device-count-differs",
        pdf={},
        idf={"idf.fuel.network.node[1].interfaces[4]": "enp5s0", "idf.fuel.network.node[1].busaddr[4]": "0000:05:00.0"},
        severity=Severity.WARNING,
        path="idf.fuel.network.node[1].interfaces",
        source="- interfaces:",
        message="the IDF names 5 NICs of node-2, the PDF describes 4",
        remedy="make both lists equally long",
    ),
    Case(
        rule="device-missing",
        pdf={},
        idf={"idf.fuel.network.node[1].interfaces[3]": REMOVED, "idf.fuel.network.node[1].busaddr[3]": REMOVED},
        severity=Severity.WARNING,
        path="idf.net_config.public.interface",
        source="interface: 3",
        message="public is on NIC 3 (counted from 0), which has no name in node-2",
        remedy="name it in idf.fuel.network.node[1].interfaces",
    ),
    Case(
        rule="reclass-count-differs",
        pdf={},
        idf={"idf.fuel.reclass.node[2]": REMOVED},
        severity=Severity.WARNING,
        path="idf.fuel.reclass.node",
        source="node:",
        message="the IDF has compute parameters of 2 nodes, and names the NICs of 3",
        remedy="write one item for every node, in the PDF's order",
    ),
    Case(
        rule="public-pool-outside",
        pdf={},
        idf={"idf.fuel.network.public_pool.end_ip": "10.0.20.5"},
        severity=Severity.ERROR,
        path="idf.fuel.network.public_pool.end_ip",
        source="end_ip: '10.0.20.5'",
        message="10.0.20.5 is outside the public network 10.0.19.0/24",
        remedy="correct it",
    ),
    Case(
        rule="public-pool-outside",
        pdf={},
        idf={"idf.fuel.network.public_pool": {"start_ip": "10.0.19.160", "end_ip": "10.0.19.150"}},
        severity=Severity.ERROR,
        path="idf.fuel.network.public_pool",
        source="public_pool:",
        message="the pool 10.0.19.160-10.0.19.150 ends before it starts",
        remedy="swap the two addresses",
    ),
    Case(
        rule="public-pool-beyond-range",
        pdf={},
        idf={"idf.fuel.network.public_pool.end_ip": "10.0.19.200"},
        severity=Severity.WARNING,
        path="idf.fuel.network.public_pool.end_ip",
        source="end_ip: '10.0.19.200'",
        message="10.0.19.200 is outside the ip-range of the public network, 10.0.19.130-10.0.19.160",
        remedy="keep the pool within ip-range, or widen that",
    ),
    Case(
        rule="network-special",
        pdf={},
        idf={"idf.net_config.storage.network": "169.254.8.0"},
        severity=Severity.ERROR,
        path="idf.net_config.storage.network",
        source="network: '169.254.8.0'",
        message="169.254.8.0/24 is in 169.254.0.0/16, which is for link-local addresses",
        remedy="use a network of your own, such as one in 10.0.0.0/8",
    ),
    Case(
        rule="dns-unusable",
        pdf={},
        idf={"idf.net_config.public.dns[1]": "127.0.0.53"},
        severity=Severity.WARNING,
        path="idf.net_config.public.dns[1]",
        source="- '127.0.0.53'",
        message="127.0.0.53 is no name server: it is among loopback addresses",
        remedy="write the address of a name server that the nodes reach",
    ),
    Case(
        rule="role-of-unknown-node",
        pdf={},
        idf={"idf.kubespray.nodes_roles.nodee": ["etcd"]},
        severity=Severity.WARNING,
        path="idf.kubespray.nodes_roles.nodee",
        source="nodee:",
        message="the PDF has no node 'nodee'",
        remedy="write the name that the node has in the PDF",
    ),
    Case(
        rule="node-without-role",
        pdf={},
        idf={"idf.kubespray.nodes_roles.node-3": REMOVED},
        severity=Severity.WARNING,
        path="idf.kubespray.nodes_roles",
        source="nodes_roles:",
        message="1 of 3 nodes have no role, the first is 'node-3'",
        remedy="add a role for every node, by its name in the PDF",
    ),
    Case(
        rule="roles-and-hostnames-differ",
        pdf={},
        idf={"idf.kubespray.hostnames.node-9": "x"},
        severity=Severity.WARNING,
        path="idf.kubespray.hostnames",
        source="hostnames:",
        message="node-9: in only one of nodes_roles and hostnames",
        remedy="name the same nodes in both",
    ),
    Case(
        rule="encrypted-value-broken",
        pdf={"jumphost.remote_management.pass": "ENC[PKCS7,MIIBeQYJ!]"},
        idf={},
        severity=Severity.WARNING,
        path="jumphost.remote_management.pass",
        source="pass: ENC[PKCS7,MIIBeQYJ!]",
        message="the value looks encrypted, but it is not base64",
        remedy="copy the whole ENC[...] again, as eyaml printed it",
    ),
    Case(
        rule="decrypted-value-left",
        pdf={"jumphost.remote_management.pass": "DEC(1)::PKCS7[secret]!"},
        idf={},
        severity=Severity.WARNING,
        path="jumphost.remote_management.pass",
        source="pass: DEC(1)::PKCS7[secret]!",
        message="a secret stands here in clear",
        remedy="run `eyaml edit` on the file again, and save it",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    pod = break_pod(case.pdf, case.idf)
    found = [problem for problem in check_descriptors(pod, SCHEMAS_DIR) if problem.rule == case.rule]
    assert [(problem.path, problem.message, problem.remedy, problem.severity) for problem in found] == [
        (case.path, case.message, case.remedy, case.severity)
    ]
    document = pod.pdf if found[0].file == pod.pdf.file else pod.idf
    assert line_at(document, found[0].line) == case.source


def test_every_rule_is_broken_once() -> None:
    assert {case.rule for case in CASES} == {rule.name for rule in RULES}


def test_rules_explain_themselves() -> None:
    assert all(rule.reason and rule.source and rule.name == rule.name.lower() for rule in RULES)


def test_sound_pod_has_no_problems() -> None:
    assert check_descriptors(break_pod(), SCHEMAS_DIR) == []


def test_baremetal_pod_has_no_problems() -> None:
    assert check_descriptors(break_pod(BAREMETAL), SCHEMAS_DIR) == []


def test_a_fault_that_aliases_share_is_reported_once() -> None:
    text = sound_text("virtual.yaml").replace("cores: 1, memory: 2G", "cores: 1, memory: 512M")
    pod = Descriptors(load_yaml(text, "virtual.yaml"), break_pod().idf)
    assert [(problem.rule, problem.path) for problem in check_pod(pod)] == [("memory-tiny", "nodes[1].node.memory")]


@pytest.mark.parametrize(
    ("memory", "machine", "rules"),
    [
        ("511M", "virtual", ["memory-too-small"]),
        ("64K", "virtual", ["memory-too-small"]),
        ("512M", "virtual", ["memory-tiny"]),
        ("64K", "baremetal", ["memory-tiny"]),
        ("1G", "virtual", []),
    ],
)
def test_memory_breaks_one_rule(memory: str, machine: str, rules: list[str]) -> None:
    edits = {**(BAREMETAL if machine == "baremetal" else {}), "nodes[1].node.memory": memory}
    assert [problem.rule for problem in check_descriptors(break_pod(edits), SCHEMAS_DIR)] == rules


@pytest.mark.parametrize("memory", ["64M", "511M", "512M", "1G"])
def test_the_least_memory_is_that_of_the_option(memory: str) -> None:
    found = check_descriptors(break_pod({"nodes[1].node.memory": memory}), SCHEMAS_DIR)
    is_refused = "memory-too-small" in [problem.rule for problem in found]
    try:
        parse_memory_mib(memory)
    except ValueError:
        assert is_refused
    else:
        assert not is_refused


@pytest.mark.parametrize("name", ["docker0", "flannel.1", "vxlan.calico", "cali0123", "vethx", "tunl0", "kube-bridge"])
def test_no_nic_has_the_name_of_what_nodes_make(name: str) -> None:
    found = check_descriptors(break_pod(idf={"idf.fuel.network.node[0].interfaces[2]": name}), SCHEMAS_DIR)
    assert [problem.rule for problem in found] == ["device-name-of-node"]


@pytest.mark.parametrize("name", ["all", "default", "lo", "bonding_masters"])
def test_names_that_linux_keeps_cannot_be_demoted(name: str) -> None:
    edits: Edits = {"idf.fuel.jumphost.bridges.public": name, "idf.fuel.network.node[0].interfaces[2]": name}
    found = {problem.rule for problem in check_descriptors(break_pod(idf=edits), SCHEMAS_DIR)}
    assert found == {"bridge-name-reserved", "device-name-reserved"}
    assert all(rule.fixed for rule in RULES if rule.name in found)


@pytest.mark.parametrize(
    ("bridge", "is_refused"),
    [("virbr0", True), ("docker_gwbridge", True), ("br-0123456789ab", True), ("cni0", True), ("br-lab", False)],
)
def test_bridges_that_are_no_lab_s(bridge: str, is_refused: bool) -> None:
    found = check_descriptors(break_pod(idf={"idf.fuel.jumphost.bridges.mgmt": bridge}), SCHEMAS_DIR)
    assert [problem.rule for problem in found] == ["bridge-of-program"] * is_refused


def test_a_vlan_device_that_is_another_nic() -> None:
    edits: Edits = {"idf.net_config.mgmt.vlan": 15, "idf.fuel.network.node[0].interfaces[3]": "enp2s0.15"}
    (found,) = check_descriptors(break_pod(idf=edits), SCHEMAS_DIR)
    assert found.rule == "vlan-device-name"
    assert found.message == "the node's device of mgmt would be named 'enp2s0.15', which is that of another NIC"


def test_a_vlan_device_of_a_nic_without_a_name() -> None:
    """Its NIC, the second, is named after the first: that has the name of the second."""
    edits: Edits = {
        "idf.net_config.mgmt.vlan": 15,
        "idf.fuel.network.node[0].interfaces": ["enp2s0", None, "enp1s0.15", "enp4s0"],
    }
    found = check_descriptors(break_pod(idf=edits), SCHEMAS_DIR)
    assert [problem.rule for problem in found] == ["vlan-device-name", "device-missing"]
    assert found[0].message == "the node's device of mgmt would be named 'enp1s0.15', which is that of another NIC"


@pytest.mark.parametrize(
    ("idf", "rules"),
    [
        ({"idf.net_config.mgmt.vlan": 15}, []),
        ({"idf.net_config.mgmt.vlan": 15, "idf.net_config.public.vlan": 16}, []),
        ({"idf.net_config.public.vlan": 15, "idf.net_config.mgmt.vlan": 15}, ["nic-shared-on-virtual"]),
        # For tenants, beside what is untagged; elsewhere a range is no tag at all.
        ({"idf.net_config.private.interface": 1}, []),
        ({"idf.net_config.mgmt.vlan": "100-199"}, ["nic-shared-on-virtual"]),
    ],
)
def test_networks_on_one_nic_are_distinguished_by_their_tags(idf: Edits, rules: list[str]) -> None:
    shared: Edits = {"idf.net_config.public.interface": 1, **idf}
    if "idf.net_config.private.interface" in idf:
        shared = idf
    found = check_descriptors(break_pod(idf=shared), SCHEMAS_DIR)
    assert [problem.rule for problem in found] == rules


@pytest.mark.parametrize(("vlan", "rules"), [(16, []), ("native", ["bridge-twice", "nic-shared-on-virtual"])])
def test_one_bridge_may_carry_what_shares_a_nic(vlan: object, rules: list[str]) -> None:
    edits: Edits = {
        "idf.net_config.public.interface": 1,
        "idf.net_config.public.vlan": vlan,
        "idf.fuel.jumphost.bridges.mgmt": "br-trunk",
        "idf.fuel.jumphost.bridges.public": "br-trunk",
    }
    found = check_descriptors(break_pod(idf=edits), SCHEMAS_DIR)
    assert sorted(problem.rule for problem in found) == rules


def test_a_gateway_on_another_network_is_one() -> None:
    edits: Edits = {"idf.net_config.public.gateway": None, "idf.net_config.mgmt.gateway": "172.16.10.1"}
    assert check_descriptors(break_pod(idf=edits), SCHEMAS_DIR) == []
