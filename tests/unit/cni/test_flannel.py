"""flannel's manifest for a cluster of ours."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from iecpod.cni.flannel import FlannelBackend, FlannelSettings, parse_network, patch_flannel_manifest
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText
from iecpod.errors import DescriptorError
from iecpod.model import Arch
from iecpod.yaml.document import load_yaml_all
from tests.unit.cni.cni_manifests import FLANNEL
from tests.unit.golden_files import check_golden

PLAIN = FlannelSettings()
HOST_GW = FlannelSettings(backend=FlannelBackend.HOST_GW)
_NETWORK = "net-conf.json in ConfigMap kube-flannel-cfg"
_DAEMON = "DaemonSet kube-flannel-ds, container kube-flannel"


def objects(text: str | bytes) -> dict[str, Any]:
    """By kind."""
    found = [document.data for document in load_yaml_all(text, "x") if isinstance(document.data, dict)]
    return {entry["kind"]: entry for entry in found}


def edited(*replacements: tuple[str, str]) -> ManifestText:
    text = FLANNEL.content.decode()
    for old, new in replacements:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return ManifestText("mine.yml", text.encode())


def refusal(manifest: ManifestText, cluster: DesiredCluster, flannel: FlannelSettings = PLAIN) -> list[str]:
    with pytest.raises(DescriptorError) as caught:
        patch_flannel_manifest([manifest], cluster, flannel)
    assert {(problem.rule, problem.file) for problem in caught.value.problems} == {("flannel-manifest", manifest.file)}
    assert all("kube-flannel.yml" in problem.remedy for problem in caught.value.problems)
    return [problem.message for problem in caught.value.problems]


@pytest.mark.parametrize("backend", list(FlannelBackend))
def test_the_manifest_is_patched_as_read(cluster: DesiredCluster, backend: FlannelBackend) -> None:
    flannel = dataclasses.replace(PLAIN, backend=backend)
    patched = patch_flannel_manifest([FLANNEL], cluster, flannel)
    check_golden(f"releases/manifests/flannel-{backend.value}.yaml", patched.text)
    assert patched.custom_resources == ""


def test_changes_are_reported(cluster: DesiredCluster) -> None:
    jumbo = dataclasses.replace(cluster, mgmt_mtu=9000)
    assert patch_flannel_manifest([FLANNEL], jumbo, PLAIN).changes == (
        f"{_NETWORK}: Network: 10.244.0.0/16 -> 100.100.0.0/16",
        f"Backend of {_NETWORK}: MTU: (unset) -> 9000",
        f"{_DAEMON}: NODE_IP: (unset) -> status.hostIP",
        f"{_DAEMON}: args: (unset) -> --iface=$(NODE_IP)",
    )


def test_what_is_not_concerned_stays(cluster: DesiredCluster) -> None:
    old, new = objects(FLANNEL.content), objects(patch_flannel_manifest([FLANNEL], cluster, PLAIN).text)
    assert new["Namespace"] == old["Namespace"]
    network = parse_network(new["ConfigMap"])
    assert network == {"Network": "100.100.0.0/16", "EnableNFTables": False, "Backend": {"Type": "vxlan"}}
    assert new["ConfigMap"]["data"]["cni-conf.json"] == old["ConfigMap"]["data"]["cni-conf.json"]
    (init,), (daemon,) = (new["DaemonSet"]["spec"]["template"]["spec"][key] for key in ("initContainers", "containers"))
    assert init["args"] == ["-f", "/flannel", "/opt/cni/bin/flannel"]
    assert daemon["args"] == ["--ip-masq", "--kube-subnet-mgr", "--iface=$(NODE_IP)"]
    assert [variable["name"] for variable in daemon["env"]] == ["EVENT_QUEUE_DEPTH", "NODE_IP"]


@pytest.mark.parametrize("flannel", [PLAIN, HOST_GW])
def test_patching_again_changes_nothing(cluster: DesiredCluster, flannel: FlannelSettings) -> None:
    patched = patch_flannel_manifest([FLANNEL], cluster, flannel)
    again = patch_flannel_manifest([ManifestText("x", patched.text.encode())], cluster, flannel)
    assert (again.changes, again.text) == ((), patched.text)


@pytest.mark.parametrize(
    ("flannel", "mtu", "backend"),
    [
        (PLAIN, 1500, {"Type": "vxlan"}),
        (PLAIN, 1400, {"Type": "vxlan", "MTU": 1400}),
        (HOST_GW, 9000, {"Type": "host-gw"}),
    ],
)
def test_mtu_is_set_where_flannel_knows_one(
    cluster: DesiredCluster, flannel: FlannelSettings, mtu: int, backend: dict[str, object]
) -> None:
    other = dataclasses.replace(cluster, mgmt_mtu=mtu)
    network = parse_network(objects(patch_flannel_manifest([FLANNEL], other, flannel).text)["ConfigMap"])
    assert network is not None and network["Backend"] == backend


def test_the_mtu_of_a_manifest_gives_way_to_that_of_the_idf(cluster: DesiredCluster) -> None:
    mine = edited(('"Type": "vxlan"', '"Type": "vxlan", "MTU": 1300'))
    assert f"Backend of {_NETWORK}: MTU: 1300 -> 1500" in patch_flannel_manifest([mine], cluster, PLAIN).changes


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ("[--ip-masq, --kube-subnet-mgr, --iface=eth1]", "--iface=eth1"),
        ("[--ip-masq, -iface, eth1, --kube-subnet-mgr]", "-iface eth1"),
        ("[--ip-masq, --iface-regex=^eth, --kube-subnet-mgr, --iface-can-reach=10.0.0.1]", None),
        ("[--ip-masq, --kube-subnet-mgr, --iface]", "--iface "),
    ],
)
def test_another_interface_gives_way_to_that_on_mgmt(
    cluster: DesiredCluster, arguments: str, shown: str | None
) -> None:
    patched = patch_flannel_manifest([edited(("[--ip-masq, --kube-subnet-mgr]", arguments))], cluster, PLAIN)
    (daemon,) = objects(patched.text)["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    assert daemon["args"] == ["--ip-masq", "--kube-subnet-mgr", "--iface=$(NODE_IP)"]
    removed = "--iface-regex=^eth --iface-can-reach=10.0.0.1" if shown is None else shown
    assert patched.changes[-1] == f"{_DAEMON}: args: {removed} -> --iface=$(NODE_IP)"


def test_a_variable_of_that_name_gives_way(cluster: DesiredCluster) -> None:
    mine = edited(('{name: EVENT_QUEUE_DEPTH, value: "5000"}', "{name: NODE_IP, value: 10.0.0.1}"))
    assert f"{_DAEMON}: NODE_IP: 10.0.0.1 -> status.hostIP" in patch_flannel_manifest([mine], cluster, PLAIN).changes


def test_images_are_named_by_the_lab_s_registry(cluster: DesiredCluster) -> None:
    names = {Arch.X86_64: {"ghcr.io/flannel-io/": "registry.example/flannel/"}, Arch.AARCH64: {"x": "y"}}
    patched = patch_flannel_manifest([FLANNEL], cluster, dataclasses.replace(PLAIN, image_names=names))
    assert patched.changes[-2:] == (
        "DaemonSet kube-flannel-ds, container install-cni-plugin: image: "
        "ghcr.io/flannel-io/flannel-cni-plugin:v1.9.1-flannel1 -> "
        "registry.example/flannel/flannel-cni-plugin:v1.9.1-flannel1",
        f"{_DAEMON}: image: ghcr.io/flannel-io/flannel:v0.28.9 -> registry.example/flannel/flannel:v0.28.9",
    )


def test_all_that_a_foreign_manifest_lacks_is_reported(cluster: DesiredCluster) -> None:
    flannel = dataclasses.replace(PLAIN, image_names={Arch.X86_64: {"quay.io/": "registry.example/"}})
    assert refusal(ManifestText("other.yml", b"kind: ConfigMap\nmetadata: {name: x}\n"), cluster, flannel) == [
        "the manifest has no ConfigMap `kube-flannel-cfg`",
        "the manifest has no container `kube-flannel`",
        "the manifest has no image that begins with `quay.io/`",
    ]


@pytest.mark.parametrize("network", ["{", "[]", json.dumps("x"), "[" * 100_000])
def test_a_network_that_is_none_is_reported(cluster: DesiredCluster, network: str) -> None:
    text = f"kind: ConfigMap\nmetadata: {{name: kube-flannel-cfg}}\ndata: {{net-conf.json: '{network}'}}\n"
    manifest = ManifestText("broken.yml", text.encode())
    assert refusal(manifest, cluster)[0] == f"the manifest has no {_NETWORK}"


@pytest.mark.parametrize("data", ["", "data:\n", "data: []\n", "data: {net-conf.json: }\n"])
def test_a_config_of_another_shape_is_reported(cluster: DesiredCluster, data: str) -> None:
    text = f"kind: ConfigMap\nmetadata: {{name: kube-flannel-cfg}}\n{data}---\nkind: DaemonSet\nmetadata:\nspec: 3\n"
    assert refusal(ManifestText("broken.yml", text.encode()), cluster)[0] == f"the manifest has no {_NETWORK}"


def test_a_network_without_its_parts_is_reported(cluster: DesiredCluster) -> None:
    text = "kind: ConfigMap\nmetadata: {name: kube-flannel-cfg}\ndata: {net-conf.json: '{}'}\n"
    assert refusal(ManifestText("broken.yml", text.encode()), cluster)[:2] == [
        f"the manifest has no `Network` in {_NETWORK}",
        f"the manifest has no `Backend` in {_NETWORK}",
    ]


def test_a_backend_without_a_type_is_reported(cluster: DesiredCluster) -> None:
    assert refusal(edited(('"Type": "vxlan"', "")), cluster) == [f"the manifest has no `Type` in Backend of {_NETWORK}"]
