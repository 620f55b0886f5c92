"""What a machine that is to become a node is like, found out with one command that changes nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from iecpod.cni.registry import ALL_MODULES
from iecpod.errors import NodeError
from iecpod.ports import Shell
from iecpod.providers.existing.node_sections import END, SECTION, Section, read_sections

#: Where a node keeps the record of what it was like before.
RECORD_DIR = "/var/lib/iecpod/record"

#: Modules that a node of every cluster needs.
MODULES = ("overlay", "br_netfilter")

#: Programs that every step on a node relies on.
PROGRAMS = (
    *("apt-get", "awk", "dpkg", "getent", "ip", "modprobe", "perl", "runuser", "sed", "sha256sum", "sysctl"),
    *("systemctl", "systemd-run"),
)

#: What is there of another cluster or of another container runtime.
_CLUSTER_FILES = (
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/manifests",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/etcd/member",
    "/etc/rancher",
    "/var/snap/microk8s",
    "/etc/cni/net.d",
)
#: Programs that are or bring a kubelet.
KUBELETS = ("kubelet", "kubeadm", "k3s", "rke2", "k0s", "microk8s")
#: Container runtimes: the program, and its unit.
RUNTIMES = {"containerd": "containerd", "dockerd": "docker", "crio": "crio"}
_UNITS = ("kubelet", *RUNTIMES.values(), "k3s", "k3s-agent", "rke2-server", "rke2-agent", "k0scontroller", "k0sworker")

_SCRIPT = f"""{SECTION}
section os_release cat /etc/os-release
section machine uname -m
section kernel uname -r
section hostname uname -n
section machine_id cat /etc/machine-id
section product_uuid cat /sys/class/dmi/id/product_uuid
section clock date +%s
section systemd test -d /run/systemd/system
section virtualization systemd-detect-virt --vm
section cgroup stat --file-system --format=%T /sys/fs/cgroup
section processors nproc
section memory cat /proc/meminfo
section space df -Pk /var/lib
section swaps awk 'NR > 1' /proc/swaps
section listening sh -c 'test -r /proc/net/tcp && cat /proc/net/tcp* | awk '"'"'$4 == "0A" {{ print $2 }}'"'"
section udp sh -c 'test -r /proc/net/udp && cat /proc/net/udp* | awk '"'"'$4 == "07" {{ print $2 }}'"'"''
section links ip -o link show
section addresses ip -o -4 address show
section routes ip -4 route show table all
section modules sh -c 'for module; do
    if test -d "/sys/module/$module"; then echo "$module loaded"
    elif modprobe --dry-run --quiet "$module"; then echo "$module available"
    else echo "$module missing"; fi
done' modules {" ".join((*MODULES, *ALL_MODULES))}
section programs sh -c 'for program; do
    command -v "$program" > /dev/null && echo "$program" || true
done' programs {" ".join((*PROGRAMS, *KUBELETS, *RUNTIMES))}
section cluster sh -c 'for file; do
    if test -d "$file"; then test -z "$(ls -A "$file")" || echo "$file"
    elif test -e "$file"; then echo "$file"; fi
done' cluster {" ".join(_CLUSTER_FILES)}
section units sh -c 'for unit; do
    state=$(systemctl is-active "$unit")
    test -n "$state" || exit 1
    test "$state" != active || echo "$unit"
done' units {" ".join(_UNITS)}
section record sh -c 'test ! -e "$1" || cat "$1/owner"' record {RECORD_DIR}
{END}"""

_NAMES = tuple(re.findall(r"^section ([a-z_]+)", _SCRIPT, re.MULTILINE))
FACTS_SECONDS = 300.0
_KIB_IN_MIB = 1024


@dataclass(frozen=True, slots=True)
class NodeLink:
    """A network device; `addresses` are its IPv4 addresses, each with its network."""

    name: str
    mac: str
    mtu: int
    addresses: tuple[IPv4Interface, ...]


@dataclass(frozen=True, slots=True)
class NodeRoute:
    """A network that the node reaches by `device`; empty where a route names none, as one that drops packets."""

    cidr: IPv4Network
    device: str


@dataclass(frozen=True, slots=True)
class Swap:
    """A device or file that is in use as swap."""

    device: str
    size_mib: int
    used_mib: int


@dataclass(frozen=True, slots=True)
class RecordOwner:
    """Who keeps a record on a node: an installation of iecpod (a UUID), for a POD, under the name of a node."""

    installation: str
    pod: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """A text or tuple is empty where there is none, and None is what could not be found out.

    `skew_seconds` is how far its clock is ahead of this machine's, give or take `skew_error_seconds`. `os_name` is in
    the words of releases (`ubuntu2404`), `os_title` in the distribution's. `virtualization` is systemd's word: `qemu`
    for a machine that is emulated, `none` for one that is no virtual machine. `clusters` are files and units of a
    Kubernetes that is there. `listening` are TCP ports, `udp_ports` those that receive from any sender. `record_is_odd`
    where there is a record that names no owner.
    """

    os_name: str
    os_title: str
    machine: str
    kernel: str
    hostname: str
    machine_id: str
    product_uuid: str
    skew_seconds: float | None
    skew_error_seconds: float
    virtualization: str
    has_systemd: bool
    has_cgroup_2: bool | None
    cpus: int | None
    memory_mib: int | None
    available_mib: int | None
    free_mib: int | None
    swaps: tuple[Swap, ...] | None
    listening: frozenset[int] | None
    udp_ports: frozenset[int] | None
    links: tuple[NodeLink, ...]
    routes: tuple[NodeRoute, ...]
    modules: Mapping[str, str]
    programs: frozenset[str]
    clusters: tuple[str, ...] | None
    units: frozenset[str] | None
    owner: RecordOwner | None
    record_is_odd: bool

    def link_of(self, address: object) -> NodeLink | None:
        """The device that has the address."""
        return next((link for link in self.links if any(own.ip == address for own in link.addresses)), None)


def gather_facts(shell: Shell, wall_time: Callable[[], float], seconds: float = FACTS_SECONDS) -> NodeFacts:
    """Raises `NodeUnreachable`, `WaitTimeout`, `CommandFailed`, and `NodeError` for an answer that is none."""
    before = wall_time()
    text = shell.run(["sh", "-c", _SCRIPT, "node-facts"], timeout_seconds=seconds).stdout
    return read_facts(text, shell.node, before, wall_time())


def read_facts(text: str, node: str, before: float, after: float) -> NodeFacts:
    """What the script printed, between two moments of this machine's clock. Raises `NodeError`."""

    def refuse(why: str) -> NodeError:
        return NodeError(node, f"what it says of itself is not understood: {why}", f"see what runs at {node}")

    found = read_sections(text, _NAMES, refuse)
    os_release = _assignments(found["os_release"])
    memory = dict(_pairs(found["memory"], r"(\w+):\s+([0-9]{1,15}) kB"))
    clock = _number(found["clock"].first)
    return NodeFacts(
        os_name=_os_name(os_release),
        os_title=os_release.get("PRETTY_NAME", "")[:100],
        machine=_word(found["machine"].first),
        kernel=_word(found["kernel"].first),
        hostname=_word(found["hostname"].first).lower(),
        machine_id=_word(found["machine_id"].first).lower(),
        product_uuid=_word(found["product_uuid"].first).lower(),
        skew_seconds=None if clock is None else clock - (before + after) / 2,
        skew_error_seconds=(after - before) / 2 + 1,
        virtualization=_word("".join(found["virtualization"].lines[:1])),
        has_systemd=found["systemd"].status == 0,
        has_cgroup_2=found["cgroup"].first == "cgroup2fs" if found["cgroup"].first else None,
        cpus=_number(found["processors"].first),
        memory_mib=_mib(memory.get("MemTotal")),
        available_mib=_mib(memory.get("MemAvailable")),
        free_mib=_free_mib(found["space"]),
        swaps=tuple(_swaps(found["swaps"])) if found["swaps"].status == 0 else None,
        listening=_ports(found["listening"]),
        udp_ports=_ports(found["udp"]),
        links=_links(found["links"], found["addresses"]),
        routes=tuple(_routes(found["routes"])),
        modules=dict(_pairs(found["modules"], r"(\w+) (loaded|available|missing)")),
        programs=frozenset(found["programs"].known),
        clusters=tuple(line[:200] for line in found["cluster"].lines) if found["cluster"].status == 0 else None,
        units=frozenset(found["units"].lines) if found["units"].status == 0 else None,
        owner=_owner(found["record"]),
        record_is_odd=(found["record"].status != 0 or bool(found["record"].lines)) and _owner(found["record"]) is None,
    )


def _word(text: str) -> str:
    """A name or number as nodes have them; empty for what is longer or has other characters."""
    return text if re.fullmatch(r"[A-Za-z0-9._:/+~@-]{1,100}", text, re.ASCII) else ""


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,15}", text, re.ASCII) else None


def _mib(kib: str | None) -> int | None:
    return None if kib is None else int(kib) // _KIB_IN_MIB


def _assignments(section: Section) -> dict[str, str]:
    return {name: value.strip("\"'") for name, value in _pairs(section, r"([A-Z_]+)=(.*)")}


def _os_name(os_release: Mapping[str, str]) -> str:
    return _word(os_release.get("ID", "") + os_release.get("VERSION_ID", "").replace(".", ""))


def _pairs(section: Section, pattern: str) -> Iterator[tuple[str, str]]:
    for line in section.known:
        if found := re.fullmatch(pattern, line.strip(), re.ASCII):
            yield found[1], found[2]


def _free_mib(section: Section) -> int | None:
    fields = section.known[-1].split() if section.known else []
    kib = _number(fields[3]) if len(fields) >= 6 else None
    return None if kib is None else kib // _KIB_IN_MIB


def _swaps(section: Section) -> Iterator[Swap]:
    for line in section.known:
        fields = line.split()
        if len(fields) == 5:
            yield Swap(fields[0][:200], *((_number(size) or 0) // _KIB_IN_MIB for size in fields[2:4]))


def _ports(section: Section) -> frozenset[int] | None:
    if section.status != 0:
        return None
    found = (re.fullmatch("[0-9A-F]{8,32}:([0-9A-F]{4})", line) for line in section.lines)
    return frozenset(int(match[1], 16) for match in found if match)


def _links(links: Section, addresses: Section) -> tuple[NodeLink, ...]:
    by_device: dict[str, list[IPv4Interface]] = {}
    for device, text in _pairs(addresses, r"[0-9]+: (\S{1,15})\s+inet ([0-9./]+) .*"):
        try:
            by_device.setdefault(device, []).append(IPv4Interface(text))
        except ValueError:
            continue
    found = []
    for line in links.known:
        named = re.match(r"[0-9]+: ([^:@\s]{1,15})(?:@\S+)?: <.*?> mtu ([0-9]{1,9})\b", line, re.ASCII)
        if named:
            mac = re.search(r"link/ether ((?:[0-9a-f]{2}:){5}[0-9a-f]{2})\b", line)
            own = tuple(by_device.get(named[1], ()))
            found.append(NodeLink(named[1], mac[1] if mac else "", int(named[2]), own))
    return tuple(found)


def _routes(section: Section) -> Iterator[NodeRoute]:
    """Networks only: what restates an address of the node is left out, and so are default routes."""
    for line in section.known:
        words = line.split()
        if words and words[0] in ("blackhole", "unreachable", "prohibit", "throw", "unicast"):
            words = words[1:]
        if not words or words[0] in ("default", "local", "broadcast", "multicast", "anycast"):
            continue
        try:
            cidr = IPv4Network(words[0])
        except ValueError:
            continue
        device = words[words.index("dev") + 1] if "dev" in words[:-1] else ""
        yield NodeRoute(cidr, _word(device))


def _owner(section: Section) -> RecordOwner | None:
    said = dict(_pairs(section, r"(installation|pod|node)=([A-Za-z0-9._/-]{1,200})"))
    return RecordOwner(**said) if len(said) == 3 else None
