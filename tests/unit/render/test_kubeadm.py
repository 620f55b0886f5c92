"""kubeadm's configuration, per version, against files that a person has read."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from iecpod.cni.registry import CNIS
from iecpod.design.cluster import Cni, DesiredCluster
from iecpod.release.kubernetes_version import KUBEADM_APIS, NEWEST_KUBERNETES, kubeadm_api_version
from iecpod.render.kubeadm import render_images_config, render_init_config, render_join_config
from iecpod.render.low_overhead import PATCHES_DIR, render_patches
from iecpod.yaml.document import load_yaml_all
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
        ("1.37.2", "v1beta4"),
    ],
)
def test_api_version_is_the_newest_that_the_version_reads(version: str, api: str) -> None:
    assert kubeadm_api_version(version) == api


def test_every_known_version_has_an_api_that_it_reads() -> None:
    """Each API is read by the version that brings its successor, and none is missing in between."""
    for older, newer in itertools.pairwise(KUBEADM_APIS):
        assert older.first < newer.first <= older.last < newer.last
    for minor in range(KUBEADM_APIS[0].first[1], NEWEST_KUBERNETES[1] + 1):
        assert kubeadm_api_version(f"1.{minor}.0") in {api.name for api in KUBEADM_APIS}


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


def _documents(cluster: DesiredCluster) -> tuple[dict[str, Any], ...]:
    """Init, cluster and kubelet."""
    documents = load_yaml_all(render_init_config(cluster, token=TOKEN, timeout_seconds=300), "init")
    return tuple(document.data for document in documents if isinstance(document.data, dict))


@pytest.mark.parametrize("version", ["1.20.2", "1.37.2"])
def test_low_overhead_is_for_emulated_guests_only(cluster: DesiredCluster, version: str) -> None:
    cluster = with_release(cluster, version)
    init, configuration, kubelet = _documents(cluster)
    assert "patches" not in init and "nodeStatusUpdateFrequency" not in kubelet
    assert not {"extraArgs"} & set(configuration["scheduler"]) and "extraArgs" not in configuration["etcd"]["local"]
    init, configuration, kubelet = _documents(dataclasses.replace(cluster, low_overhead=True))
    assert kubelet["nodeStatusUpdateFrequency"] == "1m0s"
    assert "leader-elect" in str(configuration["scheduler"]) and "leader-elect" in str(
        configuration["controllerManager"]
    )
    assert "unsafe-no-fsync" in str(configuration["etcd"]) and "ECDSA" in str(configuration)


@pytest.mark.parametrize("low_overhead", [False, True])
@pytest.mark.parametrize("version", ["1.13.0", "1.20.2", "1.37.2"])
def test_nothing_of_kubernetes_listens_on_other_networks_than_mgmt(
    cluster: DesiredCluster, version: str, low_overhead: bool
) -> None:
    """NodePorts apart. etcd, scheduler and controller manager are kubeadm's matter: mgmt and loopback."""

    def arguments(of: dict[str, Any], key: str = "extraArgs") -> dict[str, str]:
        found = of[key]
        return found if isinstance(found, dict) else {item["name"]: item["value"] for item in found}

    cluster = dataclasses.replace(with_release(cluster, version), low_overhead=low_overhead)
    init, configuration, _ = _documents(cluster)
    assert arguments(configuration["apiServer"])["bind-address"] == "172.16.10.36"
    assert arguments(init["nodeRegistration"], "kubeletExtraArgs")["address"] == "172.16.10.36"
    joining = render_join_config(cluster, cluster.workers[1], token=TOKEN, ca_cert_hash="x", timeout_seconds=1)
    join = load_yaml_all(joining, "join")[0].data
    assert isinstance(join, dict)
    assert arguments(join["nodeRegistration"], "kubeletExtraArgs")["address"] == str(cluster.workers[1].address)


def test_since_1_33_only_what_was_seen_to_be_needed_is_left(cluster: DesiredCluster) -> None:
    init, _, kubelet = _documents(dataclasses.replace(with_release(cluster, "1.33.0"), low_overhead=True))
    assert init["patches"] == {"directory": PATCHES_DIR}
    assert init["nodeRegistration"]["kubeletExtraArgs"] == [
        {"name": "node-ip", "value": "172.16.10.36"},
        {"name": "address", "value": "172.16.10.36"},
        {"name": "housekeeping-interval", "value": "60s"},
    ]
    assert set(kubelet) == {
        *("apiVersion", "kind", "cgroupDriver"),
        *("nodeStatusUpdateFrequency", "nodeStatusReportFrequency"),
    }
    init, _, kubelet = _documents(dataclasses.replace(with_release(cluster, "1.32.9"), low_overhead=True))
    assert "patches" not in init and "syncFrequency" in kubelet
    assert "cgroups-per-qos" in str(init["nodeRegistration"]["kubeletExtraArgs"])


@pytest.mark.parametrize(
    ("seconds", "call", "etcd"), [(300, "1m0s", "2m0s"), (2400, "8m0s", "16m0s"), (60, "1m0s", "1m0s")]
)
def test_v1beta4_has_a_deadline_for_every_wait(cluster: DesiredCluster, seconds: float, call: str, etcd: str) -> None:
    cluster = with_release(cluster, "1.37.2")
    init = load_yaml_all(render_init_config(cluster, token=TOKEN, timeout_seconds=seconds), "init")[0].data
    assert isinstance(init, dict)
    whole = f"{seconds // 60}m0s"
    assert init["timeouts"] == {
        "controlPlaneComponentHealthCheck": whole,
        "kubeletHealthCheck": whole,
        "kubernetesAPICall": call,
        "etcdAPICall": etcd,
    }


def test_the_image_of_coredns_has_the_release_s_tag(cluster: DesiredCluster) -> None:
    assert "dns" not in _documents(cluster)[1]
    release = dataclasses.replace(cluster.release, coredns_version="v1.14.7")
    assert _documents(dataclasses.replace(cluster, release=release))[1]["dns"] == {"imageTag": "v1.14.7"}
    assert "imageTag: v1.14.7" in render_images_config(release)


def test_patches_make_probes_patient_and_go_frugal() -> None:
    patches = {name: load_yaml_all(text, name)[0].data for name, text in render_patches("1.37.2").items()}
    components = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
    assert set(patches) == {f"{target}+strategic.yaml" for target in (*components, "corednsdeployment")}
    shares = []
    for component in components:
        patch = patches[f"{component}+strategic.yaml"]
        assert isinstance(patch, dict)
        (container,) = patch["spec"]["containers"]
        assert container["name"] == component
        liveness = container["livenessProbe"]
        assert liveness["timeoutSeconds"] * liveness["failureThreshold"] >= 8 * 15 * 8, "eight times kubeadm's own"
        assert container["env"] == [{"name": "GOMAXPROCS", "value": "1"}]
        shares.append(int(container["resources"]["requests"]["cpu"].removesuffix("m")))
    assert sum(shares) <= 100 + 250 + 200 + 100, "kubeadm's own: a node of one processor runs CoreDNS, too"
    assert render_patches("1.32.9") == {}


def test_cidrs_that_are_planned_are_not_the_controller_s_to_give(cluster: DesiredCluster) -> None:
    def manager(cni: Cni) -> dict[str, str]:
        text = render_init_config(dataclasses.replace(cluster, cni=cni), token=TOKEN, timeout_seconds=300)
        configuration = load_yaml_all(text, "init")[1].data
        assert isinstance(configuration, dict)
        return dict(configuration["controllerManager"].get("extraArgs", {}))

    assert manager(CNIS["bridge"]) == manager(CNIS["kube-router"]) == {"allocate-node-cidrs": "false"}
    assert manager(CNIS["calico"]) == {}
