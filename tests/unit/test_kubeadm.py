"""kubeadm's configuration, per version, against files that a person has read."""

from __future__ import annotations

import dataclasses

import pytest

from iecpod.design.cluster import DesiredCluster
from iecpod.design.scenario import Cni
from iecpod.render.kubeadm import kubeadm_api_version, render_init_config, render_join_config
from iecpod.yaml_document import load_yaml_all
from tests.unit.conftest import with_release
from tests.unit.golden_files import check_golden

TOKEN = "abcdef.0123456789abcdef"


@pytest.mark.parametrize(
    ("version", "api"),
    [
        ("1.13.0", "v1beta1"),
        ("1.14.9", "v1beta1"),
        ("1.15.0", "v1beta2"),
        ("1.20.2", "v1beta2"),
        ("1.22.0", "v1beta3"),
        ("1.30.4", "v1beta3"),
        ("1.31.0", "v1beta4"),
        ("1.36.0", "v1beta4"),
    ],
)
def test_api_version_is_the_newest_that_the_version_reads(version: str, api: str) -> None:
    assert kubeadm_api_version(version) == api


@pytest.mark.parametrize(
    ("version", "runtime"),
    [("1.13.0", "docker"), ("1.20.2", "containerd"), ("1.22.0", "containerd"), ("1.36.0", "containerd")],
)
def test_configs_are_as_read(cluster: DesiredCluster, version: str, runtime: str) -> None:
    cluster = with_release(cluster, version, runtime)
    init = render_init_config(cluster, token=TOKEN, timeout_seconds=300)
    join = render_join_config(
        cluster, cluster.workers[0], token=TOKEN, ca_cert_hash="sha256:" + "0" * 64, timeout_seconds=150
    )
    check_golden(f"kubeadm-{version}.yaml", init + join)


def test_calm_timings_are_for_emulated_guests_only(cluster: DesiredCluster) -> None:
    usual = render_init_config(cluster, token=TOKEN, timeout_seconds=300)
    calm = render_init_config(dataclasses.replace(cluster, calm=True), token=TOKEN, timeout_seconds=300)
    assert "nodeStatusUpdateFrequency" not in usual and "leader-elect" not in usual
    assert "nodeStatusUpdateFrequency: 1m0s" in calm and "unsafe-no-fsync" in calm


def test_only_the_bridge_cni_takes_node_cidrs_from_the_controller(cluster: DesiredCluster) -> None:
    def manager(cni: Cni) -> dict[str, str]:
        text = render_init_config(dataclasses.replace(cluster, cni=cni), token=TOKEN, timeout_seconds=300)
        configuration = load_yaml_all(text, "init")[1].data
        assert isinstance(configuration, dict)
        return dict(configuration["controllerManager"].get("extraArgs", {}))

    assert manager(Cni.BRIDGE) == {"allocate-node-cidrs": "false"}
    assert manager(Cni.CALICO) == {}
