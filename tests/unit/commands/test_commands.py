"""The verbs as a whole, on a hypervisor in memory and nodes that answer from a script."""

from __future__ import annotations

import dataclasses
import json
import shutil
from ipaddress import IPv4Network
from pathlib import Path

import pytest

import iecpod
from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan, plan_text
from iecpod.commands.teardown import teardown
from iecpod.design.deadline_factor import PHASES_THAT_WAIT
from iecpod.design.machines import Route
from iecpod.errors import CleanupError, DescriptorError, HostError, PreflightError, UsageError
from iecpod.hypervisor_uri import EMBEDDED
from iecpod.layout import Layout, find_layout
from iecpod.model import Arch, PodRef
from iecpod.options.choices import ProviderName, VirtType
from iecpod.pods.request import CLUSTER_PHASES
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.pods.saved import SavedPod
from iecpod.ports import (
    BaseImage,
)
from iecpod.providers.libvirt.objects import Emulator, Kind
from iecpod.providers.libvirt.plan.machine_plan import LibvirtPlan
from iecpod.providers.phase_names import PHASE_NAMES
from iecpod.release.mirrors import Supply
from iecpod.reports.run_report import Report
from iecpod.wiring.pod_tools import PodAdapters
from tests.fakes import FACTS, FakeHost, RecordingReporter
from tests.fakes.images import FakeImages
from tests.fakes.pod_tools import NODES, REF, FakeTools
from tests.pod_requests import pod_request, saved_pod
from tests.pods import site
from tests.unit.deploy.admin_conf import SERVER
from tests.unit.descriptors.eyaml_pair import Pair

PHASES = (*PHASE_NAMES[ProviderName.LIBVIRT], *CLUSTER_PHASES)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    environ = {f"IECPOD_{name}_DIR": str(tmp_path / name.lower()) for name in ("STATE", "CACHE", "RUNTIME")}
    return find_layout(environ, package_dir=Path(iecpod.__file__).parent, is_root=True)


def resolve(layout: Layout, **options: object) -> PodInputs:
    request = pod_request(**{"ref": REF, "base_uri": str(layout.pdf_dir), "release": "debian12", **options})
    return resolve_request(request, layout, SavedPod())


@pytest.fixture
def tools(tmp_path: Path, layout: Layout) -> FakeTools:
    return FakeTools(tmp_path, layout)


def run_deploy(layout: Layout, tools: FakeTools) -> Report:
    saved: list[Report] = []
    report = deploy(resolve(layout), tools, saved.append)
    assert saved == [report]
    return report


def test_deploy_makes_everything_and_the_second_one_nothing(layout: Layout, tools: FakeTools) -> None:
    report = run_deploy(layout, tools)
    outcomes = {phase.name: phase.outcome for phase in report.phases}
    assert tuple(outcomes) == PHASES and set(PHASES_THAT_WAIT) < set(PHASES)
    assert report.outcome == "done"
    assert [(phase.name, [node.node for node in phase.nodes]) for phase in report.phases if phase.nodes] == [
        ("cni", list(NODES))
    ]
    assert [name for name, outcome in outcomes.items() if outcome == "done"] == [
        *("networks", "storage", "domains", "kubeconfig", "cni"),
    ]
    names = {(seen.kind, seen.name) for seen in tools.hypervisor.observe() if seen.active}
    assert {(Kind.DOMAIN, f"local-virtual1-{node}") for node in NODES} <= names
    assert f"server: {SERVER}" in tools.kubeconfig_path.read_text()
    second = run_deploy(layout, tools)
    assert second.outcome == "in place"
    assert json.loads(second.to_json())["phases"][0]["outcome"] == "in place"


def test_a_domain_that_is_off_is_started_and_not_remade(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    before = dict(tools.hypervisor.contents)
    tools.hypervisor.stop_outside(Kind.DOMAIN, "local-virtual1-iec02")
    outcomes = {phase.name: phase.outcome for phase in run_deploy(layout, tools).phases}
    assert outcomes["domains"] == "done" and outcomes["networks"] == "in place"
    assert tools.hypervisor.contents == before


def test_changed_options_are_refused_while_the_pod_runs(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, virt_type=VirtType.KVM), tools, lambda _report: None)
    assert {problem.rule for problem in caught.value.problems} == {"changed-in-place"}
    assert len(caught.value.problems) == 3
    assert tools.pod_dir.exists()


def _refused(layout: Layout, tools: FakeTools) -> PreflightError:
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout), tools, lambda _report: None)
    assert not tools.pod_dir.exists()
    assert not tools.fake_host.started
    assert not any(seen.mark for seen in tools.hypervisor.observe())
    return caught.value


def test_routes_of_the_host_are_in_the_way(layout: Layout, tmp_path: Path) -> None:
    routes = (
        Route(IPv4Network("100.100.7.0/24"), "docker0", "docker network (docker0)"),
        Route(IPv4Network("172.16.10.0/24"), "eth0", "interface eth0"),
    )
    error = _refused(layout, FakeTools(tmp_path, layout, routes))
    messages = [problem.message for problem in error.problems]
    assert "the pod CIDR 100.100.0.0/16 overlaps 100.100.7.0/24, which is taken by docker network (docker0)" in messages
    assert "IDF network mgmt (172.16.10.0/24) overlaps 172.16.10.0/24, which is taken by interface eth0" in messages
    assert len(messages) == 2


@pytest.mark.parametrize(
    ("emulators", "message", "remedy"),
    [
        ({}, "the hypervisor has no emulator for x86_64 nodes", "install qemu-system-x86 there"),
        (
            {Arch.X86_64: Emulator("/usr/bin/qemu-system-x86_64", "q35", False, None)},
            "the hypervisor has no UEFI firmware for x86_64 nodes",
            "install ovmf there",
        ),
    ],
)
def test_what_the_hypervisor_lacks_is_reported_with_everything_else(
    layout: Layout, tmp_path: Path, emulators: dict[Arch, Emulator], message: str, remedy: str
) -> None:
    routes = (Route(IPv4Network("172.16.10.0/24"), "eth0", "interface eth0"),)
    error = _refused(layout, FakeTools(tmp_path, layout, routes, dataclasses.replace(FACTS, emulators=emulators)))
    assert (error.problems[0].message, error.problems[0].remedy) == (message, remedy)
    assert len(error.problems) == 2


def test_foreign_objects_of_our_names_are_conflicts_all_at_once(layout: Layout, tools: FakeTools) -> None:
    tools.hypervisor.add_foreign(Kind.NETWORK, "<network><name>local-virtual1-mgmt</name></network>")
    tools.hypervisor.add_foreign(Kind.DOMAIN, "<domain type='qemu'><name>local-virtual1-iec03</name></domain>")
    error = _refused(layout, tools)
    assert [problem.path for problem in error.problems] == [
        "network local-virtual1-mgmt",
        "domain local-virtual1-iec03",
    ]
    assert len(tools.hypervisor.observe()) == 2


def test_a_full_disk_is_seen_beforehand(layout: Layout, tools: FakeTools) -> None:
    tools.free = 100
    (problem,) = _refused(layout, tools).problems
    assert problem.rule == "disk-full" and "0.0 GiB free" in problem.message


def test_cidrs_that_cannot_be_are_refused_before_the_hypervisor_is_asked(layout: Layout) -> None:
    with pytest.raises(PreflightError) as caught:
        resolve(layout, pod_cidr="172.16.0.0/30", service_cidr="10.0.19.0")
    assert [problem.rule for problem in caught.value.problems] == ["service-cidr-syntax", "pod-cidr-too-small"]


def test_cidrs_that_cannot_be_are_reported_with_the_networks_they_overlap(layout: Layout) -> None:
    with pytest.raises(PreflightError) as caught:
        resolve(layout, pod_cidr="172.16.0.0/16")
    messages = "\n".join(problem.message for problem in caught.value.problems)
    assert "taken by the service CIDR" in messages and "172.16.10.0/24" in messages and "mgmt" in messages


def test_plan_shows_addresses_and_changes_nothing(layout: Layout, tools: FakeTools) -> None:
    inputs = resolve(layout)
    result = make_pod_plan(inputs, tools)
    text = plan_text(inputs, result)
    assert result.problems == ()
    assert "iec01  enp2s0  mgmt     172.16.10.36/24" in text
    assert tools.hypervisor.observe() == () and not tools.fake_host.started and not tools.pod_dir.exists()


def test_compact_addresses_are_planned_and_recalled(layout: Layout, tools: FakeTools) -> None:
    inputs = resolve(layout, addressing="compact")
    text = plan_text(inputs, make_pod_plan(inputs, tools))
    assert text.startswith("POD local/virtual1 on embedded, addresses: compact\n")
    assert "iec01  enp2s0  mgmt     172.16.10.10/24" in text
    recalled = resolve_request(inputs.request, layout, saved_pod(uri=EMBEDDED, addressing="compact"))
    assert recalled.order.allocation == inputs.order.allocation


def test_a_pod_is_remembered_with_its_options(layout: Layout) -> None:
    adapters = PodAdapters(layout, REF, RecordingReporter(), "")
    assert adapters.state.saved() == SavedPod()
    supply = Supply(registry_mirrors={"docker.io": "https://hub.lab"}, no_proxy=(".lab",))
    given = {"addressing": "compact", "pod_cidr": "100.101.0.0/16", "vcpus": 2, "memory_mib": 1024, "supply": supply}
    inputs = resolve(layout, **given)
    adapters.state.save(inputs.to_save)
    assert adapters.state.saved() == inputs.to_save
    assert (adapters.state.pod_dir / "deployed.json").stat().st_mode & 0o777 == 0o600
    later = resolve_request(pod_request(ref=REF), layout, adapters.state.saved())
    assert later.order.options == inputs.order.options and str(later.order.pod_cidr) == "100.101.0.0/16"


@pytest.mark.parametrize(
    ("lab", "given", "note", "expected"),
    [
        ("local", None, None, True),
        ("local", False, None, False),
        ("arm", None, None, False),
        ("arm", True, None, True),
        ("local", None, {"disposable": False}, False),
        ("arm", None, {"disposable": True}, True),
        ("arm", False, {"disposable": True}, False),
        ("arm", None, {}, True),  # of an earlier version, which knew no other
    ],
)
def test_a_pod_is_disposable_by_its_lab_or_an_option_that_is_remembered(
    layout: Layout, lab: str, given: bool | None, note: dict[str, bool] | None, expected: bool
) -> None:
    recalled = SavedPod() if note is None else SavedPod.from_json(json.dumps({"uri": "embedded", **note}))
    request = pod_request(ref=PodRef(lab, "virtual1"), disposable=given)
    inputs = resolve_request(request, layout, recalled)
    assert inputs.order.options.disposable is expected
    assert SavedPod.from_json(inputs.to_save.to_json()).options.disposable is expected


@pytest.mark.parametrize(
    ("disposable", "words", "cache"),
    [
        (None, "disposable: writes are not flushed, and a crash of the host may cost the POD (cache=unsafe)", "unsafe"),
        (False, "flushed as guests ask for it (cache=writeback)", "writeback"),
    ],
)
def test_the_plan_says_whether_a_pod_is_disposable(
    layout: Layout, tools: FakeTools, disposable: bool | None, words: str, cache: str
) -> None:
    inputs = resolve(layout, disposable=disposable)
    result = make_pod_plan(inputs, tools)
    assert f"disks         {words}" in plan_text(inputs, result)
    assert isinstance(result.planned, LibvirtPlan)
    caches = {f"cache='{cache}'" in domain.resource.xml for domain in result.planned.rendered.domains}
    assert caches == {True}


def test_a_pod_that_stands_does_not_stop_being_disposable(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    with pytest.raises(PreflightError) as caught:
        deploy(resolve(layout, disposable=False), tools, lambda _report: None)
    assert [problem.rule for problem in caught.value.problems] == ["changed-in-place"] * 3
    assert "another definition" in caught.value.problems[0].message


def test_an_option_that_is_given_again_takes_the_place_of_itself_alone(layout: Layout) -> None:
    known = Supply(registry_mirrors={"docker.io": "https://hub.lab"}, http_proxy="http://old:1", no_proxy=("a", "b"))
    given = Supply(registry_mirrors={"k8s.gcr.io": "https://k8s.lab"}, http_proxy="http://new:2")
    later = resolve_request(pod_request(ref=REF, supply=given), layout, saved_pod(supply=known)).order.options.supply
    assert later == Supply(
        registry_mirrors={"docker.io": "https://hub.lab", "k8s.gcr.io": "https://k8s.lab"},
        http_proxy="http://new:2",
        no_proxy=("a", "b"),
    )


@pytest.mark.parametrize(("packages", "is_reported"), [((), False), (("kubeadm",), True)])
def test_nodes_that_fetch_packages_are_led_to_the_mirror(
    layout: Layout, tools: FakeTools, packages: tuple[str, ...], is_reported: bool
) -> None:
    inputs = resolve(layout, supply=Supply(apt_mirror="http://mirror.lab/debian"))
    order = dataclasses.replace(inputs.order, release=dataclasses.replace(inputs.order.release, packages=packages))
    planned = make_pod_plan(dataclasses.replace(inputs, order=order), tools).planned
    assert isinstance(planned, LibvirtPlan)
    seeds = [domain.seed.user_data for domain in planned.rendered.domains]
    assert {"http://mirror.lab/debian" in seed for seed in seeds} == {is_reported}


def test_another_release_forgets_what_names_parts_of_the_one_before(layout: Layout) -> None:
    supply = Supply(repositories={"kubernetes": "http://mirror/k"}, http_proxy="http://proxy:1")
    known = saved_pod(release="iec-r1", base_os="ubuntu1604", bundle="b" * 64, supply=supply)
    other = resolve_request(pod_request(ref=REF, release="debian12"), layout, known).order.options
    assert (other.release, other.base_os, other.bundle) == ("debian12", None, None)
    assert other.supply == Supply(http_proxy="http://proxy:1")
    same = resolve_request(pod_request(ref=REF, release="iec-r1"), layout, known).order.options
    assert (same.base_os, same.supply) == ("ubuntu1604", supply)


def test_a_pod_that_lives_cannot_become_another(layout: Layout, tools: FakeTools) -> None:
    deploy(resolve(layout), tools, lambda _report: None)
    before = tools.saved_pod
    with pytest.raises(UsageError) as caught:
        deploy(resolve(layout, addressing="compact", service_cidr="172.16.2.0/24"), tools, lambda _report: None)
    assert caught.value.cause == (
        "POD local/virtual1 was deployed with addresses fuel, not compact; "
        "with the service CIDR 172.16.1.0/24, not 172.16.2.0/24"
    )
    assert tools.saved_pod == before and before.options.virt_type == "qemu"


def test_sizes_of_the_command_line_replace_those_of_the_pdf(layout: Layout, tools: FakeTools) -> None:
    inputs = resolve(layout, vcpus=1, memory_mib=1024)
    text = plan_text(inputs, make_pod_plan(inputs, tools))
    assert "1 (PDF: 2)  1024 MiB (PDF: 2560 MiB)" in text


def test_pod_cidrs_in_the_way_are_reported_with_free_ones(layout: Layout, tools: FakeTools) -> None:
    tools.fake_host = FakeHost(tools.hypervisor, (Route(IPv4Network("10.0.0.0/16"), "eth0", "interface eth0"),))
    inputs = resolve(layout, pod_cidr="172.16.0.0/16", service_cidr="10.0.19.0/24")
    found = {(problem.rule, problem.remedy) for problem in make_pod_plan(inputs, tools).problems}
    assert ("pod-cidr-overlap", "use a free one: --pod-cidr 10.2.0.0/16") in found
    assert ("service-cidr-overlap", "use a free one: --service-cidr 10.1.1.0/24") in found


def test_problems_of_addresses_have_a_place(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    lab = tmp_path / "labs" / REF.lab
    shutil.copytree(layout.pdf_dir / "labs" / REF.lab, lab)
    idf = lab / f"idf-{REF.pod}.yaml"
    text = idf.read_text()
    idf.write_text(text.replace("172.16.10.10-172.16.10.254", "172.16.10.10-172.16.10.20"))
    with pytest.raises(DescriptorError) as caught:
        resolve(layout, base_uri=str(tmp_path))
    (problem,) = caught.value.problems
    assert (problem.rule, text.splitlines()[(problem.line or 0) - 1].strip()) == (
        "address-beyond-range",
        "ip-range: 172.16.10.10-172.16.10.254",
    )
    tools.fake_host = FakeHost(tools.hypervisor, (Route(IPv4Network("172.16.0.0/16"), "eth0", "interface eth0"),))
    inputs = resolve(layout)
    with pytest.raises(PreflightError) as refused, inputs.loaded.explained_errors():
        deploy(inputs, tools, lambda report: None)
    places = {problem.path: problem.line for problem in refused.value.problems if problem.path}
    assert text.splitlines()[(places["idf.net_config.mgmt.network"] or 0) - 1].strip() == "network: 172.16.10.0"


def test_encrypted_values_are_decrypted_and_not_shown(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    pair = Pair(tmp_path, "lab")
    lab = tmp_path / "labs" / REF.lab
    shutil.copytree(layout.pdf_dir / "labs" / REF.lab, lab)
    pdf = lab / f"{REF.pod}.yaml"
    pdf.write_text(pdf.read_text().replace("- name: node-1", f"- name: {pair.encrypt('node-1')}"))
    keys = (str(pair.private_file), str(pair.public_file))
    inputs = resolve(layout, base_uri=str(tmp_path), eyaml_keys=keys)
    assert inputs.order.spec == dataclasses.replace(
        resolve(layout).order.spec, pdf_file=str(pdf), idf_file=inputs.order.spec.idf_file
    )
    text = plan_text(inputs, make_pod_plan(inputs, tools))
    assert "node-1" not in text + repr(inputs) and "node-2" in text
    with pytest.raises(DescriptorError) as caught:
        resolve(layout, base_uri=str(tmp_path))
    assert [problem.rule for problem in caught.value.problems] == ["encrypted"]
    pdf.write_text(pdf.read_text().replace("ENC[PKCS7,", "ENC[PKCS7,MII"))
    with pytest.raises(DescriptorError) as damaged:
        resolve(layout, base_uri=str(tmp_path), eyaml_keys=keys)
    assert [problem.rule for problem in damaged.value.problems] == ["encrypted"]
    with pytest.raises(UsageError) as usage:
        resolve(layout, eyaml_keys=(keys[0], None))
    assert usage.value.cause == "--eyaml-public-key is missing"


def test_teardown_takes_what_is_ours_and_nothing_else(layout: Layout, tools: FakeTools) -> None:
    tools.hypervisor.add_foreign(Kind.DOMAIN, "<domain type='qemu'><name>jenkins-slave01</name></domain>")
    run_deploy(layout, tools)
    removed = teardown(tools, site(EMBEDDED))
    assert "domain local-virtual1-iec01" in removed.names and "pool iecpod-local-virtual1" in removed.names
    assert [seen.name for seen in tools.hypervisor.observe()] == ["jenkins-slave01"]
    assert not tools.pod_dir.exists() and not tools.fake_host.started
    assert teardown(tools, site(EMBEDDED)).names == ()


def test_what_teardown_leaves_is_an_error_that_lists_it(layout: Layout, tools: FakeTools) -> None:
    run_deploy(layout, tools)
    tools.fake_host.left = ("namespace iecpod-local-virtual1",)
    with pytest.raises(CleanupError) as caught:
        teardown(tools, site(EMBEDDED))
    assert caught.value.cause == "teardown left behind: namespace iecpod-local-virtual1"
    assert int(caught.value.exit_code) == 7


def test_a_failed_phase_is_in_the_saved_report(layout: Layout, tools: FakeTools) -> None:
    saved: list[Report] = []
    failing = FakeImages()
    failing.find = lambda arch: None  # type: ignore[method-assign,assignment,return-value]

    def ensure(arch: Arch) -> BaseImage:
        raise HostError("the mirror is away", "try again")

    failing.ensure = ensure  # type: ignore[method-assign]
    tools.images = lambda release, bundle_via: failing  # type: ignore[method-assign]
    with pytest.raises(HostError):
        deploy(resolve(layout), tools, saved.append)
    assert saved[0].outcome == "failed"
    assert [(phase.name, phase.outcome, phase.detail) for phase in saved[0].phases] == [
        ("image", "failed", "the mirror is away")
    ]


def test_unknown_scenario_lists_those_there_are(layout: Layout) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(layout, scenario="os-nosdn-nofeature-ha")
    assert "k8-calico-iec-noha" in caught.value.remedy
    assert resolve(layout, scenario="k8-nosdn-iec-noha").order.scenario.name == "k8-calico-iec-noha"


def test_of_a_console_the_end_is_read(layout: Layout, tmp_path: Path) -> None:
    adapters, console = (
        PodAdapters(layout, REF, RecordingReporter(), "").nodes.libvirt_tools(),
        tmp_path / "console.log",
    )
    assert adapters.read_console(str(console)) == ""
    console.write_bytes(b"x" * 300_000 + b"\xfflogin:")
    text = adapters.read_console(str(console))
    assert text.endswith("x\ufffdlogin:") and len(text.encode(errors="replace")) < 300_000
    console.write_bytes(b"short")
    assert adapters.read_console(str(console)) == "short"
