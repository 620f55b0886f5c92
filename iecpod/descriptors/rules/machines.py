"""Rules about the PDF alone: machines, their names, memory and disks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from iecpod.descriptors.encrypted import is_encrypted
from iecpod.descriptors.rules.documents import MachineView, Path, PodView, read
from iecpod.descriptors.rules.rule import Finding, error, warning
from iecpod.descriptors.value_parsers import is_hostname_label
from iecpod.model import LEAST_MEMORY_MIB
from iecpod.units import parse_size_bytes
from iecpod.yaml.document import Document

_LABS = "34 descriptor pairs that labs used"
_GIB = 1 << 30
_LEAST_MEMORY_BYTES = LEAST_MEMORY_MIB << 20
_SMALLEST_ROOT_BYTES = 4 * _GIB
_MOST_VCPUS = 512


def machines(pod: PodView) -> Iterator[MachineView]:
    """The jump host, then the nodes, as in the file."""
    if pod.jumphost is not None:
        yield pod.jumphost
    yield from pod.nodes


def line_of(document: Document, path: Path) -> str:
    """The other place of a finding that has two."""
    return f"line {document.position(path)[0]}"


def repeated(names: Iterable[str | None]) -> Iterator[tuple[int, int]]:
    """Index of every name that stood before, with the index of its first place."""
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name is not None and first.setdefault(name, index) != index:
            yield index, first[name]


@error("duplicate-node-name", reason="nodes are identified by their names", source=_LABS)
def duplicate_node_name(pod: PodView) -> Iterator[Finding]:
    for index, first in repeated(node.name for node in pod.nodes):
        yield Finding(
            pod.pdf,
            ("nodes", index, "name"),
            f"node {index + 1} has the name {pod.nodes[index].name!r} of node {first + 1} "
            f"({line_of(pod.pdf, ('nodes', first, 'name'))})",
            "give every node a name of its own",
        )


@error("node-named-like-jumphost", reason="nodes and the jump host are identified by their names", source=_LABS)
def node_named_like_jumphost(pod: PodView) -> Iterator[Finding]:
    for index, node in enumerate(pod.nodes):
        if pod.jumphost is not None and node.name is not None and node.name == pod.jumphost.name:
            yield Finding(
                pod.pdf,
                ("nodes", index, "name"),
                f"the node has the name of the jump host, {node.name!r} ({line_of(pod.pdf, ('jumphost', 'name'))})",
                "give one of them another name",
            )


@warning("node-name-not-hostname", reason="names of nodes become names of machines elsewhere", source="RFC 1123")
def node_name_not_hostname(pod: PodView) -> Iterator[Finding]:
    for node in pod.nodes:
        if node.name is not None and not is_hostname_label(node.name):
            yield Finding(
                pod.pdf,
                (*node.path, "name"),
                f"{node.name[:80]!r} cannot be a host name",
                "use letters, digits and '-', at most 63",
            )


@warning("mixed-architectures", reason="one release must then hold images for both", source="arm/pod10 has them")
def mixed_architectures(pod: PodView) -> Iterator[Finding]:
    yield from _mixed(pod, "arch", [node.arch for node in pod.nodes], "architectures")


@warning("mixed-node-types", reason="iecpod deploys virtual nodes only", source=_LABS)
def mixed_node_types(pod: PodView) -> Iterator[Finding]:
    yield from _mixed(pod, "type", [node.type for node in pod.nodes], "kinds")


def _mixed(pod: PodView, key: str, found: list[str | None], what: str) -> Iterator[Finding]:
    odd = next((index for index, value in enumerate(found) if value is not None and value != found[0]), None)
    if odd is not None and found[0] is not None:
        yield Finding(
            pod.pdf,
            ("nodes", odd, "node", key),
            f"the nodes are of different {what}: {found[0]} and {found[odd]}",
            "make sure that it is meant so",
        )


@error(
    "memory-too-small",
    reason="no cloud image boots in so little",
    source="cloud images of Debian and Ubuntu",
    fixed="no such machine would start",
)
def memory_too_small(pod: PodView) -> Iterator[Finding]:
    for node, memory, size in _memories(pod):
        if node.type == "virtual" and size < _LEAST_MEMORY_BYTES:
            yield Finding(
                pod.pdf,
                (*node.path, "node", "memory"),
                f"no node starts with {memory} of memory; the least is {LEAST_MEMORY_MIB}M",
                "give at least 1536M to a worker and 2560M to the first node",
            )


@warning("memory-tiny", reason="no Kubernetes node starts with less than 1 GiB", source="kubeadm's requirements")
def memory_tiny(pod: PodView) -> Iterator[Finding]:
    for node, memory, size in _memories(pod):
        least = _LEAST_MEMORY_BYTES if node.type == "virtual" else 0
        if least <= size < _GIB:
            yield Finding(
                pod.pdf,
                (*node.path, "node", "memory"),
                f"{memory} of memory is too little for a node",
                "give at least 1536M to a worker and 2560M to the first node",
            )


def _memories(pod: PodView) -> Iterator[tuple[MachineView, object, int]]:
    """Nodes whose memory can be read: as written, and in bytes."""
    for node in pod.nodes:
        memory = node.data.get("node", {}).get("memory") if isinstance(node.data.get("node"), dict) else None
        size = read(parse_size_bytes, memory)
        if size is not None:
            yield node, memory, size


@warning("root-disk-tiny", reason="no node's system fits", source="Debian's and Ubuntu's cloud images, Kubernetes")
def root_disk_tiny(pod: PodView) -> Iterator[Finding]:
    for node in pod.nodes:
        disks = node.data.get("disks")
        first = disks[0] if isinstance(disks, list) and disks and isinstance(disks[0], dict) else {}
        size = read(parse_size_bytes, first.get("disk_capacity"))
        if size is not None and size < _SMALLEST_ROOT_BYTES:
            yield Finding(
                pod.pdf,
                (*node.path, "disks", 0, "disk_capacity"),
                f"the first disk of {node.label} has {first.get('disk_capacity')}, too little for a system",
                "give it at least 4G",
            )


@warning("vcpus-many", reason="QEMU's machines take no more", source="QEMU's machine type virt")
def vcpus_many(pod: PodView) -> Iterator[Finding]:
    for node in pod.nodes:
        machine = node.data.get("node")
        cpus, cores = (machine.get("cpus"), machine.get("cores")) if isinstance(machine, dict) else (None, None)
        if node.type == "virtual" and isinstance(cpus, int) and isinstance(cores, int) and cpus * cores > _MOST_VCPUS:
            yield Finding(
                pod.pdf,
                (*node.path, "node", "cores" if cores > cpus else "cpus"),
                f"{node.label} gets {cpus} times {cores} CPUs, and a VM has at most {_MOST_VCPUS}",
                "lower cpus or cores",
            )


@warning("hypervisors-differ", reason="a POD of VMs is deployed on one hypervisor", source="one in every lab")
def hypervisors_differ(pod: PodView) -> Iterator[Finding]:
    addresses = [node.management.get("address") for node in pod.nodes if node.management.get("type") == "libvirt"]
    for node in pod.nodes:
        address = node.management.get("address")
        if node.management.get("type") != "libvirt" or is_encrypted(address) or is_encrypted(addresses[0]):
            continue
        if isinstance(address, str) and isinstance(addresses[0], str) and address != addresses[0]:
            yield Finding(
                pod.pdf,
                (*node.path, "remote_management", "address"),
                f"{node.label} is on {address[:80]!r}, and the first node on {addresses[0][:80]!r}",
                "write one libvirt URI for all nodes, or give the hypervisor with -c",
            )
            return


@warning("duplicate-disk-name", reason="disks of a machine are identified by their names", source=_LABS)
def duplicate_disk_name(pod: PodView) -> Iterator[Finding]:
    for machine in machines(pod):
        disks = machine.data.get("disks")
        items = disks if isinstance(disks, list) else []
        names = [item.get("name") if isinstance(item, dict) else None for item in items]
        for index, _ in repeated(name if isinstance(name, str) else None for name in names):
            yield Finding(
                pod.pdf,
                (*machine.path, "disks", index, "name"),
                f"{machine.label} has two disks named {names[index]!r}",
                "give every disk a name of its own",
            )
