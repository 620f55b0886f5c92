"""Values that many unit tests start from."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import settings

from iecpod.cni.registry import CNIS
from iecpod.design.cluster import ClusterNode, DesiredCluster, node_pod_cidr
from iecpod.model import Arch
from iecpod.release.release import ImageSource, ImageSourceType, Release
from iecpod.release.scenario import Role

# The same examples in every run, so that a gate fails for a change and not by chance.
# To look for new ones: `pytest --hypothesis-profile=default`.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

POD_CIDR = IPv4Network("100.100.0.0/16")


def make_release(version: str = "1.20.2", runtime: str = "containerd") -> Release:
    return Release(
        name="test",
        description="for tests",
        user="ubuntu",
        image=ImageSource(type=ImageSourceType.FILE, location={}, sha256sums={}),
        kubernetes_version=version,
        pause_image="k8s.gcr.io/pause:3.2",
        nginx_image="docker.io/library/nginx:stable",
        runtime=runtime,
        cgroup_driver="cgroupfs",
        cnis=("bridge", "calico"),
    )


@pytest.fixture
def cluster() -> DesiredCluster:
    nodes = tuple(
        ClusterNode(
            hostname=f"iec0{index + 1}",
            role=Role.WORKER if index else Role.CONTROL_PLANE,
            address=IPv4Address("172.16.10.36") + index,
            mgmt_device="enp2s0",
            pod_cidr=node_pod_cidr(POD_CIDR, index),
        )
        for index in range(3)
    )
    return DesiredCluster(
        name="local-virtual1",
        arch=Arch.X86_64,
        release=make_release(),
        cni=CNIS["bridge"],
        nodes=nodes,
        mgmt_cidr=IPv4Network("172.16.10.0/24"),
        mgmt_mtu=1500,
        pod_cidr=POD_CIDR,
        service_cidr=IPv4Network("172.16.1.0/24"),
        low_overhead=False,
        endpoint=nodes[0].address,
    )


def with_release(cluster: DesiredCluster, version: str, runtime: str = "containerd") -> DesiredCluster:
    return dataclasses.replace(cluster, release=make_release(version, runtime))
