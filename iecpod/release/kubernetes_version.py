"""Versions of Kubernetes, and which API of kubeadm's configuration each of them reads.

Source: `validateSupportedVersion` in kubeadm's cmd/kubeadm/app/util/config/common.go, read in Kubernetes 1.36 and 1.37.
"""

from __future__ import annotations

from dataclasses import dataclass

Minor = tuple[int, int]


@dataclass(frozen=True, slots=True)
class KubeadmApi:
    """A version of the API, and the first and last minor version of Kubernetes that are known to read it."""

    name: str
    first: Minor
    last: Minor


#: Oldest first. `v1` is in 1.37 as an experiment: kubeadm refuses it without a flag.
KUBEADM_APIS = (
    KubeadmApi("v1beta1", (1, 13), (1, 21)),
    KubeadmApi("v1beta2", (1, 15), (1, 26)),
    KubeadmApi("v1beta3", (1, 22), (1, 36)),
    KubeadmApi("v1beta4", (1, 31), (1, 37)),
)

OLDEST_KUBERNETES = KUBEADM_APIS[0].first
#: A later kubeadm may read another API only: read its source, and extend the table.
NEWEST_KUBERNETES = KUBEADM_APIS[-1].last

#: Server-side apply is generally available since then (KEP-555).
_APPLIES_ON_SERVER = (1, 22)


def kubernetes_minor(version: str) -> Minor:
    major, minor = version.removeprefix("v").split(".")[:2]
    return int(major), int(minor)


def minor_text(minor: Minor) -> str:
    return ".".join(map(str, minor))


def kubeadm_api_version(kubernetes_version: str) -> str:
    """The newest config API that this version of kubeadm reads without a deprecation, e.g. `v1beta2` for 1.20.

    Release files hold no version outside the table (`release-kubernetes`).
    """
    minor = kubernetes_minor(kubernetes_version)
    return next(api.name for api in reversed(KUBEADM_APIS) if api.first <= minor <= api.last)


def applies_on_server(kubernetes_version: str) -> bool:
    """Whether manifests can be given to the API server as they are, without a kubectl that compares them."""
    return kubernetes_minor(kubernetes_version) >= _APPLIES_ON_SERVER
