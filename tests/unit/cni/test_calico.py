"""Calico's manifests for a cluster of ours: upstream's where they are on this machine, and those of the IEC's time."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from iecpod.cni.calico import CALICO, Autodetection, CalicoSettings, patch_calico_manifest
from iecpod.cni.calico_etcd import etcd_cluster_ip
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText
from iecpod.errors import DescriptorError
from iecpod.model import Arch
from iecpod.options.choices import Encapsulation
from iecpod.release.file import load_release
from iecpod.yaml.document import load_yaml_all
from tests.unit.cni.calico_of_the_iec import MANIFESTS, make_tls
from tests.unit.conftest import with_release
from tests.unit.golden_files import check_golden

ROOT = Path(__file__).parents[3]
UPSTREAM = ROOT.parent / "shared" / "calico"
IEC = CalicoSettings(autodetection=Autodetection.INTERFACE, own_etcd=True)


def upstream(version: str) -> ManifestText:
    path = UPSTREAM / version / "calico.yaml"
    if not path.exists():
        pytest.skip("the upstream manifests are not on this machine")
    return ManifestText(f"{version}/calico.yaml", path.read_bytes())


def objects(text: str | bytes) -> list[dict[str, Any]]:
    return [document.data for document in load_yaml_all(text, "x") if isinstance(document.data, dict)]


def source(encapsulation: Encapsulation) -> CalicoSettings:
    return CalicoSettings(encapsulation=encapsulation)


@pytest.mark.parametrize("kubernetes", ["1.20.2", "1.36.4"])
@pytest.mark.parametrize("encapsulation", list(Encapsulation))
@pytest.mark.parametrize("version", ["v3.24.6", "v3.32.1"])
def test_upstream_is_patched_as_read(
    cluster: DesiredCluster, version: str, encapsulation: Encapsulation, kubernetes: str
) -> None:
    original = upstream(version)
    patched = patch_calico_manifest([original], with_release(cluster, kubernetes), source(encapsulation), make_tls)
    check_golden(
        f"releases/manifests/calico-{version}-{encapsulation.value}-kubernetes-{kubernetes}.txt",
        "".join(f"{change}\n" for change in patched.changes),
    )
    pairs = zip(objects(original.content), objects(patched.text), strict=True)
    different = {f"{old['kind']} {old['metadata']['name']}" for old, new in pairs if old != new}
    assert different == {change.split(":")[0] for change in patched.changes}


@pytest.mark.parametrize("version", ["v3.24.6", "v3.32.1"])
def test_patching_again_changes_nothing(cluster: DesiredCluster, version: str) -> None:
    patched = patch_calico_manifest([upstream(version)], cluster, source(Encapsulation.IPIP), make_tls)
    again = patch_calico_manifest(
        [ManifestText("x", patched.text.encode())], cluster, source(Encapsulation.IPIP), make_tls
    )
    assert (again.changes, again.text) == ((), patched.text)


@pytest.mark.parametrize("arch", list(Arch))
def test_calico_of_the_iec_keeps_its_data_in_an_etcd_of_its_own(cluster: DesiredCluster, arch: Arch) -> None:
    release = load_release("iec-r1", ROOT / "iecpod/releases", ROOT / "schemas")
    cluster = dataclasses.replace(cluster, release=release, arch=arch)
    patched = CALICO.render_manifest(MANIFESTS, cluster, make_tls)
    check_golden(f"releases/manifests/iec-r1-{arch.value}.yaml", patched.text)
    assert [found["kind"] for found in objects(patched.text)] == [
        *("DaemonSet", "Service", "ClusterRole", "ConfigMap", "Secret", "DaemonSet", "Secret")
    ]


def test_changes_are_reported(cluster: DesiredCluster) -> None:
    assert patch_calico_manifest(MANIFESTS, cluster, IEC, make_tls).changes == (
        "DaemonSet calico-node: CALICO_IPV4POOL_CIDR: 192.168.0.0/16 -> 100.100.0.0/16",
        "DaemonSet calico-node: IP_AUTODETECTION_METHOD: can-reach=host.example -> interface=enp2s0",
        "ConfigMap calico-config: veth_mtu: 1440 -> 1480",
        "ConfigMap calico-config: etcd_endpoints: http://10.96.232.136:6666 -> https://172.16.1.136:6666",
        "ConfigMap calico-config: etcd_ca:  -> /calico-secrets/etcd-ca",
        "ConfigMap calico-config: etcd_cert:  -> /calico-secrets/etcd-cert",
        "ConfigMap calico-config: etcd_key:  -> /calico-secrets/etcd-key",
        "Secret calico-etcd-secrets: etcd-ca, etcd-cert, etcd-key: made for this POD",
        "Service calico-etcd: clusterIP: 10.96.232.136 -> 172.16.1.136",
        "DaemonSet calico-etcd: --advertise-client-urls=http://$(CALICO_ETCD_IP):6666 -> "
        "--advertise-client-urls=https://$(CALICO_ETCD_IP):6666",
        "DaemonSet calico-etcd: --listen-client-urls=http://0.0.0.0:6666 -> "
        "--listen-client-urls=https://$(CALICO_ETCD_IP):6666",
        "DaemonSet calico-etcd: --listen-peer-urls=http://0.0.0.0:6667 -> --listen-peer-urls=http://127.0.0.1:6667",
        "DaemonSet calico-etcd: --cert-file: (unset) -> /calico-etcd/server.crt",
        "DaemonSet calico-etcd: --key-file: (unset) -> /calico-etcd/server.key",
        "DaemonSet calico-etcd: --trusted-ca-file: (unset) -> /calico-etcd/ca.crt",
        "DaemonSet calico-etcd: --client-cert-auth: (unset) -> true",
        "Secret calico-etcd-server: ca.crt, server.crt, server.key: made for this POD",
    )


def test_an_etcd_that_a_shell_starts_has_no_place_for_certificates(cluster: DesiredCluster) -> None:
    etcd, *others = MANIFESTS
    script = etcd.content.replace(b"command: [/usr/local/bin/etcd]", b"command: [/bin/sh, -c]")
    script = (
        script[: script.index(b"          args:")]
        + b"          args: [etcd --name=calico]\n---\n"
        + script.partition(b"---\n")[2]
    )
    assert messages((ManifestText("etcd.yaml", script), *others), cluster, IEC) == [
        "the manifest has no argument `--advertise-client-urls` in DaemonSet calico-etcd",
        "the manifest has no argument `--listen-client-urls` in DaemonSet calico-etcd",
        "the manifest has no argument `--listen-peer-urls` in DaemonSet calico-etcd",
    ]


@pytest.mark.parametrize(
    ("cidr", "address"),
    [("172.16.1.0/24", "172.16.1.136"), ("10.96.0.0/12", "10.96.0.136"), ("172.16.1.0/28", "172.16.1.14")],
)
def test_the_address_of_etcd_is_a_service_address(cidr: str, address: str) -> None:
    assert etcd_cluster_ip(IPv4Network(cidr)) == IPv4Address(address)


def messages(manifests: tuple[ManifestText, ...], cluster: DesiredCluster, calico: CalicoSettings) -> list[str]:
    with pytest.raises(DescriptorError) as caught:
        patch_calico_manifest(manifests, cluster, calico, make_tls)
    assert {problem.rule for problem in caught.value.problems} == {"calico-manifest"}
    return [problem.message for problem in caught.value.problems]


def test_all_that_a_foreign_manifest_lacks_is_reported(cluster: DesiredCluster) -> None:
    calico = dataclasses.replace(IEC, image_names={Arch.X86_64: {"quay.io/": "registry.example/"}})
    assert messages((ManifestText("other.yaml", b"kind: ConfigMap\nmetadata: {name: x}\n"),), cluster, calico) == [
        "the manifest has no DaemonSet `calico-node`",
        "the manifest has no ConfigMap `calico-config`",
        "the manifest has no Secret `calico-etcd-secrets`",
        "the manifest has no Service `calico-etcd`",
        "the manifest has no DaemonSet `calico-etcd`",
        "the manifest has no image that begins with `quay.io/`",
    ]


def test_a_calico_without_vxlan_cannot_have_it(cluster: DesiredCluster) -> None:
    calico = dataclasses.replace(IEC, encapsulation=Encapsulation.VXLAN)
    assert messages(MANIFESTS, cluster, calico) == [
        "the manifest has no variable `CALICO_IPV4POOL_VXLAN` in DaemonSet calico-node",
        "the manifest has no probe `-bird-live` in DaemonSet calico-node",
    ]


def test_an_etcd_that_is_not_there_cannot_be_led_to(cluster: DesiredCluster) -> None:
    assert messages((upstream("v3.32.1"),), with_release(cluster, "1.36.4"), IEC) == [
        "the manifest has no `etcd_endpoints` in ConfigMap calico-config",
        "the manifest has no `etcd_ca` in ConfigMap calico-config",
        "the manifest has no `etcd_cert` in ConfigMap calico-config",
        "the manifest has no `etcd_key` in ConfigMap calico-config",
        "the manifest has no volume of Secret calico-etcd-secrets in DaemonSet calico-node",
        "the manifest has no variable `ETCD_CA_CERT_FILE` in DaemonSet calico-node",
        "the manifest has no variable `ETCD_CERT_FILE` in DaemonSet calico-node",
        "the manifest has no variable `ETCD_KEY_FILE` in DaemonSet calico-node",
        "the manifest has no Secret `calico-etcd-secrets`",
        "the manifest has no Service `calico-etcd`",
        "the manifest has no DaemonSet `calico-etcd`",
    ]


def test_mtu_is_that_of_mgmt_less_what_the_encapsulation_takes(cluster: DesiredCluster) -> None:
    jumbo = dataclasses.replace(cluster, mgmt_mtu=9000)
    for encapsulation, mtu in (
        (Encapsulation.IPIP, "8980"),
        (Encapsulation.VXLAN, "8950"),
        (Encapsulation.NONE, "9000"),
    ):
        patched = patch_calico_manifest([upstream("v3.32.1")], jumbo, source(encapsulation), make_tls)
        (config,) = [found for found in objects(patched.text) if found["metadata"]["name"] == "calico-config"]
        assert config["data"]["veth_mtu"] == mtu
