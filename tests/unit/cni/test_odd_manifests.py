"""Manifests of any other shape are patched or refused: never a traceback for a file from users."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from iecpod.cni.registry import CNIS
from iecpod.design.cluster import Cni, DesiredCluster
from iecpod.design.manifest_text import ManifestText
from iecpod.errors import DescriptorError
from iecpod.model import Arch
from iecpod.release.release import CniSource
from iecpod.yaml.document import dump_yaml_all, load_yaml_all
from tests.unit.cni.calico_of_the_iec import MANIFESTS, make_tls
from tests.unit.cni.cni_manifests import FLANNEL, OPERATOR, OPERATOR_CRDS

NAMES = {Arch.AARCH64: {"quay.io/": "registry.example/", "ghcr.io/": "registry.example/"}}
SOURCES = {
    "calico": CniSource(image_names=NAMES, settings={"encapsulation": "vxlan", "own_etcd": True}),
    "flannel": CniSource(image_names=NAMES),
}
FAMILIES = {CNIS["calico"]: MANIFESTS, CNIS["calico-operator"]: (OPERATOR_CRDS, OPERATOR), CNIS["flannel"]: (FLANNEL,)}


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*place, key)
        yield from places(value[key], (*place, key))


def replaced(objects: list[Any], place: tuple[Any, ...], value: object) -> list[Any]:
    changed = copy.deepcopy(objects)
    inner: Any = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


@pytest.mark.parametrize("cni", list(FAMILIES), ids=repr)
def test_whatever_stands_in_one_place_is_taken_or_refused(cluster: DesiredCluster, cni: Cni) -> None:
    release = dataclasses.replace(cluster.release, cni_sources=SOURCES)
    cluster = dataclasses.replace(cluster, cni=cni, arch=Arch.AARCH64, release=release, mgmt_mtu=9000)
    objects = [document.data for text in FAMILIES[cni] for document in load_yaml_all(text.content, text.file)]
    refused = 0
    for place in places(objects):
        for value in (None, 3, "x", [], [None], {}, {"x": None}):
            manifest = ManifestText("odd.yaml", dump_yaml_all(replaced(objects, place, value)).encode())
            try:
                cni.render_manifest([manifest], cluster, make_tls)
            except DescriptorError as error:
                assert error.problems
                refused += 1
    assert refused
