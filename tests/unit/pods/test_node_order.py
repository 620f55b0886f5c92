"""Nodes are known by their names in the PDF: who leaves or joins moves no other, and plans are carried out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from iecpod.commands.deploy import deploy
from iecpod.commands.plan import make_pod_plan
from iecpod.commands.redeploy import redeploy_changed
from iecpod.descriptors.addresses.node_order import assign_places
from iecpod.design.changes import Action
from iecpod.errors import PreflightError
from iecpod.layout import Layout
from iecpod.pods.resolve import PodInputs, resolve_request
from iecpod.ports import CommandResult
from iecpod.providers.libvirt.dependencies import NodeSecrets
from iecpod.providers.libvirt.objects import Kind
from iecpod.reports.run_report import Report
from iecpod.yaml.document import dump_yaml, load_yaml
from tests import pods
from tests.fakes import FACTS, FakeHost, FakeHypervisor
from tests.fakes.pod_tools import REF, FakeTools
from tests.pod_requests import pod_request, saved_pod
from tests.unit.commands.test_commands import layout, resolve, tools

__all__ = ["layout", "tools"]

KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
RECORDED = Path(__file__).parents[1] / "recorded/pod_before_providers"
SECRETS = NodeSecrets(
    authorized_key="ssh-ed25519 AAAARECORDED local/virtual1",
    host_keys={
        f"iec0{n}": (
            f"-----BEGIN OPENSSH PRIVATE KEY-----\nrecorded {n}\n-----END OPENSSH PRIVATE KEY-----\n",
            f"ssh-ed25519 AAAARECORDED{n} iec0{n}",
        )
        for n in (1, 2, 3, 4)
    },
)


class RecordedTools(FakeTools):
    """A POD that a version of iecpod without providers deployed, as its libvirt showed it."""

    def __init__(self, directory: Path, layout: Layout) -> None:
        super().__init__(directory, layout)
        self.pod_dir = Path("/srv/recorded/pod")
        self.owner = pods.owner(REF, self.pod_dir)
        self.hypervisor = FakeHypervisor(self.owner, FACTS)
        self.fake_host = FakeHost(self.hypervisor)
        for path in sorted(RECORDED.iterdir()):
            kind = Kind(path.name.partition("-")[0])
            self.hypervisor.add_foreign(kind, path.read_text())
            name = path.stem.partition("-")[2]
            self.hypervisor.start_outside(kind, name)
            self.hypervisor.set_autostart_outside(kind, name, kind is not Kind.DOMAIN)

    def secrets(self, hostnames: tuple[str, ...], *, keep: bool) -> NodeSecrets:
        return SECRETS

    def remove_pod_dir(self) -> None:
        pass


def _base(layout: Layout, directory: Path, names: tuple[str, ...]) -> Path:
    """local/virtual1 with these nodes: those it has, and copies of its last under other names."""
    base = directory / "-".join(names)
    shutil.copytree(layout.pdf_dir / "labs/local", base / "labs/local")
    for path, where in ((base / "labs/local/virtual1.yaml", "pdf"), (base / "labs/local/idf-virtual1.yaml", "idf")):
        data = load_yaml(path.read_bytes(), str(path)).data
        assert isinstance(data, dict)
        nodes = data["nodes"] if where == "pdf" else data["idf"]["fuel"]["network"]["node"]
        assert isinstance(nodes, list)
        wanted = [nodes[min(int(name[-1]), len(nodes)) - 1] for name in names]
        copies = [{**node, "name": name} if where == "pdf" else node for node, name in zip(wanted, names, strict=True)]
        nodes[:] = copies
        path.write_text(dump_yaml(data))
    return base


def _inputs(layout: Layout, tools: FakeTools, base: Path, *, prune: bool = False) -> PodInputs:
    request = pod_request(ref=REF, base_uri=str(base), release="debian12", prune=prune)
    return resolve_request(request, layout, tools.saved_pod)


def _deploy_three(layout: Layout, tools: FakeTools, directory: Path) -> None:
    base = _base(layout, directory, ("node-1", "node-2", "node-3"))
    deploy(_inputs(layout, tools, base), tools, lambda _report: None)


def _plan(inputs: PodInputs, tools: FakeTools) -> dict[str, Action]:
    changes = make_pod_plan(inputs, tools).planned.plan.changes
    return {change.name.removeprefix("local-virtual1-"): change.action for change in changes}


def test_a_pod_of_a_version_without_providers_is_unchanged(layout: Layout, tmp_path: Path) -> None:
    recorded = RecordedTools(tmp_path, layout)
    result = make_pod_plan(resolve(layout), recorded)
    assert {change.action for change in result.planned.plan.changes} == {Action.KEEP}
    assert len(result.planned.plan.changes) == len(list(RECORDED.iterdir()))
    assert result.planned.drift() == ()


def test_what_differs_of_such_a_pod_is_named_alone(layout: Layout, tmp_path: Path) -> None:
    recorded = RecordedTools(tmp_path, layout)
    drift = make_pod_plan(resolve(layout, memory_mib=1024), recorded).planned.drift()
    assert [found.differences[0] for found in drift] == ["another definition"] * 3


@pytest.mark.parametrize(
    ("names", "known", "places"),
    [
        (["a", "b"], {}, [0, 1]),
        (["a", "c"], {"a": 0, "b": 1, "c": 2}, [0, 2]),
        (["a", "c", "d"], {"a": 0, "c": 2}, [0, 2, 1]),
        (["a", "d", "c"], {"a": 0, "b": 1, "c": 2}, [0, 3, 2]),
    ],
)
def test_places_are_kept_and_filled(names: list[str], known: dict[str, int], places: list[int]) -> None:
    assert list(assign_places(names, known).values()) == places


def test_a_cluster_without_its_first_node_is_another(
    layout: Layout,
    tools: FakeTools,
    tmp_path: Path,
) -> None:
    tools.saved_pod = saved_pod(places={"node-1": 0, "node-2": 1, "node-3": 2}, planned_nodes=3)
    inputs = _inputs(layout, tools, _base(layout, tmp_path, ("node-2", "node-3")))
    assert inputs.order.hostnames == ("iec01", "iec02")


def test_a_node_that_leaves_moves_no_other(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    _deploy_three(layout, tools, tmp_path)
    without = _base(layout, tmp_path, ("node-1", "node-3"))
    inputs = _inputs(layout, tools, without)
    assert {str(address) for address in inputs.order.addresses.values()} == {"172.16.10.36", "172.16.10.38"}
    changed = {name: action for name, action in _plan(inputs, tools).items() if action is not Action.KEEP}
    assert changed == {"iec02": Action.REMOVE}
    with pytest.raises(PreflightError) as caught:
        deploy(inputs, tools, lambda _report: None)
    (problem,) = caught.value.problems
    assert problem.rule == "node-left-pdf" and "--prune" in problem.remedy and problem.path == "node iec02"


def _let_nodes_go(tools: FakeTools) -> list[str]:
    """The API server lists a node until it is deleted. Returns what kubectl was asked to change, in order."""
    asked: list[str] = []
    shell = tools.node_shells["iec01"]
    nodes = (*KUBECTL, "get", "--raw=/api/v1/nodes")
    listing = json.loads(shell.run(nodes).stdout)

    def answer(argv: Sequence[str], _stdin: bytes) -> CommandResult:
        gone = [name.rpartition("/")[2] for name in asked if name.startswith("delete")]
        items = [item for item in listing["items"] if item["metadata"]["name"] not in gone]
        return CommandResult(0, json.dumps({"items": items}), "")

    def change(argv: Sequence[str], _stdin: bytes) -> CommandResult:
        asked.append(" ".join(argv[2:4]))
        return CommandResult(0, "", "")

    shell.reply(nodes, answer).run(nodes)  # the recorded answer is used up
    shell.reply((*KUBECTL, "drain"), change).reply((*KUBECTL, "delete"), change)
    return asked


def _record_verified(tools: FakeTools, nodes: str) -> None:
    """The next deploy finds the cluster verified with these nodes."""
    shell = tools.node_shells["iec01"]
    path = (*KUBECTL, "get", "--raw=/api/v1/namespaces/kube-system/configmaps/iecpod-verified")
    record = json.loads(shell.run(path).stdout)
    shell.on(*path, stdout=json.dumps({"data": {**record["data"], "nodes": nodes}})).run(path)


@pytest.mark.parametrize("build", [deploy, redeploy_changed])
def test_a_node_that_left_is_drained_and_removed(
    layout: Layout,
    tools: FakeTools,
    tmp_path: Path,
    build: Callable[[PodInputs, FakeTools, Callable[[Report], None]], Report],
) -> None:
    _deploy_three(layout, tools, tmp_path)
    asked = _let_nodes_go(tools)
    _record_verified(tools, "iec01 iec03")
    without = _base(layout, tmp_path, ("node-1", "node-3"))
    report = build(_inputs(layout, tools, without, prune=build is deploy), tools, lambda _report: None)
    assert {phase.name for phase in report.phases if phase.outcome == "done"} >= {"prune"}
    assert asked == ["drain iec02", "delete --raw=/api/v1/nodes/iec02"]
    assert not [seen.name for seen in tools.hypervisor.observe() if "iec02" in seen.name]
    assert tools.saved_pod.places == {"node-1": 0, "node-3": 2}
    assert set(_plan(_inputs(layout, tools, without), tools).values()) == {Action.KEEP}


def test_a_node_that_joins_touches_no_other(layout: Layout, tools: FakeTools, tmp_path: Path) -> None:
    _deploy_three(layout, tools, tmp_path)
    more = _inputs(layout, tools, _base(layout, tmp_path, ("node-1", "node-2", "node-3", "node-4")))
    changed = {name: action for name, action in _plan(more, tools).items() if action is not Action.KEEP}
    assert changed == {"iec04": Action.CREATE}
