"""Where the machines of one POD come from, and how they are reached."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from iecpod.adapters.host_kubectl import LocalKubectl, host_kubectl_argv, link_kubectl
from iecpod.cache.artifacts import Cache
from iecpod.design.cluster import DesiredCluster
from iecpod.errors import IecpodError
from iecpod.images.build.go.go_software import find_kubernetes
from iecpod.layout import Layout
from iecpod.options.choices import ProviderName
from iecpod.options.site import Site
from iecpod.pods.directory import check_pod_dir, make_pod_dir
from iecpod.pods.ports import FindCredentials
from iecpod.ports import NodeEndpoint, Shell, WayIn
from iecpod.provider import Provider
from iecpod.release.release import Release
from iecpod.ssh.keys import PodKeys, ensure_pod_keys
from iecpod.ssh_login import Login
from iecpod.wiring.run_of_pod import RunOfPod

if TYPE_CHECKING:
    from iecpod.adapters.api_client import ApiClient
    from iecpod.ssh.shell import SshShell
    from iecpod.wiring.cached_software import CachedSoftware
    from iecpod.wiring.existing_tools import ExistingAdapters
    from iecpod.wiring.libvirt_tools import LibvirtAdapters


class PodNodes:
    """`NodeAccess` with the real adapters behind it."""

    def __init__(
        self, layout: Layout, run: RunOfPod, apt_mirror: str, login: Login, software: Callable[[], CachedSoftware]
    ) -> None:
        self._layout = layout
        self._run = run
        self._apt_mirror = apt_mirror
        self._login = login
        self._software = software
        self._refused: dict[str, IecpodError] = {}

    def provider(self, site: Site) -> Provider:
        check_pod_dir(self._layout, self._run.ref)
        if site.provider is ProviderName.EXISTING:
            from iecpod.providers.existing.provider import ExistingProvider

            return ExistingProvider(self.existing_tools())
        from iecpod.providers.libvirt.provider import LibvirtProvider

        assert site.uri is not None  # of libvirt's, it is known
        return LibvirtProvider(site.uri, self.libvirt_tools())

    def existing_tools(self) -> ExistingAdapters:
        from iecpod.wiring.existing_tools import ExistingAdapters

        return ExistingAdapters(self._run, self, self._software(), self._login, self._refused)

    def libvirt_tools(self) -> LibvirtAdapters:
        from iecpod.wiring.libvirt_tools import CachedDiskSources, LibvirtAdapters, PodSeeds

        run, pod_dir = self._run, self._run.pod_dir
        disks = CachedDiskSources(self._layout.cache_dir, self._apt_mirror, run.reporter, pod_dir)
        seeds = PodSeeds(run.ref, self._layout.cloud_init_dir, pod_dir / "keys", self.keys)
        return LibvirtAdapters(run, disks, seeds)

    def keys(self) -> PodKeys:
        """Made where they are missing, and the POD's directory with them."""
        make_pod_dir(self._layout, self._run.ref)
        return ensure_pod_keys(self._run.pod_dir / "keys", str(self._run.ref))

    def shells(self, endpoints: Mapping[str, NodeEndpoint]) -> Mapping[str, Shell]:
        """Of all nodes, whose host keys are pinned for ssh(1) as well."""
        pinned = {name: node.host_key for node in endpoints.values() for name in (str(node.address), node.hostname)}
        keys = self.keys()
        keys.write_known_hosts(pinned)
        return {hostname: _shell(node, keys) for hostname, node in endpoints.items()}

    def shell(self, node: NodeEndpoint) -> Shell:
        return _shell(node, self.keys())

    def host_kubectl(self, way: WayIn, release: Release) -> LocalKubectl | None:
        binary = find_kubernetes(Cache(self._layout.cache_dir, self._run.reporter), release)
        if binary is None or not self._run.pod_dir.is_dir():
            return None
        link, kubeconfig = link_kubectl(binary, self._run.pod_dir), self._run.directory.kubeconfig_path
        return LocalKubectl(host_kubectl_argv(way.command_prefix, link, kubeconfig), kubeconfig)

    def api_server(
        self, cluster: DesiredCluster, way: WayIn, first: Shell, find_credentials: FindCredentials | None
    ) -> ApiClient:
        from iecpod.adapters.api_client import ApiClient
        from iecpod.adapters.api_connector import ApiConnector
        from iecpod.ssh.shell import SshShell
        from iecpod.wiring.own_kubeconfig import OwnKubeconfig

        address, port = str(cluster.endpoint), cluster.api_port
        own = OwnKubeconfig(self._run.directory.kubeconfig_path, first.node, f"https://{cluster.api_endpoint}")
        load = find_credentials or own.load
        tunnels = [first.open_tunnel] if isinstance(first, SshShell) else []
        ways = (way.open_socket, *tunnels)
        return ApiClient(first.node, ApiConnector(address, port, load_credentials=load, ways=ways))


def _shell(node: NodeEndpoint, keys: PodKeys) -> SshShell:
    from iecpod.ssh.connection import SshConnection
    from iecpod.ssh.shell import SshShell

    return SshShell(
        SshConnection(
            node.hostname,
            str(node.address),
            user=node.user,
            private_key_file=keys.private_key_file,
            host_key=node.host_key,
            open_socket=node.way.open_socket,
            refused_remedy=node.refused_remedy,
            mismatch_remedy=node.mismatch_remedy,
        )
    )
