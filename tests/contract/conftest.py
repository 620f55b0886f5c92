"""Fixtures that more than one contract suite uses."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from iecpod.cni.registry import CNIS
from iecpod.design.cluster import ClusterNode, DesiredCluster
from iecpod.model import Arch
from iecpod.release.file import load_release
from iecpod.release.scenario import Role
from tests.contract.api_server import Api, api_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def capabilities_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """QEMU is asked once what it can do, not once a test."""
    return tmp_path_factory.mktemp("capabilities")


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with api_server(tmp_path_factory.mktemp("api")) as api:
        if api is None:
            pytest.skip("Kubernetes is not on this machine, or no namespace can be made")
        yield api


@pytest.fixture
def cluster() -> DesiredCluster:
    node = ClusterNode(
        hostname="iec01",
        role=Role.CONTROL_PLANE,
        address=IPv4Address("172.16.10.36"),
        mgmt_device="enp2s0",
        pod_cidr=IPv4Network("100.100.0.0/24"),
    )
    return DesiredCluster(
        name="local-virtual1",
        arch=Arch.X86_64,
        release=load_release("k8s-1.37-go", ROOT / "iecpod/releases", ROOT / "schemas"),
        cni=CNIS["calico"],
        nodes=(node,),
        mgmt_cidr=IPv4Network("172.16.10.0/24"),
        mgmt_mtu=1500,
        pod_cidr=IPv4Network("100.100.0.0/16"),
        service_cidr=IPv4Network("172.16.1.0/24"),
        low_overhead=False,
        endpoint=node.address,
    )
