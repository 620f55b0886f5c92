"""What lies outside a lab: apt repositories, registries, and the proxy that is the only way to them.

The servers listen on loopback addresses of the POD's network namespace, which guests cannot reach; the proxy on one
that they reach through their gateway. Names of servers are known to the proxy alone. Registries are behind TLS, so the
proxy changes nothing: of several headers of one name, such as docker's Accept, it would let one through.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from iecpod.design.release import Release
from iecpod.images.apt import AptRoot
from iecpod.images.cache import Cache
from iecpod.images.rootfs import ensure_rootfs, image_archives
from iecpod.images.software import ensure_software
from iecpod.model import Arch
from iecpod.providers.libvirt.embedded.host import EmbeddedHost
from tests.e2e.outside.apt_repository import SigningKey, index_repository, mirror_archives
from tests.e2e.outside.certificates import Certificates, make_certificates
from tests.e2e.outside.kubernetes_debs import build_kubernetes_debs
from tests.e2e.outside.registry_push import push_archive
from tests.e2e.outside.releases import packages_of, write_releases
from tests.e2e.outside.servers import Servers
from tests.e2e.small_lab import write_descriptors

#: Documentation's own network (RFC 5737): nobody else has it.
PROXY, PROXY_PORT = "203.0.113.1", 3128
PACKAGES, MIRROR, REGISTRY = "packages.lab.example", "mirror.lab.example", "k8s.gcr.io"
#: The distribution's own archive, at the name that guests know it by.
ARCHIVE = "deb.debian.org"
_ADDRESSES = {PACKAGES: "127.0.0.2", MIRROR: "127.0.0.3", REGISTRY: "127.0.0.4", ARCHIVE: "127.0.0.5"}
#: Debian's packages of what is run here; unpacked and not installed, so that nothing is left on the host.
_SERVER_PACKAGES = ("docker-registry", "tinyproxy-bin")

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
    """A lab below `root/lab`, and the files of all servers. `wrong_key` is a public key that signs nothing."""

    root: Path
    certificates: Certificates
    key: Path
    wrong_key: Path
    images: Path

    @property
    def directory(self) -> Path:
        return self.root / "world"

    @contextmanager
    def at(self, host: EmbeddedHost) -> Iterator[Servers]:
        """The servers at work in the POD's network namespace, which must be there; images are pushed once."""
        enter = host.command_prefix
        subprocess.run([*enter, "ip", "address", "replace", f"{PROXY}/32", "dev", "lo"], check=True)
        servers = Servers(enter, host.open_socket, self.directory / "hosts", self.directory / "logs")
        try:
            self._start(servers)
            if not (self.directory / "registry").exists():
                authority = self.certificates.authority
                push_archive(self.images, host.open_socket, _ADDRESSES[MIRROR], MIRROR, authority)
            yield servers
        finally:
            servers.stop()

    def options(self, runtime: str, key: Path) -> tuple[str, ...]:
        """For a deploy of a POD of this lab on that container runtime; `key` is the one of the Kubernetes packages."""
        lab = self.root / "lab"
        return (
            *("-b", f"file://{lab}", "-c", "embedded", "-s", "k8-bridge-iec-noha"),
            *("--release", str(lab / f"{runtime}.yaml"), "--repository-key", f"lab={key}"),
            *("--http-proxy", f"http://{PROXY}:{PROXY_PORT}", "--ca-cert", str(self.certificates.authority)),
            *("--registry-mirror", f"docker.io=https://{MIRROR}"),
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
        programs = self.directory / "programs/usr/bin"
        for name in (PACKAGES, ARCHIVE):
            serve = [sys.executable, "-m", "http.server", "--bind", _ADDRESSES[name], "80"]
            servers.start(name, [*serve, "--directory", str(self.directory / "www" / name)], _ADDRESSES[name], 80)
        for name in (MIRROR, REGISTRY):
            serve = [str(programs / "docker-registry"), "serve", str(self.directory / f"{name}.yaml")]
            servers.start(name, serve, _ADDRESSES[name], 443)
        proxy = [str(programs / "tinyproxy"), "-d", "-c", str(self.directory / "proxy.conf")]
        servers.start("proxy", proxy, PROXY, PROXY_PORT)


def make_world(root: Path, bundled: Release, cache: Cache) -> OutsideWorld:
    """Kubernetes and images are those of the bundle of the release `bundled`, packages as far as guests lack them."""
    arch, directory = Arch.of_this_machine(), root / "world"
    write_descriptors(root / "lab")
    write_releases(root / "lab")
    software = ensure_software(cache, bundled, arch, "")
    (directory / "logs").mkdir(parents=True)
    (directory / "hosts").write_text("".join(f"{address} {name}\n" for name, address in _ADDRESSES.items()))
    site = directory / "www" / PACKAGES / "kubernetes"
    (site / "pool").mkdir(parents=True)
    build_kubernetes_debs(
        software.path / "bin", bundled.kubernetes_version, arch.debian, site / "pool", directory / "trees"
    )
    rootfs = ensure_rootfs(cache, bundled.image, arch)
    apt = AptRoot(directory / "apt", arch.debian, directory / "logs/apt.log")
    archives = image_archives(bundled.image)
    apt.prepare(archives, "deb", dpkg_status=(rootfs.path / "status").read_bytes())
    mirror_archives(archives, arch.debian, apt.download_missing(packages_of(root / "lab")), directory / "www" / ARCHIVE)
    _unpack_servers(apt, directory)
    key = SigningKey.make(directory / "signing")
    index_repository(site, arch.debian, key)
    certificates = make_certificates(directory, REGISTRY, MIRROR)
    _configure_servers(directory, certificates)
    (images,) = software.images
    return OutsideWorld(
        root=root,
        certificates=certificates,
        key=key.export(directory / "key.asc"),
        wrong_key=SigningKey.make(directory / "another").export(directory / "wrong-key.asc"),
        images=images,
    )


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
