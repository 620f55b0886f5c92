"""Whether a POD can be deployed as designed, as far as its provider has no say in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from iecpod.descriptors.addresses.cidrs import TakenNetwork, check_cidrs, idf_networks
from iecpod.design.first_node import check_first_node
from iecpod.design.machines import Machine, architectures
from iecpod.design.outside_addresses import reached_networks
from iecpod.design.pod_design import PodDesign
from iecpod.design.software.availability import check_release
from iecpod.design.software.bundle_check import check_bundle
from iecpod.design.software.image_origin import check_given_twice
from iecpod.design.software.unverified_sources import check_trust
from iecpod.errors import Problem, Severity
from iecpod.release.image_archive import check_archives


def check_pod(pod: PodDesign, machines: Sequence[Machine], *, with_kubernetes: bool) -> tuple[Problem, ...]:
    """What is wrong with cluster, release or bundle; `with_kubernetes` unless machines are all that is wanted."""
    return (
        *(check_first_node(pod, machines) if with_kubernetes else ()),
        *_check_cni(pod),
        *check_release(pod.cluster, pod.supply),
        *check_trust(pod.cluster.release, pod.cluster.arch, pod.supply),
        *check_bundle(pod, machines),
        *_check_given(pod, machines),
    )


def _check_given(pod: PodDesign, machines: Sequence[Machine]) -> Iterator[Problem]:
    """What the user gave besides the release."""
    cluster = pod.cluster
    yield from check_archives(cluster.release.image_archives, architectures(machines))
    yield from check_given_twice(cluster.release)
    if cluster.release.manifest_patch and not cluster.cni.has_manifest:
        yield Problem(
            message=f"there is a patch of a manifest, and {cluster.cni.name} of scenario {pod.scenario.name} has none",
            remedy="leave --manifest-patch out (or give one with an empty list of containers), or choose another "
            "scenario",
            rule="manifest-patch",
        )


def check_pod_cidrs(pod: PodDesign, taken: Iterable[TakenNetwork]) -> tuple[Problem, ...]:
    """Pod and service CIDR against the POD's networks, what nodes reach, and what else is `taken`."""
    return tuple(
        check_cidrs(
            str(pod.cluster.pod_cidr),
            str(pod.cluster.service_cidr),
            (
                *idf_networks(pod.spec),
                *reached_networks(pod.spec, pod.supply, pod.cluster.release),
                *_docker_bridge(pod),
                *taken,
            ),
            nodes=pod.spec.pdf.place_count,
        )
    )


def _docker_bridge(pod: PodDesign) -> Iterator[TakenNetwork]:
    if pod.docker_bridge is not None:
        yield TakenNetwork(pod.docker_bridge.network, "docker's bridge on the nodes")


def _check_cni(pod: PodDesign) -> list[Problem]:
    release = pod.cluster.release
    if pod.cluster.cni.name in release.cnis:
        return []
    return [
        Problem(
            message=f"release {release.name} has no {pod.cluster.cni.name}, which scenario {pod.scenario.name} needs",
            remedy=f"choose a scenario (-s) with {' or '.join(release.cnis)}, or another --release",
            rule="cni-not-in-release",
            severity=Severity.ERROR,
        )
    ]
