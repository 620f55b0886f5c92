"""The provider of machines that are there, on shells that answer from a script."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml

from iecpod.cni.registry import ALL_MODULES
from iecpod.design.owner import Owner
from iecpod.errors import (
    CommandFailed,
    DescriptorError,
    HostError,
    IecpodError,
    LoginRefused,
    NodeUnreachable,
    PreflightError,
    Problem,
    UsageError,
)
from iecpod.layout import find_layout
from iecpod.model import Arch, PodRef, PodSpec
from iecpod.options.choices import BundleVia, ProviderName, VirtType
from iecpod.options.site import Site
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.ports import BundleFiles, CommandResult, NodeEndpoint, Shell
from iecpod.providers.existing.bootstrap import describe_machines
from iecpod.providers.existing.machine_plan import ExistingPlan
from iecpod.providers.existing.node_facts import MODULES
from iecpod.providers.existing.provider import ExistingProvider
from iecpod.providers.existing.way import DirectWay
from iecpod.release.release import Release
from iecpod.release.scenario import Role
from iecpod.ssh_login import HostKey, Login
from tests.fakes import FakeClock, FakeShell, RecordingReporter, fake_phase_tools
from tests.pod_requests import pod_request
from tests.unit.providers.existing.existing_machine import INSTALLATION, SECTIONS, printed
from tests.unit.providers.existing.test_host_keys import key

REF = PodRef("nodes", "edge")
ADDRESSES = (IPv4Address("172.16.10.36"), IPv4Address("172.16.10.37"))
_ROOT = Path(__file__).parents[4]


def said_by(number: int, owner: str = "", **changes: tuple[int, str]) -> str:
    """What a good machine prints of itself: `edgeNUMBER`, at the NUMBER-th address."""
    address, mac = f"172.16.10.{35 + number}", f"52:54:00:00:00:{number:02x}"
    good = {
        "hostname": (0, f"edge{number}"),
        "machine_id": (0, f"{number:032x}"),
        "clock": (0, "0"),
        "virtualization": (0, "kvm"),
        "swaps": (0, ""),
        "listening": (0, "00000000:0016"),
        "udp": (0, ""),
        "links": (0, f"2: eth0: <UP> mtu 1450 qdisc fq \\    link/ether {mac} brd ff:ff"),
        "addresses": (0, f"2: eth0    inet {address}/24 brd 172.16.10.255 scope global eth0"),
        "routes": (0, "default via 172.16.10.1 dev eth0\n172.16.10.0/24 dev eth0 proto kernel"),
        "modules": (0, "\n".join(f"{module} available" for module in (*MODULES, *ALL_MODULES))),
        "programs": (0, "apt-get awk dpkg getent ip modprobe perl runuser sed sha256sum sysctl systemctl systemd-run"),
        "cluster": (0, ""),
        "units": (0, ""),
        "record": (0, owner),
    }
    good["programs"] = (0, good["programs"][1].replace(" ", "\n"))
    assert set(good) <= set(SECTIONS)
    return printed(**{**good, **changes})


def owned_by(node: str, pod: str = "nodes/edge", installation: str = INSTALLATION) -> str:
    return f"installation={installation}\npod={pod}\nnode={node}"


class FakeMachines:
    """`ExistingTools`, all its parts in one, on scripted shells. `knows` are nodes that take the POD's key already."""

    def __init__(self, pod_dir: Path, login: Login = Login(user="iec", accept_new=True)) -> None:  # noqa: B008
        self.ref, self.run_id, self.pod_dir = REF, "0123456789ab", pod_dir
        self.clock, self.reporter = FakeClock(), RecordingReporter()
        self.owner = Owner(ref=REF, installation=INSTALLATION, pod_dir=pod_dir)
        self.login = login
        self.direct_way = DirectWay()
        self.by_address = {str(address): FakeShell(f"edge{number}") for number, address in enumerate(ADDRESSES, 1)}
        self.knows: set[str] = set()
        self.notes: dict[str, str] = {}
        self.offered = {str(address): key(number) for number, address in enumerate(ADDRESSES, 1)}
        self.known: dict[str, HostKey] = {}
        self.logins: list[tuple[str, str]] = []
        self.refused: dict[str, IecpodError] = {}
        for number, shell in enumerate(self.by_address.values(), 1):
            shell.on("true").on("systemctl", "stop").on("perl")
            shell.reply(("sh", "-c"), self._answer_of(number))
        self.facts = {1: said_by(1), 2: said_by(2)}

    @property
    def run(self) -> FakeMachines:
        return self

    access = pod_key = note_files = run

    def _answer_of(self, number: int) -> Callable[[Sequence[str], bytes], CommandResult]:
        return lambda argv, _stdin: self.answer(argv, number)

    def answer(self, argv: Sequence[str], number: int) -> CommandResult:
        return CommandResult(0, self.facts[number] if argv[3] == "node-facts" else "", "")

    def authorized_key(self) -> str:
        return "ssh-ed25519 AAAA nodes/edge"

    def has_keys(self) -> bool:
        return bool(self.knows)

    def shell(self, endpoint: NodeEndpoint) -> Shell:
        return self._shell(endpoint, "pod key")

    def first_shell(self, endpoint: NodeEndpoint) -> Shell:
        return self._shell(endpoint, "login")

    def _shell(self, endpoint: NodeEndpoint, how: str) -> FakeShell:
        self.logins.append((endpoint.hostname, how))
        if how == "pod key" and str(endpoint.address) not in self.knows:
            return FakeShell(endpoint.hostname).reply((), LoginRefused(endpoint.hostname, "refuses the POD's key"))
        shell = self.by_address[str(endpoint.address)]
        shell._node = endpoint.hostname
        return shell

    def offered_host_key(self, node: str, address: str, preferred: tuple[str, ...]) -> HostKey:
        if address not in self.offered:
            raise NodeUnreachable(node, f"nothing answers at {address}:22")
        return self.offered[address]

    def known_host_keys(self, address: str) -> tuple[frozenset[HostKey], frozenset[HostKey]]:
        return frozenset([self.known[address]] if address in self.known else []), frozenset()

    def bundle(self, release: Release, arch: Arch, role: Role | None) -> BundleFiles:
        return BundleFiles(debs=(Path("/c/iptables_1.8.9-2_amd64.deb"),), programs=(), images=(), references=())

    def wall_time(self) -> float:
        return 0.5

    def read_note(self, name: str) -> bytes | None:
        return self.notes[name].encode() if name in self.notes else None

    def write_note(self, name: str, content: str) -> None:
        self.notes[name] = content


@pytest.fixture
def tools(tmp_path: Path) -> FakeMachines:
    return FakeMachines(tmp_path / "pod")


@pytest.fixture
def base(tmp_path: Path, tools: FakeMachines) -> Path:
    """Descriptors of both machines, as bootstrap writes them."""
    return write_described(tmp_path, FakeMachines(tmp_path))


def write_described(tmp_path: Path, machines: FakeMachines) -> Path:
    described = describe_machines(machines, ADDRESSES, "iec")
    lab = tmp_path / "base/labs/nodes"
    lab.mkdir(parents=True)
    (lab / "edge.yaml").write_text(described.pdf)
    (lab / "idf-edge.yaml").write_text(described.idf)
    return tmp_path / "base"


@pytest.fixture
def inputs(base: Path, tmp_path: Path) -> PodInputs:
    return resolve(base, tmp_path)


def resolve(base: Path, tmp_path: Path, recalled: SavedPod | None = None, **changes: object) -> PodInputs:
    environ = {"IECPOD_STATE_DIR": str(tmp_path / "state"), "IECPOD_CACHE_DIR": str(tmp_path / "cache")}
    layout = find_layout(environ, package_dir=_ROOT / "iecpod", is_root=True)
    given = {"provider": ProviderName.EXISTING, "user": "iec", "login": Login(user="iec"), **changes}
    request = pod_request(ref=REF, base_uri=str(base), release="debian12", scenario="k8-bridge-iec-noha", **given)
    return resolve_request(request, layout, recalled or SavedPod())


def test_machines_are_described_by_what_they_are(inputs: PodInputs) -> None:
    order = inputs.order
    assert order.hostnames == ("edge1", "edge2") and tuple(order.addresses.values()) == ADDRESSES
    assert inputs.loaded.warnings == ()
    assert (inputs.order.site, str(inputs.order.site)) == (Site(ProviderName.EXISTING), "existing machines")
    assert (inputs.order.options.bundle_via, inputs.order.release.user, inputs.order.options.addressing) == (
        BundleVia.SSH,
        "iec",
        "stated",
    )
    mgmt = inputs.order.spec.idf.networks[0]
    assert (str(mgmt.cidr), inputs.order.spec.idf.interface_mtu) == ("172.16.10.0/24", 1450)
    assert inputs.order.spec.idf.node_devices[1].interfaces == ("eth0",)


def test_what_a_pod_was_deployed_with_is_recalled(base: Path, tmp_path: Path, inputs: PodInputs) -> None:
    again = SavedPod.from_json(inputs.to_save.to_json())
    assert again == inputs.to_save and again.options.site == Site(ProviderName.EXISTING)
    recalled = resolve(base, tmp_path, again, provider=None, user=None, login=Login())
    assert recalled.order.release.user == "iec" and recalled.order.site == inputs.order.site


@pytest.mark.parametrize(
    ("options", "named"),
    [({"vcpus": 2}, "--vcpus"), ({"memory_mib": 2048}, "--memory"), ({"addressing": "compact"}, "--addressing")],
)
def test_options_of_machines_that_are_made_are_refused(
    base: Path, tmp_path: Path, options: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=f"{named} is for machines that iecpod makes"):
        resolve(base, tmp_path, **options)


def test_bundles_are_only_sent(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="machines that have their operating system already are not made here"):
        resolve(base, tmp_path, bundle_via=BundleVia.DISK)


def test_a_machine_without_an_address_is_refused(base: Path, tmp_path: Path) -> None:
    pdf = base / "labs/nodes/edge.yaml"
    pdf.write_text(pdf.read_text().replace("172.16.10.37", "10.1.1.1"))
    with pytest.raises(DescriptorError) as refused:
        resolve(base, tmp_path)
    stated = [problem for problem in refused.value.problems if problem.rule == "address-not-stated"]
    assert [problem.message for problem in stated] == [
        "edge2 has no address on mgmt: its NIC 0 (from 0) has 10.1.1.1, which is not in 172.16.10.0/24"
    ]


def test_a_plan_changes_nothing(inputs: PodInputs, tools: FakeMachines) -> None:
    planned = ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=False)
    assert [problem.rule for problem in planned.problems(with_kubernetes=True)] == []
    assert [(str(change.action.value), change.name) for change in planned.plan.changes] == [
        ("+", "edge1"),
        ("+", "edge2"),
    ]
    assert planned.states() == {"edge1": "absent", "edge2": "absent"} and not planned.is_deployed()
    assert planned.virt_type is VirtType.KVM and not planned.pod.cluster.low_overhead
    assert tools.notes == {} and set(tools.logins) == {("edge1", "login"), ("edge2", "login")}
    words = {call[3] for shell in tools.by_address.values() for call in shell.calls if call[0] == "sh"}
    assert words == {"node-facts", "listen"}
    assert any("edge1" in row for row in planned.tables[0].rows)


def test_new_host_keys_are_reported_and_kept(inputs: PodInputs, tools: FakeMachines) -> None:
    provider = ExistingProvider(tools)
    provider.plan(inputs.order, prove=True, keep_secrets=True)
    assert f"warning: edge1: new host key of {ADDRESSES[0]} is taken on trust: {key(1).fingerprint}" in (
        tools.reporter.lines
    )
    tools.login = Login(user="iec")  # the host keys are not given now, and need not be
    again = ExistingProvider(tools)
    again.plan(inputs.order, prove=True, keep_secrets=True)
    assert again.endpoints(inputs.order)["edge2"].host_key == key(2).line
    assert sum("taken on trust" in line for line in tools.reporter.lines) == 2


def refusals(planned: ExistingPlan) -> dict[str, Problem]:
    """By place, of the machines that cannot be looked at."""
    return {one.path: one for one in planned.problems(with_kubernetes=True) if one.rule == "node-login"}


def test_every_machine_with_an_unknown_host_key_is_a_problem(inputs: PodInputs, tools: FakeMachines) -> None:
    tools.login = Login(user="iec")
    tools.known = {str(ADDRESSES[1]): key(9)}
    found = refusals(ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=True))
    assert "is not in known_hosts" in found["node edge1"].message and "--host-key" in found["node edge1"].remedy
    assert f"known_hosts has {key(9).fingerprint}" in found["node edge2"].message
    assert tools.logins == [], "no password goes to a machine that is not believed"
    assert tools.notes == {}, "nothing of a POD that is refused is written down"


def test_problems_of_all_machines_are_found_beside_a_login_that_is_refused(
    inputs: PodInputs, tools: FakeMachines
) -> None:
    tools.offered.pop(str(ADDRESSES[0]))
    tools.facts[2] = said_by(2, cluster=(0, "/etc/kubernetes/kubelet.conf"))
    planned = ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=True)
    found = [(one.path, one.rule) for one in planned.problems(with_kubernetes=True)]
    assert found == [("node edge2", "node-has-cluster"), ("node edge1", "node-login")]
    assert planned.states() == {"edge1": "unknown", "edge2": "absent"}


def test_a_machine_that_stops_to_answer_is_a_problem(inputs: PodInputs, tools: FakeMachines) -> None:
    shell = tools.by_address[str(ADDRESSES[1])] = FakeShell("edge2").on("true").on("systemctl", "stop")
    shell.reply(("sh", "-c"), lambda argv, _stdin: tools.answer(argv, 2))
    shell.reply(("perl",), NodeUnreachable("edge2", "connection lost"))
    found = refusals(ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=True))
    assert [(place, one.message) for place, one in found.items()] == [("node edge2", "connection lost")]


def test_emulated_machines_are_treated_as_such(inputs: PodInputs, tools: FakeMachines) -> None:
    tools.facts[2] = said_by(2, virtualization=(0, "qemu"))
    planned = ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=False)
    assert planned.virt_type is VirtType.QEMU and planned.pod.cluster.low_overhead and planned.guest_speed.factor > 1


def test_sudo_that_asks_is_one_error_with_a_remedy(inputs: PodInputs, tools: FakeMachines) -> None:
    shell = tools.by_address[str(ADDRESSES[1])] = FakeShell("edge2")
    shell.reply(("true",), CommandFailed("edge2", ["true"], 1, "sudo: a password is required"))
    found = refusals(ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=False))
    assert list(found) == ["node edge2"]
    said = "`sudo -n true` is refused to user iec: sudo: a password is required"
    assert found["node edge2"].message == said
    remedy = 'echo "iec ALL=(ALL) NOPASSWD:ALL" | sudo tee /etc/sudoers.d/90-iecpod'
    assert remedy in found["node edge2"].remedy
    assert len(shell.calls) == 1, "it is asked once"


def test_a_deploy_begins_with_the_record_and_the_key(inputs: PodInputs, tools: FakeMachines) -> None:
    provider = ExistingProvider(tools)
    planned = provider.plan(inputs.order, prove=True, keep_secrets=True)
    tools.knows = set()
    shared = fake_phase_tools()
    shells = {name: tools.by_address[str(address)] for name, address in inputs.order.addresses.items()}
    login, prepare = planned.phases(shells, shared)
    assert (login.name, prepare.name) == ("reachable", "prepare") and login.probe() is None
    for shell in shells.values():
        shell.calls.clear()
        shell.inputs.clear()
    login.run()
    for shell in shells.values():
        words = [call[3] for call in shell.calls if call[0] == "sh"]
        assert words == ["begin-record", "add-key"], "nothing is changed before there is a record"
    noted = json.loads(tools.notes["machines.json"])["machines"]
    assert [(met["hostname"], met["is_changed"]) for met in noted] == [("edge1", True), ("edge2", True)]
    assert login.probe() == "2 nodes answer"
    prepare.run()
    claimed = shells["edge1"].inputs[[call[3:4] for call in shells["edge1"].calls].index(("claim",))].decode()
    assert "tree /etc/kubernetes\n" in claimed and "file /usr/bin/kubeadm\n" not in claimed
    packages = next(call for call in shells["edge1"].calls if call[3:4] == ("set",))
    assert "iptables containerd" in packages[5]


def restored(tools: FakeMachines, *, left: Mapping[int, str] | None = None) -> None:
    """Both machines were changed; `left` is what stays there."""
    listed = [
        {"hostname": f"edge{number}", "address": str(address), "user": "iec", "host_key": key(number).line}
        for number, address in enumerate(ADDRESSES, 1)
    ]
    tools.notes["machines.json"] = json.dumps({"machines": [{**met, "is_changed": True} for met in listed]})
    tools.knows = {str(address) for address in ADDRESSES}

    def answer(argv: Sequence[str], number: int) -> CommandResult:
        said = {"owner": owned_by(f"edge{number}"), "compare": f"{(left or {}).get(number, '')}compared\n"}
        return CommandResult(0, said.get(argv[3], ""), "")

    tools.answer = answer  # type: ignore[method-assign]


def test_a_teardown_puts_every_machine_back(tools: FakeMachines) -> None:
    restored(tools)
    removed = ExistingProvider(tools).remove()
    assert (removed.names, removed.left, removed.keeps_state) == (("node edge1", "node edge2"), (), False)
    words = [call[3] for call in tools.by_address[str(ADDRESSES[0])].calls if call[0] == "sh"]
    assert words == ["owner", *["restore"] * 6, "compare", "forget"]
    assert json.loads(tools.notes["machines.json"]) == {"machines": []}


def test_machines_that_are_deployed_again_stay_the_pods(tools: FakeMachines, inputs: PodInputs) -> None:
    restored(tools)
    order = dataclasses.replace(inputs.order, spec=_without(inputs.order.spec, "edge2"))
    removed = ExistingProvider(tools).reset(order)
    assert (removed.names, removed.left, removed.keeps_state) == (("node edge1", "node edge2"), (), True)
    words = {
        name: [call[3] for call in tools.by_address[str(address)].calls if call[0] == "sh"]
        for name, address in zip(("edge1", "edge2"), ADDRESSES, strict=True)
    }
    assert words["edge1"] == ["owner", *["restore"] * 6, "compare"], "its record and the POD's key stay"
    assert words["edge2"] == [*words["edge1"], "forget"], "it is no node any more"
    assert [met["hostname"] for met in json.loads(tools.notes["machines.json"])["machines"]] == ["edge1"]


def _without(spec: PodSpec, name: str) -> PodSpec:
    nodes = tuple(node for node in spec.pdf.nodes if node.name != name)
    return dataclasses.replace(spec, pdf=dataclasses.replace(spec.pdf, nodes=nodes))


def test_a_name_of_another_machine_is_refused(tools: FakeMachines, inputs: PodInputs) -> None:
    """The record of the one that has it would be forgotten."""
    restored(tools)
    listed = json.loads(tools.notes["machines.json"])
    listed["machines"][1]["address"] = "172.16.10.99"
    tools.notes["machines.json"] = json.dumps(listed)
    found = refusals(ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=True))
    assert found["node edge2"].message == "it was deployed at 172.16.10.99, and is 172.16.10.37 now"
    assert "--prune" in found["node edge2"].remedy


def test_a_machine_that_is_met_as_another_user_stays_changed(tools: FakeMachines, inputs: PodInputs) -> None:
    restored(tools)
    listed = json.loads(tools.notes["machines.json"])
    listed["machines"][0]["user"] = "root"
    tools.notes["machines.json"] = json.dumps(listed)
    tools.answer = FakeMachines.answer.__get__(tools)  # type: ignore[method-assign]
    ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=True)
    noted = json.loads(tools.notes["machines.json"])["machines"]
    assert [(met["user"], met["is_changed"]) for met in noted] == [("iec", True), ("iec", True)]


def test_what_is_left_is_listed_and_its_record_stays(tools: FakeMachines) -> None:
    restored(tools, left={2: "package socat\nswap /dev/vda5, which is off\n"})
    removed = ExistingProvider(tools).remove()
    assert removed.names == ("node edge1",) and removed.keeps_state
    assert removed.left == ("edge2: package socat", "edge2: swap /dev/vda5, which is off")
    assert "forget" not in [call[3] for call in tools.by_address[str(ADDRESSES[1])].calls if call[0] == "sh"]
    assert [met["hostname"] for met in json.loads(tools.notes["machines.json"])["machines"]] == ["edge2"]


def test_a_comparison_that_was_cut_short_proves_nothing(tools: FakeMachines) -> None:
    restored(tools)
    whole = tools.answer

    def answer(argv: Sequence[str], number: int) -> CommandResult:
        is_cut = argv[3] == "compare" and number == 2
        return CommandResult(0, "", "") if is_cut else whole(argv, number)

    tools.answer = answer  # type: ignore[method-assign]
    removed = ExistingProvider(tools).remove()
    assert removed.left == ("edge2: it does not say whether it is as it was",) and removed.keeps_state


def test_what_stays_and_is_no_fault_is_reported_only(tools: FakeMachines) -> None:
    restored(tools, left={2: "stays: interface own0, which others have made\n"})
    removed = ExistingProvider(tools).remove()
    assert removed.names == ("node edge1", "node edge2") and not removed.left and not removed.keeps_state
    assert "warning: edge2: differs from before: interface own0, which others have made" in tools.reporter.lines


def test_a_machine_that_does_not_answer_is_unknown(tools: FakeMachines) -> None:
    restored(tools)
    silent = FakeShell("edge2").reply((), NodeUnreachable("edge2", "iec@172.16.10.37:22: no connection"))
    tools.by_address[str(ADDRESSES[1])] = silent
    removed = ExistingProvider(tools).remove()
    assert removed.names == ("node edge1",) and removed.keeps_state
    assert removed.left == ("edge2: unknown, since it does not answer (iec@172.16.10.37:22: no connection)",)
    assert [met["hostname"] for met in json.loads(tools.notes["machines.json"])["machines"]] == ["edge2"]


def test_a_machine_that_refuses_sudo_answers_and_is_not_logged_in_to_in_another_way(tools: FakeMachines) -> None:
    restored(tools)
    refusing = FakeShell("edge2").on("true", stderr="sudo: a password is required", returncode=1)
    tools.by_address[str(ADDRESSES[1])] = refusing
    removed = ExistingProvider(tools).remove()
    assert removed.left == ("edge2: `sudo -n true` is refused to user iec: sudo: a password is required",)
    assert tools.logins == [("edge1", "pod key"), ("edge2", "pod key")] and removed.keeps_state


def test_a_silent_machine_is_not_logged_in_to_in_another_way(tools: FakeMachines) -> None:
    restored(tools)
    tools.by_address[str(ADDRESSES[1])] = FakeShell("edge2").reply((), NodeUnreachable("edge2", "no route to host"))
    ExistingProvider(tools).remove()
    assert ("edge2", "login") not in tools.logins


@pytest.mark.parametrize("word", ["owner", "compare"])
def test_a_machine_that_does_not_say_what_is_left_is_not_forgotten(tools: FakeMachines, word: str) -> None:
    restored(tools)
    sound = tools.answer

    def answer(argv: Sequence[str], number: int) -> CommandResult:
        return CommandResult(0, "", "") if (argv[3], number) == (word, 2) else sound(argv, number)

    tools.answer = answer  # type: ignore[method-assign]
    removed = ExistingProvider(tools).remove()
    assert removed.names == ("node edge1",) and removed.keeps_state
    (left,) = removed.left
    assert left.startswith("edge2: it does not say whether it ")
    assert [met["hostname"] for met in json.loads(tools.notes["machines.json"])["machines"]] == ["edge2"]


def test_a_machine_without_a_record_has_nothing_to_put_back(tools: FakeMachines) -> None:
    restored(tools)
    tools.answer = lambda argv, number: CommandResult(0, "none\n" if argv[3] == "owner" else "", "")  # type: ignore[method-assign]
    assert ExistingProvider(tools).remove().left == ()


def test_a_record_of_another_is_left_alone(tools: FakeMachines) -> None:
    restored(tools)

    def answer(argv: object, number: int) -> CommandResult:
        return CommandResult(0, owned_by("edge1", pod="nodes/other"), "")

    tools.answer = answer  # type: ignore[method-assign]
    removed = ExistingProvider(tools).remove()
    assert removed.names == () and removed.keeps_state and "its record is another's" in removed.left[0]
    assert {call[3] for call in tools.by_address[str(ADDRESSES[0])].calls if call[0] == "sh"} == {"owner"}


def test_status_looks_without_changing_or_failing(inputs: PodInputs, tools: FakeMachines) -> None:
    provider = ExistingProvider(tools)
    assert provider.plan(inputs.order, prove=False, keep_secrets=False).states() == {
        "edge1": "unknown",
        "edge2": "unknown",
    }
    restored(tools)
    tools.answer = FakeMachines.answer.__get__(tools)  # type: ignore[method-assign]
    tools.facts = {1: said_by(1, owned_by("edge1")), 2: said_by(2, owned_by("edge2", pod="nodes/other"))}
    planned = ExistingProvider(tools).plan(inputs.order, prove=False, keep_secrets=False)
    assert planned.states() == {"edge1": "running", "edge2": "absent"} and planned.is_deployed()
    assert planned.plan.changes[0].action.value == " "


@pytest.mark.parametrize(
    "note",
    [
        "",
        "[]",
        '{"machines": [{}]}',
        '{"machines": [{"hostname": "a", "address": "x", "user": "iec", "host_key": "k"}]}',
    ],
)
def test_a_damaged_note_is_an_error(tools: FakeMachines, note: str) -> None:
    tools.notes["machines.json"] = note
    with pytest.raises(HostError, match=r"machines\.json of the POD does not say which machines it has"):
        ExistingProvider(tools).remove()


def test_machines_with_one_name_are_numbered(tmp_path: Path) -> None:
    tools = FakeMachines(tmp_path)
    tools.facts[2] = said_by(2, hostname=(0, "edge1"))
    assert describe_machines(tools, ADDRESSES, "iec").names == ("node-1", "node-2")


def test_machines_that_join_leave_the_others_their_names(tmp_path: Path) -> None:
    tools = FakeMachines(tmp_path)
    restored(tools)
    tools.answer = FakeMachines.answer.__get__(tools)  # type: ignore[method-assign]
    listed = json.loads(tools.notes["machines.json"])["machines"]
    listed[0] |= {"hostname": "node-1"}
    tools.notes["machines.json"] = json.dumps({"machines": listed[:1]})
    assert describe_machines(tools, ADDRESSES, "iec").names == ("node-1", "edge2")
    tools.facts[2] = said_by(2, hostname=(0, "node-1"))
    tools.notes["machines.json"] = json.dumps({"machines": listed[:1]})
    assert describe_machines(tools, ADDRESSES, "iec").names == ("node-1", "node-2"), "no name is given twice"
    noted = json.loads(tools.notes["machines.json"])["machines"]
    assert [(met["hostname"], met["is_changed"]) for met in noted] == [("node-1", True), ("node-2", False)]


NAT = (0, "2: eth0    inet 10.0.0.5/24 scope global eth0")


def problems_of_described(tmp_path: Path, tools: FakeMachines) -> list[tuple[str, str]]:
    inputs = resolve(write_described(tmp_path, tools), tmp_path)
    planned = ExistingProvider(tools).plan(inputs.order, prove=True, keep_secrets=True)
    return [(one.path, one.rule) for one in planned.problems(with_kubernetes=True)]


def test_a_machine_behind_nat_is_a_problem_of_the_preflight(tmp_path: Path, tools: FakeMachines) -> None:
    tools.facts[2] = said_by(2, addresses=NAT)
    assert problems_of_described(tmp_path, tools) == [("node edge2", "node-address")]


def test_no_address_of_any_machine_is_known(tmp_path: Path, tools: FakeMachines) -> None:
    tools.facts = {1: said_by(1, addresses=NAT), 2: said_by(2, addresses=NAT)}
    found = problems_of_described(tmp_path, tools)
    assert found == [("node edge1", "node-address"), ("node edge2", "node-address")]


@pytest.mark.parametrize("refusal", ["silence", "login"])
def test_a_machine_that_refuses_is_described_for_the_problems_of_the_others(
    tmp_path: Path, tools: FakeMachines, refusal: str
) -> None:
    """And is not tried again: a password that is wrong twice may lock the user out."""
    if refusal == "silence":
        tools.offered.pop(str(ADDRESSES[0]))
    else:
        tools.by_address[str(ADDRESSES[0])] = FakeShell("edge1").reply(
            (), LoginRefused("edge1", "refuses the password")
        )
    tools.facts[2] = said_by(2, cluster=(0, "/etc/kubernetes/kubelet.conf"), addresses=NAT)
    refused = ("node node-172-16-10-36", "node-login")
    others = [("node edge2", "node-has-cluster"), ("node edge2", "node-address")]
    assert problems_of_described(tmp_path, tools) == [*others, refused]
    assert [name for name, _ in tools.logins].count("172.16.10.36") == (0 if refusal == "silence" else 1)


def test_machines_that_all_refuse_are_problems(tmp_path: Path, tools: FakeMachines) -> None:
    tools.offered.clear()
    with pytest.raises(PreflightError) as refused:
        describe_machines(tools, ADDRESSES, "iec")
    assert [(one.path, one.rule) for one in refused.value.problems] == [
        ("node 172.16.10.36", "node-login"),
        ("node 172.16.10.37", "node-login"),
    ]
    assert tools.notes == {}, "nothing of them is written down"


def test_networks_are_widened_to_hold_all_machines(tmp_path: Path) -> None:
    tools = FakeMachines(tmp_path)
    far = IPv4Address("172.16.77.5")
    tools.by_address[str(far)] = tools.by_address.pop(str(ADDRESSES[1]))
    tools.offered[str(far)] = key(2)
    tools.facts[2] = said_by(2, addresses=(0, "2: eth0    inet 172.16.77.5/24 scope global eth0"))
    described = describe_machines(tools, (ADDRESSES[0], far), "iec")
    assert yaml.safe_load(described.idf)["idf"]["net_config"]["mgmt"]["network"] == "172.16.0.0"
    assert yaml.safe_load(described.idf)["idf"]["net_config"]["mgmt"]["mask"] == 17
