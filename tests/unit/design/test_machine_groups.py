"""Which provider gives which nodes their machines, and where."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from iecpod.design.machine_groups import group_nodes
from iecpod.errors import DescriptorError, UsageError
from iecpod.hypervisor_uri import EMBEDDED, parse_connect
from iecpod.model import NodeType, PodSpec, RemoteManagement
from iecpod.options.choices import ProviderName
from iecpod.options.site import Site
from iecpod.pods.described_pod import choose_site
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from tests.fakes.pod_tools import REF
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below, write_pod

SYSTEM, SESSION = (Site(ProviderName.LIBVIRT, parse_connect(f"qemu:///{name}")) for name in ("system", "session"))
EXISTING = Site(ProviderName.EXISTING)


@pytest.fixture
def spec(tmp_path: Path) -> PodSpec:
    write_pod(tmp_path, REF.lab, REF.pod)
    request = pod_request(
        ref=REF, base_uri=str(tmp_path), release="debian12", scenario="k8-bridge-iec-noha", uri=EMBEDDED
    )
    return resolve_request(request, layout_below(tmp_path), SavedPod()).order.spec


def _with(spec: PodSpec, *sites: Site | NodeType) -> PodSpec:
    """Its first nodes on other hypervisors, or of another kind."""
    nodes = list(spec.pdf.nodes)
    for index, wanted in enumerate(sites):
        if isinstance(wanted, NodeType):
            nodes[index] = dataclasses.replace(nodes[index], type=wanted)
        else:
            management = RemoteManagement(type="libvirt", hypervisor=wanted.uri)
            nodes[index] = dataclasses.replace(nodes[index], remote_management=management)
    return dataclasses.replace(spec, pdf=dataclasses.replace(spec.pdf, nodes=tuple(nodes)))


def test_nodes_are_grouped_by_what_their_remote_management_names(spec: PodSpec) -> None:
    everywhere = _with(spec, SYSTEM, SESSION, SYSTEM)
    assert [(group.site, group.nodes) for group in group_nodes(everywhere, None)] == [(SYSTEM, (0, 2)), (SESSION, (1,))]
    with pytest.raises(UsageError, match="it names qemu:///session, qemu:///system"):
        choose_site(everywhere, None)


def test_what_was_chosen_holds_for_all(spec: PodSpec) -> None:
    chosen = Site(ProviderName.LIBVIRT, EMBEDDED)
    assert choose_site(_with(spec, SYSTEM, SESSION, SYSTEM), chosen) == chosen
    assert choose_site(_with(spec, SYSTEM, SYSTEM, SYSTEM), None) == SYSTEM


def test_every_node_that_nobody_makes_a_machine_for_is_named(spec: PodSpec) -> None:
    hybrid = _with(spec, NodeType.BAREMETAL, SYSTEM, NodeType.BAREMETAL)
    for chosen in (None, SYSTEM):
        with pytest.raises(DescriptorError) as refused:
            choose_site(hybrid, chosen)
        assert [problem.path for problem in refused.value.problems] == ["nodes[0].node.type", "nodes[2].node.type"]
        assert "--provider existing" in refused.value.problems[0].remedy


def test_machines_that_somebody_has_made_may_be_of_any_kind(spec: PodSpec) -> None:
    assert choose_site(_with(spec, NodeType.BAREMETAL, SYSTEM), EXISTING) == EXISTING


def test_a_node_without_a_hypervisor_needs_one_that_is_chosen(spec: PodSpec) -> None:
    unmanaged = dataclasses.replace(spec.pdf.nodes[1], remote_management=None)
    nodes = (spec.pdf.nodes[0], unmanaged, *spec.pdf.nodes[2:])
    lacking = dataclasses.replace(spec, pdf=dataclasses.replace(spec.pdf, nodes=nodes))
    with pytest.raises(UsageError, match="must name one libvirt URI"):
        choose_site(lacking, None)
    assert choose_site(lacking, SYSTEM) == SYSTEM
