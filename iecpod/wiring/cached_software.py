"""What the nodes of one POD and its cluster get, from the cache."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from pathlib import Path

from iecpod.adapters.etcd_certificates import ensure_etcd_tls, make_etcd_tls
from iecpod.cache.artifacts import Cache
from iecpod.design.cluster import DesiredCluster
from iecpod.design.etcd_tls import EtcdTls
from iecpod.design.manifest_text import PatchedManifest
from iecpod.images.archives.node_images import NodeImages, ensure_node_images, node_programs
from iecpod.images.build.node_software import find_software
from iecpod.images.fetch.helm import fetch_helm
from iecpod.images.fetch.manifests import load_manifest
from iecpod.images.fetch.repository_keys import fetch_key
from iecpod.model import Arch
from iecpod.ports import BundleFiles
from iecpod.release.release import AptRepository, Release
from iecpod.release.scenario import Role
from iecpod.ssh.keys import find_pod_keys


class CachedSoftware:
    """`PodSoftware` with the real adapters behind it."""

    def __init__(self, cache: Cache, apt_mirror: str, pod_dir: Path) -> None:
        self._cache = cache
        self.apt_mirror = apt_mirror
        self._keys_dir = pod_dir / "keys"

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        software = find_software(self._cache, release, arch, self.apt_mirror)
        programs, images = software.programs, NodeImages(software.images, software.references)
        if role is not None:
            programs = node_programs(programs, role)
            images = ensure_node_images(self._cache, software.path.name, images, role)
        return BundleFiles(debs=software.debs, programs=programs, images=images.archives, references=images.references)

    def fetch_key(self, repository: AptRepository) -> bytes:
        return fetch_key(repository)

    def cni_manifest(self, cluster: DesiredCluster) -> PatchedManifest:
        manifests = cluster.cni.manifests(cluster.release)
        texts = [load_manifest(manifest, self._cache.root, self._cache.reporter) for manifest in manifests]

        def make_tls(service: IPv4Address) -> EtcdTls:
            return self._etcd_tls((service, cluster.control_plane.address))

        return cluster.cni.render_manifest(texts, cluster, make_tls)

    def _etcd_tls(self, addresses: Sequence[IPv4Address]) -> EtcdTls:
        """Not kept for a plan of a POD that has no keys yet."""
        keys = find_pod_keys(self._keys_dir)
        return ensure_etcd_tls(keys.directory, addresses) if keys else make_etcd_tls(addresses)

    def helm_programs(self, release: Release, arch: Arch) -> tuple[Path, ...]:
        assert release.helm is not None  # the phase asks for a release that has it
        if release.provided is not None:
            return release.provided.files("helm")
        return fetch_helm(release.helm, arch, self._cache.root, self._cache.reporter)
