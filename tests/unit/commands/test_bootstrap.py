"""`iecpod bootstrap` as a command, up to the first login; and the machines that a POD has, given again."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from iecpod.errors import NodeError, NodeUnreachable, UsageError
from iecpod.layout import Layout
from iecpod.model import PodRef
from iecpod.options.choices import ProviderName
from iecpod.pods.directory import make_pod_dir, save_pod
from iecpod.providers.existing.bootstrap import describe_machines
from iecpod.ssh_login import Login
from iecpod.wiring.bootstrap import described_base, ensure_described
from iecpod.wiring.pod_tools import PodAdapters
from tests import pods
from tests.fakes import RecordingReporter
from tests.pod_requests import pod_request, saved_pod
from tests.unit.command_line import layout_below, run
from tests.unit.providers.existing.test_provider import ADDRESSES, REF, FakeMachines


def test_a_machine_with_an_unknown_host_key_or_that_is_silent_leaves_no_trace(tmp_path: Path) -> None:
    """Whether this machine has an SSH server or not."""
    password = tmp_path / "password"
    password.write_text("correct horse\n")
    options = ("--name", "edge", "--user", "iec", "--password-file", str(password))
    refused = run(tmp_path, "bootstrap", "127.0.0.1", *options, env={"HOME": str(tmp_path)})
    assert isinstance(refused.exception, (NodeUnreachable, NodeError)), refused.exception
    cause = refused.exception.cause
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
