"""Manifests of any other shape are patched or refused: never a traceback for a file that somebody gave."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from iecpod.design.choices import Encapsulation
from iecpod.design.cluster import DesiredCluster
from iecpod.design.release import CalicoSource, FlannelSource
from iecpod.design.scenario import Cni
from iecpod.errors import DescriptorError
from iecpod.model import Arch
from iecpod.render.cni_manifest import render_cni_manifest
from iecpod.render.manifest import ManifestText
from iecpod.yaml_document import dump_yaml_all, load_yaml_all
from tests.unit.calico_of_the_iec import MANIFESTS, make_tls
from tests.unit.cni_manifests import FLANNEL, OPERATOR, OPERATOR_CRDS

NAMES = {Arch.AARCH64: {"quay.io/": "registry.example/", "ghcr.io/": "registry.example/"}}
CALICO = CalicoSource(encapsulation=Encapsulation.VXLAN, own_etcd=True, image_names=NAMES)
FAMILIES = {Cni.CALICO: MANIFESTS, Cni.CALICO_OPERATOR: (OPERATOR_CRDS, OPERATOR), Cni.FLANNEL: (FLANNEL,)}


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


@pytest.mark.parametrize("cni", list(FAMILIES), ids=lambda cni: cni.value)
def test_whatever_stands_in_one_place_is_taken_or_refused(cluster: DesiredCluster, cni: Cni) -> None:
    release = dataclasses.replace(
        cluster.release, calico=CALICO, flannel=FlannelSource(manifests=(), image_names=NAMES)
    )
    cluster = dataclasses.replace(cluster, cni=cni, arch=Arch.AARCH64, release=release, mgmt_mtu=9000)
    objects = [document.data for text in FAMILIES[cni] for document in load_yaml_all(text.content, text.file)]
    refused = 0
    for place in places(objects):
        for value in (None, 3, "x", [], [None], {}, {"x": None}):
            manifest = ManifestText("odd.yaml", dump_yaml_all(replaced(objects, place, value)).encode())
            try:
                render_cni_manifest([manifest], cluster, make_tls)
            except DescriptorError as error:
                assert error.problems
                refused += 1
    assert refused
