"""Rules about PDF and IDF together: what one counts, the other must have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iecpod.descriptors.rules.documents import NetworkView, PodView
from iecpod.descriptors.rules.machines import repeated
from iecpod.descriptors.rules.rule import Finding, error, warning
from iecpod.yaml.document import dotted_path

_LABS = "34 descriptor pairs that labs used"
_DEVICES = ("idf", "fuel", "network", "node")


@error("nic-index-beyond-all", reason="the network would be on no NIC", source=_LABS)
def nic_index_beyond_all(pod: PodView) -> Iterator[Finding]:
    most = max((len(node.nics) for node in pod.nodes), default=0)
    for network in pod.core_networks:
        if most and network.name != "storage" and network.interface is not None and network.interface >= most:
            yield _beyond(pod, network, f"no node has more than {most} NICs", most)


@warning("storage-nic-beyond", reason="iecpod makes no storage network", source="all PODs of VMs index a fifth NIC")
def storage_nic_beyond(pod: PodView) -> Iterator[Finding]:
    most = max((len(node.nics) for node in pod.nodes), default=0)
    storage = pod.network("storage")
    if most and storage is not None and storage.interface is not None and storage.interface >= most:
        yield _beyond(pod, storage, f"no node has more than {most} NICs", most)


@warning("nic-index-beyond-some", reason="some nodes are not on the network", source="arm/pod5 has such controllers")
def nic_index_beyond_some(pod: PodView) -> Iterator[Finding]:
    most = max((len(node.nics) for node in pod.nodes), default=0)
    for network in pod.core_networks:
        short = [node for node in pod.nodes if network.interface is not None and len(node.nics) <= network.interface]
        if short and network.interface is not None and network.interface < most:
            reason = f"{short[0].label} has {len(short[0].nics)} NICs"
            yield _beyond(pod, network, reason, len(short[0].nics))


def _beyond(pod: PodView, network: NetworkView, reason: str, count: int) -> Finding:
    return Finding(
        pod.idf,
        (*network.path, "interface"),
        f"{network.name} is on NIC {network.interface} (counted from 0), but {reason}",
        f"write an index from 0 to {count - 1}, or describe more NICs in the PDF" if count else "describe NICs",
    )


@error("device-nodes-missing", reason="a node's NICs would have no names", source="no lab leaves one out")
def device_nodes_missing(pod: PodView) -> Iterator[Finding]:
    if pod.devices is not None and len(pod.devices) < len(pod.nodes):
        yield Finding(
            pod.idf,
            _DEVICES,
            f"the IDF names the NICs of {len(pod.devices)} nodes, the PDF has {len(pod.nodes)}",
            "add an item for every node, in the PDF's order",
        )


@warning(
    "device-nodes-surplus", reason="the PDF lacks nodes, or the IDF was copied", source="iec baremetal1 has two more"
)
def device_nodes_surplus(pod: PodView) -> Iterator[Finding]:
    if pod.devices is not None and pod.nodes and len(pod.devices) > len(pod.nodes):
        yield Finding(
            pod.idf,
            (*_DEVICES, len(pod.nodes)),
            f"the IDF names the NICs of {len(pod.devices)} nodes, the PDF has {len(pod.nodes)}",
            "remove the items that are too many",
        )


@error("device-lists-differ", reason="names and bus addresses are read in pairs", source="equal in every lab")
def device_lists_differ(pod: PodView) -> Iterator[Finding]:
    for devices in pod.devices or ():
        names, addresses = devices.interfaces, devices.busaddr
        if names is not None and addresses is not None and len(names) != len(addresses):
            yield Finding(
                pod.idf,
                (*devices.path, "busaddr"),
                f"interfaces names {len(names)} NICs, busaddr {len(addresses)}",
                "write one bus address for each name",
            )


@error("device-name-twice", reason="two NICs of a node cannot have one name", source=_LABS)
def device_name_twice(pod: PodView) -> Iterator[Finding]:
    yield from _repeated_items(pod, "interfaces")


@error("bus-address-twice", reason="two NICs of a node cannot have one bus address", source="ethtool")
def bus_address_twice(pod: PodView) -> Iterator[Finding]:
    yield from _repeated_items(pod, "busaddr")


def _repeated_items(pod: PodView, key: str) -> Iterator[Finding]:
    for devices in pod.devices or ():
        items: list[Any] = (devices.interfaces if key == "interfaces" else devices.busaddr) or []
        for index, first in repeated(item if isinstance(item, str) and item else None for item in items):
            yield Finding(
                pod.idf,
                (*devices.path, key, index),
                f"{items[index][:40]!r} stands for NIC {index} and for NIC {first} (counted from 0)",
                "write what the node itself says of each NIC",
            )


@warning("device-count-differs", reason="names and NICs are read in pairs", source="lf/pod4 and unh/pod1 differ")
def device_count_differs(pod: PodView) -> Iterator[Finding]:
    for node, devices in zip(pod.nodes, pod.devices or (), strict=False):
        if devices.interfaces is not None and len(devices.interfaces) != len(node.nics):
            yield Finding(
                pod.idf,
                (*devices.path, "interfaces"),
                f"the IDF names {len(devices.interfaces)} NICs of {node.label}, the PDF describes {len(node.nics)}",
                "make both lists equally long",
            )


@warning("device-missing", reason="the network's NIC has no name in the node", source="arm/pod5 and lf/pod4 lack one")
def device_missing(pod: PodView) -> Iterator[Finding]:
    for network in pod.core_networks:
        for node, devices in zip(pod.nodes, pod.devices or (), strict=False):
            names, index = devices.interfaces, network.interface
            if names is None or index is None or not 0 <= index < len(node.nics):
                continue
            if index >= len(names) or names[index] in (None, ""):
                yield Finding(
                    pod.idf,
                    (*network.path, "interface"),
                    f"{network.name} is on NIC {index} (counted from 0), which has no name in {node.label}",
                    f"name it in {dotted_path((*devices.path, 'interfaces'))}",
                )
                break


@warning("reclass-count-differs", reason="compute parameters are read in the PDF's order", source="equal in every lab")
def reclass_count_differs(pod: PodView) -> Iterator[Finding]:
    devices = pod.devices
    if pod.reclass is not None and devices is not None and len(pod.reclass) != len(devices):
        yield Finding(
            pod.idf,
            ("idf", "fuel", "reclass", "node"),
            f"the IDF has compute parameters of {len(pod.reclass)} nodes, and names the NICs of {len(devices)}",
            "write one item for every node, in the PDF's order",
        )


@error("public-pool-outside", reason="addresses of the pool would be in no network", source="Fuel's templates")
def public_pool_outside(pod: PodView) -> Iterator[Finding]:
    public, pool = pod.network("public"), pod.public_pool
    if public is None or public.cidr is None or pool is None:
        return
    path = ("idf", "fuel", "network", "public_pool")
    for key, address in zip(("start_ip", "end_ip"), pool, strict=True):
        if address not in public.cidr:
            yield Finding(pod.idf, (*path, key), f"{address} is outside the public network {public.cidr}", "correct it")
    if pool[1] < pool[0]:
        yield Finding(pod.idf, path, f"the pool {pool[0]}-{pool[1]} ends before it starts", "swap the two addresses")


@warning(
    "public-pool-beyond-range", reason="ip-range holds the addresses that are this POD's", source="Fuel's templates"
)
def public_pool_beyond_range(pod: PodView) -> Iterator[Finding]:
    public, pool = pod.network("public"), pod.public_pool
    if public is None or public.cidr is None or public.ip_range is None or pool is None:
        return
    first, last = public.ip_range
    for key, address in zip(("start_ip", "end_ip"), pool, strict=True):
        if address in public.cidr and not first <= address <= last:
            yield Finding(
                pod.idf,
                ("idf", "fuel", "network", "public_pool", key),
                f"{address} is outside the ip-range of the public network, {first}-{last}",
                "keep the pool within ip-range, or widen that",
            )
