"""A release: which software a POD gets, and from where. Values only; `iecpod/releases/*.yaml` are the data."""

from __future__ import annotations

import datetime
import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from iecpod.model import Arch
from iecpod.release.bundle_manifest import BundleManifest
from iecpod.release.container_environment import ContainerEnvironment
from iecpod.release.go_source import GoSource
from iecpod.release.image_archive import ImageArchive

#: Debian's package and that of docker's repository, as `packages` of a release pin them.
_CONTAINERD_2 = re.compile(r"containerd(\.io)?=2\.")


class ImageSourceType(str, enum.Enum):
    URL = "url"
    FILE = "file"
    MMDEBSTRAP = "mmdebstrap"


@dataclass(frozen=True, slots=True, kw_only=True)
class AptRepository:
    """One apt source. `key_url` is fetched into a `signed-by` key ring; empty means the distribution's own keys.

    `key_fingerprint` are the primary keys of that ring, all of them, in upper-case hex; empty where they are not given.
    `withdrawn` says since when and why there is nothing left at `uri`; empty where the repository is alive.
    """

    name: str
    uri: str
    suites: tuple[str, ...]
    components: tuple[str, ...]
    key_url: str = ""
    key_fingerprint: tuple[str, ...] = ()
    withdrawn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Kubernetes objects, by URL and digest. `file` is a file of this host that stands in for the URL."""

    name: str
    url: str
    sha256: str = ""
    file: str = ""

    @property
    def is_pinned(self) -> bool:
        """Whether it can be fetched: what cannot be verified is not."""
        return bool(self.sha256 or self.file)


@dataclass(frozen=True, slots=True, kw_only=True)
class CniSource:
    """What a release says of a pod network, in the section of its name: manifests, and what is set in them.

    `manifests` are lists by their keys, each in the order in which it is applied. `containers` are of manifests that
    are patched, not of an operator's. `image_names` replaces the beginnings of names of images, by architecture.
    `settings` are values that the schema knows for this section, and that its CNI reads.
    """

    manifests: Mapping[str, tuple[Manifest, ...]] = field(default_factory=dict)
    containers: tuple[ContainerEnvironment, ...] = ()
    image_names: dict[Arch, dict[str, str]] = field(default_factory=dict)
    settings: Mapping[str, str | bool] = field(default_factory=dict)

    def with_manifests(self, change: Callable[[Manifest], Manifest]) -> CniSource:
        changed = {key: tuple(change(manifest) for manifest in listed) for key, listed in self.manifests.items()}
        return replace(self, manifests=changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmSource:
    """The archive with helm's program, and with tiller's where `tiller` is set (Helm 2 only).

    `sha256` are the digests of the archives; for an architecture that lacks one, `sha256sums` is the address of a file
    that holds it.
    """

    version: str
    location: dict[Arch, str]
    sha256: dict[Arch, str] = field(default_factory=dict)
    sha256sums: dict[Arch, str] = field(default_factory=dict)
    tiller: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSource:
    """Where a base image comes from.

    url: `location` is the image's address per architecture, `sha256sums` the address of its SHA256SUMS file, and
    `keyring` the file of this host with the keys that sign that (empty where it is unsigned). file: `location` is a
    path. mmdebstrap: `mirror`, `suite` and `packages` make a bootable disk, and `keyring` has the keys of the archive.
    """

    type: ImageSourceType
    location: dict[Arch, str]
    sha256sums: dict[Arch, str]
    mirror: str = ""
    security_mirror: str = ""
    suite: str = ""
    keyring: str = ""
    packages: tuple[str, ...] = ()
    kernel_arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesSource:
    """Kubernetes compiled from a Debian source package, and the packages of the Go that compiles it.

    Both are verified with the key ring of the release's image.
    """

    mirror: str
    suite: str
    package: str
    go_mirror: str
    go_suite: str
    go_packages: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleSource:
    """What `bundle build` gathers for a release that needs no network.

    `packages` go into the guest; `image_packages` into the one layer that images with programs of Debian share.
    Kubernetes is of one of two sources: a Debian source package, or Go modules, then with all else that nodes run.
    """

    packages: tuple[str, ...]
    image_packages: tuple[str, ...]
    kubernetes: KubernetesSource | None = None
    go: GoSource | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DistributionArchive:
    """Where the operating system of an image that is fetched has its packages: what a bundle takes them from.

    `mirror` is by architecture; `keyring` is the file of this host with the keys that sign all of them.
    """

    mirror: dict[Arch, str]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    keyring: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvidedBundle:
    """A bundle that stands in for every source of a release.

    `path` is its directory in the cache; `manifest` is what was read of it there, once and for the whole run.
    """

    path: Path
    manifest: BundleManifest

    @property
    def digest(self) -> str:
        """That of the manifest, which holds the digests of all its files."""
        return self.manifest.digest

    @property
    def arch(self) -> Arch:
        return self.manifest.arch

    def files(self, directory: str) -> tuple[Path, ...]:
        """Those of one directory of the bundle."""
        return tuple(self.path / name for name in self.manifest.names_in(directory))


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One row of software. `cnis` are the pod networks it can carry; `coredns` whether it has cluster DNS.

    `kubernetes_version` has no leading `v`. `image_repository`, `etcd_version` and `coredns_version` (tags of images)
    are empty where kubeadm knows better. `ignored_preflight_checks` cannot pass: checks of kubeadm, by its names.
    `packages` and `repositories` are installed in the guest over the network; a release with a `bundle` needs none.
    `base_os` is the operating system of the image in Fuel's words (`ubuntu1804`), empty where the file does not say.
    Images are `REGISTRY/NAME:TAG`, with `@sha256:…` behind it where nothing else is to run; `extra_images` are needed
    and named by neither kubeadm nor a manifest. With `provided`, all comes from there.
    `kube_router_image` is empty where the release has no kube-router. `cni_sources` are by the names of sections, which
    several CNIs may share.
    `supported_until` is the last day on which upstream supports its Kubernetes, None where the file does not say.
    `image_archives` and `manifest_patch` are no part of the file: what users give besides it, images and what is
    set in the manifest of the pod network.
    """

    name: str
    description: str
    user: str
    image: ImageSource
    kubernetes_version: str
    pause_image: str
    nginx_image: str
    runtime: str
    cgroup_driver: str
    cnis: tuple[str, ...]
    image_repository: str = ""
    etcd_version: str = ""
    coredns_version: str = ""
    coredns: bool = True
    ignored_preflight_checks: tuple[str, ...] = ()
    cni_sources: Mapping[str, CniSource] = field(default_factory=dict)
    kube_router_image: str = ""
    helm: HelmSource | None = None
    repositories: tuple[AptRepository, ...] = ()
    packages: tuple[str, ...] = ()
    bundle: BundleSource | None = None
    base_os: str = ""
    archive: DistributionArchive | None = None
    extra_images: tuple[str, ...] = ()
    supported_until: datetime.date | None = None
    provided: ProvidedBundle | None = None
    image_archives: tuple[ImageArchive, ...] = ()
    manifest_patch: tuple[ContainerEnvironment, ...] = ()

    @property
    def needs_no_network(self) -> bool:
        """Whether nodes are given their software, be it made here or brought by a bundle."""
        return self.bundle is not None or self.provided is not None

    @property
    def has_containerd_2(self) -> bool:
        """Whether it is known to bring containerd 2: compiled here, or pinned. Other releases may bring either."""
        return self.is_compiled_whole or any(_CONTAINERD_2.match(package) for package in self.packages)

    @property
    def is_compiled_whole(self) -> bool:
        """Whether container runtime and pod network are compiled along with Kubernetes."""
        return self.go is not None

    @property
    def go(self) -> GoSource | None:
        """What is compiled of Go modules; None where nothing is."""
        return self.bundle.go if self.bundle is not None else None

    @property
    def node_packages(self) -> tuple[str, ...]:
        """The packages that make a node of the image, whichever way they get there."""
        return self.bundle.packages if self.bundle else self.packages

    @property
    def manifests(self) -> tuple[Manifest, ...]:
        """Those of all pod networks."""
        return tuple(
            manifest
            for _, source in sorted(self.cni_sources.items())
            for _, listed in sorted(source.manifests.items())
            for manifest in listed
        )

    def cni_source(self, name: str) -> CniSource:
        """The section of that name; an empty one where the release has none."""
        return self.cni_sources.get(name, CniSource())

    def with_cni_source(self, name: str, source: CniSource) -> Release:
        return replace(self, cni_sources={**self.cni_sources, name: source})

    def image_names(self, arch: Arch) -> dict[str, str]:
        """What replaces the beginnings of names of images in manifests."""
        sources = [source for _, source in sorted(self.cni_sources.items())]
        return {old: new for source in sources for old, new in source.image_names.get(arch, {}).items()}

    def with_manifests(self, change: Callable[[Manifest], Manifest]) -> Release:
        """The same release, each of its manifests changed."""
        sources = {name: source.with_manifests(change) for name, source in self.cni_sources.items()}
        return replace(self, cni_sources=sources)
