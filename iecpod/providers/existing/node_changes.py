"""What a deploy will change on a node, as far as it can be said before it begins: what is recorded first."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

from iecpod.cni.registry import ALL_TRACES, CNIS
from iecpod.design.cluster import DesiredCluster
from iecpod.release.mirrors import Supply
from iecpod.render.bundle_install import render_bundle_files
from iecpod.render.kubeadm import cri_socket
from iecpod.render.mirror_files import APT_CONF_PATH, render_ca_files, render_runtime_files
from iecpod.render.node_files import render_apt_source, render_low_overhead_units, render_node_files

#: Set up by `prepare`; the names say whose they are.
ENVIRONMENT_CONF = "/etc/systemd/system.conf.d/20-iecpod-low-overhead.conf"
DPKG_CONF = "/etc/dpkg/dpkg.cfg.d/iecpod"


class ClaimKind(enum.Enum):
    """A file or tree is kept as it was; of data only is kept whether they were there."""

    FILE = "file"
    TREE = "tree"
    DATA = "data"


@dataclass(frozen=True, slots=True)
class Claim:
    """A path that a deploy may make, change or fill."""

    kind: ClaimKind
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChanges:
    """`packages` are the names of those that are installed; what they depend on is found on the node."""

    claims: tuple[Claim, ...]
    packages: tuple[str, ...]
    pod_cidr: IPv4Network
    service_cidr: IPv4Network
    cri_socket: str


#: Of the runtime, kubeadm, the kubelet and pod networks, by their own documentation.
_TREES = ("/etc/kubernetes", "/etc/cni", "/etc/containerd", "/etc/docker", "/opt/cni")
_DATA = (
    *("/var/lib/kubelet", "/var/lib/etcd", "/var/lib/cni", "/var/lib/kube-proxy"),
    *("/var/lib/containerd", "/var/lib/docker", "/var/lib/dockershim", "/opt/containerd", "/run/containerd"),
    *("/var/log/pods", "/var/log/containers", "/run/kubernetes"),
    *("/var/cache/iecpod-bundle", "/var/cache/iecpod-images", "/run/iecpod-packages.sh", "/usr/libexec/kubernetes"),
    *("/run/docker", "/run/xtables.lock"),
    *ALL_TRACES.directories,
)
_PROGRAMS = ("kubeadm", "kubelet", "kubectl")
_HELM = ("/usr/local/bin/helm", "/usr/local/bin/tiller")


def planned_changes(
    cluster: DesiredCluster, supply: Supply, *, debs: Sequence[str] = (), programs: Sequence[str] = ()
) -> NodeChanges:
    """`debs` and `programs` are the names of files that a bundle brings; empty where packages come by apt."""
    release = cluster.release
    files = {
        **render_node_files(release),
        **render_runtime_files(release, supply),
        **render_ca_files(supply),
        **(render_bundle_files(release) if debs or programs else {}),
        **(render_low_overhead_units(release) if cluster.low_overhead else {}),
    }
    sources = [render_apt_source(repository) for repository in release.repositories]
    named = [path for source in sources for path in (source.path, source.key_path) if path]
    brought = [f"/usr/bin/{name}" for name in dict.fromkeys((*programs, *_PROGRAMS))] if programs else []
    ours = [APT_CONF_PATH, ENVIRONMENT_CONF, DPKG_CONF]
    units = [cni.node_unit_path for cni in CNIS.values() if cni.node_unit]
    paths = dict.fromkeys((*files, *named, *brought, *ours, *units, *_HELM))
    return NodeChanges(
        claims=(
            *(Claim(ClaimKind.TREE, path) for path in _TREES),
            *(Claim(ClaimKind.FILE, path) for path in paths if not path.startswith(tuple(f"{t}/" for t in _TREES))),
            *(Claim(ClaimKind.DATA, path) for path in _DATA),
        ),
        packages=tuple(
            dict.fromkeys(
                (*(name.partition("_")[0] for name in debs), *(p.partition("=")[0] for p in release.node_packages))
            )
        ),
        pod_cidr=cluster.pod_cidr,
        service_cidr=cluster.service_cidr,
        cri_socket=cri_socket(cluster),
    )
