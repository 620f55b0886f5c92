"""NICs as the IDF wires them: their order, their names, the networks that share one, and the way out."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from iecpod.commands.deploy import deploy
from iecpod.commands.plan import PlanResult, make_pod_plan, plan_text
from iecpod.errors import Severity
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.model import NetworkName, PodRef
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.providers.libvirt.design import DesiredMachines
from iecpod.providers.libvirt.networking.networks import trunk_bridge
from iecpod.providers.libvirt.networking.wires import plan_buses
from iecpod.providers.libvirt.objects import HostFacts, Kind, Link, NetworkMode, VlanLink
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan
from iecpod.yaml.document import load_yaml
from tests.fakes import FACTS
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request
from tests.unit.command_line import layout_below, write_pod
from tests.unit.descriptors.broken_pod import REMOVED, Edits

ADMIN, MGMT, PRIVATE, PUBLIC = NetworkName.ADMIN, NetworkName.MGMT, NetworkName.PRIVATE, NetworkName.PUBLIC
TRUNK_1 = trunk_bridge(REF, 1)
#: mgmt and public by their tags on one NIC.
TRUNK: Edits = {
    "idf.net_config.mgmt.vlan": 15,
    "idf.net_config.public.interface": 1,
    "idf.net_config.public.vlan": 16,
}


class Pod:
    """The sound POD, edited, on a host that is not there."""

    def __init__(self, directory: Path, idf: Edits, pdf: Edits | None = None, facts: HostFacts = FACTS) -> None:
        write_pod(directory, REF.lab, REF.pod, pdf, idf)
        self._layout = layout_below(directory)
        self._base = str(directory)
        self.tools = FakeTools(directory, self._layout, facts=facts)

    def inputs(self, **options: Any) -> PodInputs:
        wanted = {"release": "debian12", "scenario": "k8-bridge-iec-noha", "uri": EMBEDDED, **options}
        return resolve_request(pod_request(ref=REF, base_uri=self._base, **wanted), self._layout, SavedPod())

    def plan(self) -> PlanResult:
        return make_pod_plan(self.inputs(), self.tools)

    @property
    def desired(self) -> DesiredMachines:
        return self._planned.desired

    @property
    def network_config(self) -> dict[str, Any]:
        """What cloud-init gets on the first node."""
        data = load_yaml(self._planned.rendered.domains[0].seed.network_config, "network-config").data
        assert isinstance(data, dict)
        return data

    def rules(self) -> list[str]:
        """That a plan is refused for."""
        return [problem.rule for problem in self.plan().problems if problem.severity is Severity.ERROR]

    def warnings(self, rule: str) -> list[str]:
        """First lines of those that the last plan reported."""
        lines = (line.partition("\n")[0] for line in self.tools.reporter.lines)
        return [line for line in lines if line.endswith(f"[{rule}]")]

    def nics(self) -> list[tuple[str, int, str]]:
        """Of the first node: device, bus, and networks with their tags."""
        return [
            (vnic.guest_device, vnic.bus, " ".join(f"{n.network.value}:{n.vlan or '-'}" for n in vnic.networks))
            for vnic in self.desired.domains[0].vnics
        ]

    @property
    def _planned(self) -> LibvirtPlan:
        planned = self.plan().planned
        assert isinstance(planned, LibvirtPlan)
        return planned


def devices(*names: str | None) -> Edits:
    return {f"idf.fuel.network.node[{node}].interfaces": list(names) for node in range(3)}


@pytest.mark.parametrize(
    ("names", "buses"),
    [
        (("enp1s0", "enp2s0", "enp3s0", "enp4s0"), (1, 2, 3, 4)),
        (("enp1s0", "enp2s0", "enp4s0"), (1, 2, 3)),
        (("eth0", "eno1"), (1, 2)),
        (("enp3s0", "enp4s0", "enp5s0", "enp6s0"), (3, 4, 5, 6)),
        (("enp2s0", "enp1s0"), (2, 1)),
        (("eth0", "enp1s0", "enp40s0"), (2, 1, 3)),
        (("enp1s0f1", "enp1s0"), (2, 1)),
    ],
)
def test_no_nic_has_the_name_of_another_from_the_start(names: tuple[str, ...], buses: tuple[int, ...]) -> None:
    assert plan_buses(names) == buses
    own = {f"enp{bus}s0": name for bus, name in zip(buses, names, strict=True)}
    assert all(name == kernel or kernel not in names for kernel, name in own.items())


def test_nics_are_in_the_order_of_the_idf(tmp_path: Path) -> None:
    order: Edits = {
        "idf.net_config.admin.interface": 1,
        "idf.net_config.mgmt.interface": 0,
        "idf.net_config.public.interface": 2,
        "idf.net_config.private.interface": 3,
    }
    pod = Pod(tmp_path, order)
    assert pod.nics() == [
        ("enp1s0", 1, "mgmt:-"),
        ("enp2s0", 2, "admin:-"),
        ("enp3s0", 3, "public:-"),
        ("enp4s0", 4, "private:-"),
    ]
    assert [node.mgmt_device for node in pod.desired.pod.cluster.nodes] == ["enp1s0"] * 3


def test_names_that_are_those_of_other_nics_by_their_place(tmp_path: Path) -> None:
    pod = Pod(tmp_path, devices("enp3s0", "enp4s0", "enp5s0", "enp6s0"))
    assert [(device, bus) for device, bus, _ in pod.nics()] == [
        ("enp3s0", 3),
        ("enp4s0", 4),
        ("enp5s0", 5),
        ("enp6s0", 6),
    ]


@pytest.mark.parametrize("names", [("enp2s0", None, "enp3s0", "enp4s0"), ("enp2s0",)])
def test_nics_without_a_name_have_none_of_another(tmp_path: Path, names: tuple[str | None, ...]) -> None:
    edits: Edits = {
        f"idf.fuel.network.node[{node}].busaddr": [f"0000:0{bus}:00.0" for bus in range(1, len(names) + 1)]
        for node in range(3)
    }
    pod = Pod(tmp_path, {**edits, **devices(*names)})
    assert pod.nics() == [
        ("enp2s0", 2, "admin:-"),
        ("enp1s0", 1, "mgmt:-"),
        ("enp3s0", 3, "private:-"),
        ("enp4s0", 4, "public:-"),
    ]
    assert list(pod.network_config["ethernets"]) == ["enp2s0", "enp1s0", "enp3s0", "enp4s0"]
    assert [node.mgmt_device for node in pod.desired.pod.cluster.nodes] == ["enp1s0"] * 3
    assert pod.rules() == []


def test_a_tag_on_a_network_that_iecpod_makes(tmp_path: Path) -> None:
    pod = Pod(tmp_path, {"idf.net_config.mgmt.vlan": 15})
    (trunk,) = (network for network in pod.desired.networks if network.network is None)
    assert (trunk.name, trunk.bridge, trunk.mode) == ("local-virtual1-trunk1", TRUNK_1, NetworkMode.ISOLATED)
    assert pod.desired.vlan_links == (VlanLink(vlan=15, trunk=TRUNK_1, bridge="mgmt", mtu=9000),)
    mgmt = pod.desired.domains[0].vnics[1]
    assert mgmt.libvirt_network == "local-virtual1-trunk1"
    assert pod.network_config["vlans"]["enp2s0.15"]["addresses"] == ["172.16.10.36/24"]
    assert [node.mgmt_device for node in pod.desired.pod.cluster.nodes] == ["enp2s0.15"] * 3


def test_networks_that_share_a_nic(tmp_path: Path) -> None:
    pod = Pod(tmp_path, TRUNK)
    assert pod.nics() == [
        ("enp1s0", 1, "admin:-"),
        ("enp2s0", 2, "mgmt:15 public:16"),
        ("enp3s0", 3, "private:-"),
    ]
    macs = [vnic.mac for domain in pod.desired.domains for vnic in domain.vnics]
    assert len(set(macs)) == len(macs) == 9
    assert {(link.vlan, link.trunk, link.bridge) for link in pod.desired.vlan_links} == {
        (15, TRUNK_1, "mgmt"),
        (16, TRUNK_1, "br-public"),
    }
    shown = plan_text(pod.inputs(), pod.plan())
    assert f"local-virtual1-mgmt    15   mgmt       {TRUNK_1}" in shown
    assert "iec01  enp2s0.16  public   10.0.19.137/24" in shown


def test_what_is_untagged_carries_the_rest(tmp_path: Path) -> None:
    pod = Pod(tmp_path, {**TRUNK, "idf.net_config.mgmt.vlan": "native"})
    assert pod.desired.domains[0].vnics[1].libvirt_network == "local-virtual1-mgmt"
    assert pod.desired.vlan_links == (VlanLink(vlan=16, trunk="mgmt", bridge="br-public", mtu=9000),)
    assert all(network.network for network in pod.desired.networks), "mgmt's own bridge is the trunk"


def test_tags_of_tenants_beside_an_untagged_network(tmp_path: Path) -> None:
    pod = Pod(tmp_path, {"idf.net_config.private.interface": 3})
    assert pod.nics()[-1] == ("enp4s0", 3, "public:-")
    assert PRIVATE not in {network.network for network in pod.desired.networks}


def lab(*names: str) -> HostFacts:
    return dataclasses.replace(FACTS, links=tuple(Link(name, 9000, is_bridge=True) for name in names))


def bridges(**names: str | None) -> Edits:
    return {"idf.fuel.jumphost.bridges": {"admin": None, "mgmt": None, "private": None, "public": None, **names}}


def test_a_bridge_of_the_lab_carries_the_tags_itself(tmp_path: Path) -> None:
    pod = Pod(tmp_path, {**TRUNK, **bridges(mgmt="br-lab", public="br-lab")}, facts=lab("br-lab"))
    assert pod.rules() == []
    trunk = pod.desired.domains[0].vnics[1]
    assert (trunk.host_bridge, trunk.libvirt_network) == ("br-lab", None)
    assert pod.desired.vlan_links == ()
    assert {network.network for network in pod.desired.networks} == {ADMIN, PRIVATE}
    assert set(pod.network_config["vlans"]) == {"enp2s0.15", "enp2s0.16"}


@pytest.mark.parametrize("named", [{"mgmt": "br-lab"}, {"mgmt": "br-lab", "public": "br-other"}])
def test_a_nic_is_plugged_into_one_bridge(tmp_path: Path, named: dict[str, str]) -> None:
    pod = Pod(tmp_path, {**TRUNK, **bridges(**named)}, facts=lab("br-lab", "br-other"))
    (problem,) = (problem for problem in pod.plan().problems if problem.severity is Severity.ERROR)
    assert problem.rule == "trunk-bridges-differ"
    assert problem.message == (
        f"NIC 1 (counted from 0) carries mgmt br-lab, public {named.get('public', '(made by iecpod)')}, and one NIC is "
        "plugged into one bridge"
    )


def test_two_networks_of_one_name_get_bridges_of_their_own(tmp_path: Path) -> None:
    pod = Pod(tmp_path, {**TRUNK, **bridges(mgmt="br-trunk", public="br-trunk", admin="mgmt")})
    found = {network.name.rpartition("-")[2]: network.bridge for network in pod.desired.networks}
    assert found == {
        "admin": "mgmt",
        "mgmt": "br-trunk",
        "private": "internal",
        "public": "public",
        "trunk1": TRUNK_1,
    }


def test_a_trunk_s_bridge_is_the_pod_s_own(tmp_path: Path) -> None:
    assert trunk_bridge(REF, 1) != trunk_bridge(PodRef("local", "virtual2"), 1) and len(trunk_bridge(REF, 255)) <= 15
    pod = Pod(tmp_path, TRUNK, facts=lab(TRUNK_1))
    (problem,) = (problem for problem in pod.plan().problems if problem.severity is Severity.ERROR)
    assert (problem.rule, problem.remedy) == ("bridge-exists", "remove that device, or deploy with -c embedded")


def test_only_root_links_bridges(tmp_path: Path) -> None:
    pod = Pod(tmp_path, TRUNK)
    pod.tools.fake_host.links.why_not = "links between bridges are made by root"
    (problem,) = (problem for problem in pod.plan().problems if problem.severity is Severity.ERROR)
    assert (problem.rule, problem.message) == (
        "vlan-links",
        "iecpod makes networks with VLAN tags (15, 16), and links between bridges are made by root",
    )
    untagged = Pod(tmp_path / "untagged", {})
    untagged.tools.fake_host.links.why_not = "links between bridges are made by root"
    assert untagged.rules() == []


def test_the_bridge_of_a_foreign_libvirt_network_is_not_the_lab_s(tmp_path: Path) -> None:
    pod = Pod(tmp_path, bridges(public="br-lab"), facts=lab("br-lab"))
    pod.tools.hypervisor.add_foreign(
        Kind.NETWORK,
        "<network><name>other</name><uuid>0f7ad7e8-0c57-4f0c-9a53-6f2b7d1f0a11</uuid><bridge name='br-lab'/>"
        "<ip address='10.99.0.1' prefix='24'/></network>",
    )
    assert pod.rules() == ["bridge-of-libvirt"]


def test_a_libvirt_network_that_stands_for_a_bridge_of_the_host_may(tmp_path: Path) -> None:
    pod = Pod(tmp_path, bridges(public="br-lab"), facts=lab("br-lab"))
    pod.tools.hypervisor.add_foreign(
        Kind.NETWORK,
        "<network><name>host</name><uuid>0f7ad7e8-0c57-4f0c-9a53-6f2b7d1f0a11</uuid><forward mode='bridge'/>"
        "<bridge name='br-lab'/></network>",
    )
    assert pod.rules() == []


def test_links_are_made_with_the_networks_and_made_again(tmp_path: Path) -> None:
    pod = Pod(tmp_path, TRUNK)
    links = pod.tools.fake_host.links
    assert deploy(pod.inputs(until="domains"), pod.tools, lambda _report: None).outcome == "done"
    made = links.made
    assert [link.vlan for link in made] == [15, 16]
    assert pod.plan().planned.plan.pending == ()
    links.made = made[:1]
    (change,) = pod.plan().planned.plan.pending
    assert (change.kind, change.name, change.reason) == ("vlan", f"16 on {TRUNK_1}", "is not linked to br-public")
    assert [drift.name for drift in pod.plan().planned.drift()] == [change.name]
    report = deploy(pod.inputs(until="domains"), pod.tools, lambda _report: None)
    assert links.made == made
    assert {phase.name: phase.outcome for phase in report.phases}["networks"] == "done"


@pytest.mark.parametrize(
    ("idf", "device", "gateway"),
    [
        ({}, "enp4s0", "10.0.19.1"),
        ({"idf.net_config.public.gateway": None}, "enp4s0", "10.0.19.1"),
        ({"idf.net_config.public": REMOVED, "idf.net_config.mgmt.gateway": "172.16.10.254"}, "enp2s0", "172.16.10.254"),
        (
            {"idf.net_config.public.gateway": None, "idf.net_config.mgmt.gateway": "172.16.10.254"},
            "enp2s0",
            "172.16.10.254",
        ),
        (
            {"idf.net_config.public.gateway": "10.0.19.1", "idf.net_config.mgmt.gateway": "172.16.10.254"},
            "enp4s0",
            "10.0.19.1",
        ),
        ({"idf.net_config.public": REMOVED, "idf.net_config.admin.gateway": "192.168.11.9"}, "enp1s0", "192.168.11.9"),
        # iecpod's own network with NAT, where there is no other way.
        ({"idf.net_config.public": REMOVED}, "enp1s0", "192.168.11.3"),
        # One that no node reaches.
        ({"idf.net_config.public": REMOVED, "idf.net_config.mgmt.gateway": "172.16.99.1"}, "enp1s0", "192.168.11.3"),
    ],
)
def test_the_way_out(tmp_path: Path, idf: Edits, device: str, gateway: str) -> None:
    edits = {"idf.fuel.network.public_pool": REMOVED, **idf}
    pod = Pod(tmp_path, edits)
    config = pod.network_config["ethernets"]
    routes = {name: nic["routes"] for name, nic in config.items() if "routes" in nic}
    assert routes == {device: [{"to": "0.0.0.0/0", "via": gateway}]}
    assert config[device]["nameservers"]["addresses"], "a way out is of little use without names"
    (network,) = (network for network in pod.desired.networks if str(network.host_address) == gateway)
    assert network.mode is NetworkMode.NAT, "the host is the gateway"
    assert pod.rules() == [] and pod.warnings("no-way-out") == []


NO_PUBLIC: Edits = {"idf.net_config.public": REMOVED, "idf.fuel.network.public_pool": REMOVED}


def test_without_a_way_out_services_are_reached_all_the_same(tmp_path: Path) -> None:
    pod = Pod(tmp_path, {**NO_PUBLIC, **bridges(admin="br-lab")}, facts=lab("br-lab"))
    mgmt = pod.network_config["ethernets"]["enp2s0"]
    service_cidr = pod.desired.pod.cluster.service_cidr
    assert mgmt["routes"] == [{"to": str(service_cidr), "via": "172.16.10.1"}]
    assert service_cidr == IPv4Network("172.16.1.0/24")
    assert pod.rules() == []
    (warning,) = set(pod.warnings("no-way-out"))
    assert warning.endswith(
        "idf.net_config: warning: nodes have no default route: no network has a gateway. They reach their own networks "
        "and services of the cluster only: no packages, images, name servers or time servers elsewhere [no-way-out]"
    )
