"""The images that upstream's end-to-end tests run in pods, made of what is compiled here and of Debian's packages.

They have the tags that the tests ask for. What upstream puts into each is in test/images of Kubernetes; what is left
out here (a registry, certificates, iperf, musl's resolver) no test of `conformance --quick` needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from iecpod.images.archives.docker_archive import ContainerImage, write_layer
from iecpod.images.build.busybox import BusyboxLayer
from iecpod.images.build.debian_labels import debian_labels, installed_version

#: A change of what is in them.
CONFORMANCE_IMAGES_VERSION = 2

#: What has dig in the layer that images of a release share.
_DIG_PACKAGE = "bind9-dnsutils"
_TITLE = "org.opencontainers.image.title"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceImages:
    """`agnhost` is the program; `labels` say whose build agnhost is, `vendor` whose the rest.

    `suite` is that of Debian's packages.
    """

    repository: str
    tags: Mapping[str, tuple[str, ...]]
    agnhost: Path
    busybox: BusyboxLayer
    suite: str
    labels: Mapping[str, str]
    vendor: Mapping[str, str]

    def images(self, layer: Path, work: Path) -> Iterator[ContainerImage]:
        """`layer` has curl, dig, nc and a shell, which tests call beside agnhost."""
        makers = {"agnhost": self._agnhost, "busybox": self._busybox, "glibc-dns-testing": self._glibc_dns_testing}
        for name, tags in self.tags.items():
            for tag in tags:
                yield makers[name](f"{self.repository}/{name}:{tag}", layer, work)

    def _agnhost(self, reference: str, layer: Path, work: Path) -> ContainerImage:
        """Tests call /agnhost by its path, and /agnhost-2 to see whether an entry point is overridden."""
        own = work / "agnhost.tar"
        if not own.exists():
            write_layer(own, [self.agnhost], "", {"agnhost-2": "agnhost"})
        return ContainerImage(
            reference=reference,
            layers=(layer, own),
            entrypoint=("/agnhost",),
            command=("pause",),
            labels=self.labels,
        )

    def _busybox(self, reference: str, _layer: Path, _work: Path) -> ContainerImage:
        labels = {**self.vendor, _TITLE: "busybox of Debian", **self.busybox.labels}
        return ContainerImage(reference=reference, layers=(self.busybox.path,), command=("sh",), labels=labels)

    def _glibc_dns_testing(self, reference: str, layer: Path, _work: Path) -> ContainerImage:
        of_package = debian_labels(layer, self.suite, _DIG_PACKAGE, installed_version(layer, _DIG_PACKAGE))
        labels = {**self.vendor, _TITLE: "dig and glibc of Debian", **of_package}
        return ContainerImage(reference=reference, layers=(layer,), command=("bash",), labels=labels)
