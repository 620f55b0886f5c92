"""What libvirt, the kernel, kubeadm or routing would refuse later, and plan refuses before anything is made."""

from __future__ import annotations

import dataclasses
import json
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.descriptors.addresses.cidrs import TakenNetwork
from iecpod.descriptors.rule_catalog import RULE_BOOK
from iecpod.design.docker_bridge import DEFAULT_DOCKER_BRIDGE, plan_docker_bridge
from iecpod.errors import Problem, Severity
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.pods.resolve import resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.providers.libvirt.connection.host_routes import parse_links
from iecpod.providers.libvirt.objects import HostFacts, Link
from iecpod.release.mirrors import Supply
from tests.fakes import FACTS
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below, write_pod
from tests.unit.descriptors.broken_pod import Edits


def refusals(
    tmp_path: Path, pdf: Edits | None = None, idf: Edits | None = None, facts: HostFacts = FACTS, **options: Any
) -> tuple[list[Problem], list[str]]:
    """What a plan of the sound POD, edited, is refused for, and what it warns of (first lines)."""
    write_pod(tmp_path, REF.lab, REF.pod, pdf, idf)
    layout = layout_below(tmp_path)
    wanted = {"release": "debian12", "scenario": "k8-bridge-iec-noha", "uri": EMBEDDED, **options}
    request = pod_request(ref=REF, base_uri=str(tmp_path), **wanted)
    tools = FakeTools(tmp_path, layout, facts=facts)
    found = make_pod_plan(resolve_request(request, layout, SavedPod()), tools).problems
    errors = [problem for problem in found if problem.severity is Severity.ERROR]
    return errors, [line.partition("\n")[0] for line in tools.reporter.lines]


def with_links(*links: Link) -> HostFacts:
    return dataclasses.replace(FACTS, links=links)


def sentences(problems: list[Problem]) -> list[tuple[str, str]]:
    return [(problem.rule, problem.message) for problem in problems]


def test_the_sound_pod_is_refused_for_nothing(tmp_path: Path) -> None:
    assert refusals(tmp_path)[0] == []


def test_links_are_read_with_their_kind() -> None:
    shown = [
        {"ifname": "pxebr", "mtu": 9000, "linkinfo": {"info_kind": "bridge"}},
        {"ifname": "eth0", "mtu": 1500},
        {"ifname": "bond0", "mtu": 1500, "linkinfo": {"info_kind": "bond"}},
        {},
    ]
    assert parse_links(json.dumps(shown)) == (
        Link("bond0", 1500, False),
        Link("eth0", 1500, False),
        Link("pxebr", 9000, True),
    )
    assert parse_links("") == ()
    assert with_links(*parse_links(json.dumps(shown))).bridges == ("pxebr",)


def test_a_bridge_named_like_a_nic_of_the_host(tmp_path: Path) -> None:
    idf: Edits = {"idf.fuel.jumphost.bridges": {"admin": "eno1", "mgmt": None, "private": None, "public": None}}
    problems, _ = refusals(tmp_path, idf=idf, facts=with_links(Link("eno1", 1500, False)))
    (problem,) = problems
    assert (problem.rule, problem.path) == ("bridge-name-taken", "network local-virtual1-admin")
    assert problem.message == (
        "its bridge would be named 'eno1', and the host has a device of that name that is no bridge"
    )
    assert "idf.fuel.jumphost.bridges.admin" in problem.remedy


@pytest.mark.parametrize(("mtu", "refused"), [(1499, True), (1500, False), (9000, False)])
def test_a_bridge_of_the_lab_with_a_smaller_mtu(tmp_path: Path, mtu: int, refused: bool) -> None:
    idf: Edits = {
        "idf.fuel.jumphost.bridges": {"admin": None, "mgmt": "labbr", "private": None, "public": None},
        "idf.fuel.network.interface_mtu": 1500,
    }
    problems, _ = refusals(tmp_path, idf=idf, facts=with_links(Link("labbr", mtu, True)))
    expected = ("bridge-mtu", f"nodes would have an MTU of 1500 on the bridge 'labbr', whose own is {mtu}")
    assert sentences(problems) == [expected] * refused
    assert all(problem.file.endswith("idf-virtual1.yaml") for problem in problems)


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"vcpus": 1}, ["kubeadm-cpus"]),
        ({"memory_mib": 1699}, ["kubeadm-memory"]),
        ({"vcpus": 1, "memory_mib": 512}, ["kubeadm-cpus", "kubeadm-memory"]),
        ({"vcpus": 2, "memory_mib": 1700}, []),
        ({"vcpus": 1, "memory_mib": 512, "until": "reachable"}, []),
    ],
)
def test_a_first_node_that_kubeadm_refuses(tmp_path: Path, options: dict[str, Any], rules: list[str]) -> None:
    assert [problem.rule for problem in refusals(tmp_path, **options)[0]] == rules


def test_what_a_kernel_keeps_for_itself_is_warned_of(tmp_path: Path) -> None:
    problems, lines = refusals(tmp_path, memory_mib=1700)
    assert problems == []
    assert [line for line in lines if "kubeadm-memory" in line] == [
        "warning: domain local-virtual1-iec01: warning: the first node has 1700 MiB of memory, and kubeadm requires "
        "1700 beside what the kernel keeps for itself [kubeadm-memory]"
    ]


@pytest.mark.parametrize(
    ("ignored", "rules"), [(["NumCPU"], ["kubeadm-memory"]), (["mem", "numcpu"], []), (["all"], [])]
)
def test_a_release_may_have_kubeadm_pass_over_it(tmp_path: Path, ignored: list[str], rules: list[str]) -> None:
    text = (layout_below(tmp_path).releases_dir / "debian12.yaml").read_text()
    path = tmp_path / "release.yaml"
    path.write_text(text.replace("[FileExisting-crictl, ImagePull]", json.dumps(ignored)))
    problems, _ = refusals(tmp_path, release=str(path), vcpus=1, memory_mib=512)
    assert [problem.rule for problem in problems] == rules


def test_machines_that_are_there_are_judged_before_kubeadm_runs_on_them(tmp_path: Path) -> None:
    layout = layout_below(tmp_path)
    tools = FakeTools(tmp_path, layout)
    machines = pod_request(ref=REF, base_uri=str(layout.pdf_dir), vcpus=1, until="reachable")
    assert deploy(resolve_request(machines, layout, SavedPod()), tools, lambda _report: None).outcome == "done"
    whole = dataclasses.replace(machines, until=None)
    problems = make_pod_plan(resolve_request(whole, layout, SavedPod()), tools).problems
    assert [problem.rule for problem in problems] == ["kubeadm-cpus"]
    assert RULE_BOOK["kubeadm-cpus"].fixed and RULE_BOOK["kubeadm-memory"].fixed


@pytest.mark.parametrize(
    ("idf", "options", "cidr", "owner"),
    [
        (
            {"idf.net_config.public.dns": ["100.100.2.136"]},
            {},
            "pod CIDR 100.100.0.0/16 overlaps 100.100.2.136/32",
            "the name server of IDF network public",
        ),
        (
            {"idf.fuel.network.ntp_strata_host1": "172.16.1.7"},
            {},
            "service CIDR 172.16.1.0/24 overlaps 172.16.1.7/32",
            "a time server of the IDF",
        ),
        (
            {},
            {"supply": Supply(http_proxy="http://100.100.9.9:3128")},
            "pod CIDR 100.100.0.0/16 overlaps 100.100.9.9/32",
            "the proxy of the nodes",
        ),
        (
            {},
            {"supply": Supply(apt_mirror="http://100.100.1.1/debian")},
            "pod CIDR 100.100.0.0/16 overlaps 100.100.1.1/32",
            "the mirror of the distribution's archive",
        ),
        (
            {},
            {"supply": Supply(registry_mirrors={"docker.io": "https://172.16.1.9:5000"})},
            "service CIDR 172.16.1.0/24 overlaps 172.16.1.9/32",
            "the mirror of docker.io",
        ),
    ],
)
def test_an_address_that_nodes_must_reach_is_among_pods_or_services(
    tmp_path: Path, idf: Edits, options: dict[str, Any], cidr: str, owner: str
) -> None:
    problems, _ = refusals(tmp_path, idf=idf, **options)
    assert {problem.message for problem in problems} == {f"the {cidr}, which is taken by {owner}"}
    assert all("use a free one: --" in problem.remedy for problem in problems)


def test_a_repository_by_address_is_among_pods(tmp_path: Path) -> None:
    mirror = Supply(
        repositories={"kubernetes": "http://100.100.4.4/k8s"},
        manifests={name: str(tmp_path / "x") for name in ("etcd", "rbac", "calico")},
    )
    options: dict[str, Any] = {"release": "iec-r1", "supply": mirror, "service_cidr": "172.17.8.0/24"}
    problems, _ = refusals(tmp_path, **options)
    assert sentences(problems) == [
        (
            "pod-cidr-overlap",
            "the pod CIDR 100.100.0.0/16 overlaps 100.100.4.4/32, which is taken by the apt repository kubernetes",
        ),
    ]


def test_a_registry_of_the_release_is_among_services(tmp_path: Path) -> None:
    text = (layout_below(tmp_path).releases_dir / "debian12.yaml").read_text()
    path = tmp_path / "release.yaml"
    path.write_text(text.replace("image_repository: registry.iecpod.internal", "image_repository: 172.16.1.4:5000/k8s"))
    problems, _ = refusals(tmp_path, release=str(path))
    assert sentences(problems) == [
        (
            "service-cidr-overlap",
            "the service CIDR 172.16.1.0/24 overlaps 172.16.1.4/32, which is taken by a registry of release debian12",
        ),
    ]


@pytest.mark.parametrize(
    ("idf", "options", "bridge"),
    [
        ({}, {}, "172.17.0.1/16"),
        ({}, {"service_cidr": "172.17.8.0/24"}, "172.16.0.1/24"),
        ({}, {"pod_cidr": "172.17.0.0/16"}, "172.16.0.1/24"),
        ({"idf.fuel.network.ntp_strata_host1": "172.17.3.9"}, {}, "172.16.0.1/24"),
        ({"idf.fuel.network.upstream_proxy": {"address": "172.17.3.9", "port": 3128}}, {}, "172.16.0.1/24"),
        (
            {"idf.net_config.private.network": "172.17.0.0", "idf.net_config.private.mask": 16},
            {"service_cidr": "172.16.0.0/28"},
            "172.16.1.1/24",
        ),
    ],
)
def test_docker_s_bridge_is_where_nothing_else_is(
    tmp_path: Path, idf: Edits, options: dict[str, Any], bridge: str
) -> None:
    manifests = {name: str(tmp_path / "x") for name in ("etcd", "rbac", "calico")}
    mirrors = Supply(repositories={"kubernetes": "http://mirror.lab/k8s"}, manifests=manifests)
    write_pod(tmp_path, REF.lab, REF.pod, None, idf)
    layout = layout_below(tmp_path)
    request = pod_request(ref=REF, base_uri=str(tmp_path), release="iec-r1", uri=EMBEDDED, supply=mirrors, **options)
    inputs = resolve_request(request, layout, SavedPod())
    result = make_pod_plan(inputs, FakeTools(tmp_path, layout))
    assert sentences([problem for problem in result.problems if "overlap" in problem.rule]) == []
    planned = result.planned.pod.docker_bridge
    assert planned is not None
    assert str(planned) == bridge
    assert f"docker bridge  {planned.network}" in plan_text(inputs, result)


def test_containerd_has_no_bridge(tmp_path: Path) -> None:
    write_pod(tmp_path, REF.lab, REF.pod)
    layout = layout_below(tmp_path)
    inputs = resolve_request(pod_request(ref=REF, base_uri=str(tmp_path), uri=EMBEDDED), layout, SavedPod())
    result = make_pod_plan(inputs, FakeTools(tmp_path, layout))
    assert result.planned.pod.docker_bridge is None and "docker" not in plan_text(inputs, result)


def test_where_no_network_is_free_for_docker_s_bridge_that_is_reported() -> None:
    spaces = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")
    taken = [TakenNetwork(IPv4Network(space), "x") for space in spaces]
    assert plan_docker_bridge(taken) == DEFAULT_DOCKER_BRIDGE
    assert plan_docker_bridge(taken[:-1]) == IPv4Interface("100.64.0.1/24")


def test_names_and_addresses_elsewhere_are_no_matter(tmp_path: Path) -> None:
    idf: Edits = {"idf.net_config.public.dns": ["8.8.8.8"], "idf.fuel.network.ntp_strata_host1": "ntp.example.org"}
    supply = Supply(http_proxy="http://proxy.lab:3128", apt_mirror="http://10.9.9.9/debian")
    assert refusals(tmp_path, idf=idf, supply=supply)[0] == []


def test_dhcp_beyond_one_slash_16_where_the_named_bridge_is_not_there(tmp_path: Path) -> None:
    idf: Edits = {
        "idf.fuel.jumphost.bridges": {"admin": "labbr", "mgmt": None, "private": None, "public": None},
        "idf.net_config.admin.network": "10.64.0.0",
        "idf.net_config.admin.mask": 12,
        "idf.net_config.admin.ip-range": "10.64.0.2-10.79.0.9",
    }
    problems, _ = refusals(tmp_path, idf=idf)
    assert [problem.rule for problem in problems] == ["dhcp-range-too-wide"]
    assert problems[0].path == "idf.net_config.admin.ip-range"
    assert problems[0].message == (
        "DHCP on admin would give out 10.64.0.37-10.79.0.9, and libvirt takes no range beyond one /16"
    )
    assert refusals(tmp_path, idf=idf, facts=with_links(Link("labbr", 9000, True)))[0] == []
