"""What commands need for one POD, with the real adapters behind it."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.adapters.api_client import ApiClient
from iecpod.adapters.etcd_certificates import ensure_etcd_tls, make_etcd_tls
from iecpod.adapters.host_kubectl import LocalKubectl, host_kubectl_argv, link_kubectl
from iecpod.adapters.keys import PodKeys, ensure_pod_keys, find_pod_keys
from iecpod.adapters.lock import RunLock, find_holder, pod_lock
from iecpod.adapters.ssh import SshShell
from iecpod.checkpoints.store import checkpoints_dir
from iecpod.commands.collection import read_end
from iecpod.commands.installation import find_installation
from iecpod.commands.pod_state import (
    KUBECONFIG,
    check_pod_dir,
    is_of_earlier_version,
    make_pod_dir,
    pod_dir_of,
    recall,
    remember,
    remove_pod_dir,
)
from iecpod.commands.recalled import Recalled
from iecpod.design.cluster import DesiredCluster
from iecpod.design.delivery import BundleVia
from iecpod.design.etcd_tls import EtcdTls
from iecpod.design.machines import ProviderName, Seed, Site
from iecpod.design.manifest_text import PatchedManifest
from iecpod.design.owner import Owner
from iecpod.design.release import AptRepository, Release
from iecpod.hypervisor_uri import EMBEDDED, HypervisorUri
from iecpod.images.bundle_disk import ReleaseBundleDisks
from iecpod.images.cache import Cache
from iecpod.images.go_software import find_kubernetes
from iecpod.images.helm import fetch_helm
from iecpod.images.manifests import load_manifest
from iecpod.images.release_images import ReleaseImages
from iecpod.images.repository_keys import fetch_key
from iecpod.images.software import find_software
from iecpod.layout import Layout
from iecpod.model import Arch, PodRef
from iecpod.ports import (
    BaseImage,
    BundleDisks,
    BundleFiles,
    Clock,
    Images,
    LockHolder,
    NodeEndpoint,
    Reporter,
    Shell,
    WayIn,
)
from iecpod.provider import Provider
from iecpod.providers.existing.provider import ExistingProvider
from iecpod.providers.libvirt.connection.system import SystemHost
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.providers.libvirt.kvm_probe import kvm_boots
from iecpod.providers.libvirt.objects import Emulator
from iecpod.providers.libvirt.ports import HypervisorHost
from iecpod.providers.libvirt.provider import LibvirtProvider
from iecpod.providers.libvirt.seed_iso import make_seed_iso
from iecpod.providers.libvirt.tools import NodeSecrets
from iecpod.ssh_login import Login
from iecpod.wait import SystemClock
from iecpod.wiring.existing_tools import ExistingAdapters
from iecpod.wiring.own_kubeconfig import OwnKubeconfig

_CONSOLE_TAIL_BYTES = 256 * 1024


class PodAdapters:
    """`PodTools` with the real adapters behind it."""

    def __init__(
        self,
        layout: Layout,
        ref: PodRef,
        reporter: Reporter,
        apt_mirror: str,
        run_id: str = "",
        lock_seconds: float = 0.0,
        owner: Owner | None = None,
        login: Login | None = None,
    ) -> None:
        """`owner` is for PODs that were deployed from elsewhere, `login` for machines that are there already."""
        self._layout = layout
        self._foreign_owner = owner
        self._login = login or Login()
        self._lock = RunLock(lambda: pod_lock(layout, ref, wait_seconds=lock_seconds, tell=reporter.progress))
        self._apt_mirror = apt_mirror
        self.ref = ref
        self.run_id = run_id or new_run_id()
        self.clock: Clock = SystemClock()
        self.reporter = reporter
        self.cloud_init_dir = layout.cloud_init_dir
        self.pod_dir = pod_dir_of(layout, ref)
        self.kubeconfig_path = self.pod_dir / KUBECONFIG

    @property
    def owner(self) -> Owner:
        return self._foreign_owner or Owner(
            ref=self.ref,
            installation=find_installation(self._layout.state_dir),
            pod_dir=self.pod_dir,
            owns_unmarked=is_of_earlier_version(self.pod_dir),
        )

    def lock(self) -> AbstractContextManager[None]:
        return self._lock.held()

    def holder(self) -> LockHolder | None:
        return find_holder(self._layout, self.ref)

    def provider(self, site: Site) -> Provider:
        check_pod_dir(self._layout, self.ref)
        if site.provider is ProviderName.EXISTING:
            return ExistingProvider(ExistingAdapters(self, self._login))
        assert site.uri is not None  # of libvirt's, it is known
        return LibvirtProvider(site.uri, self)

    def host(self, uri: HypervisorUri) -> HypervisorHost:
        if uri == EMBEDDED:
            cache = self._layout.cache_dir
            shared = (cache / "images", cache / "bundle-disks", checkpoints_dir(cache))
            return EmbeddedHost(
                self.pod_dir, self.owner, self.clock, capabilities_cache=cache / "libvirt", shared=shared
            )
        return SystemHost(uri, self.owner)

    def images(self, release: Release, bundle_via: BundleVia | None) -> Images:
        baked = bundle_via is BundleVia.IMAGE
        return ReleaseImages(release, self._layout.cache_dir, self._apt_mirror, self.reporter, baked, self.pod_dir)

    def bundle_disks(self, release: Release) -> BundleDisks:
        return ReleaseBundleDisks(release, self._layout.cache_dir, self._apt_mirror, self.reporter)

    def bundle(self, release: Release, arch: Arch) -> BundleFiles:
        cache = Cache(self._layout.cache_dir, self.reporter)
        software = find_software(cache, release, arch, self._apt_mirror)
        return BundleFiles(
            debs=software.debs,
            programs=software.programs,
            images=software.images,
            references=software.references,
        )

    def kvm_boots(self, image: BaseImage, emulator: Emulator, arch: Arch) -> bool:
        return kvm_boots(image, emulator, arch, self._layout.cache_dir)

    def keys(self) -> PodKeys:
        make_pod_dir(self._layout, self.ref)
        return ensure_pod_keys(self.pod_dir / "keys", str(self.ref))

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        with ExitStack() as stack:
            if keep or find_pod_keys(self.pod_dir / "keys") is not None:
                keys = self.keys()
            else:
                directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="iecpod-keys-"))
                keys = ensure_pod_keys(Path(directory), str(self.ref))
            return NodeSecrets(
                authorized_key=keys.authorized_key,
                host_keys={hostname: keys.host_key(hostname) for hostname in hostnames},
            )

    def shells(self, endpoints: Mapping[str, NodeEndpoint]) -> Mapping[str, Shell]:
        keys = self.keys()
        keys.write_known_hosts({hostname: [str(node.address)] for hostname, node in endpoints.items()})
        return {
            hostname: SshShell(
                hostname,
                str(node.address),
                user=node.user,
                private_key_file=keys.private_key_file,
                host_key=node.host_key,
                open_socket=node.way.open_socket,
            )
            for hostname, node in endpoints.items()
        }

    def make_seed(self, seed: Seed) -> bytes:
        return make_seed_iso(seed)

    def read_console(self, path: str) -> str:
        try:
            return read_end(Path(path), _CONSOLE_TAIL_BYTES)[0].decode(errors="replace")
        except (FileNotFoundError, PermissionError):  # libvirt makes it for root alone on some hosts
            return ""

    def fetch_key(self, repository: AptRepository) -> bytes:
        return fetch_key(repository)

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        manifests = cluster.cni.manifests(cluster.release)
        texts = [load_manifest(manifest, self._layout.cache_dir, self.reporter) for manifest in manifests]

        def make_tls(service: IPv4Address) -> EtcdTls:
            return self._etcd_tls((service, cluster.control_plane.address))

        return cluster.cni.render_manifest(texts, cluster, make_tls)

    def _etcd_tls(self, addresses: Sequence[IPv4Address]) -> EtcdTls:
        """Not kept for a plan of a POD that has no keys yet."""
        keys = find_pod_keys(self.pod_dir / "keys")
        return ensure_etcd_tls(keys.directory, addresses) if keys else make_etcd_tls(addresses)

    def host_kubectl(self, way: WayIn, release: Release) -> LocalKubectl | None:
        binary = find_kubernetes(Cache(self._layout.cache_dir, self.reporter), release)
        if binary is None or not self.pod_dir.is_dir():
            return None
        link = link_kubectl(binary, self.pod_dir)
        return LocalKubectl(host_kubectl_argv(way.command_prefix, link, self.kubeconfig_path), self.kubeconfig_path)

    def api_server(self, cluster: DesiredCluster, way: WayIn, first: Shell) -> ApiClient:
        address, port = str(cluster.endpoint), cluster.api_port
        load = OwnKubeconfig(self.kubeconfig_path, first.node, f"https://{cluster.api_endpoint}").load
        tunnels = [first.open_tunnel] if isinstance(first, SshShell) else []
        ways = (way.open_socket, *tunnels)
        return ApiClient(first.node, address, port, load_credentials=load, ways=ways)

    def helm_programs(self, release: Release, arch: Arch) -> tuple[Path, ...]:
        assert release.helm is not None  # the phase asks for a release that has it
        if release.provided is not None:
            return release.provided.files("helm")
        return fetch_helm(release.helm, arch, self._layout.cache_dir, self.reporter)

    def free_bytes(self, path: str) -> int:
        existing = next(parent for parent in (Path(path), *Path(path).parents) if parent.exists())
        return shutil.disk_usage(existing).free

    def remove_pod_dir(self) -> None:
        remove_pod_dir(self._layout, self.ref)

    def remember(self, chosen: Recalled) -> None:
        make_pod_dir(self._layout, self.ref)
        remember(self.pod_dir, chosen, self.owner.installation)

    def recall(self) -> Recalled:
        return recall(self.pod_dir)


def new_run_id() -> str:
    return uuid.uuid4().hex[:12]
