"""Calico by the Tigera operator: its manifests, upstream's where they are on this machine, and our Installation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from iecpod.cni.calico import CalicoSettings
from iecpod.cni.calico_operator import render_operator
from iecpod.design.cluster import DesiredCluster
from iecpod.design.manifest_text import ManifestText, PatchedManifest
from iecpod.errors import DescriptorError
from iecpod.model import Arch
from iecpod.options.choices import Encapsulation
from iecpod.yaml.document import load_yaml_all
from tests.unit.cni.cni_manifests import OPERATOR, OPERATOR_CRDS
from tests.unit.golden_files import check_golden

UPSTREAM = Path(__file__).parents[4] / "shared/calico/v3.32.1"
PLAIN = CalicoSettings()


def upstream(file: str) -> ManifestText:
    if not (UPSTREAM / file).exists():
        pytest.skip("the upstream manifests are not on this machine")
    return ManifestText(file, (UPSTREAM / file).read_bytes())


def installation(patched: PatchedManifest) -> dict[str, Any]:
    found, server = objects(patched.custom_resources)
    assert isinstance(found, dict) and isinstance(server, dict) and server["kind"] == "APIServer"
    return found


def objects(text: str | bytes) -> list[object]:
    return [document.data for document in load_yaml_all(text, "x")]


@pytest.mark.parametrize("encapsulation", list(Encapsulation))
def test_the_installation_is_as_read(cluster: DesiredCluster, encapsulation: Encapsulation) -> None:
    calico = dataclasses.replace(PLAIN, encapsulation=encapsulation)
    patched = render_operator([OPERATOR_CRDS, OPERATOR], cluster, calico)
    check_golden(f"releases/manifests/calico-operator-{encapsulation.value}.yaml", patched.custom_resources)


def test_each_value_of_the_installation_is_reported(cluster: DesiredCluster) -> None:
    assert render_operator([OPERATOR_CRDS, OPERATOR], cluster, PLAIN).changes == (
        "Installation default: calicoNetwork.bgp: (unset) -> Enabled",
        "Installation default: calicoNetwork.ipPools[0].name: (unset) -> default-ipv4-ippool",
        "Installation default: calicoNetwork.ipPools[0].blockSize: (unset) -> 26",
        "Installation default: calicoNetwork.ipPools[0].cidr: (unset) -> 100.100.0.0/16",
        "Installation default: calicoNetwork.ipPools[0].encapsulation: (unset) -> IPIP",
        "Installation default: calicoNetwork.ipPools[0].natOutgoing: (unset) -> Enabled",
        "Installation default: calicoNetwork.ipPools[0].nodeSelector: (unset) -> all()",
        "Installation default: calicoNetwork.mtu: (unset) -> 1480",
        "Installation default: calicoNetwork.nodeAddressAutodetectionV4.cidrs[0]: (unset) -> 172.16.10.0/24",
        "APIServer default: (unset) -> added",
    )


@pytest.mark.parametrize(
    ("encapsulation", "mtu"), [(Encapsulation.IPIP, 8980), (Encapsulation.VXLAN, 8950), (Encapsulation.NONE, 9000)]
)
def test_mtu_is_that_of_mgmt_less_what_the_encapsulation_takes(
    cluster: DesiredCluster, encapsulation: Encapsulation, mtu: int
) -> None:
    jumbo = dataclasses.replace(cluster, mgmt_mtu=9000)
    calico = dataclasses.replace(PLAIN, encapsulation=encapsulation)
    spec = installation(render_operator([OPERATOR_CRDS, OPERATOR], jumbo, calico))["spec"]
    assert spec["calicoNetwork"]["mtu"] == mtu


def test_upstream_s_operator_is_taken_as_it_is(cluster: DesiredCluster) -> None:
    operator = upstream("tigera-operator.yaml")
    patched = render_operator([OPERATOR_CRDS, operator], cluster, PLAIN)
    assert objects(patched.text) == [*objects(OPERATOR_CRDS.content), *objects(operator.content)]


def test_the_custom_resources_are_upstream_s_less_what_observes(cluster: DesiredCluster) -> None:
    theirs = objects(upstream("custom-resources.yaml").content)
    patched = render_operator([OPERATOR_CRDS, OPERATOR], cluster, PLAIN)
    kept, server = objects(patched.custom_resources), theirs[1]
    assert kept[1] == server
    first, ours = theirs[0], installation(patched)
    assert isinstance(first, dict)
    assert [ours[key] for key in ("apiVersion", "kind", "metadata")] == [
        first[key] for key in ("apiVersion", "kind", "metadata")
    ]
    pools = [found["spec"]["calicoNetwork"]["ipPools"][0] for found in (ours, first)]
    assert {**pools[1], "cidr": "100.100.0.0/16", "encapsulation": "IPIP"} == pools[0]


@pytest.mark.parametrize(
    ("registry", "spec"),
    [
        ("registry.example:5000", {"registry": "registry.example:5000/"}),
        ("registry.example/mirror/calico", {"registry": "registry.example/", "imagePath": "mirror/calico"}),
    ],
)
def test_images_come_from_the_lab_s_registry(cluster: DesiredCluster, registry: str, spec: dict[str, str]) -> None:
    names = {Arch.X86_64: {"quay.io/": "registry.example/"}}
    calico = dataclasses.replace(PLAIN, registry=registry, image_names=names)
    patched = render_operator([OPERATOR_CRDS, OPERATOR], cluster, calico)
    assert {key: value for key, value in installation(patched)["spec"].items() if key != "calicoNetwork"} == spec
    assert patched.changes[0] == (
        "Deployment tigera-operator, container tigera-operator: image: "
        "quay.io/tigera/operator:v1.42.3 -> registry.example/tigera/operator:v1.42.3"
    )


def test_all_that_other_manifests_lack_is_reported(cluster: DesiredCluster) -> None:
    """Calico's own manifest has neither the operator nor its kinds."""
    calico = dataclasses.replace(PLAIN, image_names={Arch.X86_64: {"quay.io/tigera/": "registry.example/"}})
    with pytest.raises(DescriptorError) as caught:
        render_operator([upstream("calico.yaml")], cluster, calico)
    assert [problem.message for problem in caught.value.problems] == [
        "the manifest has no CustomResourceDefinition `installations.operator.tigera.io`",
        "the manifest has no CustomResourceDefinition `apiservers.operator.tigera.io`",
        "the manifest has no Deployment `tigera-operator`",
        "the manifest has no image that begins with `quay.io/tigera/`",
    ]
    assert {problem.rule for problem in caught.value.problems} == {"calico-manifest"}
    assert all("operator-crds.yaml" in problem.remedy for problem in caught.value.problems)
