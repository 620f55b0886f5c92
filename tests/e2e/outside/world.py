"""What is outside a lab: apt repositories, registries, and the proxy that is the only way to them.

The servers listen on loopback addresses of the POD's network namespace, which guests cannot reach; the proxy on one
that they reach through their gateway. Names of servers are known to the proxy alone. Registries are behind TLS, so the
proxy changes nothing: of several headers of one name, such as docker's Accept, it would let one through.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iecpod.cache.artifacts import Cache
from iecpod.images.build.apt import AptRoot
from iecpod.images.build.go.modules import module_version
from iecpod.images.build.node_software import ensure_software
from iecpod.images.build.release_images import ReleaseImages
from iecpod.images.build.rootfs import ensure_rootfs, image_archives
from iecpod.model import Arch
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from iecpod.release.release import Release
from tests.e2e.outside.apt_repository import SigningKey, index_repository, mirror_archives
from tests.e2e.outside.certificates import Certificates, make_certificates
from tests.e2e.outside.connected_release import (
    IMAGES,
    SHIPPED,
    distribution_packages,
    find_compiled_image,
    image_names,
    write_release,
)
from tests.e2e.outside.connected_release import NAME as RELEASE
from tests.e2e.outside.debs import build_debs
from tests.e2e.outside.host_server import HostServer
from tests.e2e.outside.registry_images import Registry, StoredImage, read_images
from tests.e2e.outside.servers import Servers
from tests.e2e.small_lab import load_yaml, write_descriptors

#: Documentation's own network (RFC 5737): it is in no other use.
PROXY, PROXY_PORT = "203.0.113.1", 3128
PACKAGES, MIRROR, REGISTRY = "packages.lab.example", "mirror.lab.example", "registry.k8s.io"
#: By the names and in the order of the release: suite and component. Without a suite, the index is beside the pool.
_REPOSITORIES = {"kubernetes": ("", ""), "docker": ("noble", "stable")}
#: The distribution's own archive, at the name that guests know it by.
ARCHIVE = "deb.debian.org"
_ADDRESSES = {PACKAGES: "127.0.0.2", MIRROR: "127.0.0.3", REGISTRY: "127.0.0.4", ARCHIVE: "127.0.0.5"}
#: Debian's packages of what is run here; unpacked and not installed, so that nothing is left on the host, and with the
#: C library that they were built for, which may be newer than the host's.
_SERVER_PACKAGES = ("docker-registry", "tinyproxy-bin", "libc6")
_LIBRARIES = "usr/lib/x86_64-linux-gnu"

_REGISTRY_CONFIG = """version: 0.1
log: {{level: warn, accesslog: {{disabled: false}}}}
storage: {{filesystem: {{rootdirectory: {storage}}}}}
http: {{addr: "{address}:443", tls: {{certificate: {certificate}, key: {key}}}}}
"""

_PROXY_CONFIG = """Listen {address}
Port {port}
ConnectPort 443
Timeout 600
MaxClients 100
LogLevel Connect
"""

_REQUEST = re.compile(r"Request \(file descriptor \d+\): (\S+) (\S+)")
_PULL = re.compile(r'"GET /v2/(\S+)/(?:manifests|blobs)/')


@dataclass(frozen=True, kw_only=True)
class OutsideWorld:
    """A lab below `root/lab`, and the files of all servers.

    `keys` are the public keys of the release's repositories; `wrong_key` is one that signs nothing. `images` of the
    archive go by upstream's names.
    """

    root: Path
    certificates: Certificates
    keys: Mapping[str, Path]
    wrong_key: Path
    archive: Path
    images: Mapping[str, StoredImage]
    host_server: HostServer
    image_url: str

    @property
    def directory(self) -> Path:
        return self.root / "world"

    @property
    def release(self) -> Path:
        return self.root / "lab" / f"{RELEASE}.yaml"

    @property
    def digests(self) -> dict[str, str]:
        """Of the images that the release pins, by its keys."""
        shipped = load_yaml(SHIPPED)
        return {key: self.images[shipped[key].partition("@")[0]].digest for key in IMAGES}

    @contextmanager
    def at(self, host: EmbeddedHost) -> Iterator[Servers]:
        """The servers at work in the POD's network namespace, which must be there; images are pushed once."""
        enter = host.command_prefix
        subprocess.run([*enter, "ip", "address", "replace", f"{PROXY}/32", "dev", "lo"], check=True)
        servers = Servers(enter, host.open_socket, self.directory / "hosts", self.directory / "logs")
        try:
            self._start(servers)
            if not (self.directory / "registry").exists():
                registry = Registry(host.open_socket, _ADDRESSES[MIRROR], MIRROR, self.certificates.authority)
                registry.push(self.archive, {name.partition("/")[2]: image for name, image in self.images.items()})
            yield servers
        finally:
            servers.stop()

    def options(self, keys: Mapping[str, Path]) -> tuple[str, ...]:
        """For a deploy of a POD of this lab; `keys` are given for the release's repositories."""
        places = [("--repository", name, f"http://{PACKAGES}/{name}") for name in _REPOSITORIES]
        places += [("--repository-key", name, str(key)) for name, key in keys.items()]
        return (
            *("-b", f"file://{self.root / 'lab'}", "-c", "embedded", "-s", "k8-bridge-iec-noha"),
            *("--release", str(self.release), "--image-url", self.image_url),
            *(word for option, name, place in places for word in (option, f"{name}={place}")),
            *("--registry-mirror", f"docker.io=https://{MIRROR}"),
            *("--http-proxy", f"http://{PROXY}:{PROXY_PORT}", "--ca-cert", str(self.certificates.authority)),
        )

    def requests(self) -> list[tuple[str, str]]:
        """Method and target of each request that the proxy was sent at this POD so far."""
        return _REQUEST.findall((self.directory / "logs/proxy.log").read_text())

    def targets(self) -> list[str]:
        return [target for _, target in self.requests()]

    def pulled(self, server: str) -> set[str]:
        """Repositories that something was pulled of at this POD so far; `server` is `MIRROR` or `REGISTRY`."""
        return set(_PULL.findall((self.directory / f"logs/{server}.log").read_text()))

    def _start(self, servers: Servers) -> None:
        programs = self.directory / "programs"
        loader = [str(programs / _LIBRARIES / "ld-linux-x86-64.so.2"), "--library-path", str(programs / _LIBRARIES)]
        for name in (PACKAGES, ARCHIVE):
            serve = [sys.executable, "-m", "http.server", "--bind", _ADDRESSES[name], "80"]
            servers.start(name, [*serve, "--directory", str(self.directory / "www" / name)], _ADDRESSES[name], 80)
        for name in (MIRROR, REGISTRY):
            serve = [*loader, str(programs / "usr/bin/docker-registry"), "serve", str(self.directory / f"{name}.yaml")]
            servers.start(name, serve, _ADDRESSES[name], 443)
        proxy = [*loader, str(programs / "usr/bin/tinyproxy"), "-d", "-c", str(self.directory / "proxy.conf")]
        servers.start("proxy", proxy, PROXY, PROXY_PORT)


def make_world(root: Path, compiled: Release, cache: Cache) -> OutsideWorld:
    """Kubernetes, container runtime and images are what the release `compiled` is made of, machines its plain ones."""
    arch, directory = Arch.of_this_machine(), root / "world"
    write_descriptors(root / "lab")
    for name in ("logs", "host"):
        (directory / name).mkdir(parents=True)
    (directory / "hosts").write_text("".join(f"{address} {name}\n" for name, address in _ADDRESSES.items()))
    software = ensure_software(cache, compiled, arch, "")
    keys = _build_repositories(directory, software.path / "bin", compiled, arch)
    _mirror_distribution(directory, compiled, cache, arch)
    certificates = make_certificates(directory, REGISTRY, MIRROR)
    _configure_servers(directory, certificates)
    (archive,) = software.images
    stored = read_images(archive)
    images = {name: stored[find_compiled_image(name, stored)] for name in image_names(software.path / "bin/kubernetes")}
    host_server = HostServer(directory / "host")
    image_url = host_server.add_image(ReleaseImages(compiled, cache.root, "", cache.reporter, baked=False).ensure(arch))
    world = OutsideWorld(
        root=root,
        certificates=certificates,
        keys=keys,
        wrong_key=SigningKey.make(directory / "another").export(directory / "wrong-key.asc"),
        archive=archive,
        images=images,
        host_server=host_server,
        image_url=image_url,
    )
    helm = host_server.add_helm(software.path / "bin/helm", _version_of(compiled, "helm"))
    write_release(world.release, world.digests, helm)
    return world


def _build_repositories(directory: Path, programs: Path, compiled: Release, arch: Arch) -> dict[str, Path]:
    """The repositories that the connected release names, and the public keys that sign them."""
    keys = {}
    for repository, (suite, component) in _REPOSITORIES.items():
        site = directory / "www" / PACKAGES / repository
        (site / "pool").mkdir(parents=True)
        version_of = functools.partial(_version_of, compiled)
        build_debs(repository, programs, version_of, arch.debian, site / "pool", directory / "trees" / repository)
        key = SigningKey.make(directory / f"signing-{repository}")
        index_repository(site, arch.debian, key, suite, component)
        keys[repository] = key.export(directory / f"{repository}.asc")
    return keys


def _version_of(compiled: Release, module: str) -> str:
    assert compiled.go is not None
    return module_version(compiled.go.module(module))


def _mirror_distribution(directory: Path, compiled: Release, cache: Cache, arch: Arch) -> None:
    """Packages as far as guests lack them, and the servers' own programs."""
    rootfs = ensure_rootfs(cache, compiled.image, arch)
    apt = AptRoot(directory / "apt", arch.debian, directory / "logs/apt.log")
    archives = image_archives(compiled.image)
    apt.prepare(archives, "deb", dpkg_status=(rootfs.path / "status").read_bytes())
    debs = apt.download_missing(distribution_packages())
    mirror_archives(archives, arch.debian, debs, directory / "www" / ARCHIVE)
    _unpack_servers(apt, directory)


def _unpack_servers(apt: AptRoot, directory: Path) -> None:
    fetched = directory / "servers"
    fetched.mkdir()
    apt.download(_SERVER_PACKAGES, fetched)
    for deb in fetched.glob("*.deb"):
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(directory / "programs")], check=True)


def _configure_servers(directory: Path, certificates: Certificates) -> None:
    """Both registries serve the same images: which of them is asked is up to who asks."""
    for name in (MIRROR, REGISTRY):
        (directory / f"{name}.yaml").write_text(
            _REGISTRY_CONFIG.format(
                storage=directory / "registry",
                address=_ADDRESSES[name],
                certificate=certificates.server,
                key=certificates.server_key,
            )
        )
    (directory / "proxy.conf").write_text(_PROXY_CONFIG.format(address=PROXY, port=PROXY_PORT))
