"""Good descriptors with one fault each: what people mistype, forget, copy too often, or write in the wrong place.

The tables say what a fault is; they are written from the formats, not from the schemas or rules under test.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from iecpod.yaml.document import dotted_path, dump_yaml, load_yaml
from tests.unit.descriptors.broken_pod import REMOVED, edited

BAD_TEXTS: tuple[object, ...] = (7, True, [], {}, ["x"], {"x": "y"}, 1.5, None)
BAD_LISTS: tuple[object, ...] = ("x", 3, {"x": "y"}, None, True)
BAD_MAPPINGS: tuple[object, ...] = ("x", 3, ["x"], None, [])
BAD_COUNTS: tuple[object, ...] = (0, -1, 1.5, 2.0, "two", "2", 100001, True, None, [2])
BAD_ADDRESSES: tuple[object, ...] = (
    "256.1.1.1", "1.2.3", "1.2.3.4.5", "banana", "10.0.0.1/33", "::1", "10.0.0.1-9", "10,0,0,1", "10.0.0.", "", 10, 1.5,
)  # fmt: skip
BAD_MACS: tuple[object, ...] = (
    "52:54:00:12:34", "52:54:00:12:34:56:78", "52:54:00:12:34:5g", "5254.0012.3456", "525400123456", "52:54:0:12:34:56",
    "01:00:5e:00:00:01", "", None, 525400123456, ["52:54:00:12:34:56"],
)  # fmt: skip
BAD_SIZES: tuple[object, ...] = ("100", "100X", "-5G", "0G", "G", "1,5T", "1.5.5T", "", 100, 0, None, "10 gigs", ["1G"])
BAD_NIC_VLANS: tuple[object, ...] = (
    0,
    4095,
    5000,
    -1,
    "abc",
    "1-10",
    1.5,
    2.0,
    True,
    "native|9999",
    "nativ",
    ["x"],
    "4095",
)
BAD_NETWORK_VLANS: tuple[object, ...] = (
    4095,
    5000,
    -5,
    "x",
    "2000-1000",
    "1-5000",
    "nativ",
    1.5,
    2.0,
    True,
    ["native"],
)
BAD_URIS: tuple[object, ...] = ("", "x", "qemu", "qemu:/system", "http//x", "qemu:///systm", "qemu:// /system", 5, None)
BAD_HOSTS: tuple[object, ...] = ("no host!", "1.2.3.400", "", "a..b", "-x", "http://ntp.example.org", 5, None, [])
BAD_BRIDGES: tuple[object, ...] = ("a-bridge-of-sixteen", "my bridge", "br/0", "-br", 7, ["br0"], {"x": "y"}, True)
BAD_NAMES: tuple[object, ...] = ("", "node 1", "node_1", "-node", "n" * 64, "nöde", 5, None, ["node"])
BAD_MTUS: tuple[object, ...] = (99999, 10, 0, -1, 575, 9217, "big", "1500", 1500.5, None)
BAD_PORTS: tuple[object, ...] = (0, -1, 65536, "http", 1.5, None)

#: Places (of machines: `M`) and values that are wrong there.
BAD_VALUES: tuple[tuple[str, str, tuple[object, ...]], ...] = (
    ("pdf", r"version", (2.0, "1.0", 0.1, 1.1, None, [1.0], "one")),
    ("pdf", r"details\.type", ("prod", "Production", 5, None)),
    ("pdf", r"details\.contact", ("nobody", "a@b", "", "x@", 5, None)),
    ("pdf", r"details\.link", ("example", "http//x", "https://", "https:// x", "", 5, None)),
    ("pdf", r"details\.(pod_owner|lab|location)", (*BAD_TEXTS, "")),
    ("pdf", r"nodes", (*BAD_LISTS, [])),
    ("pdf", r"nodes\[\d+\]|jumphost|details|M\.(node|remote_management)", BAD_MAPPINGS),
    ("pdf", r"nodes\[\d+\]\.name", BAD_NAMES),
    ("pdf", r"jumphost\.name", ("", 5, None, [])),
    ("pdf", r"M\.(disks|interfaces)", BAD_LISTS),
    ("pdf", r"nodes\[\d+\]\.(disks|interfaces)", ([],)),
    ("pdf", r"M\.(disks|interfaces)\[\d+\]", BAD_MAPPINGS),
    ("pdf", r"M\.os", (7, [], {})),
    ("pdf", r"M\.node\.type", ("virtula", "Virtual", "vm", 1, None)),
    ("pdf", r"M\.node\.arch", ("arm64", "x86", "amd64", "X86_64", 64, None)),
    ("pdf", r"M\.node\.(vendor|model|cpu_cflags)", BAD_TEXTS),
    ("pdf", r"M\.node\.(cpus|cores)", BAD_COUNTS),
    ("pdf", r"M\.node\.memory", BAD_SIZES),
    ("pdf", r"nodes\[\d+\]\.node\.memory", ("512M", "1K")),
    ("pdf", r"nodes\[\d+\]\.disks\[0\]\.disk_capacity", ("1M", "500K")),
    ("pdf", r"M\.disks\[\d+\]\.name", ("sda", "disk", "disk 1", "", 1, None)),
    ("pdf", r"M\.disks\[\d+\]\.disk_capacity", BAD_SIZES),
    ("pdf", r"M\.disks\[\d+\]\.disk_type", ("floppy", "SSD", 1, None)),
    ("pdf", r"M\.disks\[\d+\]\.disk_interface", ("pata", "SATA", 1, None)),
    ("pdf", r"M\.disks\[\d+\]\.disk_rotation", (1234, -1, "7200", "fast", None)),
    ("pdf", r"M\.remote_(?:management|params)\.type", ("ipmii", "IPMI", "ssh", 1, None, ["ipmi"])),
    ("pdf", r"M\.remote_(?:management|params)\.versions", ("2.0", 2.0, [], [3.0], ["2.0"], None)),
    ("pdf", r"M\.remote_(?:management|params)\.(user|pass)", BAD_TEXTS),
    ("pdf", r"M\.remote_(?:management|params)\.port", BAD_PORTS),
    ("pdf", r"M\.remote_(?:management|params)\.mac_address", BAD_MACS[:6] + BAD_MACS[7:]),
    ("pdf", r"M\.interfaces\[\d+\]\.name", ("eth0", "nic", "nic 1", "", 1, None)),
    ("pdf", r"M\.interfaces\[\d+\]\.mac_address", BAD_MACS),
    ("pdf", r"M\.interfaces\[\d+\]\.vlan", BAD_NIC_VLANS),
    ("pdf", r"M\.interfaces\[\d+\]\.address", BAD_ADDRESSES),
    ("pdf", r"M\.interfaces\[\d+\]\.speed", ("10gbps", "3gb", "fast", "", 10, None)),
    ("pdf", r"M\.interfaces\[\d+\]\.features", ("dpkd", "dpdk,sriov", "dpdk sriov", 5, ["dpdk"])),
    ("idf", r"idf\.version", (0.2, "0.1", 1.0, None, [0.1])),
    ("idf", r"idf|idf\.(net_config|fuel)|idf\.fuel\.(jumphost|network)", BAD_MAPPINGS),
    ("idf", r"idf\.fuel\.(jumphost\.bridges|network\.public_pool|network\.upstream_proxy)", BAD_MAPPINGS),
    ("idf", r"idf\.installer", ("fuel", ["fool"], [5], {"fuel": 1})),
    ("idf", r"idf\.net_config\.N", ("x", 3, ["x"], None, [], {})),
    ("idf", r"idf\.net_config\.N\.interface", (-1, "a", "0", 1.5, 1.0, True, None, [0], 256)),
    ("idf", r"idf\.net_config\.(admin|mgmt|private|public|storage)\.interface", (99, 200)),
    ("idf", r"idf\.net_config\.\w+\.vlan", BAD_NETWORK_VLANS),
    ("idf", r"idf\.net_config\.\w+\.(network|gateway)", BAD_ADDRESSES),
    ("idf", r"idf\.net_config\.N\.network", (None,)),
    ("idf", r"idf\.net_config\.\w+\.mask", (0, 33, 99, -1, "24", "255.255.255.0", 24.5, True, None, [24])),
    ("idf", r"idf\.net_config\.N\.mask", (31, 32, 8)),
    ("idf", r"idf\.net_config\.\w+\.dns", (5, True, {}, ["dns"], "resolver", ["1.2.3"], [None], [5], "1.2.3.4 8")),
    ("idf", r"idf\.net_config\.\w+\.dns\[\d+\]", (*BAD_ADDRESSES, "0.0.0.0", "255.255.255.255", "224.0.0.1")),
    ("idf", r"idf\.net_config\.\w+\.ip-range", ("x", "10.0.0.1", "10.0.0.1-", "a-b", "1.1.1.1-2-3", "", 5, [], True)),
    ("idf", r"idf\.net_config\.(admin|mgmt|private|public|storage)\.ip-range", ("203.0.113.5-203.0.113.9",)),
    ("idf", r"idf\.fuel\.jumphost\.bridges\.\w+", BAD_BRIDGES),
    ("idf", r"idf\.fuel\.jumphost\.trunks\.mgmt", ("yes please", 1, None)),
    ("idf", r"idf\.fuel\.maas\.\w+", ("ten", None, [10], -1, 0, 1.5, float("nan"), float("inf"))),
    ("idf", r".*\.(nova_cpu_pinning|compute_kernel_isolcpu)", ("x", "", -1, "2-", 1.5, None)),
    ("idf", r".*\.compute_ovs_(pmd_cpu|dpdk_lcore)_mask", ("x", "", -1, 0, "0x", None)),
    ("idf", r".*\.compute_ovs_(memory_channels|dpdk_socket_mem)", ("x", "", -1, 0, 1.5, None)),
    ("idf", r".*\.(compute_dpdk|dpdk0)_driver|.*\.compute_hugepages_mount", ("", "no driver", 5, None)),
    ("idf", r"idf\.fuel\.network\.interface_mtu", BAD_MTUS),
    ("idf", r"idf\.fuel\.network\.ntp_strata_host[12]", BAD_HOSTS),
    ("idf", r"idf\.fuel\.network\.public_pool\.(start|end)_ip", (*BAD_ADDRESSES, None, "203.0.113.5")),
    ("idf", r"idf\.fuel\.network\.upstream_proxy\.address", BAD_HOSTS),
    ("idf", r"idf\.fuel\.network\.upstream_proxy\.port", BAD_PORTS),
    ("idf", r"idf\.fuel\.network\.node", (*BAD_LISTS, [])),
    ("idf", r"idf\.fuel\.network\.node\[\d+\]", BAD_MAPPINGS),
    ("idf", r"idf\.fuel\.network\.node\[\d+\]\.(interfaces|busaddr)", BAD_LISTS),
    ("idf", r"idf\.fuel\.network\.node\[\d+\]\.interfaces\[\d+\]", ("enp1s0enp2s0enp3s0", "en p1", "e/1", "", 5)),
    ("idf", r"idf\.fuel\.network\.node\[\d+\]\.busaddr\[\d+\]", ("0000:01:00", "01", "0:zz:00.0", "0000:01:00.9", 5)),
    ("idf", r"idf\.fuel\.reclass\.node\[\d+\]\.compute_params\.\w+\.compute_hugepages_size", ("3M", "2m", 2, None)),
    ("idf", r"idf\.fuel\.reclass\.node\[\d+\]\.compute_params\.\w+\.compute_hugepages_count", (-1, "x", 1.5, None)),
)  # fmt: skip

#: Keys that no descriptor can do without. Removed, misspelt or null, they are missed.
REQUIRED: tuple[tuple[str, str], ...] = (
    ("pdf", r"version|details|jumphost|nodes"),
    ("pdf", r"details\.(type|pod_owner|contact|lab|location|link)"),
    ("pdf", r"M\.(name|node|disks|remote_management|interfaces)"),
    ("pdf", r"jumphost\.os"),
    ("pdf", r"M\.node\.(type|vendor|model|arch|cpus|cpu_cflags|cores|memory)"),
    ("pdf", r"M\.disks\[\d+\]\.(name|disk_capacity|disk_type|disk_interface|disk_rotation)"),
    ("pdf", r"M\.remote_management\.(type|user|pass|address)"),
    ("pdf", r"M\.interfaces\[\d+\]\.(name|mac_address)"),
    ("idf", r"idf|idf\.(version|net_config)|idf\.fuel\.(jumphost|network)|idf\.fuel\.jumphost\.bridges"),
    ("idf", r"idf\.net_config\.N(\.(interface|network|mask))?"),
    ("idf", r"idf\.fuel\.jumphost\.bridges\.(admin|mgmt|private|public)"),
    ("idf", r"idf\.fuel\.network\.node|idf\.fuel\.network\.node\[\d+\]\.(interfaces|busaddr)"),
    ("idf", r"idf\.fuel\.network\.public_pool\.(start|end)_ip|idf\.fuel\.network\.upstream_proxy\.(address|port)"),
)
#: Sections that are another installer's: their keys are unknown here.
FOREIGN = re.compile(r"xci\b|idf\.(?:osa|kubespray|compass|daisy|fuel\.dpdk)\b")
CORE = ("admin", "mgmt", "storage", "private", "public")


@dataclass(frozen=True)
class Mutant:
    """`places` are paths and line numbers, any of which names the fault; `key` is one that its parent misses.

    `write` makes the text, which costs more than most mutants are ever asked for.
    """

    fault: str
    kind: str
    write: Callable[[], str]
    places: frozenset[str | int]
    key: str = ""

    def __str__(self) -> str:
        return f"{self.fault} in {self.kind}: {', '.join(map(str, sorted(self.places, key=str)))}"


def mutate(pdf_text: str, idf_text: str) -> Iterator[Mutant]:
    """Every single fault that the tables know, applied in every place that has room for it."""
    # Through JSON, so that a fault in what aliases share is in one place only.
    data = {
        kind: json.loads(json.dumps(load_yaml(text, "").data)) for kind, text in (("pdf", pdf_text), ("idf", idf_text))
    }
    for kind in ("pdf", "idf"):
        for path in places(data[kind]):
            yield from _bad_values(kind, data[kind], path)
            yield from _bad_keys(kind, data[kind], path)
        yield from _unknown_keys(kind, data[kind])
        yield from mutate_text(kind, dump_yaml(data[kind]))
    yield from _twins(data["pdf"])
    yield from _networks(data["idf"])
    yield from _lists(data["idf"])
    yield from _strays(data["pdf"], data["idf"])


def places(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def _matches(pattern: str, path: str) -> bool:
    pattern = pattern.replace("M", r"(?:nodes\[\d+\]|jumphost)").replace(".N", r"\.(?:admin|mgmt)")
    return re.fullmatch(pattern, path) is not None


def _at(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def _mutant(fault: str, kind: str, data: object, path: tuple[str | int, ...], value: object, *also: str) -> Mutant:
    return Mutant(fault, kind, _writer(data, path, value), frozenset((dotted_path(path), *also)))


def _writer(data: object, path: tuple[str | int, ...], value: object) -> Callable[[], str]:
    return lambda: dump_yaml(edited(copy.deepcopy(data), path, value))


def _bad_values(kind: str, data: object, path: tuple[str | int, ...]) -> Iterator[Mutant]:
    place = dotted_path(path)
    for of_kind, pattern, values in BAD_VALUES:
        if of_kind == kind and _matches(pattern, place):
            for value in values:
                yield _mutant(f"bad value {value!r}", kind, data, path, value)


def _bad_keys(kind: str, data: object, path: tuple[str | int, ...]) -> Iterator[Mutant]:
    if not path or not isinstance(path[-1], str):
        return
    place, key, parent = dotted_path(path), path[-1], path[:-1]
    if any(of_kind == kind and _matches(pattern, place) for of_kind, pattern in REQUIRED):
        yield Mutant(f"no {key}", kind, _writer(data, path, REMOVED), frozenset((dotted_path(parent),)), key)
    if _is_foreign(place):
        return
    siblings = _at(data, parent)
    swapped, shorter = key[1:2] + key[0] + key[2:], key[0] + key[2:]
    for misspelt in dict.fromkeys((key[:-1], key + "s", shorter, swapped, key.upper(), key.title(), "x" + key)):
        if misspelt and misspelt not in siblings and misspelt not in CORE:
            renamed = {misspelt if name == key else name: value for name, value in siblings.items()}
            place = dotted_path((*parent, misspelt))
            yield Mutant(f"{key} misspelt {misspelt}", kind, _writer(data, parent, renamed), frozenset((place,)))


def _is_foreign(place: str) -> bool:
    return FOREIGN.match(place) is not None


def _unknown_keys(kind: str, data: object) -> Iterator[Mutant]:
    for path in places(data):
        if isinstance(_at(data, path), dict) and not _is_foreign(dotted_path(path)):
            yield _mutant("unknown key", kind, data, (*path, "zebra"), 1)


def _twins(pdf: Any) -> Iterator[Mutant]:
    """Values that must differ and are the same."""
    nodes = pdf["nodes"]
    for index, node in enumerate(nodes):
        at = ("nodes", index)
        yield _mutant("name of the jump host", "pdf", pdf, (*at, "name"), pdf["jumphost"]["name"])
        for key, fault in (("name", "twin name"), ("mac_address", "twin MAC")):
            for number in range(1, len(node["interfaces"])):
                first, path = node["interfaces"][0][key], (*at, "interfaces", number, key)
                if first != "00:00:00:00:00:00" and node["interfaces"][number][key] != first:
                    yield _mutant(f"{fault} in one machine", "pdf", pdf, path, first)
        for number in range(1, len(node["disks"])):
            yield _mutant("twin disk", "pdf", pdf, (*at, "disks", number, "name"), node["disks"][0]["name"])
        for other in range(index):
            also = f"nodes[{other}]"
            yield _mutant("twin node", "pdf", pdf, (*at, "name"), nodes[other]["name"], f"{also}.name")
            yield from _twin_nics(pdf, index, other)
            address = nodes[other]["remote_management"]["address"]
            if nodes[other]["remote_management"]["type"] == "ipmi" and node["remote_management"]["type"] == "ipmi":
                yield _mutant("twin BMC", "pdf", pdf, (*at, "remote_management", "address"), address)


def _twin_nics(pdf: Any, index: int, other: int) -> Iterator[Mutant]:
    for number, nic in enumerate(pdf["nodes"][index]["interfaces"]):
        for twin in pdf["nodes"][other]["interfaces"][:1]:
            if twin["mac_address"] != "00:00:00:00:00:00" and nic["mac_address"] != twin["mac_address"]:
                path = ("nodes", index, "interfaces", number, "mac_address")
                yield _mutant("twin MAC", "pdf", pdf, path, twin["mac_address"])
        for twin in pdf["nodes"][other]["interfaces"]:
            if twin.get("address") and nic.get("address") not in (None, twin["address"]):
                yield _mutant(
                    "twin address", "pdf", pdf, ("nodes", index, "interfaces", number, "address"), twin["address"]
                )


def _networks(idf: Any) -> Iterator[Mutant]:
    """Addresses that do not fit their network, and networks that do not fit each other."""
    config = idf["idf"]["net_config"]
    for name in CORE:
        network = config.get(name)
        if not isinstance(network, dict) or not network.get("network"):
            continue
        at = ("idf", "net_config", name)
        cidr = IPv4Network((network["network"], network["mask"]), strict=False)
        for fault, gateway in (
            ("gateway outside", cidr.broadcast_address + 5),
            ("gateway is the network", cidr.network_address),
            ("gateway is the broadcast address", cidr.broadcast_address),
        ):
            yield _mutant(fault, "idf", idf, (*at, "gateway"), str(gateway))
        low, high, end = cidr.network_address + 2, cidr.network_address + 5, cidr.broadcast_address
        for fault, ip_range in (
            ("reversed range", f"{high}-{low}"),
            ("range that ends outside", f"{low}-{end + 9}"),
            ("range that begins outside", f"{cidr.network_address - 3}-{high}"),
            ("range from the network address", f"{cidr.network_address}-{high}"),
            ("range to the broadcast address", f"{low}-{end}"),
        ):
            yield _mutant(fault, "idf", idf, (*at, "ip-range"), ip_range)
        if name in ("admin", "mgmt", "public"):
            yield _mutant("range too small", "idf", idf, (*at, "ip-range"), f"{low}-{low + 1}")
        for special in ("0.0.0.0", "127.0.0.0", "169.254.0.0", "224.0.0.0", "240.0.0.0"):
            yield _mutant("special network", "idf", idf, (*at, "network"), special, f"{dotted_path(at)}.ip-range")
        if cidr.prefixlen < 30:
            yield _mutant("host bits", "idf", idf, (*at, "network"), str(cidr.network_address + 1))
        yield from _pairs(idf, name)


def _pairs(idf: Any, name: str) -> Iterator[Mutant]:
    config = idf["idf"]["net_config"]
    for other in CORE:
        if other == name or not isinstance(config.get(other), dict) or not config[other].get("network"):
            continue
        at, also = ("idf", "net_config", name), f"idf.net_config.{other}"
        if config[other]["network"] != config[name]["network"]:
            value = config[other]["network"]
            yield _mutant("overlap", "idf", idf, (*at, "network"), value, f"{also}.network")
        if config[other]["interface"] != config[name]["interface"] and "storage" not in (name, other):
            twin = {**config[name], "interface": config[other]["interface"], "vlan": config[other].get("vlan")}
            either = frozenset((f"{dotted_path(at)}.interface", f"{also}.interface"))
            yield Mutant("shared NIC", "idf", _writer(idf, at, twin), either)


def _strays(pdf: Any, idf: Any) -> Iterator[Mutant]:
    """What stands alone is right, and does not go with the rest."""
    for index, node in enumerate(pdf["nodes"]):
        at = ("nodes", index)
        if node["node"]["type"] == "virtual" and node["remote_management"]["type"] == "libvirt":
            yield _mutant(
                "baremetal by libvirt",
                "pdf",
                pdf,
                (*at, "node", "type"),
                "baremetal",
                f"{dotted_path(at)}.remote_management.type",
            )
            if len(pdf["nodes"]) > 1:
                address = (*at, "remote_management", "address")
                yield _mutant(
                    "another hypervisor",
                    "pdf",
                    pdf,
                    address,
                    "qemu:///session",
                    *(f"nodes[{n}].remote_management.address" for n in (0, 1)),
                )
        if len({each["node"]["arch"] for each in pdf["nodes"]}) == 1 and len(pdf["nodes"]) > 1:
            arch = "aarch64" if node["node"]["arch"] == "x86_64" else "x86_64"
            yield _mutant("another architecture", "pdf", pdf, (*at, "node", "arch"), arch, "nodes[1].node.arch")
        yield _mutant("copied node", "pdf", pdf, ("nodes",), [*pdf["nodes"], node], f"nodes[{len(pdf['nodes'])}].name")
    roles = (idf["idf"].get("kubespray") or {}).get("nodes_roles", {})
    for name in roles:
        renamed = {name + "x" if key == name else key: value for key, value in roles.items()}
        path = ("idf", "kubespray", "nodes_roles")
        yield _mutant("misspelt role", "idf", idf, path, renamed, f"{dotted_path(path)}.{name}x")
    yield Mutant("PDF in place of the IDF", "idf", lambda: dump_yaml(pdf), frozenset(("", *pdf)))
    yield Mutant("IDF in place of the PDF", "pdf", lambda: dump_yaml(idf), frozenset(("", *idf)))
    for kind, data in (("pdf", pdf), ("idf", idf)):
        text = dump_yaml(data)
        for fault, changed in (("empty", ""), ("list", f"- {text!r}"), ("text", "hello"), ("null", "~")):
            yield Mutant(f"file is {fault}", kind, _line_writer([], 0, [changed]), frozenset(("",)))
        yield Mutant(
            "file twice",
            kind,
            _line_writer([text, "---", text], 0, [text]),
            frozenset((text.count("\n") + 3, text.count("\n") + 2)),
        )


def _lists(idf: Any) -> Iterator[Mutant]:
    """Lists of the IDF that are too short, too long, or say one thing twice."""
    fuel = idf["idf"].get("fuel") or {}
    nodes, path = fuel.get("network", {}).get("node", []), ("idf", "fuel", "network", "node")
    for length in range(len(nodes)):
        yield _mutant(f"{length} items", "idf", idf, path, nodes[:length])
    if nodes:
        yield _mutant("each item twice", "idf", idf, path, [*nodes, *nodes])
    for index, node in enumerate(nodes):
        for key in ("interfaces", "busaddr"):
            items, at = node[key], (*path, index, key)
            pair = [f"{dotted_path((*path, index))}.{each}" for each in ("interfaces", "busaddr")]
            yield _mutant("short list", "idf", idf, at, items[:-1], *pair)
            yield _mutant("long list", "idf", idf, at, [*items, items[-1][:-1] + "9"], *pair)
            for number in range(1, len(items)):
                if items[0] and items[number] != items[0]:
                    yield _mutant("twin device", "idf", idf, (*at, number), items[0])
    bridges = fuel.get("jumphost", {}).get("bridges", {})
    for name in bridges:
        for other, bridge in bridges.items():
            if other != name and bridge and bridges[name] != bridge:
                place = ("idf", "fuel", "jumphost", "bridges", name)
                yield _mutant("twin bridge", "idf", idf, place, bridge, dotted_path((*place[:-1], other)))


def mutate_text(kind: str, text: str) -> Iterator[Mutant]:
    """What no YAML writer makes: faults of syntax, in every line that begins a value of a known section."""
    lines, document = text.splitlines(), load_yaml(text, "")
    known = {document.position(path)[0] - 1 for path in places(document.data) if not _is_foreign(dotted_path(path))}
    for index, line in enumerate(lines):
        if index not in known:
            continue
        indent, body = line[: len(line) - len(line.lstrip())], line.lstrip()
        key, colon, value = body.removeprefix("- ").partition(": ")
        for fault, changed in _bad_lines(indent, body, key, colon, value):
            near = range(index, index + len(changed) + 2)  # counted from 1, and the neighbours
            yield Mutant(fault, kind, _line_writer(lines, index, changed), frozenset(near))


def _line_writer(lines: list[str], index: int, changed: list[str]) -> Callable[[], str]:
    return lambda: "\n".join([*lines[:index], *changed, *lines[index + 1 :], ""])


def _bad_lines(indent: str, body: str, key: str, colon: str, value: str) -> Iterator[tuple[str, list[str]]]:
    line = indent + body
    if body.endswith(":"):
        yield (
            "duplicate mapping",
            [line.replace("- ", "  ") + " x", line]
            if not body.startswith("- ")
            else [line, f"{indent}  {key[:-1]}: x"],
        )
    if indent:
        yield "tab", ["\t" + line.lstrip()]
        yield "tab behind spaces", [indent[:-1] + "\t" + body]
    yield "control character", [line + "\x07"]
    yield "stray bracket", [line + " ]" if not value else line.replace(value, "[" + value)]
    if not colon:
        return
    dash = "- " if body.startswith("- ") else ""
    if re.match(r"['\"]?(?:[0-9a-f]{2}:){5}", value):
        yield "unquoted MAC of base 60", [f"{indent}{dash}{key}: 52:54:10:12:34:56"]
    if value.isdecimal() and value > "0":
        yield "octal", [f"{indent}{dash}{key}: 0{int(value):o}"]
    yield "no space behind the colon", [f"{indent}{dash}{key}:{value}"]
    yield "no colon", [f"{indent}{dash}{key} {value}"]
    yield "open quote", [f'{indent}{dash}{key}: "{value}']
    yield "closing quote only", [f"{indent}{dash}{key}: '{value}' x"]
    yield "alias without anchor", [f"{indent}{dash}{key}: *nowhere"]
    yield "foreign tag", [f"{indent}{dash}{key}: !!python/object:os.system {value}"]
    yield "unclosed list", [f"{indent}{dash}{key}: [{value}, x"]
    yield "unclosed mapping", [f"{indent}{dash}{key}: {{x: {value}"]
    yield "second colon", [f"{indent}{dash}{key}: x: {value}"]
    within = indent + ("  " if dash else "")
    yield "duplicate key", [line, f"{within}{key}: {value}"]
    yield "percent", [f"{indent}{dash}{key}: %{value}"]
    yield "at sign", [f"{indent}{dash}{key}: @{value}"]
