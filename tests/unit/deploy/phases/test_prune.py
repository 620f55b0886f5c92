"""The phase that removes nodes which left the PDF."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from iecpod.deploy.kubectl.kubectl import Kubectl
from iecpod.deploy.phases.prune import PrunePhase, SurplusMachines
from iecpod.errors import CommandFailed
from iecpod.ports import CommandResult
from tests.fakes import FakeShell, RecordingReporter, fake_phase_tools

KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")


def _listing(**ready: bool) -> str:
    return json.dumps(
        {
            "items": [
                {
                    "metadata": {"name": name},
                    "status": {"conditions": [{"type": "Ready", "status": str(is_ready)}]},
                }
                for name, is_ready in ready.items()
            ]
        }
    )


def _phase(
    shell: FakeShell,
    machines: list[str],
    reporter: RecordingReporter,
    former: Sequence[str] = (),
    *,
    wanted: bool = True,
) -> PrunePhase:
    def remove(hostnames: Sequence[str]) -> None:
        for hostname in hostnames:
            machines.remove(hostname)

    surplus = SurplusMachines(find=lambda: tuple(machines), remove=remove)
    return PrunePhase(former, surplus, Kubectl(shell), fake_phase_tools(reporter=reporter), wanted)


def test_nothing_is_asked_where_nobody_left() -> None:
    shell = FakeShell()
    assert _phase(shell, [], RecordingReporter()).probe() == "nothing to remove"
    assert _phase(shell, ["iec02"], RecordingReporter(), wanted=False).probe() == "not asked for"
    assert shell.calls == []


def test_the_machine_goes_between_drain_and_node() -> None:
    machines, order = ["iec02"], list[str]()

    def note(argv: Sequence[str], _stdin: bytes) -> CommandResult:
        order.append(f"{argv[2]} {machines}")
        return CommandResult(0, "", "")

    shell = FakeShell().on(*KUBECTL, "get", stdout=_listing(iec01=True, iec02=True, other=True))
    for verb in ("drain", "delete"):
        shell.reply((*KUBECTL, verb), note)
    phase = _phase(shell, machines, RecordingReporter())
    assert phase.probe() is None
    phase.run()
    assert order == ["drain ['iec02']", "delete []"]
    assert shell.called(*KUBECTL, "delete", "--raw=/api/v1/nodes/iec02")


def test_a_node_that_is_down_is_removed_without_being_drained() -> None:
    reporter = RecordingReporter()
    shell = FakeShell().on(*KUBECTL, "get", stdout=_listing(iec01=True, iec02=False)).on(*KUBECTL, "delete")
    _phase(shell, ["iec02"], reporter).run()
    assert not shell.called(*KUBECTL, "drain")
    assert "warning: iec02 is not Ready: it is removed without being drained" in reporter.lines


def test_a_node_whose_machine_is_gone_already_leaves_the_cluster() -> None:
    """As after a run that was killed between the two."""
    shell = FakeShell().on(*KUBECTL, "get", stdout=_listing(iec01=True, iec02=False)).on(*KUBECTL, "delete")
    phase = _phase(shell, [], RecordingReporter(), former=["iec02"])
    assert phase.probe() is None
    phase.run()
    assert shell.called(*KUBECTL, "delete", "--raw=/api/v1/nodes/iec02")


def test_a_drain_that_fails_removes_nothing() -> None:
    machines = ["iec02"]
    shell = FakeShell().on(*KUBECTL, "get", stdout=_listing(iec01=True, iec02=True))
    shell.on(*KUBECTL, "drain", stderr="error: cannot evict pod", returncode=1)
    with pytest.raises(CommandFailed) as caught:
        _phase(shell, machines, RecordingReporter()).run()
    assert "--prune" in caught.value.remedy and machines == ["iec02"]
