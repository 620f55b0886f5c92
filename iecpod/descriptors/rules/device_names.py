"""Rules about names of network devices: bridges of the host and NICs of the nodes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from iecpod.descriptors.rules.documents import PodView
from iecpod.descriptors.rules.rule import Finding, error

_LINUX = "Linux (sysctl_dev_name_is_allowed, bonding)"
#: The loopback device, the directories of /proc/sys/net/ipv4/conf that are no device's, and the file that the driver of
#: bonds has among the devices in /sys: Linux makes no such device.
RESERVED_NAMES = ("all", "default", "lo", "bonding_masters")
#: What docker, kube-proxy and the pod networks make on a node: those find the NIC in its place, and use or change that.
MADE_ON_NODES = re.compile(
    r"docker0|cni0|kube-bridge|kube-ipvs0|kube-dummy-if|dummy0|nodelocaldns|tunl0|flannel\.\d+|vxlan(-v6)?\.calico"
    r"|(cali|veth).*"
)


#: docker's networks and libvirt's: they have addresses, NAT and firewalls of their own.
_BRIDGES_OF_PROGRAMS = (
    (re.compile(r"docker\d+|docker_gwbridge|br-[0-9a-f]{12}"), "docker"),
    (re.compile(r"virbr\d+"), "libvirt"),
    (re.compile(r"cni\d+|lxcbr\d+|lxdbr\d+|podman\d+"), "a container runtime"),
)


@error("bridge-name-reserved", reason="Linux makes no such bridge", source=_LINUX, fixed="there would be no bridge")
def bridge_name_reserved(pod: PodView) -> Iterator[Finding]:
    for network, bridge in pod.bridges.items():
        if bridge in RESERVED_NAMES:
            yield Finding(
                pod.idf,
                ("idf", "fuel", "jumphost", "bridges", network),
                f"no bridge can be named {bridge!r}",
                "name another bridge, or ~ to let iecpod make one",
            )


@error("bridge-of-program", reason="it is not the lab's", source="docker, libvirt, LXC, LXD, podman")
def bridge_of_program(pod: PodView) -> Iterator[Finding]:
    for network, bridge in pod.bridges.items():
        owner = next((owner for names, owner in _BRIDGES_OF_PROGRAMS if names.fullmatch(bridge)), None)
        if owner is not None:
            yield Finding(
                pod.idf,
                ("idf", "fuel", "jumphost", "bridges", network),
                f"a bridge named {bridge!r} is made and managed by {owner}",
                "name another bridge, or ~ to let iecpod make one",
            )


@error(
    "device-name-reserved", reason="Linux names no NIC so", source=_LINUX, fixed="the node would not name its NIC so"
)
def device_name_reserved(pod: PodView) -> Iterator[Finding]:
    for devices in pod.devices or ():
        for index, name in enumerate(devices.interfaces or ()):
            if name in RESERVED_NAMES:
                yield Finding(
                    pod.idf,
                    (*devices.path, "interfaces", index),
                    f"no NIC can be named {name!r}",
                    "write the name that the NIC has on the node, such as enp1s0",
                )


@error(
    "device-name-of-node",
    reason="the network of pods makes a device of that name on each node",
    source="Calico, flannel, kube-router, CNI plugins, docker",
)
def device_name_of_node(pod: PodView) -> Iterator[Finding]:
    for devices in pod.devices or ():
        for index, name in enumerate(devices.interfaces or ()):
            if isinstance(name, str) and MADE_ON_NODES.fullmatch(name):
                yield Finding(
                    pod.idf,
                    (*devices.path, "interfaces", index),
                    f"a NIC named {name!r} would be in the way of a device that the node makes for pods",
                    "write the name that the NIC has on the node, such as enp1s0",
                )
