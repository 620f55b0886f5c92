"""`iecpod bootstrap` as a command, up to the first login; and the machines that a POD has, given again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from iecpod.errors import NodeError, PreflightError, UsageError
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.options.choices import ProviderName
from iecpod.pods.directory import make_pod_dir, save_pod
from iecpod.pods.request import PodRequest
from iecpod.providers.existing.bootstrap import describe_machines
from iecpod.ssh_login import Login
from iecpod.wiring.bootstrap import described_base, described_request, ensure_described
from iecpod.wiring.cached_software import CachedSoftware
from iecpod.wiring.existing_tools import ExistingAdapters
from iecpod.wiring.pod_nodes import PodNodes
from iecpod.wiring.pod_tools import PodAdapters
from iecpod.wiring.run_of_pod import RunOfPod
from iecpod.wiring.session import Session
from tests import pods
from tests.fakes import FakeShell, RecordingReporter
from tests.pod_requests import pod_request, saved_pod
from tests.unit.command_line import layout_below, run
from tests.unit.providers.existing.test_host_keys import key
from tests.unit.providers.existing.test_provider import ADDRESSES, REF, FakeMachines, said_by


def test_a_machine_with_an_unknown_host_key_or_that_is_silent_leaves_no_trace(tmp_path: Path) -> None:
    """Whether this machine has an SSH server or not."""
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    options = ("--name", "edge", "--user", "iec", "--password-file", str(password))
    refused = run(tmp_path, "bootstrap", "127.0.0.1", *options, env={"HOME": str(tmp_path)})
    assert isinstance(refused.exception, PreflightError), refused.exception
    (problem,) = refused.exception.problems
    assert (problem.path, problem.rule) == ("node 127.0.0.1", "node-login")
    cause = problem.message
    assert "nothing answers at 127.0.0.1:22" in cause or "is not in known_hosts" in cause
    assert not (layout_below(tmp_path).state_dir / "pods/nodes").exists()


def test_a_password_that_cannot_be_asked_for_is_refused(tmp_path: Path) -> None:
    refused = run(tmp_path, "bootstrap", "127.0.0.1", "--user", "iec", "--ask-password")
    assert isinstance(refused.exception, UsageError)
    assert "--ask-password asks on a terminal" in refused.exception.cause


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """With POD nodes/edge of both machines, deployed."""
    layout = layout_below(tmp_path)
    described = describe_machines(FakeMachines(tmp_path), ADDRESSES, "iec")
    lab = described_base(layout, REF) / "labs/nodes"
    lab.mkdir(parents=True)
    (lab / "edge.yaml").write_text(described.pdf)
    (lab / "idf-edge.yaml").write_text(described.idf)
    make_pod_dir(layout, REF)
    save_pod(layout.state_dir / "pods/nodes/edge", saved_pod(provider=ProviderName.EXISTING), pods.INSTALLATION)
    return layout


def give(layout: Layout, *addresses: IPv4Address, prune: bool = False) -> Path:
    """Nothing answers there: what needs a login fails."""
    tools = PodAdapters(layout, REF, RecordingReporter(), "")
    request = pod_request(ref=PodRef("nodes", "edge"), login=Login(user="iec"), prune=prune)
    return ensure_described(tools, layout, request, addresses)


def test_the_same_machines_are_described_once(layout: Layout) -> None:
    assert give(layout, *ADDRESSES) == described_base(layout, REF)


def test_the_control_plane_stays(layout: Layout) -> None:
    with pytest.raises(UsageError) as refused:
        give(layout, *reversed(ADDRESSES))
    assert refused.value.cause == "the control plane of POD nodes/edge is 172.16.10.36, and 172.16.10.37 is given first"


def test_a_machine_leaves_only_where_that_is_said(layout: Layout) -> None:
    with pytest.raises(UsageError) as refused:
        give(layout, ADDRESSES[0])
    assert refused.value.cause == "172.16.10.37 of POD nodes/edge is not given"
    assert "--prune drains" in refused.value.remedy


NEW = IPv4Address("172.16.10.38")


class Adapters(PodAdapters):
    """Of the machines of a test."""

    def __init__(self, layout: Layout, machines: FakeMachines) -> None:
        super().__init__(layout, REF, RecordingReporter(), "")
        self.nodes = Nodes(layout, self.run, Login(user="iec"), lambda: self.software, machines)


class Nodes(PodNodes):
    def __init__(
        self,
        layout: Layout,
        run: RunOfPod,
        login: Login,
        software: Callable[[], CachedSoftware],
        machines: FakeMachines,
    ) -> None:
        super().__init__(layout, run, "", login, software)
        self._machines = machines

    def existing_tools(self) -> ExistingAdapters:
        tools = super().existing_tools()
        tools.access = self._machines  # type: ignore[assignment]
        tools.pod_key = self._machines  # type: ignore[assignment]
        return tools


def machines_of(tmp_path: Path) -> FakeMachines:
    """Both machines of the POD, and a third one."""
    machines = FakeMachines(tmp_path)
    machines.by_address[str(NEW)] = (
        FakeShell("edge3").on("true").reply(("sh", "-c"), lambda argv, _stdin: machines.answer(argv, 3))
    )
    machines.offered[str(NEW)] = key(3)
    machines.facts[3] = said_by(3)
    return machines


def files_of(layout: Layout) -> dict[str, str]:
    """Content by name of all that says which machines there are."""
    lab, pod_dir = described_base(layout, REF) / "labs/nodes", layout.state_dir / "pods/nodes/edge"
    paths = (lab / "edge.yaml", lab / "idf-edge.yaml", pod_dir / "machines.json")
    return {path.name: path.read_text() for path in paths if path.exists()}


def note_machines(layout: Layout, *changed: int) -> None:
    listed = [
        {
            "hostname": f"edge{number}",
            "address": f"172.16.10.{35 + number}",
            "user": "iec",
            "host_key": key(number).line,
        }
        for number in changed
    ]
    note = layout.state_dir / "pods/nodes/edge/machines.json"
    note.write_text(json.dumps({"machines": [{**met, "is_changed": True} for met in listed]}))
    note.chmod(0o600)


def described(layout: Layout, tmp_path: Path, *addresses: IPv4Address) -> AbstractContextManager[PodRequest]:
    request = pod_request(ref=REF, login=Login(user="iec"))
    return described_request(
        Adapters(layout, machines_of(tmp_path)), layout=layout, request=request, addresses=addresses
    )


def test_a_join_that_is_refused_leaves_the_descriptors(layout: Layout, tmp_path: Path) -> None:
    note_machines(layout, 1, 2)
    before = files_of(layout)
    with pytest.raises(PreflightError), described(layout, tmp_path, *ADDRESSES, NEW) as request:
        assert request.options.base_uri == str(described_base(layout, REF))
        assert "172.16.10.38" in files_of(layout)["edge.yaml"] and "edge3" in files_of(layout)["machines.json"]
        raise PreflightError((), "the third is no node")
    assert files_of(layout) == before


def test_a_join_that_changed_a_machine_keeps_the_new_descriptors(layout: Layout, tmp_path: Path) -> None:
    note_machines(layout, 1, 2)
    with pytest.raises(NodeError), described(layout, tmp_path, *ADDRESSES, NEW):
        note_machines(layout, 1, 2, 3)
        raise NodeError("edge3", "its kubelet does not start")
    assert "172.16.10.38" in files_of(layout)["edge.yaml"]


def test_a_pod_that_is_refused_leaves_no_trace(tmp_path: Path) -> None:
    layout = layout_below(tmp_path)
    with pytest.raises(PreflightError), described(layout, tmp_path, *ADDRESSES):
        assert set(files_of(layout)) == {"edge.yaml", "idf-edge.yaml", "machines.json"}
        raise PreflightError((), "one is no node")
    assert files_of(layout) == {} and not (layout.state_dir / "pods/nodes").exists()
    assert not described_base(layout, REF).exists()


def test_machines_are_described_and_deployed_under_one_lock(layout: Layout) -> None:
    """It is held while they are described, and no other run gets it before the block ends."""
    holders = []

    @contextmanager
    def describe(tools: PodAdapters) -> Iterator[PodRequest]:
        holders.append(tools.state.holder())
        yield pod_request(ref=REF, base_uri=str(described_base(layout, REF)))
        holders.append(tools.state.holder())

    session = Session(layout, environ={}, is_terminal=False)
    request = pod_request(ref=REF)
    with session.pod(request, locked=True, describe=describe) as (inputs, tools):
        assert inputs.order.hostnames == ("edge1", "edge2")
        holders.append(tools.state.holder())
    assert len(holders) == 3 and None not in holders
    assert tools.state.holder() is None
