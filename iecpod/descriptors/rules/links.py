"""Rules about names of network devices: bridges of the host and NICs of the nodes."""

from __future__ import annotations

from collections.abc import Iterator

from iecpod.descriptors.rules.rule import Finding, error
from iecpod.descriptors.rules.view import PodView

_LINUX = "Linux (sysctl_dev_name_is_allowed)"
#: The loopback device, and the directories of /proc/sys/net/ipv4/conf that are no device's: Linux makes no such device.
RESERVED_NAMES = ("all", "default", "lo")


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
