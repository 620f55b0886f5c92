"""What commands and the libvirt provider need for a POD, on fakes; nodes answer from a script."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from iecpod.deploy.node.cni_files import CHECK, INSTALL
from iecpod.deploy.phases.control_plane import LOOK
from iecpod.deploy.phases.workers import LOOK as LOOK_AT_JOIN
from iecpod.design.cluster import DesiredCluster
from iecpod.design.machines import Route, Seed
from iecpod.design.manifest_text import PatchedManifest
from iecpod.hypervisor_uri import HypervisorUri
from iecpod.layout import Layout
from iecpod.model import Arch, PodRef
from iecpod.options.choices import BundleVia
from iecpod.options.site import Site
from iecpod.pods.ports import FindCredentials
from iecpod.pods.saved import SavedPod
from iecpod.ports import (
    ApiServer,
    BaseImage,
    BundleFiles,
    CommandResult,
    HostKubectl,
    LockHolder,
    NodeEndpoint,
    Shell,
    WayIn,
)
from iecpod.providers.libvirt.dependencies import NodeSecrets
from iecpod.providers.libvirt.objects import Emulator, HostFacts
from iecpod.providers.libvirt.provider import LibvirtProvider
from iecpod.release.release import AptRepository, Release
from iecpod.release.scenario import Role
from iecpod.ssh.keys import ensure_pod_keys
from tests import pods
from tests.fakes import FACTS, FakeClock, FakeHost, FakeHypervisor, FakeShell, RecordingReporter
from tests.fakes.images import FakeBundleDisks, FakeImages
from tests.fakes.probes import IN_PLACE, MISSING, in_place_or
from tests.unit.cni.calico_of_the_iec import make_tls
from tests.unit.deploy.admin_conf import admin_conf

REF = PodRef("local", "virtual1")
NODES = ("iec01", "iec02", "iec03")


class FakeTools:
    """`PodTools` and `LibvirtTools` with all their parts in one, on fakes; keys and the POD's directory are real."""

    def __init__(
        self, directory: Path, layout: Layout, routes: tuple[Route, ...] = (), facts: HostFacts = FACTS
    ) -> None:
        self.ref = REF
        self.run_id = "0123456789ab"
        self.pod_dir = directory / "pod"
        self.kubeconfig_path = self.pod_dir / "kubeconfig"
        self.cloud_init_dir = layout.cloud_init_dir
        self.clock = FakeClock()
        self.reporter = RecordingReporter()
        self.owner = pods.owner(REF, self.pod_dir)
        self.hypervisor = FakeHypervisor(self.owner, facts)
        self.fake_host = FakeHost(self.hypervisor, routes)
        self.node_shells = {hostname: _shell_of_a_ready_node(hostname) for hostname in NODES}
        self.free = 1 << 40
        self.saved_pod = SavedPod()
        self.held_by: LockHolder | None = None
        self.disks = FakeBundleDisks()

    @property
    def run(self) -> FakeTools:
        return self

    state = nodes = software = disk_sources = seeds = run

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def holder(self) -> LockHolder | None:
        return self.held_by

    def host(self, uri: HypervisorUri) -> FakeHost:
        return self.fake_host

    def images(self, release: Release, bundle_via: BundleVia | None) -> FakeImages:
        return FakeImages()

    def bundle_disks(self, release: Release) -> FakeBundleDisks:
        return self.disks

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        raise AssertionError("the fake image is baked")

    def kvm_boots(self, image: BaseImage, emulator: Emulator, arch: Arch) -> bool:
        raise AssertionError("the fake host lists no KVM")

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        in_place = (self.pod_dir / "keys").exists()
        keys = ensure_pod_keys((self.pod_dir if keep or in_place else self.pod_dir.parent) / "keys", "x")
        return NodeSecrets(
            authorized_key=keys.authorized_key, host_keys={name: keys.host_key(name) for name in hostnames}
        )

    def provider(self, site: Site) -> LibvirtProvider:
        assert site.uri is not None
        return LibvirtProvider(site.uri, self)

    def shells(self, endpoints: Mapping[str, NodeEndpoint]) -> Mapping[str, Shell]:
        return {hostname: self.node_shells[hostname] for hostname in endpoints}

    def shell(self, node: NodeEndpoint) -> Shell:
        return self.node_shells[node.hostname]

    def make_seed(self, seed: Seed) -> bytes:
        return seed.user_data.encode()

    def read_console(self, path: str) -> str:
        return "Linux version 6.1"

    def fetch_key(self, repository: AptRepository) -> bytes:
        raise AssertionError("debian12 has no repositories")

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        return cluster.cni.render_manifest((), cluster, make_tls)

    def host_kubectl(self, way: WayIn, release: Release) -> HostKubectl | None:
        return None  # debian12's is compiled for guests

    def api_server(
        self, cluster: DesiredCluster, way: WayIn, first: Shell, find_credentials: FindCredentials | None
    ) -> ApiServer | None:
        return None

    def helm_programs(self, release: Release, arch: Arch) -> tuple[Path, ...]:
        raise AssertionError("debian12 has no Helm")

    def free_bytes(self, path: str) -> int:
        return self.free

    def save(self, pod: SavedPod) -> None:
        self.pod_dir.mkdir(parents=True, exist_ok=True)
        self.saved_pod = pod

    def saved(self) -> SavedPod:
        return self.saved_pod

    def remove_pod_dir(self) -> None:
        shutil.rmtree(self.pod_dir, ignore_errors=True)
        self.saved_pod = SavedPod()


def _shell_of_a_ready_node(hostname: str) -> FakeShell:
    """A node on which every phase finds its work done."""
    shell = FakeShell(hostname)
    shell.on("test", "-e").on("true").reply(("sh", "-c"), in_place_or("150\n"))
    seen = "admin.conf=yes\nmanifests=yes\nkube-scheduler.yaml=yes\njob=inactive\n"
    shell.on("sh", "-c", LOOK, stdout=seen)
    shell.on("sh", "-c", LOOK_AT_JOIN, stdout="kubelet.conf=yes\njob=inactive\n")
    kubectl = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf", "get")
    for path, item in api_objects().items():
        shell.on(*kubectl, f"--raw={path}", stdout=json.dumps(item))
    shell.reply(("cat",), lambda argv, _stdin: CommandResult(0, shell.files.get(argv[1], b"").decode(), ""))
    # What the CNI phase writes is what the node has from then on.
    shell.on("sh", "-c", CHECK, stdout=MISSING).on("sh", "-euc", INSTALL).on("sh", "-c", CHECK, stdout=IN_PLACE)
    shell.files["/etc/kubernetes/admin.conf"] = admin_conf()
    return shell


def api_objects() -> dict[str, Any]:
    """What the API server of a verified cluster has, by path."""
    nodes = [
        {
            "metadata": {"name": name},
            "spec": {"podCIDR": f"100.100.{NODES.index(name)}.0/24"},
            "status": {
                "addresses": [{"type": "InternalIP", "address": f"172.16.10.{36 + NODES.index(name)}"}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
        for name in NODES
    ]
    kube_system = "namespaces/kube-system"
    checks = "cluster-ip node-port jumpserver pod-to-pod full-packets"
    record = {"data": {"nodes": " ".join(NODES), "image": "registry.iecpod.internal/nginx:bookworm", "checks": checks}}
    return {
        "/api/v1/nodes": {"items": nodes},
        f"/apis/apps/v1/{kube_system}/daemonsets/kube-proxy": {"kind": "DaemonSet"},
        f"/api/v1/{kube_system}/configmaps/iecpod-verified": record,
    }
